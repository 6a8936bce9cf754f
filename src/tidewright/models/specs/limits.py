"""Options of a model that are out of range, refused with what, got and what to give."""

from __future__ import annotations

from math import inf

from tidewright.errors import ConfigError


def refuse_small(model: str, **options: int | tuple[int, ...] | None) -> None:
    """Raises `ConfigError` for a number below 1, alone or in a tuple; None is a choice that is left to the model."""
    for option, value in options.items():
        if value is not None and any(number < 1 for number in (value if isinstance(value, tuple) else (value,))):
            raise ConfigError(f"{model}.{option} is made of whole numbers of 1 or more; got {value!r}.")


def refuse_share(model: str, **options: float) -> None:
    """Raises `ConfigError` for a share that is not from 0 to below 1, such as a dropout."""
    for option, value in options.items():
        if not 0.0 <= value < 1.0:
            raise ConfigError(f"{model}.{option} is a share from 0 to below 1; got {value!r}.")


def refuse_scale(model: str, scale: float) -> None:
    """Raises `ConfigError` for a scale of a whole network that is not above 0 and finite."""
    if not 0.0 < scale < inf:
        raise ConfigError(f"{model}.scale is a number above 0 and finite; got {scale!r}.")
