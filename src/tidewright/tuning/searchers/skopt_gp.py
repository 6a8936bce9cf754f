"""scikit-optimize's Gaussian process, as a backend by name."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from tidewright.optional import require
from tidewright.tuning.ranges import Choice, Range
from tidewright.tuning.searchers.cube import Cube
from tidewright.tuning.searchers.searcher import History, need_one_objective
from tidewright.tuning.searchers.shares import share_of
from tidewright.tuning.searchers.untried import Tried, next_untried, seed_of
from tidewright.tuning.searchers.worth import weigh_trials


class SkoptSearcher:
    """Asks scikit-optimize's `Optimizer`, as it is by default, told the history at once.

    It sees shares of the ranges and choices by their labels. It mixes three acquisitions by what they gained before
    (`gp_hedge`); asked anew each time it knows no gains, so that each is as likely as the others. Running trials count
    as the best known value, so that it looks elsewhere (its own "cl_min"); pruned and failed ones as in `GPSearcher`.
    """

    def __init__(self) -> None:
        self._tried = Tried()

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        need_one_objective(history, "skopt")
        skopt = require("skopt", extra="search", purpose="the search skopt")
        cube, tried = Cube(history.space), self._tried.labels(history)
        if not cube.options:
            return next_untried(history, tried, lambda _: None)
        worth = weigh_trials(history, cube)
        told = [_say(row, cube) for row in np.vstack([worth.places, worth.pending])]
        values = [*worth.values, *[min(worth.values, default=0.0)] * len(worth.pending)] if len(worth.values) else []

        def propose(turn: int) -> Mapping[str, Any]:
            asked = skopt.Optimizer(
                [_dimension(one, skopt) for one in cube.ranges], random_state=seed_of(history, turn) % 2**31
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of scikit-learn's, about fits at a bound and points seen before
                if len(values):
                    asked.tell(told, [float(value) for value in values])
                said = asked.ask()
            return cube.point(np.array([_place(one, part) for one, part in zip(cube.ranges, said, strict=True)]))

        return next_untried(history, tried, propose)


def _dimension(one: Range, skopt: Any) -> Any:
    return skopt.space.Categorical(list(one.labels)) if isinstance(one, Choice) else skopt.space.Real(0.0, 1.0)


def _say(places: Any, cube: Cube) -> list[Any]:
    """A point as scikit-optimize has it; an option that isn't there is in the middle."""
    return [
        one.labels[min(int(place * len(one.choices)), len(one.choices) - 1)]
        if isinstance(one, Choice)
        else float(place)
        for one, place in zip(cube.ranges, np.nan_to_num(places, nan=0.5), strict=True)
    ]


def _place(one: Range, said: Any) -> float:
    return share_of(one, json.loads(said)) if isinstance(one, Choice) else float(said)
