"""`Forest`: regression trees as flat arrays, walked without the library that learned them.

C rows, F input features, Q outputs. Every split is float32: its threshold is the largest float32 that goes left in the
library, so that a float32 input takes exactly the library's branch, here and in any runtime that compares in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.errors import BundleError, ConfigError
from tidewright.models.packed_forest import pack

Whole = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Bits = npt.NDArray[np.uint8]
Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
_FORMS: dict[str, tuple[type[Any], tuple[int, ...]]] = {  # of each array: its type, its possible numbers of dimensions
    **dict.fromkeys(("feature", "left", "right", "roots", "outputs", "sets"), (np.int32, (1,))),
    "threshold": (np.float32, (1,)),
    "absent_left": (np.bool_, (1,)),
    "value": (np.float64, (1, 2)),
    "members": (np.uint8, (2,)),
}


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees whose leaves are summed, one sum an output.

    A node goes left where `input[feature] <= threshold`, and where the input is NaN as `absent_left` says; a
    leaf has feature -1 and adds `value`. `left` and `right` are places in these same arrays. `roots` and
    `outputs` give each tree's first node and the output that it adds to; where `value` is a table, its columns add to
    that output and those after it.

    A split of a category has its place among `members` in `sets` (-1: a split of a number; empty: all are): the input,
    a level's number, goes left where its bit of members[set] is set (the lowest bit of the first byte is level 0).
    """

    feature: Whole
    threshold: Singles
    left: Whole
    right: Whole
    absent_left: Flags
    value: Doubles
    roots: Whole
    outputs: Whole
    sets: Whole = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    members: Bits = field(default_factory=lambda: np.zeros((0, 1), dtype=np.uint8))

    def predict(self, inputs: Singles, *, width: int) -> Doubles:
        """The sums [C, Q] of the leaves that the rows of `inputs` [C, F] reach; NaN is a missing value."""
        if inputs.dtype != np.float32:
            raise ConfigError(f"a forest compares float32 values; got {inputs.dtype}. Cast the inputs first.")
        out = np.zeros((len(inputs), width))
        self._walk(np.ascontiguousarray(inputs), out)
        return out

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process: the arrays, and not what was made of them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def _walk(self) -> Callable[[Singles, Doubles], None]:
        """Adds to `out` [C, Q] what rows [C, F] reach."""
        from tidewright.models.forest_kernel import walk_rows, walk_sets

        if not self.sets.size:
            packed = pack(self)
            return lambda rows, out: walk_rows(rows, *packed, out)
        nodes = (self.feature, self.threshold, self.left, self.right, self.absent_left, self.sets, self.members)
        values = self.value.reshape(len(self.feature), -1)
        return lambda rows, out: walk_sets(rows, nodes, values, self.roots, self.outputs, out)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name; those of categories where there are any."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return found if self.sets.size else {key: one for key, one in found.items() if key not in ("sets", "members")}


@dataclass(frozen=True, eq=False, slots=True)
class Tree:
    """One tree's nodes, its root first, every child after its parent; `left` and `right` count from its root.

    `choices` [categorical splits, levels] says which levels go left, `sets` which of its rows a node has (-1: none).
    """

    feature: Whole
    threshold: Singles
    left: Whole
    right: Whole
    absent_left: Flags
    value: Doubles
    sets: Whole | None = None
    choices: Flags | None = None


def join_trees(trees: Sequence[Tree], outputs: Sequence[int]) -> Forest:
    """The forest of trees, each adding to an output."""
    roots = np.cumsum([0, *(len(tree.feature) for tree in trees)])[:-1].astype(np.int32)
    pairs = list(zip(trees, roots, strict=True))
    sets, members = _join_sets(trees)
    return Forest(
        feature=np.concatenate([tree.feature for tree in trees]),
        threshold=np.concatenate([tree.threshold for tree in trees]),
        left=np.concatenate([tree.left + root for tree, root in pairs]).astype(np.int32),
        right=np.concatenate([tree.right + root for tree, root in pairs]).astype(np.int32),
        absent_left=np.concatenate([tree.absent_left for tree in trees]),
        value=np.concatenate([tree.value for tree in trees]),
        roots=roots,
        outputs=np.array(outputs, dtype=np.int32),
        sets=sets,
        members=members,
    )


def add_forests(one: Forest, other: Forest) -> Forest:
    """The forest whose sums are those of both; their leaves hold equally many numbers."""
    nodes, trees = len(one.feature), {name: (getattr(one, name), getattr(other, name)) for name in _FORMS}
    shift = {"left": nodes, "right": nodes, "roots": nodes}
    found = {name: np.concatenate([a, b + shift.get(name, 0)]).astype(a.dtype) for name, (a, b) in trees.items()
             if name not in ("sets", "members")}  # fmt: skip
    if not (one.sets.size or other.sets.size):
        return Forest(**found)
    width = max(one.members.shape[1], other.members.shape[1])
    members = [np.pad(each.members, ((0, 0), (0, width - each.members.shape[1]))) for each in (one, other)]
    places = [each.sets if each.sets.size else np.full(len(each.feature), -1, dtype=np.int32) for each in (one, other)]
    places[1] = np.where(places[1] >= 0, places[1] + len(members[0]), -1).astype(np.int32)
    return Forest(**found, sets=np.concatenate(places), members=np.concatenate(members))


def make_leaf(value: npt.ArrayLike) -> Tree:
    """A tree that adds a constant: one number, or a row of several outputs."""
    one = np.zeros(1, dtype=np.int32)
    added = np.atleast_1d(np.asarray(value, dtype=np.float64))
    return Tree(
        feature=one - 1,
        threshold=np.zeros(1, dtype=np.float32),
        left=one,
        right=one,
        absent_left=np.zeros(1, dtype=np.bool_),
        value=added if np.ndim(value) == 0 else added[None, :],
    )


def forest_from_tensors(tensors: Mapping[str, npt.NDArray[Any]], *, n_features: int, width: int) -> Forest:
    """The forest of such arrays. Raises `BundleError` where they describe no forest (a walk would not end, or
    leave them).
    """
    given: dict[str, npt.NDArray[Any]] = {
        "sets": np.zeros(0, dtype=np.int32),
        "members": np.zeros((0, 1), dtype=np.uint8),
        **tensors,
    }
    for name, (kind, dimensions) in _FORMS.items():
        if name not in given or given[name].dtype != kind or given[name].ndim not in dimensions:
            raise BundleError(
                f"the trees' array '{name}' is missing, or is not a flat array of {np.dtype(kind)}. Train the model "
                "anew."
            )
    forest = Forest(**{name: np.ascontiguousarray(given[name]) for name in _FORMS})
    if not (_is_whole(forest) and _is_sound(forest, n_features, width)):
        raise BundleError("the trees' arrays contradict each other: they describe no forest. Train the model anew.")
    return forest


def round_down(values: Doubles) -> Singles:
    """The largest float32 at or below each value.

    >>> bool(np.float32(0.1) > np.float64(0.1)), bool(round_down(np.array([0.1]))[0] <= np.float64(0.1))
    (True, True)
    """
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
    down = np.nextafter(near, np.float32(-np.inf))
    return np.where(near.astype(np.float64) > values, down, near).astype(np.float32)


def _join_sets(trees: Sequence[Tree]) -> tuple[Whole, Bits]:
    found = [tree.choices for tree in trees if tree.choices is not None and len(tree.choices)]
    if not found:
        return np.zeros(0, dtype=np.int32), np.zeros((0, 1), dtype=np.uint8)
    widest, start = max(choices.shape[1] for choices in found), 0
    places: list[Whole] = []
    for tree in trees:
        own = np.full(len(tree.feature), -1, dtype=np.int32) if tree.sets is None else tree.sets
        places.append(np.where(own >= 0, own + start, -1).astype(np.int32))
        start += 0 if tree.choices is None else len(tree.choices)
    wide = [np.pad(choices, ((0, 0), (0, widest - choices.shape[1]))) for choices in found]
    packed = np.packbits(np.concatenate(wide), axis=1, bitorder="little")
    members, place = np.unique(packed, axis=0, return_inverse=True)  # a set that many nodes share is kept once
    sets = np.concatenate(places)
    sets[sets >= 0] = place.reshape(-1)[sets[sets >= 0]]
    return sets, members


def _is_whole(forest: Forest) -> bool:
    """Whether the arrays have the lengths that belong together."""
    size = len(forest.feature)
    whole = all(len(getattr(forest, name)) == size for name in ("threshold", "left", "right", "absent_left", "value"))
    whole = whole and len(forest.sets) in (0, size) and forest.members.shape[1] > 0
    whole = whole and len(forest.roots) == len(forest.outputs) > 0 and forest.roots[0] == 0
    return whole and bool((np.diff(forest.roots) > 0).all()) and int(forest.roots[-1]) < size


def _is_sound(forest: Forest, n_features: int, width: int) -> bool:
    """Whether every feature, output, set and child is there, and children stand after their parent in its tree."""
    size = len(forest.feature)
    inner = np.flatnonzero(forest.feature >= 0)
    last = np.append(forest.roots[1:], size)
    tree = np.searchsorted(forest.roots, np.arange(size), side="right") - 1
    columns = forest.value.reshape(size, -1).shape[1]
    sound = int(forest.feature.max()) < n_features and int(forest.sets.max(initial=-1)) < len(forest.members)
    sound = sound and bool(((forest.outputs >= 0) & (forest.outputs + columns <= width)).all())
    for side in (forest.left, forest.right):
        child = side[inner]
        sound = sound and bool(((child > inner) & (child < last[tree[inner]])).all())
    return sound
