"""Boosting towards a quantile by gradients, for trees that are held to rise or to fall.

A library's own quantile loss sets the leaves anew once a tree has grown, which breaks the order that a constraint made
(LightGBM refuses the two together). Leaves of gradients stay as the library made them. C cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidewright.models.forest import Forest, join_trees, make_leaf
from tidewright.training.cells import Cells, Goal

Doubles = npt.NDArray[np.float64]
SHARE = 0.25  # of the labels' spread that a kernel reaches
LEAST = 0.02  # of a kernel's height: far from all labels a step is long, but not without bounds


@dataclass(frozen=True, eq=False, slots=True)
class QuantileSteps:
    """The quantile loss's own slope, and the labels' density around the answer for its curvature (Powell 1991).

    So a leaf is a step of Newton's: the share of labels on the wrong side over their density there. The slope is exact,
    so what is learned is the quantile itself, whatever the kernel's width.
    """

    level: float
    labels: Doubles
    weights: Doubles
    width: float

    def at(self, answer: npt.NDArray[np.floating]) -> tuple[Doubles, Doubles]:
        """Slopes and curvatures [C] at answers [C]; curvatures are 1 on average, as those of squared errors are."""
        slope = ((self.labels < answer) - self.level) * self.weights
        curve = (np.exp(-0.5 * ((self.labels - answer) / self.width) ** 2) + LEAST) * self.weights
        mean = curve.mean()
        return slope * (self.width * np.sqrt(2.0 * np.pi) / mean), curve / mean


def open_steps(goal: Goal, cells: Cells) -> QuantileSteps:
    """The steps towards a goal on some cells."""
    labels = cells.labels.astype(np.float64)
    low, middle, high = np.quantile(labels, [0.25, 0.5, 0.75])
    spread = max(high - low, 1e-3 * abs(middle), 1e-9) / 1.349  # that of a normal distribution of such quartiles
    weights = np.ones(len(labels)) if cells.weights is None else cells.weights.astype(np.float64)
    return QuantileSteps(goal.level, labels, weights, SHARE * float(spread))


def are_held(cells: Cells, goals: tuple[Goal, ...]) -> bool:
    """Whether quantiles are to be learned of answers that rise or fall with a feature."""
    return bool(cells.monotone) and goals[0].kind == "quantile"


def start_flat(cells: Cells, goals: tuple[Goal, ...]) -> Forest:
    """The forest that says each goal's quantile of all labels: what steps begin from."""
    weights = np.ones(len(cells.labels)) if cells.weights is None else cells.weights
    levels = [goal.level for goal in goals]
    found = np.quantile(cells.labels.astype(np.float64), levels, weights=weights, method="inverted_cdf")
    return join_trees([make_leaf(float(one)) for one in found], range(len(goals)))
