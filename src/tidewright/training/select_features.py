"""`select_features`: which columns to keep, judged inside the training part, each with its reason.

B time blocks, F columns, P probes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, check_grid, split_rolling
from tidewright.data.task import Task
from tidewright.errors import ColumnError, ConfigError
from tidewright.features.columns import add_columns
from tidewright.features.windows import Doubles
from tidewright.models.build import build_spec
from tidewright.models.spec import ModelSpec
from tidewright.training.fit import COVARIATES, fit, usual_view
from tidewright.training.importance import permutation_importance
from tidewright.training.spec import TrainSpec

PROBES = 5  # columns without any sense that are judged beside the others: what chance gives
SIGMAS = 3.0  # by how much of its own chance the mean importance of a column is to be above 0
USUAL = {"rounds": 60, "learning_rate": 0.1}


@dataclass(frozen=True, slots=True)
class Judged:
    """One column: whether it is kept and why, and its importance in each block, oldest first (empty: not asked)."""

    name: str
    kept: bool
    reason: str
    importance: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        """The mean importance; NaN where it was not asked."""
        return float(np.mean(self.importance)) if self.importance else float("nan")


@dataclass(frozen=True, slots=True)
class FeatureChoice:
    """What became of every covariate. `apply` leaves the dropped ones of any panel without their role.

    Importances are in the unit of `metric`; `noise` is what one block gives to columns without sense (root mean
    square).
    """

    columns: tuple[Judged, ...]
    model: str
    metric: str
    noise: float

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of the columns that are kept."""
        return tuple(one.name for one in self.columns if one.kept)

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of the others."""
        return tuple(one.name for one in self.columns if not one.kept)

    def apply(self, panel: Panel) -> Panel:
        """The panel without the dropped ones among its covariates; `ColumnError` where one that is kept is absent."""
        has = [name for kind in COVARIATES for name in getattr(panel.roles, kind)]
        absent = [name for name in self.kept if name not in has]
        if absent:
            raise ColumnError(f"the panel has no covariate '{absent[0]}', which was kept. Give it with its role.")
        return _without(panel, self.dropped)

    def table(self) -> pl.DataFrame:
        """Every column: kept, reason, mean importance and in how many blocks it was above 0."""
        rows = [
            {
                "column": one.name,
                "kept": one.kept,
                "importance": one.mean if one.importance else None,
                "blocks_above_0": sum(value > 0 for value in one.importance),
                "reason": one.reason,
            }
            for one in self.columns
        ]
        return pl.DataFrame(rows).sort("importance", descending=True, nulls_last=True, maintain_order=True)


def select_features(
    panel: Panel,
    split: Split,
    *,
    model: ModelSpec | None = None,
    metric: str = "mae",
    blocks: int = 4,
    correlation: float = 0.98,
    stable: float = 0.75,
    repeats: int = 3,
    most: int = 500,
    seed: int = 0,
) -> FeatureChoice:
    """Which past, known and static columns help, looking at the training part alone.

    Constants go. `model` (default: a small lightgbm) learns `blocks` times, each time on all before the next block, and
    the permutation importance of every column is taken there, beside that of five columns moved in time, which can't
    help. Of columns whose correlation is beyond `correlation` the most important stays. Kept is what is above 0 in the
    share `stable` of the blocks and whose mean is above three times what chance would give the mean. At most `most`
    windows a block are looked at. Raises `ShortSeriesError` where the training part is too short for the blocks.
    """
    if not (0.0 < correlation <= 1.0 and 0.0 < stable <= 1.0 and blocks >= 2):
        raise ConfigError(
            f"correlation and stable lie above 0 and are at most 1, and blocks are two or more; got {correlation}, "
            f"{stable}, {blocks}."
        )
    check_grid(split.train, panel)
    seen = panel.until(split.train.last + split.horizon)
    names = [name for kind in COVARIATES for name in getattr(seen.roles, kind)]
    if not names:
        raise ColumnError("the panel has no past, known or static column to choose from. Give columns their roles.")
    fixed = {name: "constant in training" for name in names if _constant(seen, name)}
    judge = _Judge(model or build_spec("lightgbm", USUAL), metric, blocks, repeats, most, seed)
    found = judge.values(_without(seen, fixed), split.horizon)
    doubled = _near_copies(seen, [name for name in names if name not in fixed], found, limit=correlation)
    if doubled:  # a copy takes from what it copies: judged again without
        found |= judge.values(_without(seen, (*fixed, *doubled)), split.horizon)
    probes = np.array([values for name, values in found.items() if name not in names])
    noise = float(np.sqrt(np.mean(probes**2))) if probes.size else 0.0
    gone = {**fixed, **doubled}
    columns = tuple(
        Judged(name, False, gone[name], found.get(name, ()))
        if name in gone
        else _decide(name, found[name], noise=noise, stable=stable)
        for name in names
    )
    return FeatureChoice(columns, judge.model.name, metric, noise)


@dataclass(frozen=True, slots=True)
class _Judge:
    """How importances are found."""

    model: ModelSpec
    metric: str
    blocks: int
    repeats: int
    most: int
    seed: int

    def values(self, panel: Panel, horizon: int) -> dict[str, tuple[float, ...]]:
        """The importance of each covariate and probe in each block."""
        probed, probes = _add_probes(panel, seed=self.seed)
        names = [name for kind in COVARIATES for name in getattr(panel.roles, kind)]
        task = Task(horizon=horizon, quantiles=(0.5,))
        first, last = panel.span
        size = max(horizon, (last - first + 1) // (2 * self.blocks))
        folds = split_rolling(probed, task, folds=self.blocks, validation=size)
        each = [self._block(probed, fold, task=task, names=[*names, *probes]) for fold in folds]
        return {name: tuple(values) for name, values in zip([*names, *probes], np.array(each).T.tolist(), strict=True)}

    def _block(self, panel: Panel, fold: Split, *, task: Task, names: Sequence[str]) -> Doubles:
        view = usual_view(panel, split=fold, task=task)
        fitted = fit(self.model, panel=panel, split=fold, task=task, view=view, train=TrainSpec(seed=self.seed))
        found = permutation_importance(
            fitted,
            panel=panel,
            split=fold,
            metric=self.metric,
            features=names,
            repeats=self.repeats,
            most=self.most,
            seed=self.seed,
        )
        return found.mean


def _decide(name: str, values: tuple[float, ...], *, noise: float, stable: float) -> Judged:
    above = sum(value > 0 for value in values)
    need = SIGMAS * noise / np.sqrt(len(values))
    mean = float(np.mean(values))
    told = f"importance {mean:.3g}, above 0 in {above} of {len(values)} blocks"
    if above < stable * len(values):
        return Judged(name, False, f"not stable: {told}", values)
    if not mean > need:
        return Judged(name, False, f"no more than chance ({need:.3g}): {told}", values)
    return Judged(name, True, told, values)


def _without(panel: Panel, names: Sequence[str] | dict[str, str]) -> Panel:
    """The panel with some columns left without a role."""
    roles = panel.roles
    past, known, static = (tuple(n for n in getattr(roles, kind) if n not in names) for kind in COVARIATES)
    return replace(panel, roles=replace(roles, past=past, known=known, static=static))


def _constant(panel: Panel, name: str) -> bool:
    return panel.table[name].drop_nulls().n_unique() <= 1


def _near_copies(
    panel: Panel, names: Sequence[str], found: dict[str, tuple[float, ...]], *, limit: float
) -> dict[str, str]:
    """The columns that another one with more importance tells as well, with the reason to drop each."""
    numeric = [name for name in names if panel.table[name].dtype.is_numeric()]
    dropped: dict[str, str] = {}
    order = sorted(numeric, key=lambda name: -float(np.mean(found[name])))
    for place, name in enumerate(order):
        for better in order[:place]:
            if better in dropped:
                continue
            value = _correlation(panel.values(name), panel.values(better))
            if abs(value) > limit:
                dropped[name] = f"correlation {value:.3f} with {better}, which has more importance"
                break
    return dropped


def _correlation(one: Doubles, two: Doubles) -> float:
    """Pearson's correlation over the rows that both have; 0 where there is none."""
    both = ~(np.isnan(one) | np.isnan(two))
    if both.sum() < 3 or one[both].std() == 0 or two[both].std() == 0:
        return 0.0
    return float(np.corrcoef(one[both], two[both])[0, 1])


def _add_probes(panel: Panel, *, seed: int) -> tuple[Panel, tuple[str, ...]]:
    """Copies of a few past and known columns, each series' moved in time by a quarter of its length or more."""
    draw = np.random.default_rng(seed)
    sources = [(kind, name) for kind in ("past", "known") for name in getattr(panel.roles, kind)]
    if not sources:
        return panel, ()
    probes: list[str] = []
    longest = max(panel.table.columns, key=len)
    for number in range(PROBES):
        kind, name = sources[int(draw.integers(len(sources)))]
        values = panel.values(name).copy()
        for start, end in pairwise(panel.offsets.tolist()):
            size = end - start
            values[start:end] = np.roll(values[start:end], int(draw.integers(size // 4, max(3 * size // 4, 1) + 1)))
        probes.append(f"{longest} {number}")  # longer than any column's name
        panel = add_columns(panel, {probes[-1]: values}, role="past" if kind == "past" else "known")
    return panel, tuple(probes)
