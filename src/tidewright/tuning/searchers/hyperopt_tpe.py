"""Hyperopt's TPE (Bergstra et al. 2013), as a backend by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tidewright.optional import require
from tidewright.tuning.ranges import Choice, Range
from tidewright.tuning.searchers.cube import Cube, Doubles
from tidewright.tuning.searchers.searcher import History, need_one_objective
from tidewright.tuning.searchers.shares import share_of
from tidewright.tuning.searchers.untried import Tried, next_untried, seed_of
from tidewright.tuning.trial import Trial, TrialState


class HyperoptSearcher:
    """Asks Hyperopt's TPE, as it is by default, with the history as its trials.

    It is told shares of the ranges, evenly spread, and choices by their place. Running trials are new jobs to it,
    pruned and failed ones failed jobs: all three are the worst there is.
    """

    def __init__(self) -> None:
        self._tried = Tried()

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        need_one_objective(history, "hyperopt")
        cube = Cube(history.space)
        hyperopt = require("hyperopt", extra="search", purpose="the search hyperopt")
        tried = self._tried.labels(history)
        if not cube.options:
            return next_untried(history, tried, lambda _: None)
        nodes = {name: _node(name, one, hyperopt) for name, one in zip(cube.options, cube.ranges, strict=True)}
        domain = hyperopt.Domain(lambda _: 0.0, nodes)
        told = hyperopt.trials_from_docs(
            [_document(t, cube) for t in history.trials if history.space.holds(t.parameters)]
        )

        def propose(turn: int) -> Mapping[str, Any]:
            asked = hyperopt.tpe.suggest([history.number], domain, told, seed_of(history, turn) % 2**31, verbose=False)
            values = asked[0]["misc"]["vals"]
            return cube.point(_places(values, cube))

        return next_untried(history, tried, propose)


def _node(name: str, one: Range, hyperopt: Any) -> Any:
    if isinstance(one, Choice):
        return hyperopt.hp.choice(name, list(range(len(one.choices))))
    return hyperopt.hp.uniform(name, 0.0, 1.0)


def _document(trial: Trial, cube: Cube) -> dict[str, Any]:
    """The trial as Hyperopt has it; an option that isn't there has no value."""
    values = {
        name: [_value(one, trial.parameters[name])] if name in trial.parameters else []
        for name, one in zip(cube.options, cube.ranges, strict=True)
    }
    complete = trial.state is TrialState.COMPLETE
    return {
        "state": 2,  # done; a loss that is missing counts as infinite
        "tid": trial.number,
        "spec": None,
        "result": {"status": "ok" if complete else "fail", **({"loss": trial.value} if complete else {})},
        "misc": {
            "tid": trial.number,
            "cmd": ("domain_attachment", "FMinIter_Domain"),
            "workdir": None,
            "idxs": {name: [trial.number] * len(held) for name, held in values.items()},
            "vals": values,
        },
        "exp_key": None,
        "owner": None,
        "version": 0,
        "book_time": None,
        "refresh_time": None,
    }


def _value(one: Range, value: Any) -> Any:
    return one.labels.index(json.dumps(value)) if isinstance(one, Choice) else share_of(one, value)


def _places(values: Mapping[str, Any], cube: Cube) -> Doubles:
    """The places [O] of what Hyperopt says."""
    said = [float(values[name][0]) for name in cube.options]
    return np.array(
        [
            (place + 0.5) / len(one.choices) if isinstance(one, Choice) else place
            for one, place in zip(cube.ranges, said, strict=True)
        ]
    )
