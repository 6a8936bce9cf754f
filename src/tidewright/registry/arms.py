"""`compare_arms`: two versions of a store's model by what they said while they served, once the actual values came.

N windows, H horizon, Q quantiles, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.checks import to_path
from tidewright.data.forecast import CUTOFF, level_names
from tidewright.data.panel import Panel
from tidewright.data.reading import read_panel
from tidewright.errors import ConfigError, ShortSeriesError
from tidewright.features.view import View
from tidewright.features.windows import make_windows
from tidewright.metrics.accuracy import Scored, seasonal_scale
from tidewright.metrics.comparison import compare_apart, diebold_mariano
from tidewright.optional import require
from tidewright.registry.bundle import Bundle, load_bundle
from tidewright.registry.gate import check_alike
from tidewright.registry.record import read_record
from tidewright.registry.standing import Release
from tidewright.registry.store import Store
from tidewright.training.compare import LEVEL, compare_two, mean_losses, rank_value, usable_metric
from tidewright.training.evaluate import Evaluation

ROW = "the panel's row"  # a column beside the user's own
Basis = Literal["cutoffs", "series", "arms", "none"]


@dataclass(frozen=True, slots=True)
class ArmScore:
    """A version's error on what it said: over how many windows, of how many series at how many cutoffs."""

    version: int
    error: float
    windows: int
    series: int
    cutoffs: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of the challenger's loss minus the champion's over `n` series or cutoffs, with its standard error (None:
    too few). That over cutoffs knows of horizons that overlap, that over series takes these as independent.
    """

    mean: float
    error: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Arms:
    """Champion and challenger by what they said. `paired`: both of the same windows; else each of its own series.

    `p_value` is one-sided, None where no test could be made; `basis` says what it was taken over: "cutoffs" and
    "series" as in the gate's comparison, "arms" over the series of one against those of the other.
    """

    name: str
    metric: str
    champion: ArmScore
    challenger: ArmScore
    paired: bool
    by_series: Difference
    by_cutoffs: Difference | None
    p_value: float | None
    basis: Basis
    better: bool
    reason: str


def compare_arms(
    store: Store, name: str, *, record: str | Path, table: object, version: int | None = None, metric: str | None = None
) -> Arms:
    """What a version (by default the challenger) said against what the champion said, from the `record` of a server and
    a `table` of the actual values, which has the recorded cutoffs too.

    Where both answered half the windows of either (a shadow), these are compared by the gate's test; else (a split)
    the series of one are held against those of the other, as which they were drawn by chance. `metric` is by default
    MASE (MAE where that is undefined), of classes the log loss. Raises `ConfigError`, and `ShortSeriesError` where
    nothing that was said has an actual value yet.
    """
    require("safetensors", extra="onnx", purpose="opening a bundle")
    folder = to_path("record", record, of="a server's record")
    champion = store.get(name)
    rival = _find_challenger(store, name) if version is None else store.get(name, version)
    if rival is None:
        raise ConfigError(
            f"'{name}' has no challenger: its champion is version {champion.version}. Name the version to compare it "
            "with (version=, --version), or register one."
        )
    if rival.version == champion.version:
        raise ConfigError(
            f"version {rival.version} of '{name}' is the champion itself. Name another one (version=, --version)."
        )
    bundles = [load_bundle(one.folder) for one in (champion, rival)]
    check_alike(*bundles)
    panel = read_panel(table, bundles[0].manifest.schema)
    said = [
        _read(folder, bundle, panel, name=name, version=one.version)
        for bundle, one in zip(bundles, (champion, rival), strict=True)
    ]
    common = np.intersect1d(said[0].rows, said[1].rows)
    paired = len(common) * 2 >= min(len(one.rows) for one in said)
    if paired:
        said = [one.of(common) for one in said]
    start = min(int(panel.positions[one.rows].min()) for one in said)
    season = bundles[0].manifest.season
    theirs, ours = (
        _evaluate(one, bundle, panel, start=start, season=season) for one, bundle in zip(said, bundles, strict=True)
    )
    used, why = usable_metric(metric or ("log_loss" if bundles[0].manifest.task.classifies else "mase"), [ours, theirs])
    verdict = (_judge_pairs if paired else _judge_apart)(ours, theirs, metric=used)
    versions = _score(theirs, used, version=champion.version), _score(ours, used, version=rival.version)
    known, lower = math.isfinite(verdict.p_value), rank_value(ours, used) < rank_value(theirs, used)
    return Arms(
        name=name,
        metric=used,
        champion=versions[0],
        challenger=versions[1],
        paired=paired,
        by_series=verdict.by_series,
        by_cutoffs=verdict.by_cutoffs,
        p_value=verdict.p_value if known else None,
        basis=verdict.basis,
        better=lower and known and verdict.p_value < LEVEL,
        reason=why + _explain(*versions, metric=used, verdict=verdict),
    )


class _Verdict(NamedTuple):
    """What a judgement came to; see `Arms`. A NaN p-value has a reason."""

    by_series: Difference
    by_cutoffs: Difference | None
    p_value: float
    basis: Basis
    reason: str


@dataclass(frozen=True, eq=False, slots=True)
class _Said:
    """Forecasts [N, H, Q] made at rows of a panel, ascending."""

    rows: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    def of(self, rows: npt.NDArray[np.int64]) -> _Said:
        return _Said(rows, self.values[np.searchsorted(self.rows, rows)])


def _find_challenger(store: Store, name: str) -> Release | None:
    return next((one for one in store.versions(name) if one.role == "challenger"), None)


def _read(folder: Path, bundle: Bundle, panel: Panel, *, name: str, version: int) -> _Said:
    """What a version said whose cutoff is a row of the panel, and of which a value has come; of a cutoff that it was
    asked for twice the newer answer.
    """
    kept = read_record(folder, name=name, version=version)
    if kept is None:
        raise ConfigError(
            f"'{folder}' holds nothing that version {version} of '{name}' said. Serve it with --record, as an arm of a "
            "split or as a shadow."
        )
    task, roles = bundle.manifest.task, panel.roles
    names = [str(one) for one in task.classes] or level_names(task.quantiles)
    series = [] if roles.series is None else [roles.series]
    key = [*series, CUTOFF]
    kept = kept.unique([*key, roles.time], keep="last", maintain_order=True)
    kept = kept.filter(pl.len().over(key) == task.horizon).sort(*key, roles.time)
    times = panel.table.select(*series, pl.col(roles.time).alias(CUTOFF)).with_row_index(ROW)
    own = {one: pl.col(one).cast(times[one].dtype, strict=False) for one in series}
    kept = kept.filter(*(own[one].is_null() == pl.col(one).is_null() for one in series))  # else the table has none such
    kept = kept.with_columns(pl.col(CUTOFF).cast(times[CUTOFF].dtype), *own.values())
    found = kept.join(times, on=key, how="inner", nulls_equal=True, maintain_order="left")
    rows = found[ROW].to_numpy()[:: task.horizon].astype(np.int64)
    values = found.select(names).to_numpy().reshape(-1, task.horizon, len(names)).astype(np.float64)
    order = np.argsort(rows, kind="stable")
    rows, values = rows[order], values[order]
    known = np.isfinite(make_windows(panel, View(1), horizon=task.horizon, rows=rows).labels()).any(axis=1)
    if not known.any():
        raise ShortSeriesError(
            f"of what version {version} of '{name}' said no value is in the table with its cutoff. Bring the values "
            f"from the first recorded cutoff on, to a step after it at least."
        )
    return _Said(rows[known], values[known])


def _evaluate(said: _Said, bundle: Bundle, panel: Panel, *, start: int, season: int) -> Evaluation:
    """Its scores; the scale of MASE comes from the values until `start`, the first recorded cutoff."""
    task = bundle.manifest.task
    windows = make_windows(panel, View(1), horizon=task.horizon, rows=said.rows)
    if task.classifies:
        scored = Scored(windows.labels(), said.values, n_classes=len(task.classes), series=windows.series)
        return Evaluation(bundle.name, windows, said.values, scored)
    past = np.where(panel.positions <= start, panel.target, np.nan)
    scales = [seasonal_scale(past, offsets=panel.offsets, season=season, squared=one) for one in (False, True)]
    scored = Scored(
        windows.labels(),
        said.values,
        levels=task.quantiles,
        scale=scales[0][windows.series],
        scale_squared=scales[1][windows.series],
        series=windows.series,
    )
    return Evaluation(bundle.name, windows, said.values, scored)


def _score(one: Evaluation, metric: str, *, version: int) -> ArmScore:
    windows = one.windows
    counts = len(windows), len(np.unique(windows.series)), len(np.unique(windows.cutoffs))
    return ArmScore(version, one.scores[metric], *counts)


def _explain(champion: ArmScore, challenger: ArmScore, *, metric: str, verdict: _Verdict) -> str:
    figures = f"{metric} {challenger.error:.4g} against the champion's {champion.error:.4g}"
    if math.isnan(verdict.p_value):
        return f"{figures}; no test of it could be made: {verdict.reason}."
    return f"{figures} (p {verdict.p_value:.2g}{'' if verdict.p_value < LEVEL else f'; below {LEVEL:g} is asked for'})."


def _judge_pairs(ours: Evaluation, theirs: Evaluation, *, metric: str) -> _Verdict:
    """Both said the same windows: the gate's test, and the mean difference over series and over cutoffs."""
    horizon, cutoffs = ours.windows.horizon, np.unique(ours.windows.cutoffs)
    stride = int(np.diff(cutoffs).min()) if len(cutoffs) > 1 else horizon
    test = compare_two(ours, theirs, metric=metric, horizon=horizon, stride=stride)
    by_series = _mean(*(mean_losses(one.scored, metric, one.windows.series) for one in (ours, theirs)))
    losses = [mean_losses(one.scored, metric, one.windows.cutoffs) for one in (ours, theirs)]
    over_time = diebold_mariano(*losses, horizon=horizon, stride=stride)
    known = math.isfinite(over_time.statistic) and over_time.statistic != 0
    error = abs(over_time.mean_difference / over_time.statistic) if known else None
    by_cutoffs = Difference(over_time.mean_difference, error, over_time.n)
    return _Verdict(by_series, by_cutoffs, test.p_value, test.basis, test.reason)


def _judge_apart(ours: Evaluation, theirs: Evaluation, *, metric: str) -> _Verdict:
    """Each said its own series: their mean losses, held against each other. Over cutoffs nothing is told: the series of
    one may be the easier ones at every cutoff.
    """
    losses = [mean_losses(one.scored, metric, one.windows.series) for one in (ours, theirs)]
    test = compare_apart(*losses)
    error = test.error if math.isfinite(test.error) else None
    by_series = Difference(test.mean_difference, error, sum(test.n))
    return _Verdict(by_series, None, test.p_value, "arms" if math.isfinite(test.p_value) else "none", test.reason)


def _mean(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> Difference:
    """The mean difference of paired losses, NaN left out."""
    found = ours - theirs
    found = found[np.isfinite(found)]
    error = float(found.std(ddof=1) / math.sqrt(len(found))) if len(found) > 1 else None
    return Difference(float(found.mean()) if len(found) else math.nan, error, len(found))
