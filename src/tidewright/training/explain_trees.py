"""`explain_trees`: what each feature added to each forecast of trees, in units of the target (Shapley values).

N windows, H horizon, F features, C cells (a window and a step), B cells of background.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.data.task import refuse_classes
from tidewright.errors import ConfigError
from tidewright.features.windows import Doubles, Windows, cut_windows
from tidewright.models.conformal import innermost
from tidewright.models.fitted import Fitted
from tidewright.models.forest import Forest
from tidewright.models.logged import Logged
from tidewright.models.shapley import shapley
from tidewright.models.trees import TreesFitted
from tidewright.training.fit import read_panel
from tidewright.training.importance import list_features

By = Literal["column", "feature"]
_PLACE = re.compile(r"(past|known|static|level)(\d+)")


@dataclass(frozen=True, eq=False, slots=True)
class TreeExplanation:
    """The parts [N, H, F] that F features have in forecasts of one quantile, in units of the target.

    `base` [N, H] is what the trees say of an average cell of the background, in each window's units, and `base` plus
    all parts is what they say of the window. `windows` are those that were explained.
    """

    model: str
    quantile: float
    names: tuple[str, ...]
    parts: Doubles
    base: Doubles
    windows: Windows

    @property
    def forecast(self) -> Doubles:
        """What the trees say [N, H]; where quantiles cross, the fitted model sorts them."""
        return np.asarray(self.base + self.parts.sum(axis=2))

    @property
    def importance(self) -> Doubles:
        """The mean size of each feature's parts [F]."""
        return np.asarray(np.abs(self.parts).mean(axis=(0, 1)))

    def table(self) -> pl.DataFrame:
        """The features, the heaviest first: the mean size of their parts, and their mean."""
        columns = {"feature": self.names, "mean_size": self.importance, "mean": self.parts.mean(axis=(0, 1))}
        return pl.DataFrame(columns).sort("mean_size", descending=True, maintain_order=True)


def explain_trees(
    fitted: Fitted,
    *,
    panel: Panel,
    split: Split,
    cutoffs: Cutoffs | None = None,
    quantile: float = 0.5,
    by: By = "column",
    most: int = 200,
    background: int = 50,
    seed: int = 0,
) -> TreeExplanation:
    """The Shapley values of a model of trees at the cutoffs of a part (default: validation), for `most` windows of it.

    What a feature adds is measured against `background` cells of the training part, drawn with `seed`: a feature out of
    a coalition is as in one of them. `by` "column" counts all that is made of one column of the panel as one player
    (the target's lags, means and seasons are its history), "feature" every feature of the trees. Raises `ConfigError`
    for a model without trees, or a quantile that it does not have.
    """
    refuse_classes(fitted.task, "a Shapley value")
    trees = innermost(fitted)
    if isinstance(trees, Logged):
        raise ConfigError(
            f"this {fitted.spec.name} answers a logarithm, whose parts do not add up to the answer. Explain trees "
            "without the view's log, or take permutation_importance."
        )
    if not isinstance(trees, TreesFitted) or not isinstance(trees.formula, Forest):
        raise ConfigError(f"{fitted.spec.name} has no trees to explain. permutation_importance takes every model.")
    if trees.spec.strategy == "recursive":
        raise ConfigError(f"{fitted.spec.name} is fed its own answers, which have no parts. Ask for another strategy.")
    if quantile not in trees.task.quantiles:
        has = [str(level) for level in trees.task.quantiles]
        raise ConfigError(explain_unknown(f"quantile of {fitted.spec.name}", quantile, has))
    if by not in get_args(By):
        raise ConfigError(explain_unknown("way to count players", by, get_args(By)))
    seen = read_panel(fitted, panel)
    asked: dict[str, Any] = {"horizon": trees.task.horizon, "least": 1}
    windows = cut_windows(seen, trees.view, cutoffs=cutoffs or split.validation, **asked)
    windows = windows.subset(_evenly(len(windows), most))
    learned = cut_windows(seen, trees.view, cutoffs=split.train, **asked)
    names = label_inputs(trees, seen)
    players = tuple(dict.fromkeys(names)) if by == "column" else trees.inputs.names
    numbers = [players.index(name) for name in names] if by == "column" else range(len(names))
    return _explain(trees, windows, learned, quantile, players, list(numbers), draw=(background, seed))


def label_inputs(trees: TreesFitted, panel: Panel) -> tuple[str, ...]:
    """The column of the panel that each feature of the trees [F] is made of; "step" for the step's number."""
    columns = {(one.part, place): one.name for one in list_features(panel, trees.view) for place in one.columns}
    texts = [name for name, levels in trees.view.static.columns if levels]
    names = []
    for feature in trees.inputs.names:
        found = _PLACE.match(feature)
        if feature == "step" or found is None:
            names.append("step" if feature == "step" else panel.roles.target)
        elif found[1] == "level":
            names.append(texts[int(found[2])])
        else:
            names.append(columns[found[1], int(found[2])])  # type: ignore[index]  # the pattern's words are parts
    return tuple(names)


def _explain(
    trees: TreesFitted,
    windows: Windows,
    learned: Windows,
    quantile: float,
    names: Sequence[str],
    players: Sequence[int],
    *,
    draw: tuple[int, int],
) -> TreeExplanation:
    forest: Any = trees.formula
    horizon, count = trees.task.horizon, len(windows)
    cells, (start, scale) = trees.cells(windows)
    size, seed = draw
    chosen = np.sort(np.random.default_rng(seed).choice(len(learned), min(size, len(learned)), replace=False))
    others, _ = trees.cells(learned.subset(chosen))
    steps = np.random.default_rng(seed).integers(0, horizon, len(chosen))
    others = others[np.arange(len(chosen)) * horizon + steps]
    place = trees.task.quantiles.index(quantile)
    output, width = (place, len(trees.task.quantiles)) if trees.offsets is None else (0, 1)
    added = np.zeros(horizon) if trees.offsets is None else trees.offsets[:, place]
    values = shapley(forest, cells, background=others, players=np.array(players, dtype=np.int32), output=output)
    base = forest.predict(others, width=width)[:, output].mean() + np.tile(added, count)
    return TreeExplanation(
        model=trees.spec.name,
        quantile=quantile,
        names=tuple(names),
        parts=(values * scale[:, None]).reshape(count, horizon, len(names)),
        base=(start + scale * base).reshape(count, horizon),
        windows=windows,
    )


def _evenly(count: int, most: int) -> Any:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
