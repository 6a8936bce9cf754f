"""The compiled walks through a forest. Imported when first used, because numba takes 0.4 s.

Eight walks are under way at a time, of one row through eight trees or of eight rows through one, for a walk alone waits
for memory at every node. All of them take as many steps as the deepest needs: a leaf leads to itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

BLOCK = 256  # rows that pass one tree together: the tree stays in the cache; a multiple of eight


@njit(inline="always")  # type: ignore[untyped-decorator]
def _step(node: Any, rows: Any, row: Any) -> Any:
    """How far on the child stands. Where it is written as negative, NaN goes right."""
    ahead, value = node.ahead, rows[row, node.feature]
    return abs(ahead) + (not (value <= node.threshold) if ahead < 0 else value > node.threshold)


@njit(inline="always")  # type: ignore[untyped-decorator]
def _add(out: Any, row: Any, first: Any, values: Any, leaf: Any) -> None:
    for column in range(values.shape[1]):
        out[row, first + column] += values[leaf, column]


def _walk_row(rows: Any, row: Any, nodes: Any, values: Any, trees: Any, out: Any) -> None:
    """Adds to `out` [C, Q] what one of the rows [C, F] reaches; trees stand in the order of their depths."""
    tree, count = 0, len(trees)
    while tree + 8 <= count:
        a, b, c, d = trees[tree, 0], trees[tree + 1, 0], trees[tree + 2, 0], trees[tree + 3, 0]
        e, f, g, h = trees[tree + 4, 0], trees[tree + 5, 0], trees[tree + 6, 0], trees[tree + 7, 0]
        for _ in range(trees[tree + 7, 1]):
            a += _step(nodes[a], rows, row)
            b += _step(nodes[b], rows, row)
            c += _step(nodes[c], rows, row)
            d += _step(nodes[d], rows, row)
            e += _step(nodes[e], rows, row)
            f += _step(nodes[f], rows, row)
            g += _step(nodes[g], rows, row)
            h += _step(nodes[h], rows, row)
        _add(out, row, trees[tree, 2], values, a)
        _add(out, row, trees[tree + 1, 2], values, b)
        _add(out, row, trees[tree + 2, 2], values, c)
        _add(out, row, trees[tree + 3, 2], values, d)
        _add(out, row, trees[tree + 4, 2], values, e)
        _add(out, row, trees[tree + 5, 2], values, f)
        _add(out, row, trees[tree + 6, 2], values, g)
        _add(out, row, trees[tree + 7, 2], values, h)
        tree += 8
    while tree < count:
        a = trees[tree, 0]
        for _ in range(trees[tree, 1]):
            a += _step(nodes[a], rows, row)
        _add(out, row, trees[tree, 2], values, a)
        tree += 1


walk_row = njit(cache=True, nogil=True)(_walk_row)


def _walk_rows(rows: Any, nodes: Any, values: Any, trees: Any, out: Any) -> None:
    """Adds to `out` [C, Q] what rows [C, F] reach, to each as `walk_row` does."""
    whole = len(rows) // 8 * 8
    for start in range(0, whole, BLOCK):
        for tree in range(len(trees)):
            root, depth, first = trees[tree]
            for row in range(start, min(start + BLOCK, whole), 8):
                a, b, c, d, e, f, g, h = root, root, root, root, root, root, root, root
                for _ in range(depth):
                    a += _step(nodes[a], rows, row)
                    b += _step(nodes[b], rows, row + 1)
                    c += _step(nodes[c], rows, row + 2)
                    d += _step(nodes[d], rows, row + 3)
                    e += _step(nodes[e], rows, row + 4)
                    f += _step(nodes[f], rows, row + 5)
                    g += _step(nodes[g], rows, row + 6)
                    h += _step(nodes[h], rows, row + 7)
                _add(out, row, first, values, a)
                _add(out, row + 1, first, values, b)
                _add(out, row + 2, first, values, c)
                _add(out, row + 3, first, values, d)
                _add(out, row + 4, first, values, e)
                _add(out, row + 5, first, values, f)
                _add(out, row + 6, first, values, g)
                _add(out, row + 7, first, values, h)
    for row in range(whole, len(rows)):
        walk_row(rows, row, nodes, values, trees, out)


def _walk_sets(inputs: Any, nodes: Any, values: Any, roots: Any, outputs: Any, out: Any) -> None:
    feature, threshold, left, right, absent_left, sets, members = nodes
    levels = 8 * members.shape[1]
    for start in range(0, len(inputs), BLOCK):
        for tree in range(len(roots)):
            for row in range(start, min(start + BLOCK, len(inputs))):
                node = roots[tree]
                while feature[node] >= 0:
                    value = inputs[row, feature[node]]
                    if np.isnan(value):
                        goes_left = absent_left[node]
                    elif sets[node] < 0:
                        goes_left = value <= threshold[node]
                    else:
                        level = int(value)
                        inside = 0 <= level < levels
                        goes_left = inside and (members[sets[node], level >> 3] >> (level & 7)) & 1 == 1
                    node = left[node] if goes_left else right[node]
                for column in range(values.shape[1]):
                    out[row, outputs[tree] + column] += values[node, column]


walk_rows = njit(cache=True, nogil=True)(_walk_rows)
walk_sets = njit(cache=True, nogil=True)(_walk_sets)
