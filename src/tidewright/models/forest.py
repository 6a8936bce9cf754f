"""`Forest`: boosted regression trees as flat arrays, read from LightGBM's text and walked without LightGBM.

C rows, F input features, Q outputs. Every split is float32: its threshold is the largest float32 at or below
LightGBM's, so that a float32 input takes exactly LightGBM's branch, here and in any runtime that compares in
float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.errors import BundleError, ConfigError, FitError

Whole = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees whose leaves are summed, one sum an output.

    A node goes left where `input[feature] <= threshold`, and where the input is NaN as `absent_left` says; a
    leaf has feature -1 and adds `value`. `left` and `right` are places in these same arrays. `roots` and
    `outputs` give each tree's first node and the output that it adds to.
    """

    feature: Whole
    threshold: Singles
    left: Whole
    right: Whole
    absent_left: Flags
    value: Doubles
    roots: Whole
    outputs: Whole

    def predict(self, inputs: Singles, *, width: int) -> Doubles:
        """The sums [C, Q] of the leaves that the rows of `inputs` [C, F] reach; NaN is a missing value."""
        if inputs.dtype != np.float32:
            raise ConfigError(f"a forest compares float32 values; got {inputs.dtype}. Cast the inputs first.")
        from tidewright.models.forest_kernel import walk

        nodes = (self.feature, self.threshold, self.left, self.right, self.absent_left)
        rows = np.ascontiguousarray(inputs)
        return np.asarray(walk(rows, nodes, self.value, self.roots, self.outputs, width))

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def forest_from_tensors(tensors: Mapping[str, npt.NDArray[Any]], *, n_features: int, width: int) -> Forest:
    """The forest of such arrays. Raises `BundleError` where they describe no forest (a walk would not end, or
    leave them).
    """
    kinds: dict[str, np.dtype[Any]] = {field.name: np.dtype(np.int32) for field in fields(Forest)}
    kinds |= {
        "threshold": np.dtype(np.float32),
        "absent_left": np.dtype(np.bool_),
        "value": np.dtype(np.float64),
    }
    for name, kind in kinds.items():
        if name not in tensors or tensors[name].dtype != kind or tensors[name].ndim != 1:
            raise BundleError(
                f"the trees' array '{name}' is missing, or is not a flat array of {kind}. Train the model anew."
            )
    forest = Forest(**{name: np.ascontiguousarray(tensors[name]) for name in kinds})
    _check(forest, n_features, width)
    return forest


def read_forest(texts: Sequence[str]) -> Forest:
    """The forest of LightGBM models, as their text (`Booster.model_to_string`); model q adds to output q."""
    trees = [(q, _read_tree(block)) for q, text in enumerate(texts) for block in text.split("\nTree=")[1:]]
    sizes = [len(tree["feature"]) for _, tree in trees]
    roots = np.cumsum([0, *sizes])[:-1].astype(np.int32)
    for (_, tree), root in zip(trees, roots, strict=True):
        tree["left"] += root
        tree["right"] += root
    names = ("feature", "threshold", "left", "right", "absent_left", "value")
    arrays = {name: np.concatenate([tree[name] for _, tree in trees]) for name in names}
    return Forest(**arrays, roots=roots, outputs=np.array([q for q, _ in trees], dtype=np.int32))


def round_down(values: Doubles) -> Singles:
    """The largest float32 at or below each value.

    >>> bool(np.float32(0.1) > np.float64(0.1)), bool(round_down(np.array([0.1]))[0] <= np.float64(0.1))
    (True, True)
    """
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
    down = np.nextafter(near, np.float32(-np.inf))
    return np.where(near.astype(np.float64) > values, down, near).astype(np.float32)


def _read_tree(block: str) -> dict[str, npt.NDArray[Any]]:
    """One tree's nodes: its splits in LightGBM's order (the root first), then its leaves."""
    lines = dict(line.split("=", 1) for line in block.partition("\n\n")[0].splitlines() if "=" in line)
    if lines.get("num_cat") != "0" or lines.get("is_linear") != "0":
        raise FitError("a tree has categorical splits or linear leaves, which a Forest does not hold.")
    leaves = np.array(lines["leaf_value"].split(), dtype=np.float64)
    splits = len(leaves) - 1
    threshold = np.array(lines.get("threshold", "").split(), dtype=np.float64)
    kind = np.array(lines.get("decision_type", "").split(), dtype=np.int64)
    # bits 2 and 3: how missing values were told apart; where they were not (0), LightGBM takes them for 0.0
    absent_left = np.where((kind >> 2) & 3 == 2, (kind & 2) > 0, threshold >= 0.0)
    return {
        "feature": _with_leaves(np.array(lines.get("split_feature", "").split(), dtype=np.int32), -1, splits),
        "threshold": _with_leaves(round_down(threshold), np.float32(0.0), splits),
        "left": _children(lines.get("left_child", ""), splits),
        "right": _children(lines.get("right_child", ""), splits),
        "absent_left": _with_leaves(absent_left, False, splits),
        "value": np.concatenate([np.zeros(splits), leaves]),
    }


def _with_leaves(values: npt.NDArray[Any], filler: Any, splits: int) -> npt.NDArray[Any]:
    return np.concatenate([values, np.full(splits + 1, filler, dtype=values.dtype)])


def _children(text: str, splits: int) -> Whole:
    """Places within the tree: LightGBM writes leaf k as -k - 1."""
    child = np.array(text.split(), dtype=np.int32)
    return _with_leaves(np.where(child < 0, splits - child - 1, child).astype(np.int32), 0, splits)


def _check(forest: Forest, n_features: int, width: int) -> None:
    size = len(forest.feature)
    inner = np.flatnonzero(forest.feature >= 0)
    last = np.append(forest.roots[1:], size)
    tree = np.searchsorted(forest.roots, np.arange(size), side="right") - 1
    sound = all(len(getattr(forest, name)) == size for name in ("threshold", "left", "right", "absent_left", "value"))
    sound = sound and len(forest.roots) == len(forest.outputs) > 0 and forest.roots[0] == 0
    sound = sound and bool((np.diff(forest.roots) > 0).all()) and int(forest.feature.max()) < n_features
    sound = sound and bool(((forest.outputs >= 0) & (forest.outputs < width)).all())
    for side in (forest.left, forest.right) if sound else ():
        child = side[inner]  # children stand after their parent, in the same tree
        sound = sound and bool(((child > inner) & (child < last[tree[inner]])).all())
    if not sound:
        raise BundleError("the trees' arrays contradict each other: they describe no forest. Train the model anew.")
