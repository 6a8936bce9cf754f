"""`permutation_importance`: how much worse a model gets when what it sees of one feature comes from another time.

N windows, L lookback, H horizon, Q quantiles, F features, R repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.checks import check_whole
from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.errors import ConfigError, ShortSeriesError
from tidewright.features.separate import to_windows
from tidewright.features.view import View
from tidewright.features.windows import Batch, Doubles, Windows
from tidewright.metrics.accuracy import Scored, find_metric, score
from tidewright.models.fitted import Fitted
from tidewright.training.evaluate import Evaluation, evaluate
from tidewright.training.fit import read_panel

Part = Literal["target", "past", "known", "static"]
CELLS = 1 << 21  # numbers of the windows that are moved at once: bounds memory


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that a model sees: its name, where it stands, and its columns there (a text column has one a level)."""

    name: str
    part: Part
    columns: tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Importance:
    """How much worse the score of `count` windows got without each of F features, R times over.

    `values` [F, R] are in the unit of `metric`, above 0 where the model needs the feature; `baseline` is the score with
    all of them. `block` is how many cutoffs in a row were moved together.
    """

    model: str
    metric: str
    features: tuple[Feature, ...]
    values: Doubles
    baseline: float
    count: int
    block: int

    @property
    def mean(self) -> Doubles:
        """The mean over the repeats [F]."""
        return np.asarray(self.values.mean(axis=1))

    @property
    def spread(self) -> Doubles:
        """The standard deviation over the repeats [F]; 0 for a single one."""
        return np.asarray(self.values.std(axis=1, ddof=1 if self.values.shape[1] > 1 else 0))

    def table(self) -> pl.DataFrame:
        """The features, the most important first: name, part, importance and its spread."""
        columns = {
            "feature": [one.name for one in self.features],
            "part": [one.part for one in self.features],
            "importance": self.mean,
            "spread": self.spread,
        }
        return pl.DataFrame(columns).sort("importance", descending=True, maintain_order=True)


def permutation_importance(
    fitted: Fitted,
    *,
    panel: Panel,
    split: Split,
    cutoffs: Cutoffs | None = None,
    metric: str = "mae",
    features: Sequence[str] | None = None,
    block: int | None = None,
    repeats: int = 5,
    most: int = 2000,
    season: int | None = None,
    seed: int = 0,
) -> Importance:
    """The importance of each feature that a model sees, its own history among them, at the cutoffs of a part.

    A feature is moved in blocks of `block` cutoffs (default: the larger of horizon and season): all windows of a block
    see it as it was around another time, the same for every series, as a whole, so that it stays a course that there
    was, with its neighbours in order; the repeats spread those times over all that there are. Static columns come from
    another series. Columns that tell the same stand in for each other, and each then looks less important than both.
    `cutoffs` are the validation part's unless given; `features` names some; at most `most` windows are looked at,
    evenly spread. Raises `ConfigError` for a metric that can't be had or an option out of range, `ShortSeriesError`
    where there is no other time.
    """
    for name, value in (("repeats", repeats), ("most", most), ("block", 1 if block is None else block)):
        check_whole(name, value)
    seen = read_panel(fitted, panel)
    cutoffs = split.validation if cutoffs is None else cutoffs
    judged = evaluate(fitted, panel=seen, split=split, cutoffs=cutoffs, season=season)
    chosen = _choose(list_features(seen, fitted.view), features)
    base = _Base(fitted, *_some(judged, most), metric)
    block = max(fitted.task.horizon, season or panel.frequency.season) if block is None else block
    draw = np.random.default_rng(seed)
    values = np.empty((len(chosen), repeats))
    for turn, shift in enumerate(_shifts(seen, base.windows, block=block, repeats=repeats, draw=draw)):
        moved = base.move(seen, shift, draw=draw)
        values[:, turn] = [base.badness(base.answer(feature, moved)) for feature in chosen]
    start = base.badness(base.scored.forecast)
    return Importance(fitted.spec.name, metric, tuple(chosen), values - start, base.score(), len(base.windows), block)


def list_features(panel: Panel, view: View) -> list[Feature]:
    """What a view shows of a panel: its target, its past, known and static columns, and the calendar's."""
    roles = panel.roles
    found = [Feature(roles.target, "target", (0,))]
    found += [Feature(name, "past", (place,)) for place, name in enumerate(roles.past)]
    found += [Feature(name, "known", (place,)) for place, name in enumerate(roles.known)]
    start = len(roles.known)
    found += [Feature(name, "known", (start + 2 * n, start + 2 * n + 1)) for n, name in enumerate(view.calendar)]
    place = 0
    for name, levels in view.static.columns:
        width = max(len(levels), 1)
        found.append(Feature(name, "static", tuple(range(place, place + width))))
        place += width
    return found


@dataclass(frozen=True, eq=False, slots=True)
class _Moved:
    """Where each window's features come from: the flat row of another cutoff [N], and another series [N]."""

    rows: Ints
    series: Ints


@dataclass(frozen=True, eq=False, slots=True)
class _Base:
    """A model, the windows that it is asked and what it said of them."""

    fitted: Fitted
    windows: Windows
    scored: Scored
    metric: str

    def score(self) -> float:
        return float(score(self.scored, [self.metric])[self.metric])

    def badness(self, forecast: Doubles) -> float:
        scored = replace(self.scored, forecast=forecast)
        return find_metric(self.metric).badness(score(scored, [self.metric])[self.metric], scored=scored)

    def answer(self, feature: Feature, moved: _Moved) -> Doubles:
        """The forecasts [N, H, Q] where a feature is what it was elsewhere."""
        windows = self.windows
        width = 1 + windows.past.shape[1] + windows.known.shape[1]
        size = max(1, CELLS // ((windows.lookback + windows.horizon) * width))
        parts = []
        for start in range(0, len(windows), size):
            index = np.arange(start, min(start + size, len(windows)))
            parts.append(self.fitted.predict(self._without(feature, moved, index)))
        return np.concatenate(parts)

    def _without(self, feature: Feature, moved: _Moved, index: Ints) -> Windows:
        """Some windows, each alone, with a feature of another cutoff or series."""
        windows, columns = self.windows, list(feature.columns)
        there = replace(windows, rows=moved.rows)
        batch, history = windows.batch(index), windows.history(index)
        if feature.part == "target":
            history = there.history(index)
        elif feature.part == "static":
            batch = _swap(batch, "static", windows.static[moved.series[index]], columns)
        else:
            batch = _swap(batch, feature.part, getattr(there.batch(index), feature.part), columns)
        target = history.astype(np.float32)
        return to_windows(replace(batch, target=target), horizon=windows.horizon, history=history)

    def move(self, panel: Panel, shift: Ints, *, draw: np.random.Generator) -> _Moved:
        """Where windows come from that are moved by `shift` positions [N], and another series for each series."""
        windows = self.windows
        first, last = panel.offsets[windows.series], panel.offsets[windows.series + 1] - 1
        low = first + windows.lookback - 1  # a whole lookback and, where the series is long enough, a whole horizon
        rows = np.clip(windows.rows + shift, np.minimum(low, windows.rows), np.maximum(last - windows.horizon, low))
        rows = np.minimum(rows, np.maximum(last, windows.rows))
        order = draw.permutation(panel.n_series)
        others = np.empty(panel.n_series, dtype=np.int64)
        others[order] = np.roll(order, 1)  # a single cycle: no series keeps its own, unless it is alone
        return _Moved(rows, others[windows.series])


def _shifts(panel: Panel, windows: Windows, *, block: int, repeats: int, draw: np.random.Generator) -> Ints:
    """By how many positions each window is moved in each repeat [R, N]: whole blocks, to times that they don't overlap.

    The times that a block can be moved to are cut into as many stretches as there are repeats, and one of each is
    drawn, so that the repeats see all seasons.
    """
    low = int(panel.positions[panel.offsets[:-1]].min()) + windows.lookback - 1
    first, last = int(windows.cutoffs.min()), int(windows.cutoffs.max())
    low = min(low, first)
    places = (windows.cutoffs - first) // block
    moves = np.zeros((repeats, int(places.max()) + 1), dtype=np.int64)
    for place in range(moves.shape[1]):
        start = first + place * block
        width = min(block, last - start + 1)
        starts = np.arange(low, last - width + 2)
        away = starts[np.abs(starts - start) >= width]
        if not away.size:
            raise ShortSeriesError(
                f"no other time of {width} cutoffs fits between {panel.time_at(low)} and {panel.time_at(last)}. Ask "
                "for shorter blocks or a shorter lookback, or bring longer series."
            )
        stretch = draw.permutation(repeats) + draw.random(repeats)
        moves[:, place] = away[(stretch * (len(away) / repeats)).astype(np.int64)] - start
    return np.asarray(moves[:, places])


def _swap(batch: Batch, part: str, values: Any, columns: list[int]) -> Batch:
    """The batch with some columns of a part taken from `values`."""
    mixed = getattr(batch, part).copy()
    mixed[..., columns] = values[..., columns]
    return replace(batch, **{part: mixed})


def _some(judged: Evaluation, most: int) -> tuple[Windows, Scored]:
    """At most `most` windows of an evaluation, evenly spread, and their scores."""
    count = len(judged.windows)
    rows = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
    return judged.windows.subset(rows), judged.scored.take(rows)


def _choose(features: list[Feature], names: Sequence[str] | None) -> list[Feature]:
    if names is None:
        return features
    known = {one.name: one for one in features}
    for name in names:
        if name not in known:
            raise ConfigError(explain_unknown("feature of the model", name, known))
    return [known[name] for name in names]
