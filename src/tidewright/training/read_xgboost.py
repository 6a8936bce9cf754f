"""XGBoost's JSON model read into a `Forest`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tidewright.models.forest import Flags, Forest, Tree, Whole, join_trees, make_leaf


def read_xgboost(dumps: Sequence[Mapping[str, Any] | None], *, levels: Mapping[int, int], classes: int = 0) -> Forest:
    """The forest of XGBoost models, as their JSON (`Booster.save_raw("json")`; None: none); model q adds to output q.

    `levels` are the features of categories, and how many levels each has. One model of `classes` has a tree for each of
    them in turn, of two classes only for the second.
    """
    if classes:
        return _read_classes(dumps[0], levels=levels, classes=classes)
    trees: list[Tree] = []
    outputs: list[int] = []
    for place, dump in enumerate(dumps):
        if dump is None:
            trees, outputs = [*trees, make_leaf(0.0)], [*outputs, place]
            continue
        learner = dump["learner"]
        start = float(str(learner["learner_model_param"]["base_score"]).strip("[]"))
        found = [_read_tree(tree, levels) for tree in learner["gradient_booster"]["model"]["trees"]]
        trees += [make_leaf(start), *found]
        outputs += [place] * (len(found) + 1)
    return join_trees(trees, outputs)


def _read_classes(dump: Mapping[str, Any] | None, *, levels: Mapping[int, int], classes: int) -> Forest:
    if dump is None:
        return join_trees([make_leaf(0.0)], [0])
    learner = dump["learner"]
    text = str(learner["learner_model_param"]["base_score"]).strip("[]")
    start = np.array([float(part) for part in text.split(",")])
    start = np.log(start / (1.0 - start)) if classes == 2 else np.broadcast_to(start, classes)  # a probability, of two
    outputs = [1] if classes == 2 else list(range(classes))
    model = learner["gradient_booster"]["model"]
    own = [1 if classes == 2 else int(label) for label in model["tree_info"]]
    trees = [_read_tree(tree, levels) for tree in model["trees"]]
    return join_trees([*(make_leaf(float(one)) for one in start), *trees], [*outputs, *own])


def _read_tree(dump: Mapping[str, Any], levels: Mapping[int, int]) -> Tree:
    """One tree. XGBoost goes left where the value is below the threshold, and where the level is not in the set."""
    left = np.array(dump["left_children"], dtype=np.int32)
    leaf = left < 0
    number = np.array(dump["split_conditions"], dtype=np.float32)
    category = (np.array(dump["split_type"]) == 1) & ~leaf
    feature = np.where(leaf, -1, np.array(dump["split_indices"])).astype(np.int32)
    sets, choices = _read_sets(dump, feature, levels=levels)
    return Tree(
        feature=feature,
        threshold=np.where(leaf | category, np.float32(0.0), np.nextafter(number, np.float32(-np.inf))),
        left=np.where(leaf, 0, left).astype(np.int32),
        right=np.where(leaf, 0, np.array(dump["right_children"])).astype(np.int32),
        absent_left=(np.array(dump["default_left"]) == 1) & ~leaf,
        value=np.where(leaf, number, 0.0).astype(np.float64),
        sets=sets,
        choices=choices,
    )


def _read_sets(dump: Mapping[str, Any], feature: Whole, *, levels: Mapping[int, int]) -> tuple[Whole, Flags | None]:
    nodes = dump["categories_nodes"]
    sets = np.full(len(feature), -1, dtype=np.int32)
    if not nodes:
        return sets, None
    sets[nodes] = np.arange(len(nodes))
    choices = np.zeros((len(nodes), max(levels.values())), dtype=np.bool_)
    spans = zip(dump["categories_segments"], dump["categories_sizes"], strict=True)
    for place, (node, (start, size)) in enumerate(zip(nodes, spans, strict=True)):
        choices[place, : levels[int(feature[node])]] = True
        choices[place, dump["categories"][start : start + size]] = False
    return sets, choices
