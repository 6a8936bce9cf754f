"""Which trials are ended early, and what is said of them; halving and the signed-rank test against Optuna's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import optuna
import pytest

from tidewright.errors import ConfigError
from tidewright.tuning.pruners import (
    PRUNERS,
    HalvingPruner,
    HyperbandPruner,
    MedianPruner,
    NoPruner,
    WilcoxonPruner,
)
from tidewright.tuning.trial import Trial, TrialState

COMPLETE, RUNNING, PRUNED = TrialState.COMPLETE, TrialState.RUNNING, TrialState.PRUNED


def reported(number: int, values: list[float], state: TrialState = COMPLETE) -> Trial:
    steps = tuple(enumerate(values, start=1))
    return Trial(number, state, (values[-1],) if state is COMPLETE else (), steps=steps)


def test_each_pruner_of_the_catalog_lets_the_first_trial_alone() -> None:
    trial = reported(0, [3.0, 2.0, 2.5], RUNNING)
    for name in PRUNERS:
        assert PRUNERS.load(name)().hopeless(trial, []) == ""
        assert PRUNERS.load(name)().hopeless(Trial(0, RUNNING), [reported(1, [1.0])]) == ""
        assert PRUNERS.load(name)().hopeless(reported(0, [float("nan")], RUNNING), [reported(1, [1.0])]) == ""


def test_the_median_is_said_in_words() -> None:
    others = [reported(k, [0.5, 0.3 + 0.01 * k]) for k in range(7)]
    said = MedianPruner(warmup=2).hopeless(reported(7, [0.45, 0.43], RUNNING), others)
    assert said == "its best value 0.43 up to step 2 is above 0.33, the median of 7 trials"
    assert MedianPruner(warmup=3).hopeless(reported(7, [0.45, 0.43], RUNNING), others) == ""
    assert NoPruner().hopeless(reported(7, [0.45, 0.43], RUNNING), others) == ""


def test_halving_lets_the_best_third_go_on_at_its_steps_alone() -> None:
    others = [reported(k, [0.1 * k, 0.1 * k, 0.1 * k], PRUNED) for k in range(5)]
    halving = HalvingPruner(least=1, reduction=3)
    assert halving.hopeless(reported(9, [0.05], RUNNING), others) == ""
    said = halving.hopeless(reported(9, [0.25], RUNNING), others)
    assert said == "its best value 0.25 up to step 1 is not among the best 2 of 6 trials, which end at 0.1"
    assert halving.hopeless(reported(9, [0.25, 0.25], RUNNING), others) == ""
    assert "step 3" in halving.hopeless(reported(9, [0.25, 0.25, 0.25], RUNNING), others)
    assert HalvingPruner(least=2).hopeless(reported(9, [0.25], RUNNING), others) == ""


def test_halving_ends_the_trials_that_optuna_ends() -> None:
    draw = np.random.default_rng(0)
    theirs = optuna.create_study(
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3, bootstrap_count=0)
    )
    ours: list[Trial] = []
    for number in range(25):
        values = list(np.minimum.accumulate(draw.random(9)))
        asked, done = theirs.ask(), 0
        for done, value in enumerate(values, start=1):
            asked.report(value, done)
            trial = reported(number, values[:done], RUNNING)
            pruned = asked.should_prune()
            assert bool(HalvingPruner().hopeless(trial, ours)) == pruned, (number, done)
            if pruned:
                break
        theirs.tell(asked, state=optuna.trial.TrialState.PRUNED)
        ours.append(reported(number, values[:done], PRUNED))


def test_hyperband_gives_its_halvings_their_shares() -> None:
    hyperband = HyperbandPruner(most=27, least=1, reduction=3)
    shares = Counter(hyperband.bracket(number) for number in range(490))
    assert [shares[k] for k in range(4)] == pytest.approx([270, 120, 60, 40], abs=5)
    second = next(n for n in range(99) if hyperband.bracket(n) == 1)
    first = next(n for n in range(99) if hyperband.bracket(n) == 0)
    others = [reported(n, [0.1] * 9, PRUNED) for n in range(100, 160)]
    assert hyperband.hopeless(reported(first, [0.9], RUNNING), others) != ""
    assert hyperband.hopeless(reported(second, [0.9], RUNNING), others) == ""
    assert hyperband.hopeless(reported(second, [0.9] * 3, RUNNING), others) != ""


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_folds_are_compared_with_those_of_the_best_trial_as_optuna_does() -> None:
    draw, verdicts = np.random.default_rng(1), Counter[bool]()
    for _ in range(40):
        best, mine = draw.random(8), draw.random(8) + 0.2
        study = optuna.create_study(pruner=optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=2))
        steps = {k + 1: float(v) for k, v in enumerate(best)}
        study.add_trial(optuna.trial.create_trial(value=float(best.mean()), intermediate_values=steps))
        asked = study.ask()
        for done in range(1, 9):
            asked.report(float(mine[done - 1]), done)
            said = WilcoxonPruner().hopeless(
                reported(1, list(mine[:done]), RUNNING),
                [Trial(0, COMPLETE, (float(best.mean()),), steps=tuple(steps.items()))],
            )
            assert bool(said) == asked.should_prune()
            verdicts[bool(said)] += 1
    assert min(verdicts.values()) > 20
    assert "worse than those of trial 0 (signed-rank test, p = 0.0" in WilcoxonPruner().hopeless(
        reported(1, [2.0, 2.1, 2.2, 2.3, 2.4], RUNNING), [reported(0, [1.0, 1.0, 1.0, 1.0, 1.0])]
    )


def test_options_that_make_no_sense_are_refused() -> None:
    for made, message in (
        (lambda: HalvingPruner(least=0), "1 or more; got 0"),
        (lambda: HalvingPruner(reduction=1), "2 or more; got 1"),
        (lambda: HyperbandPruner(most=2, least=3), "at least 3"),
        (lambda: WilcoxonPruner(level=1.0), "between 0 and 1; got 1.0"),
    ):
        with pytest.raises(ConfigError, match=message):
            made()
