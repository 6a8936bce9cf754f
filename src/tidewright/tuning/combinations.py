"""Which combinations of given values to try: all of them while they are few, a draw from them when they are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from tidewright.errors import ConfigError

Combination = dict[str, Any]


def choose_combinations(
    space: Mapping[str, Sequence[Any]], *, most: int, seed: int
) -> tuple[tuple[Combination, ...], str]:
    """At most `most` different combinations, and the method: "grid" is all there are, "random" an even draw.

    Raises `ConfigError`.

    >>> choose_combinations({"rate": [0.1, 0.01], "units": [8, 16]}, most=10, seed=0)[1]
    'grid'
    >>> chosen, method = choose_combinations({"rate": range(1000), "units": range(1000)}, most=3, seed=0)
    >>> len(chosen), method
    (3, 'random')
    """
    if most < 1:
        raise ConfigError(f"trials is a number of combinations, 1 or more; got {most}.")
    for name, values in space.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not len(values):
            raise ConfigError(f"the space of {name} is a list of one value or more; got {values!r}.")
    sizes = [len(values) for values in space.values()]
    if prod(sizes) <= most:
        return tuple(dict(zip(space, chosen, strict=True)) for chosen in product(*space.values())), "grid"
    draw, places = np.random.default_rng(seed), dict[tuple[int, ...], None]()
    while len(places) < most:  # fewer than there are, so it ends
        places[tuple(int(draw.integers(size)) for size in sizes)] = None
    values = list(space.values())
    return tuple(
        dict(zip(space, (values[k][place] for k, place in enumerate(one)), strict=True)) for one in places
    ), "random"
