"""Every error and warning that Tidewright raises.

A message says what is wrong, what was got and what to do. Each class is also the built-in that a caller would catch.

    TidewrightError
    ├── DataError (ValueError)            a table, or a value in it, that can't be used
    │   ├── ColumnError (KeyError)        a column that is missing, doubled or of the wrong type
    │   ├── FrequencyError                times that fit no grid, or not the grid that was asked for
    │   └── ShortSeriesError              too few rows for the lookback, the horizon or the split
    ├── ConfigError (ValueError)          an option, an override or a file of options that is wrong
    │   └── UnknownNameError (KeyError)   a name that no catalog holds; names the near miss
    ├── MissingExtraError (ImportError)   a package that an extra would install
    ├── FitError (RuntimeError)           training that could not give a usable model
    ├── BundleError (ValueError)          a bundle that can't be written or opened
    │   ├── TamperedError                 a byte that differs from the manifest
    │   └── ParityError                   a compiled answer that differs from the eager one
    ├── PromotionError (RuntimeError)     a challenger that is not better than the champion with significance
    ├── BackendError (RuntimeError)       a backend or device that was asked for and can't serve
    ├── RequestError (RuntimeError)       a request that a server refuses, with its HTTP status
    └── AllocationError (ValueError)      weights, prices or costs that can't be used

    RepairWarning (UserWarning)           the data were mended; says how
    FallbackWarning (UserWarning)         something else was used than was asked for; says what and why
"""

from __future__ import annotations


class TidewrightError(Exception):
    """The root of the tree."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class DataError(TidewrightError, ValueError):
    """A table, or a value in it, that can't be used."""


class ColumnError(DataError, KeyError):
    """A column that is missing, doubled or of the wrong type."""


class FrequencyError(DataError):
    """Times that fit no grid, or not the grid that was asked for."""


class ShortSeriesError(DataError):
    """Too few rows for the lookback, the horizon or the split."""


class ConfigError(TidewrightError, ValueError):
    """An option, an override or a file of options that is wrong."""


class UnknownNameError(ConfigError, KeyError):
    """A name that no catalog holds."""


class MissingExtraError(TidewrightError, ImportError):
    """A package that an extra of Tidewright would install."""


class FitError(TidewrightError, RuntimeError):
    """Training that could not give a usable model."""


class BundleError(TidewrightError, ValueError):
    """A bundle that can't be written or opened."""


class TamperedError(BundleError):
    """A file of a bundle whose bytes differ from its manifest."""


class ParityError(BundleError):
    """A compiled answer that differs from the eager one by more than the tolerance."""


class PromotionError(TidewrightError, RuntimeError):
    """A challenger that is not better than the champion with significance."""


class BackendError(TidewrightError, RuntimeError):
    """A backend or a device that was asked for and can't serve."""


class RequestError(TidewrightError, RuntimeError):
    """A request that a server refuses. `retry_after_s` is when to try again, where that may help."""

    def __init__(self, message: str, *, status: int = 400, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s


class AllocationError(TidewrightError, ValueError):
    """Weights, prices or costs that can't be used."""


class RepairWarning(UserWarning):
    """The data were mended; the message says how."""


class FallbackWarning(UserWarning):
    """Something else was used than was asked for; the message says what and why."""
