"""The compiled loop of `shapley`. Imported when first used, because numba takes 0.4 s.

A player's turn is 1 where a path needs it to be as in the row, 2 where it needs it as in the background.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


def _state(path: Any, depth: int, player: int) -> int:
    """What the path so far needs of a player; 0: nothing."""
    for place in range(depth):
        if path[place, 0] == player:
            return int(path[place, 1])
    return 0


def _share(path: Any, depth: int, value: float, weights: Any, out: Any) -> None:
    """Gives each player of a path its part of the leaf's value."""
    own = 0
    for place in range(depth):
        if path[place, 1] == 1:
            own += 1
    for place in range(depth):
        if path[place, 1] == 1:
            out[path[place, 0]] += value * weights[own - 1, depth - own]
        else:
            out[path[place, 0]] -= value * weights[own, depth - own - 1]


def _walk_pair(ours: Any, theirs: Any, tree: Any, root: int, weights: Any, room: Any, out: Any) -> None:
    """All leaves of a tree that a mixture of two rows can reach; `room` is for the path and what is to be walked."""
    player, left, right, value = tree
    path, later = room
    later[0, 0], later[0, 1], count = root, 0, 1
    while count > 0:
        count -= 1
        node, depth = later[count, 0], later[count, 1]
        if depth > 0:
            path[depth - 1, 0], path[depth - 1, 1] = later[count, 2], 2
        while player[node] >= 0:
            turn = ours[node]
            if turn != theirs[node]:
                state = state_of(path, depth, player[node])
                if state == 0:  # both ways: the background's later, ours now
                    later[count, 0] = right[node] if turn else left[node]
                    later[count, 1], later[count, 2] = depth + 1, player[node]
                    count += 1
                    path[depth, 0], path[depth, 1] = player[node], 1
                    depth += 1
                elif state == 2:
                    turn = not turn
            node = left[node] if turn else right[node]
        share(path, depth, value[node], weights, out)


def _explain(ours: Any, theirs: Any, tree: Any, roots: Any, weights: Any, players: int, deepest: int) -> Any:
    out = np.zeros((len(ours), players))
    room = (np.zeros((deepest + 1, 2), dtype=np.int64), np.zeros((deepest + 2, 3), dtype=np.int64))
    for root in roots:
        for row in range(len(ours)):
            for other in range(len(theirs)):
                walk_pair(ours[row], theirs[other], tree, root, weights, room, out[row])
    return out / len(theirs)


state_of = njit(cache=True, nogil=True)(_state)
share = njit(cache=True, nogil=True)(_share)
walk_pair = njit(cache=True, nogil=True)(_walk_pair)
explain = njit(cache=True, nogil=True)(_explain)
