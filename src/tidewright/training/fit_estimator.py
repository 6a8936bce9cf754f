"""`fit_estimator`: an estimator of a number that belongs to a whole series, judged on series that it has not seen.

S series, F features.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.checks import check_whole
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, FitError, UnknownNameError
from tidewright.features.shape import ShapeSpec, shape_table
from tidewright.models.estimator import Estimator, EstimatorScore, Judgement, is_measured, pick_features
from tidewright.models.formula import Formula
from tidewright.models.specs.estimators import ESTIMATORS, EstimatorSpec
from tidewright.training.learn_estimators import learn_estimator

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FEWEST = 20  # series to learn from
FEWEST_GROUPS = 8  # groups of a test


def fit_estimator(
    model: str | EstimatorSpec,
    panel: Panel,
    *,
    target: Mapping[Any, float] | str,
    features: Sequence[str] | None = None,
    shape: ShapeSpec | None = None,
    groups: Mapping[Any, Hashable] | str | None = None,
    folds: int = 5,
    coverage: float = 0.8,
    seed: int = 0,
    until: int | None = None,
) -> Estimator:
    """An estimator of the catalog (random_forest, svr, gradient_boosting), by name or as its record.

    `target` is a number for each series, by its id, or the name of a numeric static column; series without one are left
    out, and the notes say how many. `features` are columns of `shape_table` (default: all) at the rows up to the grid
    position `until`. A seasonal lag that `shape` leaves open is the panel's.

    Scores, the interval and its coverage come from `folds` in which no series was estimated by a model that had seen
    it, nor any of its group: `groups` says which series belong together (copies, parts of one series, runs of one
    simulation), by id or as a static column. The model that is given back has learned from all of them. Its interval is
    that of the errors out of fold, one width for all series, and holds the share `coverage` of series like these.

    A package that is missing is a `MissingExtraError`, never another estimator. Raises `FitError` with fewer than 20
    series, or with fewer groups than folds.

    >>> from tidewright.data.simulate import fractional_panel
    >>> panel = fractional_panel(hursts=[0.1 + 0.01 * i for i in range(80)], length=256, seed=0)
    >>> estimator = fit_estimator("svr", panel, target="hurst")
    >>> estimator.judgement.scores[0].mae < 0.5 * estimator.judgement.scores[1].mae
    True
    """
    spec: EstimatorSpec = ESTIMATORS.load(model)() if isinstance(model, str) else model
    _check(folds, coverage, seed)
    shape = _settle_shape(shape or ShapeSpec(), panel)
    columns = _check_features(shape, features)
    inputs = pick_features(shape_table(panel, spec=shape, until=until), columns)
    goal, kin = _read_target(panel, target), _read_groups(panel, groups)
    notes = _tell_left_out(goal, inputs)
    inputs, goal, kin = _keep_measured(inputs, goal, kin)
    fold = _deal_folds(kin, folds=folds, seed=seed)
    guessed = _estimate_out_of_fold(spec, inputs, goal, fold=fold, seed=seed)
    formula, told = learn_estimator(spec, inputs, goal, seed=seed)
    judgement = _judge(spec.name, guessed, goal, kin=kin, fold=fold, coverage=coverage)
    return Estimator(
        spec=spec, shape=shape, features=columns, target=target if isinstance(target, str) else "target",
        formula=formula, offsets=_interval(goal - guessed[:, 0], coverage), coverage=coverage, judgement=judgement,
        notes=(*notes, *told),
    )  # fmt: skip


def _check(folds: int, coverage: float, seed: int) -> None:
    check_whole("folds", folds, least=2)
    check_whole("the seed", seed, least=0)
    if not isinstance(coverage, (int, float)) or not 0.0 < coverage < 1.0:
        raise ConfigError(f"coverage is the share of series inside the interval, between 0 and 1; got {coverage!r}.")


def _check_features(shape: ShapeSpec, features: Sequence[str] | None) -> tuple[str, ...]:
    if features is None:
        return shape.names
    if isinstance(features, str) or not features or len(set(features)) != len(features):
        raise ConfigError(f"features are different names, one or more; got {features!r}.")
    for name in features:
        if name not in shape.names:
            raise UnknownNameError(explain_unknown("feature", name, shape.names))
    return tuple(features)


def _read_target(panel: Panel, target: Mapping[Any, float] | str) -> Doubles:
    """The target [S]; NaN for a series without one."""
    if isinstance(target, str):
        if target not in panel.roles.static:
            raise ColumnError(explain_unknown("static column", target, panel.roles.static))
        return panel.values(target)[panel.offsets[:-1]]
    numbers = (int, float, np.number, type(None))
    if not isinstance(target, Mapping) or not all(isinstance(one, numbers) for one in target.values()):
        raise ConfigError("the target is a static column's name, or a mapping from series to numbers; NaN is none.")
    strangers = set(target) - set(panel.series_ids)
    if strangers:
        raise ConfigError(f"the target names a series that the panel does not have: {min(map(repr, strangers))}.")
    found = np.array([target.get(name, np.nan) for name in panel.series_ids], dtype=np.float64)
    if np.isinf(found).any():
        raise ConfigError(f"the target of series {panel.series_ids[int(np.isinf(found).argmax())]!r} is infinite.")
    return found


def _read_groups(panel: Panel, groups: Mapping[Any, Hashable] | str | None) -> Ints:
    """The number of each series' group [S]."""
    if groups is None:
        return np.arange(panel.n_series)
    if isinstance(groups, str):
        if groups not in panel.roles.static:
            raise ColumnError(explain_unknown("static column", groups, panel.roles.static))
        named: list[Hashable] = panel.table[groups].gather(panel.offsets[:-1]).to_list()
    else:
        without = [name for name in panel.series_ids if name not in groups]
        if without:
            raise ConfigError(f"series {without[0]!r} has no group ({len(without)} in all). Give one to each.")
        named = [groups[name] for name in panel.series_ids]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(named))}
    return np.array([numbers[name] for name in named], dtype=np.int64)


def _settle_shape(shape: ShapeSpec, panel: Panel) -> ShapeSpec:
    return replace(shape, season=panel.frequency.season if shape.season is None else shape.season)


def _keep_measured(inputs: Singles, goal: Doubles, kin: Ints) -> tuple[Singles, Doubles, Ints]:
    """The same of the series to learn from, their groups numbered anew."""
    kept = np.isfinite(goal) & is_measured(inputs)
    return inputs[kept], goal[kept], np.unique(kin[kept], return_inverse=True)[1]


def _tell_left_out(goal: Doubles, inputs: Singles) -> tuple[Mapping[str, Any], ...]:
    unknown = ~np.isfinite(goal)
    short = ~is_measured(inputs) & ~unknown
    found = {"no target": int(unknown.sum()), "less than half of the features can be measured": int(short.sum())}
    return tuple({"left_out": count, "reason": reason} for reason, count in found.items() if count)


def _deal_folds(kin: Ints, *, folds: int, seed: int) -> Ints:
    """The fold of each series [S]: whole groups, dealt out at random."""
    count = int(kin.max(initial=-1)) + 1
    if len(kin) < FEWEST or count < folds:
        raise FitError(
            f"an estimator needs {FEWEST} series with a target and enough rows, in {folds} groups or more; got "
            f"{len(kin)} in {count}. Bring more series, or ask for fewer folds."
        )
    return np.asarray(np.random.default_rng(seed).permutation(count)[kin] % folds, dtype=np.int64)


def _estimate_out_of_fold(spec: EstimatorSpec, inputs: Singles, goal: Doubles, *, fold: Ints, seed: int) -> Doubles:
    """What the model and its floors, the mean and the median of the others, say of each series [S, 3]."""
    out = np.empty((len(goal), 3))
    for number in np.unique(fold):
        own = fold == number
        formula: Formula = learn_estimator(spec, inputs[~own], goal[~own], seed=seed)[0]
        out[own, 0] = formula.predict(inputs[own], width=1)[:, 0]
        out[own, 1], out[own, 2] = goal[~own].mean(), np.median(goal[~own])
    return out


def _interval(errors: Doubles, coverage: float) -> Doubles:
    """The ends [2] that hold the share `coverage` of errors to come, with conformal prediction's count of one more."""
    ordered, half = np.sort(errors), 0.5 * (1.0 - coverage)
    low = int(np.floor((len(errors) + 1) * half)) - 1
    return np.array([ordered[max(low, 0)], ordered[min(len(errors) - 1 - low, len(errors) - 1)]])


def _judge(name: str, guessed: Doubles, goal: Doubles, *, kin: Ints, fold: Ints, coverage: float) -> Judgement:
    from scipy.stats import ttest_1samp

    errors = guessed - goal[:, None]
    sizes = np.abs(errors)
    scores = tuple(
        EstimatorScore(
            model=each,
            mae=float(sizes[:, i].mean()),
            rmse=float(np.sqrt((errors[:, i] ** 2).mean())),
            bias=float(errors[:, i].mean()),
            n=len(goal),
        )
        for i, each in enumerate((name, "mean", "median"))
    )
    gain = sizes[:, 0] - sizes[:, 1 + int(scores[2].mae < scores[1].mae)]
    by_group = np.bincount(kin, gain) / np.bincount(kin)
    tested = len(by_group) >= FEWEST_GROUPS and by_group.std() > 0
    p_value = float(ttest_1samp(by_group, 0.0, alternative="less").pvalue) if tested else None
    inside = np.zeros(len(goal), dtype=np.bool_)
    for number in np.unique(fold):
        own = fold == number
        low, high = _interval(-errors[~own, 0], coverage)
        inside[own] = (-errors[own, 0] >= low) & (-errors[own, 0] <= high)
    return Judgement(scores, p_value, float(inside.mean()))
