"""LightGBM's text read into a `Forest`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.errors import FitError
from tidewright.models.forest import Flags, Forest, Tree, Whole, join_trees, make_leaf, round_down

ZERO = np.float32(1e-35)


def read_lightgbm(texts: Sequence[str], *, classes: int = 0) -> Forest:
    """The forest of LightGBM models, as their text (`Booster.model_to_string`; "": none); model q adds to output q.

    One model of `classes` has a tree for each of them in turn, of two classes only for the second.
    """
    found = [
        (_place_tree(place, classes) if classes else q, _read_tree(block))
        for q, text in enumerate(texts)
        for place, block in enumerate(text.split("\nTree=")[1:])
    ]
    return join_trees([tree for _, tree in found] or [make_leaf(0.0)], [q for q, _ in found] or [0])


def _place_tree(place: int, classes: int) -> int:
    return 1 if classes == 2 else place % classes


def _read_tree(block: str) -> Tree:
    """One tree's nodes: its splits in LightGBM's order (the root first), then its leaves."""
    lines = dict(line.split("=", 1) for line in block.partition("\n\n")[0].splitlines() if "=" in line)
    if lines.get("is_linear") != "0":
        raise FitError("a tree has linear leaves, which a Forest does not hold.")
    leaves = np.array(lines["leaf_value"].split(), dtype=np.float64)
    splits = len(leaves) - 1
    threshold = np.array(lines.get("threshold", "").split(), dtype=np.float64)
    kind = np.array(lines.get("decision_type", "").split(), dtype=np.int64)
    category = (kind & 1) > 0  # an absent or an unseen level goes right
    # bits 2 and 3: how missing values were told apart; where they were not (0), LightGBM takes them for 0.0
    absent_left = np.where((kind >> 2) & 3 == 2, (kind & 2) > 0, threshold >= 0.0) & ~category
    sets = np.where(category, threshold, -1.0).astype(np.int32)  # such a split's threshold is its set's place
    return Tree(
        feature=_with_leaves(np.array(lines.get("split_feature", "").split(), dtype=np.int32), -1, splits),
        threshold=_with_leaves(np.where(category, np.float32(0.0), _place(threshold)), np.float32(0.0), splits),
        left=_children(lines.get("left_child", ""), splits),
        right=_children(lines.get("right_child", ""), splits),
        absent_left=_with_leaves(absent_left, False, splits),
        value=np.concatenate([np.zeros(splits), leaves]),
        sets=_with_leaves(sets, -1, splits),
        choices=_read_choices(lines),
    )


def _place(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Thresholds in float32. LightGBM takes what is within 1e-35 of 0 for 0, on whichever side of a threshold it is."""
    near = round_down(threshold)
    below, above = np.nextafter(-ZERO, np.float32(-1.0)), ZERO
    return np.where(np.abs(near) <= ZERO, np.where(threshold < 0.0, below, above), near).astype(np.float32)


def _read_choices(lines: Mapping[str, str]) -> Flags | None:
    """The levels of each set: words of 32 bits, the lowest is level 0."""
    if lines["num_cat"] == "0":
        return None
    bounds = np.array(lines["cat_boundaries"].split(), dtype=np.int64)
    words = np.array(lines["cat_threshold"].split(), dtype=np.uint32)
    table = np.zeros((len(bounds) - 1, int(np.diff(bounds).max())), dtype="<u4")
    for place, (first, last) in enumerate(pairwise(bounds)):
        table[place, : last - first] = words[first:last]
    return np.unpackbits(table.view(np.uint8), axis=1, bitorder="little").astype(np.bool_)


def _with_leaves(values: npt.NDArray[Any], filler: Any, splits: int) -> npt.NDArray[Any]:
    return np.concatenate([values, np.full(splits + 1, filler, dtype=values.dtype)])


def _children(text: str, splits: int) -> Whole:
    """Places within the tree: LightGBM writes leaf k as -k - 1."""
    child = np.array(text.split(), dtype=np.int32)
    return _with_leaves(np.where(child < 0, splits - child - 1, child).astype(np.int32), 0, splits)
