"""The formulas of the scores of classes, cell by cell, as in metrics/cells.

y is the class that came, p_k the probability that was said of class k. A score that is no mean over cells (macro F1,
the area under the curve) is given as what each cell adds to it, once all cells are known; so its sum over a part of
them is the part's share of it. Letters: N windows, H horizon, K classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tidewright.metrics.cells import Cells
from tidewright.metrics.probability import find_bins
from tidewright.metrics.scored import Scored

Floats = NDArray[np.float64]
LEAST = float(np.finfo(np.float64).eps)  # the probability that 0 counts as in a logarithm, as scikit-learn has it


def log_loss(scored: Scored) -> Cells:
    """-log p(y), the natural logarithm.

    >>> round(log_loss(Scored([[0.0, 1.0]], [[[0.5, 0.5], [0.2, 0.8]]], n_classes=2)).ratio(), 4)
    0.4581
    """
    came, said = _known(scored)
    return _spread(scored, -np.log(np.maximum(said[np.arange(len(came)), came], LEAST)))


def brier(scored: Scored) -> Cells:
    """sum over classes of (p_k - [y = k])^2, from 0 to 2: with two classes twice `brier_score` of either.

    >>> round(brier(Scored([[0.0]], [[[0.9, 0.1]]], n_classes=2)).ratio(), 4)
    0.02
    """
    came, said = _known(scored)
    return _spread(scored, ((said - np.eye(scored.n_classes)[came]) ** 2).sum(axis=1))


def accuracy(scored: Scored) -> Cells:
    """1 where the most probable class (the first of several) came, else 0.

    >>> accuracy(Scored([[0.0, 1.0]], [[[0.9, 0.1], [0.9, 0.1]]], n_classes=2)).ratio()
    0.5
    """
    came, said = _known(scored)
    return _spread(scored, (said.argmax(axis=1) == came).astype(np.float64))


def balanced_accuracy(scored: Scored) -> Cells:
    """As `accuracy`, every class that came weighing alike.

    >>> balanced_accuracy(Scored([[0.0, 0.0, 1.0]], [[[0.9, 0.1]] * 3], n_classes=2)).ratio()
    0.5
    """
    came, said = _known(scored)
    count = np.bincount(came, minlength=scored.n_classes)
    weight = len(came) / (np.maximum((count > 0).sum(), 1) * count[came])
    return _spread(scored, (said.argmax(axis=1) == came) * weight)


def macro_f1(scored: Scored) -> Cells:
    """The mean over classes of 2 hits / (said + came), over those that were said (as the most probable) or came.

    >>> round(macro_f1(Scored([[0.0, 1.0, 1.0]], [[[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]]], n_classes=2)).ratio(), 4)
    0.6667
    """
    came, said = _known(scored)
    named = said.argmax(axis=1)
    count = np.bincount(np.concatenate([named, came]), minlength=scored.n_classes)
    worth = 2.0 * len(came) / (np.maximum((count > 0).sum(), 1) * count[came])
    return _spread(scored, (named == came) * worth)


def calibration_error(scored: Scored) -> Cells:
    """The expected calibration error (see metrics/probability) of each class's probability, the mean over classes.

    >>> round(calibration_error(Scored([[0.0, 0.0]], [[[0.7, 0.3], [0.7, 0.3]]], n_classes=2)).ratio(), 4)
    0.3
    """
    came, said = _known(scored)
    added = np.zeros(len(came))
    for label in range(scored.n_classes):
        apart = said[:, label] - (came == label)
        place, bins = find_bins(said[:, label])
        added += np.sign(np.bincount(place, weights=apart, minlength=bins))[place] * apart
    return _spread(scored, added / scored.n_classes)


def auc(scored: Scored) -> Cells:
    """The area under the receiver's curve: of the cells where the second class came, the share of those where it
    didn't that had a lower probability of it (half where alike). Undefined where but one class came.

    >>> auc(Scored([[0.0, 1.0, 1.0]], [[[0.5, 0.5], [0.4, 0.6], [0.6, 0.4]]], n_classes=2)).ratio()
    0.5
    """
    came, said = _known(scored)
    other = np.sort(said[came == 0, 1])
    below, upto = (np.searchsorted(other, said[:, 1], side=side) for side in ("left", "right"))
    share = np.where(came == 1, 0.5 * (below + upto) / max(len(other), 1), 0.0)
    cells = _spread(scored, share)
    counted = cells.counted & (scored.actual == 1.0) & bool(len(other))
    return Cells(np.where(counted, cells.numerator, 0.0), counted.astype(np.float64), counted)


def _known(scored: Scored) -> tuple[NDArray[np.int64], Floats]:
    """The classes that came [C] and what was said [C, K], of the cells whose class is known."""
    seen = scored.observed
    return scored.actual[seen].astype(np.int64), scored.forecast[seen]


def _spread(scored: Scored, values: Floats) -> Cells:
    """Values of the known cells [C] as cells [N, H]."""
    seen = scored.observed
    above = np.zeros(seen.shape)
    above[seen] = values
    return Cells(above, seen.astype(np.float64), seen)
