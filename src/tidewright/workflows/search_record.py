"""`Search`: what a preset's run tried, in order, what each try cost and brought, and why it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a model: `what` was done, its validation `score` (None: it failed, `error` says why), what it cost,
    and `at` how many seconds of the run it was done. `options` are those that differ from the usual."""

    model: str
    what: str
    key: str
    score: float | None
    seconds: float
    cpu_seconds: float
    at: float
    floor: bool = False
    note: str = ""
    error: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Search:
    """The account of a preset: `attempts` in the order they were made, the models that were `passed_over` and why, and
    the `reason` that it stopped. `score` is in `metric`, smaller is better, over all `folds`."""

    preset: str
    metric: str
    folds: int
    budget_s: float
    attempts: tuple[Attempt, ...]
    passed_over: Mapping[str, str]
    reason: str
    resumed: int = 0  # deeds that an earlier process had done

    @property
    def best(self) -> Attempt | None:
        """The try with the lowest score."""
        scored = [one for one in self.attempts if one.score is not None]
        return min(scored, key=lambda one: one.score or 0.0, default=None)

    def curve(self) -> tuple[list[float], list[float]]:
        """The seconds at which the best score so far fell, and the scores."""
        at: list[float] = []
        best: list[float] = []
        for one in self.attempts:
            if one.score is not None and (not best or one.score < best[-1]):
                at.append(one.at)
                best.append(one.score)
        return at, best

    def passed_over_by_reason(self) -> dict[str, list[str]]:
        """The models that were passed over, by why."""
        found: dict[str, list[str]] = {}
        for name, reason in self.passed_over.items():
            found.setdefault(reason, []).append(name)
        return found

    def to_dict(self) -> dict[str, Any]:
        """The account as plain data."""
        return {
            **asdict(self),
            "passed_over": dict(self.passed_over),
            "attempts": [asdict(one) for one in self.attempts],
        }
