"""The packed nodes are walked as the trees say, a row alone as among others, NaN and infinities included."""

import pickle

import numpy as np
import pytest

from tidewright.models.forest import Forest
from tidewright.models.packed_forest import pack


def grow(draw: np.random.Generator, *, trees: int, deepest: int, features: int, width: int, columns: int = 1) -> Forest:
    """Trees of chance: some are a leaf alone, some as deep as asked."""
    rows: list[tuple[int, float, int, int, bool]] = []
    roots: list[int] = []
    for _ in range(trees):
        roots.append(len(rows))
        limit = int(draw.integers(0, deepest + 1))
        open_nodes = [(len(rows), 0)]
        rows.append((-1, 0.0, 0, 0, False))
        while open_nodes:
            place, depth = open_nodes.pop()
            if depth < limit and (depth == 0 or draw.random() < 0.8):
                first = len(rows)
                rows += [(-1, 0.0, 0, 0, False)] * 2
                threshold = float(np.float32(draw.normal()))
                rows[place] = (int(draw.integers(features)), threshold, first, first + 1, bool(draw.random() < 0.5))
                open_nodes += [(first, depth + 1), (first + 1, depth + 1)]
    feature, threshold, left, right, absent = (np.array(column) for column in zip(*rows, strict=True))
    shape = (len(rows),) if columns == 1 else (len(rows), columns)
    return Forest(
        feature=feature.astype(np.int32),
        threshold=threshold.astype(np.float32),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        absent_left=absent.astype(np.bool_),
        value=draw.normal(size=shape),
        roots=np.array(roots, dtype=np.int32),
        outputs=draw.integers(0, width - columns + 1, size=trees).astype(np.int32),
    )


def walk_slowly(forest: Forest, rows: np.ndarray, width: int) -> np.ndarray:
    out = np.zeros((len(rows), width))
    values = forest.value.reshape(len(forest.feature), -1)
    for place, row in enumerate(rows):
        for root, output in zip(forest.roots, forest.outputs, strict=True):
            node = root
            while forest.feature[node] >= 0:
                value = row[forest.feature[node]]
                goes_left = forest.absent_left[node] if np.isnan(value) else value <= forest.threshold[node]
                node = forest.left[node] if goes_left else forest.right[node]
            out[place, output : output + values.shape[1]] += values[node]
    return out


def ask(draw: np.random.Generator, forest: Forest, *, count: int, features: int) -> np.ndarray:
    """Rows with NaN, infinities, and values that are thresholds themselves."""
    rows = draw.normal(size=(count, features)).astype(np.float32)
    rows[draw.random(rows.shape) < 0.2] = np.nan
    rows[draw.random(rows.shape) < 0.05] = np.inf
    rows[draw.random(rows.shape) < 0.05] = -np.inf
    equal = draw.random(rows.shape) < 0.3
    rows[equal] = draw.choice(forest.threshold, size=int(equal.sum()))
    return rows


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("trees", [1, 7, 8, 21])
def test_every_row_reaches_the_leaves_that_the_arrays_say(trees: int, columns: int) -> None:
    draw = np.random.default_rng(trees)
    forest = grow(draw, trees=trees, deepest=9, features=6, width=4, columns=columns)
    rows = ask(draw, forest, count=300, features=6)
    np.testing.assert_allclose(forest.predict(rows, width=4), walk_slowly(forest, rows, 4), rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [1, 3, 8, 9, 257, 300])
def test_a_row_alone_gets_the_bits_that_it_gets_among_others(count: int) -> None:
    draw = np.random.default_rng(count)
    forest = grow(draw, trees=30, deepest=8, features=5, width=3)
    rows = ask(draw, forest, count=count, features=5)
    together = forest.predict(rows, width=3)
    alone = np.concatenate([forest.predict(row[None], width=3) for row in rows])
    np.testing.assert_array_equal(together, alone)


def test_a_node_is_eight_bytes_and_wider_only_where_its_numbers_need_it() -> None:
    draw = np.random.default_rng(0)
    small = pack(grow(draw, trees=4, deepest=6, features=5, width=1))
    assert small.nodes.dtype.itemsize == 8
    assert (np.diff(small.trees[:, 1]) >= 0).all()
    forest = grow(draw, trees=3, deepest=5, features=70_000, width=1)
    assert pack(forest).nodes.dtype.itemsize == 12
    rows = ask(draw, forest, count=9, features=70_000)
    np.testing.assert_allclose(forest.predict(rows, width=1), walk_slowly(forest, rows, 1), rtol=0, atol=1e-12)


def test_a_forest_that_has_answered_can_be_sent_to_another_process() -> None:
    draw = np.random.default_rng(0)
    forest = grow(draw, trees=9, deepest=4, features=3, width=1)
    rows = ask(draw, forest, count=5, features=3)
    told = forest.predict(rows, width=1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(forest)).predict(rows, width=1), told)
