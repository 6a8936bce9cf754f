"""What it costs to score a model whose answers are fits, and what such a model says while it is scored."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.errors import FallbackWarning, FitError
from tidewright.features.windows import cut_windows
from tidewright.models.fitted import Fitted

SLOW_KINDS = ("statistical", "foundation")  # an answer of these may cost as much as an epoch of others


def refuse_slow(fitted: Fitted, *, panel: Panel, split: Split, deadline: float | None) -> None:
    """Raises `FitError` for a model that could not answer validation and test by the deadline (a `time.monotonic()`).

    What a window costs is in its history (`seconds_a_window`); a model that does not say is quick.
    """
    chosen = next((record for record in fitted.history if record.get("chosen")), {})
    cost = float(chosen.get("seconds_a_window", 0.0))
    if deadline is None or cost == 0.0:
        return
    parts = [part for part in (split.validation, split.test) if part is not None]
    horizon = fitted.task.horizon
    count = sum(len(cut_windows(panel, fitted.view, horizon=horizon, cutoffs=part, least=1)) for part in parts)
    need, left = cost * count, deadline - time.monotonic()
    if need > left:
        raise FitError(
            f"{fitted.spec.name} takes {cost:.2g} s a window, {need:.0f} s for the {count} windows of validation and "
            f"test; {max(left, 0.0):.0f} s are left for it. Give a longer budget, fewer cutoffs (split.stride), or a "
            f"shorter history (models.{fitted.spec.name}.history)."
        )


@contextmanager
def catch_fallbacks() -> Iterator[list[str]]:
    """The texts of the fallbacks that are warned of inside the block; the warnings are passed on after it."""
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FallbackWarning)
        yield told
    for warning in caught:
        if issubclass(warning.category, FallbackWarning):
            told.append(str(warning.message))
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
