"""Limits as rows over the assets of one problem. A assets, R rows of a limit; weights are fractions of equity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from tidewright.catalog import explain_unknown
from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray

if TYPE_CHECKING:
    from tidewright.portfolio.limits.record import Limits, Range

Kind = Literal["linear", "turnover", "leverage", "tracking_error", "trades"]
WORDS = ("long only", "shorts allowed", "each", "net", "cash", "leverage", "turnover", "names", "min position",
         "tracking error")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """One limit on the weights of A assets, in the words of who set it.

    linear: lower <= rows @ weights <= upper, with rows [R, A]. turnover: sum |weights - previous| <= upper.
    leverage: sum |weights| <= upper. tracking_error: the standard deviation of (weights - benchmark) @ returns
    a period <= upper; rows [1, A] are the benchmark. trades: |weights - previous| <= rows [1, A].
    """

    words: str
    kind: Kind
    lower: float = -np.inf
    upper: float = np.inf
    rows: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))

    def excess(self, weights: FloatArray, *, previous: FloatArray | None, covariance: FloatArray | None) -> float:
        """By how much the weights break the limit; 0 where they keep it."""
        if self.kind == "linear":
            values = self.rows @ weights
            return max(0.0, float((values - self.upper).max()), float((self.lower - values).max()))
        if self.kind == "leverage":
            value = float(np.abs(weights).sum())
        elif self.kind == "trades":
            assert previous is not None
            return max(0.0, float((np.abs(weights - previous) - self.rows[0]).max()))
        elif self.kind == "turnover":
            assert previous is not None
            value = float(np.abs(weights - previous).sum())
        else:
            assert covariance is not None
            apart = weights - self.rows[0]
            value = float(np.sqrt(max(0.0, apart @ covariance @ apart)))
        return max(0.0, value - self.upper)


def resolve_limits(limits: Limits, *, assets: tuple[str, ...]) -> Iterator[Limit]:
    """Each convex limit over these assets; `names` and `min_position` are none. Raises `AllocationError`."""
    _check_assets(limits, assets)
    every = np.eye(len(assets))
    if limits.long_only:
        yield Limit(limits.words.get("long_only.lower", "long only"), "linear", lower=0.0, rows=every)
    for side, name in enumerate(("lower", "upper")):
        value = limits.each[side]
        rest = [asset not in limits.bounds or limits.bounds[asset][side] is None for asset in assets]
        if value is not None and any(rest):
            yield Limit(limits.say("each", name), "linear", **{name: value}, rows=every[rest])
    for subject, sides in limits.bounds.items():
        yield from _split(limits, f"bounds.{subject}", sides, every[[assets.index(subject)]])
    yield from _resolve_sums(limits, assets)
    benchmark = np.array([[float(limits.benchmark.get(asset, 0.0)) for asset in assets]])
    for kind in ("leverage", "turnover", "tracking_error"):
        value = getattr(limits, kind)
        if value is not None:
            yield Limit(limits.say(kind, "upper"), kind, upper=value, rows=benchmark)


def _resolve_sums(limits: Limits, assets: tuple[str, ...]) -> Iterator[Limit]:
    for group, sides in limits.group_bounds.items():
        row = np.array([[limits.groups.get(asset) == group for asset in assets]], dtype=np.float64)
        yield from _split(limits, f"group_bounds.{group}", sides, row)
    for factor, sides in limits.exposure_bounds.items():
        row = np.array([[float(limits.exposures[factor][asset]) for asset in assets]])
        yield from _split(limits, f"exposure_bounds.{factor}", sides, row)
    yield from _split(limits, "net", limits.net, np.ones((1, len(assets))))


def _check_assets(limits: Limits, assets: tuple[str, ...]) -> None:
    known = set(assets)
    for name in limits.bounds:
        if name not in known:
            near = {*assets, *limits.groups.values(), *limits.exposures, *WORDS}
            raise AllocationError(explain_unknown("asset, group or limit", name, near))
    for name, weight in limits.benchmark.items():
        if name not in known and weight:
            raise AllocationError(f"the benchmark: {explain_unknown('asset', name, known)}")
    for factor in limits.exposure_bounds:
        missing = [name for name in assets if name not in limits.exposures[factor]]
        if missing:
            raise AllocationError(
                f"the factor {factor!r} has no exposure of {missing[0]!r} ({len(missing)} such of {len(assets)}). "
                "Give one for every asset, 0 where there is none."
            )


def _split(limits: Limits, place: str, sides: Range, rows: FloatArray) -> Iterator[Limit]:
    """One limit a side, or one for both where they are equal."""
    lower, upper = sides
    if lower is not None and lower == upper:
        words = limits.words.get(f"{place}.upper") or limits.say(place, "both")
        yield Limit(words, "linear", lower=lower, upper=lower, rows=rows)
        return
    if lower is not None:
        yield Limit(limits.say(place, "lower"), "linear", lower=lower, rows=rows)
    if upper is not None:
        yield Limit(limits.say(place, "upper"), "linear", upper=upper, rows=rows)
