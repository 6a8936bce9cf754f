"""`judge_challenger`: whether a version is better than the one in use, on newer actual values, by more than luck."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tidewright.data.panel import Panel
from tidewright.data.reading import read_panel
from tidewright.data.splits import Cutoffs, Split, choose_cutoffs
from tidewright.errors import ConfigError, ShortSeriesError
from tidewright.registry.bundle import Bundle
from tidewright.registry.rebuild import rebuild
from tidewright.registry.seen import last_seen
from tidewright.training.compare import LEVEL, compare_two, rank_value, usable_metric
from tidewright.training.evaluate import Evaluation, evaluate


@dataclass(frozen=True, slots=True)
class Gate:
    """A challenger beside its champion, both scored on the same `windows`, whose labels lie from `first` to `last`.

    `p_value` is one-sided; `basis` says over what the test was taken (see `training.compare.Comparison`) and is "none"
    where none could be made, which does not pass.
    """

    metric: str
    champion: float
    challenger: float
    p_value: float | None
    basis: str
    n: int
    windows: int
    first: str
    last: str
    passed: bool
    reason: str


def judge_challenger(champion: Bundle, challenger: Bundle, table: object, *, metric: str | None = None) -> Gate:
    """The comparison of two bundles on a table of actual values.

    Both see the same windows, whose labels lie after everything that either learned from or was chosen on. The test is
    that of a leaderboard: Diebold and Mariano's over cutoffs, or over series where these hardly move together, at 5 %;
    where none can be made, it says so and does not pass. `metric` is by default MASE (MAE where that is undefined), of
    classes the log loss. Raises `ConfigError` for models that answer different questions, `ShortSeriesError` where no
    window is left.
    """
    check_alike(champion, challenger)
    task = champion.manifest.task
    panels = [read_panel(table, one.manifest.schema) for one in (champion, challenger)]
    bundles = (champion, challenger)
    split = _split(panels[0], bundles)
    shortest = min(one.manifest.view.lookback for one in bundles)
    scored = [
        _score(one, panel, split, season=champion.manifest.season, shortest=shortest)
        for one, panel in zip(bundles, panels, strict=True)
    ]
    ours, theirs = scored[1], scored[0]
    if not np.array_equal(ours.scored.actual, theirs.scored.actual, equal_nan=True):
        raise ConfigError("the two versions see different windows of this table, so they can't be compared on it.")
    used, why = usable_metric(metric or ("log_loss" if task.classifies else "mase"), scored)
    stride = split.validation.stride
    test = compare_two(ours, theirs, metric=used, horizon=task.horizon, stride=stride)
    values = {name: rank_value(one, used) for name, one in (("champion", theirs), ("challenger", ours))}
    better = values["challenger"] < values["champion"]
    passed = better and test.p_value < LEVEL
    return Gate(
        metric=used,
        champion=theirs.scores[used],
        challenger=ours.scores[used],
        p_value=test.p_value if math.isfinite(test.p_value) else None,
        basis=test.basis,
        n=test.n,
        windows=len(ours.windows),
        first=panels[0].time_at(split.validation.first + 1),
        last=panels[0].time_at(int(split.validation.positions[-1]) + task.horizon),
        passed=passed,
        reason=why + _explain(values, used, test.p_value, better=better, told=test.reason),
    )


def _explain(values: dict[str, float], metric: str, p_value: float, *, better: bool, told: str) -> str:
    figures = f"{metric} {values['challenger']:.4g} against the champion's {values['champion']:.4g}"
    if not better:
        return f"{figures}, which is no better."
    if math.isnan(p_value):
        return f"{figures}, and no test of it could be made: {told}."
    return f"{figures} (p {p_value:.2g}{'' if p_value < LEVEL else f'; below {LEVEL:g} is asked for'})."


def check_alike(champion: Bundle, challenger: Bundle) -> None:
    """Raises `ConfigError` where the two answer different questions."""
    ours, theirs = challenger.manifest, champion.manifest
    pairs = {
        "target": (ours.schema.roles.target, theirs.schema.roles.target),
        "series column": (ours.schema.roles.series, theirs.schema.roles.series),
        "time column": (ours.schema.roles.time, theirs.schema.roles.time),
        "frequency": (ours.schema.frequency.name, theirs.schema.frequency.name),
        "horizon": (ours.task.horizon, theirs.task.horizon),
        "classes": (ours.task.classes, theirs.task.classes),
    }
    for what, (mine, other) in pairs.items():
        if mine != other:
            raise ConfigError(
                f"the challenger's {what} is {mine!r} and the champion's {other!r}: they answer different questions. "
                "Register it under another name, or promote it with a reason."
            )


def _split(panel: Panel, bundles: tuple[Bundle, Bundle]) -> Split:
    """Every cutoff after what either has seen; the scale of MASE comes from before."""
    horizon = bundles[0].manifest.task.horizon
    start, end = panel.span
    seen = max(last_seen(one, panel) for one in bundles)
    lookback = max(one.manifest.view.lookback for one in bundles)
    first = seen if start <= seen else start + lookback - 1  # a table of newer values alone must bring a whole lookback
    last = end - horizon
    if first > last:
        raise ShortSeriesError(
            f"the table ends at {panel.time_at(end)}, and the versions know the values until {panel.time_at(seen)}: no "
            f"window of {horizon} steps is left to compare them on. Bring newer ones, with the {lookback} steps before."
        )
    cutoffs = choose_cutoffs(first, last, stride=None, panel=panel)
    known = Cutoffs(start, max(seen - horizon, start), grid=panel.frequency)
    return Split(train=known, validation=cutoffs, test=None, horizon=horizon, purge=horizon, embargo=0)


def _score(bundle: Bundle, panel: Panel, split: Split, *, season: int, shortest: int) -> Evaluation:
    fitted, own = rebuild(bundle.manifest, bundle.tensors()), split.on(panel)
    return evaluate(fitted, panel=panel, split=own, cutoffs=own.validation, season=season, shortest=shortest)
