"""CatBoost's JSON model read into a `Forest`: each oblivious tree as a full binary one.

A category that CatBoost learned by target statistics is one number a level in the end, so that a split of it is a set
of levels. The numbers come from the counts in the model's hash tables, in CatBoost's own float32 arithmetic; the hash
of one column alone is that of `CalcHash` in its sources (catboost/libs/model/hash.h, Apache 2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.errors import FitError
from tidewright.models.forest import Flags, Forest, Tree, join_trees, make_leaf

ABSENT = "absent"  # the word for no level
MAGIC, WORD = 0x4906BA494954CB65, 2**64


@dataclass(frozen=True, eq=False, slots=True)
class _Split:
    """A question: left where the value is at most `threshold`, or where its level is among `choices`."""

    feature: int
    threshold: np.float32
    absent_left: bool
    choices: Flags | None = None


def read_catboost(dump: Mapping[str, Any], *, n_features: int, levels: Mapping[int, int], first: int = 0) -> Forest:
    """The forest of a CatBoost model, as its JSON; with several outputs a leaf has a value for each.

    `levels` are the features of categories, and how many levels each has; CatBoost was given the others first. A leaf
    adds to the output `first` and those after it.
    """
    order = [place for place in range(n_features) if place not in levels]
    splits = _read_splits(dump["features_info"], dump.get("ctr_data") or {}, numbers=order, levels=levels)
    scale, bias = dump["scale_and_bias"]
    trees = [_read_tree(tree, splits, scale=scale, width=len(bias)) for tree in dump["oblivious_trees"]]
    trees.append(make_leaf(bias if len(bias) > 1 else bias[0]))
    return join_trees(trees, [first] * len(trees))


def _read_tree(tree: Mapping[str, Any], splits: list[_Split], *, scale: float, width: int) -> Tree:
    """Nodes in the order of a heap; the last question, the highest bit of a leaf's number, is the root's."""
    asked = [splits[split["split_index"]] for split in tree["splits"] or ()][::-1]
    inner = 2 ** len(asked) - 1
    place = np.arange(inner)
    depth = np.repeat(np.arange(len(asked)), 2 ** np.arange(len(asked)))
    values = np.array(tree["leaf_values"], dtype=np.float64).reshape(inner + 1, width) * scale
    value = np.vstack([np.zeros((inner, width)), values])
    sets, choices = _join_choices(asked)

    def widen(numbers: list[Any], kind: Any, filler: Any) -> npt.NDArray[Any]:
        own = np.array(numbers, dtype=kind)[depth] if asked else np.zeros(0, dtype=kind)
        return np.concatenate([own, np.full(inner + 1, filler, dtype=kind)])

    none = np.zeros(inner + 1, dtype=np.int32)
    return Tree(
        feature=widen([split.feature for split in asked], np.int32, -1),
        threshold=widen([split.threshold for split in asked], np.float32, 0.0),
        left=np.concatenate([2 * place + 1, none]).astype(np.int32),
        right=np.concatenate([2 * place + 2, none]).astype(np.int32),
        absent_left=widen([split.absent_left for split in asked], np.bool_, False),
        value=value if width > 1 else value[:, 0],
        sets=widen(sets, np.int32, -1),
        choices=choices,
    )


def _join_choices(asked: list[_Split]) -> tuple[list[int], Flags | None]:
    """The place of each split's choices (-1: none), and these as one table."""
    found = [split.choices for split in asked if split.choices is not None]
    if not found:
        return [-1] * len(asked), None
    widest = max(len(choices) for choices in found)
    table = np.array([np.pad(choices, (0, widest - len(choices))) for choices in found])
    places = np.cumsum([split.choices is not None for split in asked]) - 1
    return [int(p) if s.choices is not None else -1 for p, s in zip(places, asked, strict=True)], table


def _read_splits(
    info: Mapping[str, Any], tables: Mapping[str, Any], *, numbers: list[int], levels: Mapping[int, int]
) -> list[_Split]:
    """Every split that the model knows, in the order of CatBoost's `split_index`."""
    found = []
    for feature in info["float_features"]:
        right = feature["nan_value_treatment"] == "AsTrue"
        place = numbers[feature["flat_feature_index"]]
        found += [_Split(place, np.float32(border), not right) for border in feature["borders"] or ()]
    places = list(levels)
    hashes = {entry["value"]: int(entry["hash"]) for entry in info.get("cat_features_hash") or ()}
    words = {place: [*map(str, range(count)), ABSENT] for place, count in levels.items()}
    for feature in info.get("categorical_features") or ():
        place = places[feature["feature_index"]]
        own = np.array([hashes.get(word, -1) % 2**32 if word in hashes else -1 for word in words[place]])
        for value in feature.get("values") or ():
            found.append(_choose(place, own != int(value) % 2**32))
    for ctr in info.get("ctrs") or ():
        elements = ctr["elements"]
        if len(elements) != 1 or "cat_feature_index" not in elements[0]:
            raise FitError("a tree splits a combination of categories, which a Forest does not hold.")
        place = places[elements[0]["cat_feature_index"]]
        statistic = _measure_ctr(ctr, tables[ctr["identifier"]], [hashes.get(word) for word in words[place]])
        found += [_choose(place, statistic <= np.float32(border)) for border in ctr["borders"]]
    return found


def _choose(place: int, left: Flags) -> _Split:
    """A split by levels, the last of which is that no level is there."""
    return _Split(place, np.float32(0.0), bool(left[-1]), left[:-1])


def _measure_ctr(ctr: Mapping[str, Any], table: Mapping[str, Any], hashes: list[int | None]) -> npt.NDArray[np.float32]:
    """The target statistic of each level, by its counts in training."""
    stride = int(table["hash_stride"])
    flat = table["hash_map"]
    counts = {int(flat[i]): [int(n) for n in flat[i + 1 : i + stride]] for i in range(0, len(flat), stride)}
    pairs = [_count(ctr, table, counts.get(_hash_alone(code)) if code is not None else None) for code in hashes]
    good, total = np.array(pairs, dtype=np.float32).T
    prior, weight = np.float32(ctr["prior_numerator"]), np.float32(ctr["prior_denomerator"])
    share: npt.NDArray[np.float32] = (good + prior) / (total + weight)
    return (share + np.float32(ctr["shift"])) * np.float32(ctr["scale"])


def _count(ctr: Mapping[str, Any], table: Mapping[str, Any], counts: list[int] | None) -> tuple[int, int]:
    """The counts of a level that its statistic divides; 0 of 0 for one that training had not."""
    if counts is None:
        return 0, 0
    kind, border = ctr["ctr_type"], int(ctr["target_border_idx"])
    if kind == "Borders":
        return sum(counts[border + 1 :]), sum(counts)
    if kind == "Buckets":
        return counts[border], sum(counts)
    if kind in ("Counter", "FeatureFreq"):
        return counts[0], int(table["counter_denominator"])
    raise FitError(f"a tree splits the target statistic '{kind}', which is not read here.")


def _hash_alone(code: int) -> int:
    """The key of one column's level in a table: of its hash as a signed number of 32 bits."""
    signed = code - 2**32 if code >= 2**31 else code
    return (MAGIC * ((MAGIC * signed) % WORD)) % WORD
