"""A study takes the searcher, the pruner and the stops that it is told by name."""

from __future__ import annotations

from typing import Any

import pytest

from tidewright.errors import ConfigError, UnknownNameError
from tidewright.training.spec import TrainSpec
from tidewright.tuning.choose import choose_pruner, choose_searcher
from tidewright.tuning.pruners import HalvingPruner, HyperbandPruner, MedianPruner
from tidewright.tuning.ranges import FloatRange, IntRange
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.stops import Convergence
from tidewright.tuning.trial import TrialState
from tidewright.tuning.tune import tune

RATES = SearchSpace("nlinear", {"train.learning_rate": FloatRange(1e-4, 1e-1, log=True)})
SHORT = TrainSpec(epochs=3, steps=2, patience=3)


def search(world: Any, **changes: Any) -> Any:
    return tune(RATES, **world.given, model="nlinear", train=SHORT, **{"trials": 4, **changes})


def test_auto_says_what_it_takes_and_a_name_is_taken_as_it_is(world: Any) -> None:
    study = search(world)
    assert any(note.startswith("points are of gp: 1 option") for note in study.notes)
    qmc, again, random = (search(world, searcher=name) for name in ("qmc", "qmc", "random"))
    assert not any(note.startswith("points are of") for note in qmc.notes)
    points = [[trial.parameters for trial in one.trials[1:]] for one in (qmc, again, random)]
    assert points[0] == points[1] != points[2]


def test_the_pruner_that_is_asked_for_ends_trials(world: Any) -> None:
    states = {name: [t.state for t in search(world, pruner=name, trials=8).trials] for name in ("none", "halving")}
    assert set(states["none"]) == {TrialState.COMPLETE}
    assert TrialState.PRUNED in states["halving"]


def test_a_stop_ends_the_search_and_is_its_reason(world: Any) -> None:
    study = search(world, trials=30, stops=[Convergence(patience=3, gain=0.9)], together=1)
    assert len(study.trials) == 4
    assert study.reason.startswith("the last 3 trials gained no more than 90.00% on")


def test_a_pruner_knows_how_long_a_trial_can_be() -> None:
    assert choose_pruner("hyperband", space=RATES, epochs=27) == HyperbandPruner(most=27)
    assert choose_pruner("median", space=RATES, epochs=10) == MedianPruner(warmup=2)
    long = SearchSpace("nlinear", {"train.epochs": IntRange(10, 100)})
    assert choose_pruner("hyperband", space=long, epochs=27) == HyperbandPruner(most=100)
    assert choose_pruner("halving", space=long, epochs=27) == HalvingPruner()


def test_an_unknown_name_is_answered_with_the_near_miss() -> None:
    with pytest.raises(UnknownNameError, match=r"no searcher is called 'gpp'\. Did you mean 'gp'"):
        choose_searcher("gpp", space=RATES, trials=3)
    with pytest.raises(UnknownNameError, match=r"no pruner is called 'halfing'\. Did you mean 'halving'"):
        choose_pruner("halfing", space=RATES, epochs=3)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("adaptive", "yes", "adaptive is True, False or an AdaptiveSearchSpace of the space; got 'yes'"),
        ("warm_start", "yes", "warm_start is True, False or a number of points"),
        ("together", "yes", "together is how many trials are made at a time, 1 or more, or \"auto\"; got 'yes'"),
        ("folds", "3", "folds is the number of walk-forward folds, 1 or more; got '3'"),
        ("seeds", "many", "seeds is from how many seeds each trial is learned"),
        ("pruner", 3, "no pruner is called '3'"),
        ("stops", Convergence(), r"stops is a list of functions, such as \[Convergence"),
        ("stops", [3], r"stops is a list of functions, such as .*; got \[3\]"),
        ("callbacks", print, "callbacks is a list of functions"),
        ("first", [3], r"first is a list of points, such as .*; got \[3\]"),
        ("keep", -1, "keep is how many of the best trials keep their files, 0 or more; got -1"),
        ("seed", "x", "seed is a whole number, 0 or more; got 'x'"),
        ("workers", True, "workers is a number of processes, 1 or more; got True"),
        ("ray", 3, 'ray is "auto" or the address of a cluster; got 3'),
        ("budget_s", "5m", "budget_s is a number of seconds above 0; got '5m'"),
        ("ledger", 3, r"ledger is a folder, True \(the usual one\) or False \(none is kept\); got 3"),
        ("storage", 5, "storage is a folder, sqlite:///FILE or postgresql://..., or None; got 5"),
        ("name", 5, "name is the name of the study, in words; got 5"),
        ("folder", 5, "folder is where trials keep their files, or None; got 5"),
    ],
)
def test_what_a_search_can_not_heed_is_told_in_words(world: Any, name: str, value: Any, said: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=said):
        search(world, **{"ledger": False, name: value})
