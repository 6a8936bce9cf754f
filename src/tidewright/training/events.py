"""What training and tuning tell their callbacks. They know nothing of who listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FitStarted:
    """A model begins to learn."""

    model: str
    key: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 0


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """One epoch (or some boosting rounds) of a model is over. Losses are in the units of the loss."""

    model: str
    key: str
    epoch: int
    train_loss: float
    validation_loss: float
    seconds: float


@dataclass(frozen=True, slots=True)
class FitEnded:
    """A model has learned; `seconds` wall, `cpu_seconds` of this process."""

    model: str
    key: str
    seconds: float
    cpu_seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """One trial of a search is over.

    `state` is complete, pruned or failed (then `value` is None and `error` says why); `notes` are the trial's.
    """

    study: str
    number: int
    state: str
    value: float | None
    parameters: Mapping[str, Any]
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    notes: tuple[str, ...] = ()


Event = FitStarted | EpochEnded | FitEnded | TrialEnded
Callback = Callable[[Event], None]


def emit(callbacks: tuple[Callback, ...], event: Event) -> None:
    """Tells every callback."""
    for callback in callbacks:
        callback(event)
