"""Shapley values of a forest's answers: what each feature adds to what the forest says of a background.

C rows, B rows of background, F input features, P players. A player is one or several features; a coalition of players
is as in the row, the others as in a row of the background (the interventional value function of Janzing, Minorics,
Bloebaum 2020; exact for trees by Lundberg et al. 2020, who call it independent). The values of a row add up to its
answer less the background's mean answer.
"""

from __future__ import annotations

import numpy as np
from scipy.special import beta

from tidewright.models.forest import Doubles, Flags, Forest, Singles, Whole

CELLS = 1 << 24  # turns (rows times nodes) that are held at once: bounds memory


def shapley(
    forest: Forest, inputs: Singles, *, background: Singles, players: Whole | None = None, output: int = 0
) -> Doubles:
    """The values [C, P] of one output's answers to the rows [C, F], against the rows [B, F] of a background.

    `players` [F] numbers the player of each feature from 0 (default: each feature is one).
    """
    from tidewright.models.shapley_kernel import explain

    numbers = np.arange(inputs.shape[1], dtype=np.int32) if players is None else np.asarray(players, dtype=np.int32)
    values = forest.value.reshape(len(forest.feature), -1)
    columns = output - forest.outputs
    roots = forest.roots[(columns >= 0) & (columns < values.shape[1])]
    tree = np.searchsorted(forest.roots, np.arange(len(forest.feature)), side="right") - 1
    column = np.clip(columns[tree], 0, values.shape[1] - 1)
    own = np.where(forest.feature >= 0, numbers[forest.feature], -1)
    nodes = (own, forest.left, forest.right, values[np.arange(len(column)), column])
    deepest = _deepest(forest)
    most = np.arange(deepest + 1, dtype=np.float64)
    weights = beta(most[:, None] + 1.0, most[None, :] + 1.0)  # a! b! / (a + b + 1)!
    theirs = turns(forest, background)
    size = max(1, CELLS // len(forest.feature))
    parts = [
        explain(
            turns(forest, inputs[start : start + size]), theirs, nodes, roots, weights, int(numbers.max()) + 1, deepest
        )
        for start in range(0, len(inputs), size)
    ]
    return np.concatenate(parts)


def turns(forest: Forest, inputs: Singles) -> Flags:
    """Whether each row goes left at each node [C, nodes]; False at leaves."""
    out = np.zeros((len(inputs), len(forest.feature)), dtype=np.bool_)
    for feature in np.unique(forest.feature[forest.feature >= 0]):
        nodes = np.flatnonzero(forest.feature == feature)
        column = inputs[:, feature, None]
        with np.errstate(invalid="ignore"):
            left = column <= forest.threshold[nodes]
        if forest.sets.size:
            chosen = forest.sets[nodes]
            left = np.where(chosen >= 0, _inside(forest, column[:, 0], np.maximum(chosen, 0)), left)
        out[:, nodes] = np.where(np.isnan(column), forest.absent_left[nodes], left)
    return out


def _inside(forest: Forest, levels: Singles, sets: Whole) -> Flags:
    """Whether each row's level is in each set [C, sets]."""
    if not len(forest.members):
        return np.zeros((len(levels), len(sets)), dtype=np.bool_)
    bits = np.unpackbits(forest.members, axis=1, bitorder="little").astype(np.bool_)
    known = (levels >= 0) & (levels < bits.shape[1])
    place = np.where(known, levels, 0).astype(np.int64)
    return np.asarray(bits[sets][:, place].T & known[:, None])


def _deepest(forest: Forest) -> int:
    """The most splits that lie above a leaf."""
    depth, nodes = 0, forest.roots[forest.feature[forest.roots] >= 0]
    while nodes.size:
        depth += 1
        below = np.concatenate([forest.left[nodes], forest.right[nodes]])
        nodes = below[forest.feature[below] >= 0]
    return depth
