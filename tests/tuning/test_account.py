"""The account of a study: counted over studies, corrected, and right in worlds whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidewright.errors import FitError, UnknownNameError
from tidewright.metrics.accuracy import METRICS
from tidewright.metrics.effective import effective_number
from tidewright.metrics.returns import sharpe
from tidewright.metrics.selection import correct_selection
from tidewright.portfolio.inference import deflated_sharpe, minimum_track_record, sample_sharpe
from tidewright.tuning.account import Earlier, settle
from tidewright.tuning.goals import find_goal, sum_parts
from tidewright.tuning.ledger import Bet, Subject
from tidewright.tuning.space import FloatRange, IntRange, SearchSpace
from tidewright.tuning.tune import tune

DAMPED = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0), "model.recent": IntRange(2, 14)})
MAE, SHARPE = Subject("d", 1, (0.5,), "mae"), Subject("d", 2, (0.1, 0.9), "sharpe")


def bet_losses(losses: np.ndarray, *, study: str = "a", positions: Any = None) -> list[Bet]:
    """Bets whose losses at each cutoff are the columns of [C, N]."""
    places = np.arange(len(losses)) if positions is None else positions
    return [
        Bet(
            study, n, "complete", "m", f"{study}{n}", "p", float(one.mean()), places, np.stack([one, np.ones(len(one))])
        )
        for n, one in enumerate(losses.T)
    ]


def bet_returns(returns: np.ndarray) -> list[Bet]:
    scores = [-sharpe(one, periods_per_year=252) for one in returns.T]
    places = np.arange(len(returns))
    return [Bet("a", n, "complete", "m", f"k{n}", "p", scores[n], places, one[None]) for n, one in enumerate(returns.T)]


def best_of(bets: list[Bet]) -> Bet:
    return min(bets, key=lambda bet: math.inf if bet.score is None else bet.score)


def test_the_account_is_made_of_the_statistics_it_names() -> None:
    losses = np.random.default_rng(0).random((40, 12))
    bets = bet_losses(losses)
    best = best_of(bets)
    found = settle(bets, study="a", number=best.number, goal=find_goal("mae"), subject=MAE)
    assert found is not None
    sums = sum_parts(np.stack([bet.parts for bet in bets], axis=-1), goal=find_goal("mae"))
    assert sums is not None
    assert found.corrected == pytest.approx(correct_selection(sums).corrected)
    assert found.score == pytest.approx(losses.mean(axis=0).min())
    assert (found.trials, found.studies, found.compared, found.positions) == (12, 1, 12, 40)
    assert 8 < found.effective <= 12
    assert 0 <= found.overfitting.probability <= 1


def test_the_skill_of_a_strategy_counts_effective_trials() -> None:
    draw = np.random.default_rng(1)
    returns = draw.normal(0.0005, 0.01, (500, 1)) + draw.normal(0, 0.002, (500, 20))
    bets = bet_returns(returns)
    best = best_of(bets)
    found = settle(bets, study="a", number=best.number, goal=find_goal("sharpe"), subject=SHARPE, per_year=252)
    assert found is not None
    assert found.skill is not None
    sample = sample_sharpe(returns[:, best.number])
    assert found.score == pytest.approx(sample.sharpe * math.sqrt(252))
    assert found.effective < 5  # they are nearly one
    expected = deflated_sharpe(sample, trials=found.effective, trial_variance=1 / 499)
    assert found.skill.deflated.probability == pytest.approx(expected.probability)
    assert found.skill.track_record == pytest.approx(minimum_track_record(sample))
    assert found.corrected < found.score
    assert "deflated Sharpe ratio" in "\n".join(found.lines())


def test_trials_of_other_studies_count_and_pruned_ones_do() -> None:
    draw = np.random.default_rng(2)
    bets = bet_losses(draw.random((30, 5)) - 0.5) + bet_losses(draw.random((30, 5)), study="b")
    bets += [Bet("b", 5, "pruned", "m", "x", "p", None), Bet("b", 6, "pruned", "m", "y", "p", None)]
    found = settle(bets, study="a", number=best_of(bets).number, goal=find_goal("mae"), subject=MAE)
    assert found is not None
    assert (found.trials, found.studies, found.compared) == (12, 2, 10)
    assert found.effective > 10 * 0.6


def test_where_another_study_has_a_better_trial_the_choice_was_made_in_its_own() -> None:
    draw = np.random.default_rng(3)
    mine = bet_losses(draw.random((30, 5)))
    better = bet_losses(draw.random((30, 5)) - 5.0, study="b")
    alone, among = (
        settle(bets, study="a", number=best_of(mine).number, goal=find_goal("mae"), subject=MAE)
        for bets in (mine, mine + better)
    )
    assert alone is not None
    assert among is not None
    assert among.corrected == pytest.approx(alone.corrected)
    assert (alone.trials, among.trials) == (5, 10)


def test_trials_at_other_cutoffs_are_counted_and_not_compared() -> None:
    draw = np.random.default_rng(4)
    mine = bet_losses(draw.random((30, 4)))
    wider = bet_losses(draw.random((40, 3)), study="b", positions=np.arange(40))
    other = bet_losses(draw.random((30, 3)), study="c", positions=np.arange(30) + 100)
    found = settle([*mine, *wider, *other], study="a", number=best_of(mine).number, goal=find_goal("mae"), subject=MAE)
    assert found is not None
    assert (found.trials, found.compared) == (10, 7)


def test_a_figure_that_depends_on_the_order_of_returns_says_why_it_is_not_corrected() -> None:
    bets = bet_returns(np.random.default_rng(5).normal(0, 0.01, (60, 4)))
    found = settle(bets, study="a", number=2, goal=find_goal("max_drawdown"), subject=SHARPE)
    assert found is not None
    assert math.isnan(found.corrected)
    assert "order of returns" in found.lines()[1]
    assert found.skill is not None


def test_trials_that_found_the_first_points_count_and_make_the_correction_no_longer_too_small() -> None:
    """60 trials without skill, the best three of which by another metric begin a study of eight: its best looks better
    than it is by twice the standard error, and a correction that knows of the eight alone takes too little off."""
    draw, few, all_ = np.random.default_rng(1), [], []
    for _ in range(30):
        losses = 1.0 + draw.normal(size=(40, 65))
        other = 0.9 * losses + math.sqrt(1 - 0.9**2) * draw.normal(size=losses.shape)
        bets = bet_losses(losses[:, [*np.argsort(other[:, :60].mean(axis=0))[:3], *range(60, 65)]])
        asked: dict[str, Any] = {"study": "a", "number": best_of(bets).number, "goal": find_goal("mae"), "subject": MAE}
        alone, whole = settle(bets, **asked), settle(bets, **asked, earlier=(Earlier("b", 60, "by mase"),))
        assert alone is not None
        assert whole is not None
        assert (whole.trials, whole.studies, whole.compared, whole.score) == (68, 2, 8, alone.score)
        assert alone.effective < whole.effective <= 68
        few.append(alone.corrected - 1.0)
        all_.append(whole.corrected - 1.0)
    error = float(np.std(few)) / math.sqrt(len(few))
    assert np.mean(few) < -3 * error
    assert -2 * error < np.mean(all_) < 0.08  # of a standard error of 0.16


def test_earlier_trials_that_are_bets_here_or_on_other_labels_change_nothing_but_the_words() -> None:
    bets = bet_losses(np.random.default_rng(2).random((30, 5))) + bet_losses(np.ones((30, 2)), study="b")
    asked: dict[str, Any] = {"study": "a", "number": best_of(bets[:5]).number, "goal": find_goal("mae"), "subject": MAE}
    alone = settle(bets, **asked)
    whole = settle(bets, **asked, earlier=(Earlier("b", 2, "here"), Earlier("c", 50, "it is of other series", False)))
    assert alone is not None
    assert whole is not None
    assert replace(whole, earlier=()) == alone
    assert whole.lines()[-1] == (
        "50 trials of study c, whose best points it began with, are not counted: it is of other series"
    )
    (told,) = whole.to_dict()["earlier"]
    assert told == {"study": "c", "trials": 50, "why": "it is of other series", "counted": False}


def test_a_strategy_is_deflated_by_earlier_trials_too() -> None:
    bets = bet_returns(np.random.default_rng(8).normal(0.001, 0.01, (250, 5)))
    asked: dict[str, Any] = {"study": "a", "number": best_of(bets).number, "goal": find_goal("sharpe")}
    alone, whole = (settle(bets, **asked, subject=SHARPE, earlier=e) for e in ((), (Earlier("b", 45, "by sortino"),)))
    assert alone is not None
    assert whole is not None
    assert alone.skill is not None
    assert whole.skill is not None
    assert whole.skill.deflated.probability < alone.skill.deflated.probability
    assert whole.corrected < alone.corrected  # a Sharpe ratio


def test_what_is_no_bet_has_no_account() -> None:
    bets = bet_losses(np.random.default_rng(6).random((30, 4)))
    assert settle(bets, study="z", number=0, goal=find_goal("mae"), subject=MAE) is None


def test_a_study_has_its_account_and_says_it(world: Any, tmp_path: Path) -> None:
    first = tune(DAMPED, model="damped", trials=8, ledger=tmp_path, **world.given)
    assert first.account is not None
    assert first.account.trials == 8
    assert first.account.score == pytest.approx(first.score, rel=1e-5)
    assert f"{first.account.corrected:.4g} corrected for the choice" in str(first)
    again = tune(DAMPED, model="damped", trials=5, seed=1, ledger=tmp_path, **world.given)
    assert again.account is not None
    assert (again.account.trials, again.account.studies) == (13, 2)
    assert "13 trials on this data in 2 studies" in str(again)
    alone = tune(DAMPED, model="damped", trials=5, seed=1, ledger=False, **world.given)
    assert alone.account is not None
    assert alone.account.trials == 5
    assert alone.to_dict()["account"]["trials"] == 5


def test_a_study_that_goes_on_counts_no_trial_twice(world: Any, tmp_path: Path) -> None:
    kept: dict[str, Any] = {"storage": tmp_path / "study", "ledger": tmp_path / "ledger", **world.given}
    for trials in (3, 6, 6):
        study = tune(DAMPED, model="damped", trials=trials, **kept)
        assert study.account is not None
        assert (study.account.trials, study.account.studies) == (trials, 1)
    whole = tune(DAMPED, model="damped", trials=6, ledger=False, **world.given)
    assert whole.account is not None
    assert study.account.corrected == whole.account.corrected


def test_noise_is_seldom_called_skill_and_an_edge_is() -> None:
    """The best of 40 strategies that move together by a half, over a year of days; an edge is a Sharpe ratio of 6."""
    draw, called = np.random.default_rng(9), {0.0: 0, 6.0: 0}
    for annual in called:
        for _ in range(40):
            returns = 0.007 * (draw.normal(size=(252, 1)) + draw.normal(size=(252, 40)))
            returns[:, 0] += 0.01 * annual / math.sqrt(252)
            bets = bet_returns(returns)
            found = _skill_of(bets)
            called[annual] += found > 0.95
    assert called[0.0] <= 4  # 5 % of 40, and two more by chance
    assert called[6.0] >= 36


def _skill_of(bets: list[Bet]) -> float:
    returns = np.stack([bet.parts[0] for bet in bets], axis=1)
    best = sample_sharpe(returns[:, best_of(bets).number])
    return deflated_sharpe(best, trials=effective_number(returns), trial_variance=1 / 251).probability


def test_failed_trials_are_no_bets(world: Any, tmp_path: Path) -> None:
    def learn(spec: Any, **given: Any) -> Any:
        from tidewright.training.fit import fit

        if spec.recent % 2:
            raise FitError("odd")
        return fit(spec, **given)

    study = tune(DAMPED, model="damped", trials=10, ledger=tmp_path, learn=learn, **world.given)
    assert study.account is not None
    assert study.account.trials == sum(trial.value is not None for trial in study.trials) < 10


@pytest.mark.parametrize("metric", [name for name, one in METRICS.items() if one.of != "classes"])
def test_any_metric_of_forecasts_is_an_objective(world: Any, metric: str, tmp_path: Path) -> None:
    study = tune(DAMPED, model="damped", trials=4, metric=metric, ledger=tmp_path, **world.given)
    values = {trial.number: trial.value for trial in study.trials}
    assert study.best.value == min(v for v in values.values() if v is not None)
    raw = study.best.scores[metric]
    aim = 0.8 if metric == "coverage" else 0.0
    assert study.score == pytest.approx(abs(raw - aim) if METRICS[metric].direction == "nearest" else raw)
    assert study.account is not None
    assert study.account.score == pytest.approx(study.score, rel=1e-4)
    assert math.isfinite(study.account.corrected)


def test_an_unknown_metric_is_answered_with_the_near_miss(world: Any) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'sharpe'"):
        tune(DAMPED, model="damped", trials=1, metric="sharp", **world.given)
