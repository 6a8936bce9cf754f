"""Warm start: a study begins with the best points of earlier ones of its model, on the same data or the most similar.

Beside the trial ledger a file, `studies.jsonl`, has a line for every study that ended: its model, what its data are
like (`measure_traits`), and its best points. Of several lines of a study the last one counts. A line that a kill cut
off is none.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tidewright.data.panel import Panel
from tidewright.errors import DataError
from tidewright.features.shape import ShapeSpec, measure_shapes
from tidewright.tuning.account import Earlier
from tidewright.tuning.ranges import Choice
from tidewright.tuning.searchers.shares import share_of
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.store import Noted, Point
from tidewright.tuning.trial import Trial, TrialState, read_point

FILE = "studies.jsonl"
KEPT = 10  # best points of a study that are kept
FIRST = 3  # points that a study begins with, where nothing is said
STUDIES = 5  # most similar studies that are asked
APART = 0.05  # of an option's range: points that are nearer in all options count as one
MOST_NAMES = 256  # of series that are kept
MOST_SERIES = 256  # whose shape is measured, evenly picked
SHAPES = (
    "missing_share", "skewness", "kurtosis", "acf_1", "acf_season", "spectral_entropy", "hurst_whittle",
    "season_strength", "trend_strength", "noise_share", "drift_share",
)  # fmt: skip
HEAVY = ("skewness", "kurtosis")  # whose size says less the larger it is


@dataclass(frozen=True, slots=True)
class PastStudy:
    """A study that ended: which model's space on which data (a digest) by which metric, the time of the last label that
    it was judged by, what the data are like, and its best points (trial, value to be made small, point), the best
    first, apart from each other; the time of the first such label, digests of the names of its series, and how many
    trials were judged, by study: its own, and those of the studies whose points it began with."""

    study: str
    model: str
    data: str
    metric: str
    until: str
    traits: Mapping[str, float | None]
    best: tuple[tuple[int, float, Point], ...]
    since: str = ""
    series: tuple[str, ...] = ()
    trials: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> PastStudy:
        """The study that was kept as plain data; of one whose trials were not counted there were as many as its best
        ones' numbers say."""
        best = tuple((int(number), float(value), read_point(point)) for number, value, point in told["best"])
        trials = told.get("trials") or {told["study"]: max((number for number, _, _ in best), default=-1) + 1}
        return cls(**{**told, "best": best, "series": tuple(told.get("series", ())), "trials": trials})


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The first points of a study after its default, what is to be said of them, and the trials that found them."""

    points: tuple[Noted, ...]
    notes: tuple[str, ...]
    earlier: tuple[Earlier, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data. `from_dict` reads it back."""
        points = [[dict(one.point), list(one.notes)] for one in self.points]
        return {"points": points, "notes": list(self.notes), "earlier": [asdict(one) for one in self.earlier]}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> WarmStart:
        """What `to_dict` wrote."""
        points = tuple(Noted(read_point(point), tuple(notes)) for point, notes in told["points"])
        return cls(points, tuple(told["notes"]), tuple(Earlier(**one) for one in told.get("earlier", ())))


def measure_traits(panel: Panel, *, horizon: int, until: int) -> dict[str, float | None]:
    """What a panel is like up to a position of its grid, and what is asked of it: None is what can't be measured.

    Counts (series, rows of the middle one, rows a year, rows a season, horizon, covariates) are decimal logarithms;
    all else is the median over series of a number that doesn't depend on their unit (`measure_shapes`, and
    "variation", the logarithm of the deviation over the mean size).
    """
    picked = np.unique(np.linspace(0, panel.n_series - 1, min(panel.n_series, MOST_SERIES)).astype(np.int64))
    starts = panel.offsets[:-1][picked]
    rows = np.add.reduceat((panel.positions <= until).astype(np.int64), panel.offsets[:-1])[picked]
    season = panel.frequency.season
    spec = ShapeSpec(lags=(1,), partial=(), levels=1)
    shapes = measure_shapes(panel.target, starts=starts, stops=starts + rows, spec=spec, season=season)
    table = dict(zip(spec.names, shapes.T, strict=True))
    roles = panel.roles
    counts = {
        "series": panel.n_series,
        "rows": _middle(table["count"]),
        "rows_per_year": panel.frequency.periods_per_year,
        "season": season,
        "horizon": horizon,
        "covariates": 1 + len(roles.past) + len(roles.known) + len(roles.static),
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        variation = np.log10(table["std"] / np.abs(table["mean"]))
    found = {name: math.log10(count) if count > 0 else math.nan for name, count in counts.items()}
    found |= {"variation": _middle(np.where(np.isfinite(variation), variation, np.nan))}
    found |= {name: _middle(np.arcsinh(table[name]) if name in HEAVY else table[name]) for name in SHAPES}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def name_series(panel: Panel) -> tuple[str, ...]:
    """Digests of the names of a panel's series, the first `MOST_NAMES` in their order: of two panels that have series
    in common, some are common too."""
    digests = (hashlib.sha256(str(name).encode()).hexdigest()[:8] for name in panel.series_ids)
    return tuple(sorted(digests)[:MOST_NAMES])


def keep_study(folder: Path, past: PastStudy) -> None:
    """Adds a study to those that are kept in a ledger's folder. Raises `OSError`."""
    line = (json.dumps(asdict(past)) + "\n").encode()
    with (folder / FILE).open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)  # what a kill cut off
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_studies(folder: Path) -> tuple[PastStudy, ...]:
    """The studies that are kept in a ledger's folder, in the order they ended. Raises `DataError` for a line that is
    none."""
    path = folder / FILE
    text = path.read_bytes() if path.exists() else b""
    found: dict[str, PastStudy] = {}
    for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            past = PastStudy.from_dict(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"line {number} of {path} is no record of a study: {error}. Take it out, or leave warm_start out."
            ) from error
        found.pop(past.study, None)
        found[past.study] = past
    return tuple(found.values())


def pick_best(trials: Sequence[Trial], space: SearchSpace) -> tuple[tuple[int, float, Point], ...]:
    """The best complete trials inside a space, the best first, apart from each other: number, value and point."""
    complete = [one for one in trials if one.state is TrialState.COMPLETE and space.holds(one.parameters)]
    found: list[Trial] = []
    for trial in sorted(complete, key=lambda one: (one.values[0], one.number)):
        if len(found) < KEPT and not _is_near(space, trial.parameters, [one.parameters for one in found]):
            found.append(trial)
    return tuple((one.number, one.values[0], dict(one.parameters)) for one in found)


def measure_distances(own: Mapping[str, float | None], others: Sequence[Mapping[str, float | None]]) -> list[float]:
    """How far each of several panels is from one, by their traits: root mean square over the traits that both have,
    each in units of its deviation over all of them. Infinite without a common trait."""
    names = list(own)
    table = np.array([[np.nan if one.get(n) is None else one[n] for n in names] for one in (own, *others)], dtype=float)
    units = np.array([np.nanstd(column) if np.isfinite(column).any() else np.nan for column in table.T])
    moving = units > 1e-9  # a trait that all have alike says nothing
    gaps = (table[1:, moving] - table[0, moving]) / units[moving]
    known = np.isfinite(gaps)
    squares = np.where(known, gaps, 0.0) ** 2
    counts = known.sum(axis=1)
    alike = np.isfinite(table[1:] - table[0]).any(axis=1)
    means = squares.sum(axis=1) / np.maximum(counts, 1)
    return [float(math.sqrt(mean)) if there else math.inf for mean, there in zip(means, alike, strict=True)]


def choose_first(
    studies: Sequence[PastStudy], own: PastStudy, *, space: SearchSpace, known: Sequence[Point] = (), count: int = FIRST
) -> WarmStart:
    """The points that a study of its `own` data begins with: the best ones of studies of its model on the same data,
    or, where there is none, on the `STUDIES` most similar panels (those by the same metric first); the best of each,
    then the second of each, and so on.

    A study that was judged by later labels than this one will be is left out, for what it chose may know this one's
    test part. A point is cut to the space's options; one that lies outside the space is dropped. The notes say so of
    both. None is near another one or one that is `known`. The trials of each study that gave one are counted in the
    account (`count_earlier`).
    """
    kin = [one for one in studies if (one.model, bool(one.best)) == (own.model, True) and one.study != own.study]
    late = sum(_is_later(one.until, own.until) for one in kin)
    kin = [one for one in kin if not _is_later(one.until, own.until)]
    told = f"{late} that were judged by labels after {own.until} were left out" if late else ""
    if not kin:
        more = f"; {told}" if told else ""
        return WarmStart((), (f"warm start: none, for no earlier study of {own.model} is kept{more}.",))
    far = measure_distances(own.traits, [one.traits for one in kin])
    asked = sorted(zip(kin, far, strict=True), key=lambda pair: (pair[0].metric != own.metric, pair[1]))
    same = [(one, 0.0) for one, _ in asked if one.data == own.data]
    asked = same or asked[:STUDIES]
    found: list[Noted] = []
    givers: dict[str, PastStudy] = {}
    dropped = 0
    for past, distance, (number, _, point) in _in_turn(asked):
        fit = {name: point[name] for name in space.names if name in point}
        if not space.holds(fit):
            dropped += 1
        elif len(found) < count and not _is_near(space, fit, [*known, *(one.point for one in found)]):
            found.append(Noted(fit, (f"warm start: trial {number} of study {past.study}, {_tell(distance, same)}",)))
            givers[past.study] = past
    said = (_sum_up(asked, found, dropped=dropped, same=bool(same)), f"warm start: {told}." if told else "")
    return WarmStart(tuple(found), tuple(filter(None, said)), count_earlier(list(givers.values()), own))


def count_earlier(givers: Sequence[PastStudy], own: PastStudy) -> tuple[Earlier, ...]:
    """The trials of studies that gave a study of its `own` data its first points, and of those that gave theirs; each
    study once.

    They are bets on its validation, and count, where the same series may have been judged by labels of that time: data
    by another metric or task, or an earlier cut. They don't where their labels end before it begins, or their series
    have other names. What isn't known counts.
    """
    found: dict[str, Earlier] = {}
    for past in givers:
        counted, why = _judge_giver(past, own)
        for study, trials in past.trials.items():
            told = why if study == past.study else f"{past.study} began with its points, {why}"
            if study not in found or (counted and not found[study].counted):
                found[study] = Earlier(study, trials, told, counted)
    found.pop(own.study, None)
    return tuple(found.values())


def _judge_giver(past: PastStudy, own: PastStudy) -> tuple[bool, str]:
    """Whether a study's trials are bets on the validation of another, and why."""
    if past.data == own.data:
        return True, f"by {past.metric} on the same data" + (", for another task" if past.metric == own.metric else "")
    if past.until and own.since and _is_later(own.since, past.until):
        return False, f"its labels end {past.until}, before this validation begins, {own.since}"
    if past.series and own.series and not set(past.series) & set(own.series):
        return False, "it is of other series"
    return True, f"by {past.metric} on an earlier cut, or other data, of series of the same names, up to {past.until}"


def _is_later(one: str, other: str) -> bool:
    """Whether a time, as `Panel.time_at` writes it, is after another: numbers by their size, dates by their text.

    >>> _is_later("2020-02-01", "2020-01-31 12:00"), _is_later("9", "10")
    (True, False)
    """
    try:
        return int(one) > int(other)
    except ValueError:
        return one > other


def _in_turn(asked: Sequence[tuple[PastStudy, float]]) -> Iterator[tuple[PastStudy, float, tuple[int, float, Point]]]:
    """The best point of each study, then the second of each, and so on."""
    for place in range(max(len(past.best) for past, _ in asked)):
        for past, distance in asked:
            if place < len(past.best):
                yield past, distance, past.best[place]


def _is_near(space: SearchSpace, point: Point, others: Sequence[Point]) -> bool:
    """Whether a point of the space is nearly one of the others, which may lie outside it."""
    return any(
        set(point) & set(space.ranges) == set(other) & set(space.ranges)
        and all(_gap(space, name, point[name], other[name]) < APART for name in space.names if name in point)
        for other in others
    )


def _gap(space: SearchSpace, name: str, one: Any, other: Any) -> float:
    range_ = space.ranges[name]
    if one == other:
        return 0.0
    if isinstance(range_, Choice) or not range_.holds(other):
        return 1.0
    return abs(share_of(range_, one) - share_of(range_, other))


def _tell(distance: float, same: Sequence[Any]) -> str:
    return "on the same data" if same else f"on other data (distance {distance:.2f})"


def _sum_up(asked: Sequence[tuple[PastStudy, float]], found: Sequence[Noted], *, dropped: int, same: bool) -> str:
    names = ", ".join(
        f"{past.study} ({'the same data' if same else f'distance {distance:.2f}'})" for past, distance in asked
    )
    count = "1 point" if len(found) == 1 else f"{len(found)} points"
    left = f"; {dropped} of their points lay outside this space and were dropped" if dropped else ""
    return f"warm start: {count} after the default of earlier studies: {names}{left}."


def _middle(values: Any) -> float:
    known = np.asarray(values)[np.isfinite(values)]
    return float(np.median(known)) if known.size else math.nan
