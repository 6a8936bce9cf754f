"""What a portfolio may not do, in one frozen record and in words. A assets, R rows of a limit.

Weights are fractions of equity. A range is (lower, upper), None where a side is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tidewright.catalog import explain_unknown
from tidewright.checks import check_flag
from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.limits.rows import Limit, resolve_limits

Range = tuple[float | None, float | None]
_ROOM = 1e-12  # a lower side above the upper by less is rounding
_MOST_TURNED = 4.0  # of the money: twice what there is to turn over without short positions


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Every limit on a portfolio. Nothing given: long-only, fully invested, no other limit.

    `each` is the range of every asset, `bounds` that of single ones, in the place of `each` on the sides that it has.
    `groups` is asset to group (a sector) and `group_bounds` the ranges of their sums; `exposures` is factor to
    asset to exposure, `exposure_bounds` the ranges of exposures @ weights. `net` is the range of the sum of weights
    (what is missing to one is cash), `leverage` the most that sum |w| may be, `turnover` the most that
    sum |w - previous| may be over the whole portfolio, purchases and sales counted both. `names` is how many weights
    may differ from zero and `min_position` the least that such a one may be in size. `tracking_error` is the most
    that the standard deviation of the return over the `benchmark` (asset to weight) may be, a period of the returns.
    `words` are what the user wrote, by the place of the limit; errors quote them.

    A side that contradicts another is an AllocationError that quotes both.

    >>> Limits(each=(None, 0.1), bounds={"A": (0.2, None)})
    Traceback (most recent call last):
        ...
    tidewright.errors.AllocationError: 'A >= 0.2' and 'each <= 0.1' contradict each other. Change one of them.
    """

    long_only: bool = True
    each: Range = (None, None)
    bounds: Mapping[str, Range] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    group_bounds: Mapping[str, Range] = field(default_factory=dict)
    exposures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    exposure_bounds: Mapping[str, Range] = field(default_factory=dict)
    net: Range = (1.0, 1.0)
    leverage: float | None = None
    turnover: float | None = None
    names: int | None = None
    min_position: float | None = None
    tracking_error: float | None = None
    benchmark: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_flag("long_only", self.long_only)
        for name in ("each", "net"):
            object.__setattr__(self, name, _read_range(getattr(self, name), noun=name))
        for name in ("bounds", "group_bounds", "exposure_bounds"):
            ranges = {key: _read_range(value, noun=f"{name} of {key!r}") for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, ranges)
        for name in ("groups", "exposures", "benchmark", "words"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        _check_numbers(self)
        _check_known(self)
        _check_sides(self)

    @classmethod
    def parse(
        cls,
        *sentences: str,
        groups: Mapping[str, str] | None = None,
        exposures: Mapping[str, Mapping[str, float]] | None = None,
        benchmark: Mapping[str, float] | None = None,
        periods_per_year: float | None = None,
    ) -> Limits:
        """Limits from sentences: a subject, <=, >= or =, and a number (0.2 or 20 %); or 'long only', 'shorts allowed'.

        Subjects are assets, groups, factors, and: each, net, cash, leverage, turnover, names, min position,
        tracking error (with 'a period', or 'a year' and `periods_per_year`).

        >>> limits = Limits.parse("long only", "0.01 <= A <= 20 %", "Energy <= 0.3", groups={"A": "Energy"})
        >>> limits.bounds, limits.group_bounds
        ({'A': (0.01, 0.2)}, {'Energy': (None, 0.3)})
        """
        from tidewright.portfolio.limits.words import parse_limits

        return parse_limits(
            sentences,
            groups={} if groups is None else dict(groups),
            exposures={} if exposures is None else dict(exposures),
            benchmark={} if benchmark is None else dict(benchmark),
            periods_per_year=periods_per_year,
        )

    @classmethod
    def from_yaml(cls, path: str | Path) -> Limits:
        """Limits from a YAML file: sentences under `limits`, or the record's own fields, or both."""
        from tidewright.portfolio.limits.words import read_limits

        return read_limits(path)

    def resolve(self, assets: Sequence[str]) -> tuple[Limit, ...]:
        """Each limit as rows over these assets; a name that none of them has is an AllocationError.

        `names` and `min_position` are not among them: they are no convex limits.

        >>> [limit.words for limit in Limits.parse("A <= 0.4").resolve(("A", "B"))]
        ['long only', 'A <= 0.4', 'net = 1']
        """
        return tuple(resolve_limits(self, assets=tuple(assets)))

    def excess(
        self,
        weights: FloatArray,
        *,
        assets: Sequence[str],
        previous: FloatArray | None = None,
        covariance: FloatArray | None = None,
    ) -> dict[str, float]:
        """By how much weights [A] break each limit, in its words; empty where they keep all of them exactly."""
        found = {
            limit.words: limit.excess(weights, previous=previous, covariance=covariance)
            for limit in self.resolve(assets)
        }
        held = np.abs(weights[weights != 0.0])
        if self.names is not None:
            found[self.say("names", "upper")] = float(max(0, held.size - self.names))
        if self.min_position is not None and held.size:
            found[self.say("min_position", "lower")] = max(0.0, self.min_position - float(held.min()))
        return {words: value for words, value in found.items() if value > 0.0}

    def say(self, place: str, side: str) -> str:
        """A limit in words: what the user wrote, or the same said by us. `place` is a field, or field.subject."""
        if f"{place}.{side}" in self.words:
            return self.words[f"{place}.{side}"]
        name, _, subject = place.partition(".")
        value = getattr(self, name)
        value = value.get(subject) if subject else value
        if isinstance(value, tuple):
            sign = "=" if side == "both" else ">=" if side == "lower" else "<="
            number = value[0] if side == "lower" else value[1]
        else:
            sign, number = (">=" if side == "lower" else "<="), value
        return f"{subject or name.replace('_', ' ')} {sign} {number:g}"


def _read_range(value: Range, *, noun: str) -> Range:
    try:
        lower, upper = value
        sides = tuple(None if side is None else float(side) for side in (lower, upper))
    except (TypeError, ValueError):
        raise AllocationError(f"{noun} is {value!r}; it is a pair (lower, upper), None where a side is open.") from None
    if any(side is not None and not np.isfinite(side) for side in sides):
        raise AllocationError(f"{noun} is {value!r}; a side is a finite number, or None where it is open.")
    return sides[0], sides[1]


def _check_numbers(limits: Limits) -> None:
    for name in ("leverage", "turnover", "min_position", "tracking_error"):
        value = getattr(limits, name)
        if value is not None and not (np.isfinite(value) and value >= 0.0):
            raise AllocationError(f"{name} is {value!r}; it is a finite number of at least 0, or None for no limit.")
    names = limits.names
    if names is not None and (isinstance(names, bool) or not isinstance(names, int) or names < 1):
        raise AllocationError(f"names is {names!r}; it is how many assets may be held, a whole number from 1 on.")
    if limits.tracking_error is not None and not limits.benchmark:
        raise AllocationError(
            f"{limits.say('tracking_error', 'upper')!r} has no benchmark. Give benchmark= as asset to weight."
        )
    for name, value in limits.benchmark.items():
        if not np.isfinite(value):
            raise AllocationError(f"the benchmark's weight of {name!r} is {value!r}. Give a finite number.")


def _check_known(limits: Limits) -> None:
    for noun, wanted, known in (
        ("group", limits.group_bounds, set(limits.groups.values())),
        ("factor", limits.exposure_bounds, set(limits.exposures)),
    ):
        for name in wanted:
            if name not in known:
                raise AllocationError(explain_unknown(noun, name, known))


def _check_sides(limits: Limits) -> None:
    """A lower side above the upper, in one range or between an asset's own and what holds for each."""
    for place, (lower, upper) in _yield_ranges(limits):
        if lower is not None and upper is not None and lower > upper + _ROOM:
            _refuse_pair(limits.say(place, "lower"), limits.say(place, "upper"))
    lowest, highest = limits.each
    for asset, (lower, upper) in limits.bounds.items():
        if lower is not None and upper is None and highest is not None and lower > highest + _ROOM:
            _refuse_pair(limits.say(f"bounds.{asset}", "lower"), limits.say("each", "upper"))
        if upper is not None and lower is None and lowest is not None and upper < lowest - _ROOM:
            _refuse_pair(limits.say("each", "lower"), limits.say(f"bounds.{asset}", "upper"))
    if limits.long_only:
        _refuse_shorts(limits)
        _refuse_percent(limits)


def _refuse_shorts(limits: Limits) -> None:
    for place, sides in _yield_ranges(limits):
        for side, value in zip(("lower", "upper"), sides, strict=True):
            if value is not None and value < 0.0 and place.partition(".")[0] in ("each", "bounds"):
                raise AllocationError(
                    f"{limits.say(place, side)!r} lets an asset be short and the limits are long only. "
                    "Say 'shorts allowed' (long_only=False), or keep it from 0 on."
                )


def _refuse_percent(limits: Limits) -> None:
    """Long-only limits on more than all of the money, such as 20 for 20 %, which would bind nothing."""
    net = limits.net[1]
    if net is None or net > 1.0 + _ROOM:
        return
    uppers = [(place, upper, 1.0) for place, (_, upper) in _yield_ranges(limits) if not place.startswith("exposure")]
    for place, upper, most in (*uppers, ("turnover", limits.turnover, _MOST_TURNED)):
        if upper is not None and upper > most + _ROOM:
            raise AllocationError(
                f"{limits.say(place, 'upper')!r} is {upper:.0%} of the money, which binds no long-only weights. Write "
                f"{upper:g} % or {upper / 100:g} where percent are meant, or leave it out."
            )


def _yield_ranges(limits: Limits) -> Iterator[tuple[str, Range]]:
    yield "each", limits.each
    yield "net", limits.net
    for name in ("bounds", "group_bounds", "exposure_bounds"):
        for subject, value in getattr(limits, name).items():
            yield f"{name}.{subject}", value


def _refuse_pair(first: str, second: str) -> None:
    raise AllocationError(f"{first!r} and {second!r} contradict each other. Change one of them.")
