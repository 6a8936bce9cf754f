"""`Account`: what the best of all trials on the same data is worth, after all that was tried. Nothing is asked of the
user: it is a function of the trial ledger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tidewright.metrics.effective import effective_number, expected_largest
from tidewright.metrics.score_sums import ScoreSums
from tidewright.metrics.selection import (
    Overfitting,
    Selection,
    correct_selection,
    measure_gap_error,
    probability_of_overfitting,
)
from tidewright.portfolio.inference import (
    DeflatedSharpe,
    SharpeSample,
    deflated_sharpe,
    minimum_track_record,
    sample_sharpe,
)
from tidewright.tuning.goals import Doubles, Goal, sum_parts
from tidewright.tuning.ledger import Bet, Ints, Subject
from tidewright.tuning.repeats import Noise


@dataclass(frozen=True, slots=True)
class Skill:
    """What luck leaves of a strategy's Sharpe ratio: the ratio a period, the probability that it is above the best that
    as many effective trials without skill would show, and how many periods it takes to say at 95 % that it is above 0
    (infinite for a ratio of 0 or less)."""

    sharpe: float
    periods: int
    deflated: DeflatedSharpe
    track_record: float


@dataclass(frozen=True, slots=True)
class Earlier:
    """How many `trials` of another `study` found points that this one began with, whether they are `counted` as bets on
    its validation, and why. Their scores are of another metric, task or cut, so that they can't be compared."""

    study: str
    trials: int
    why: str
    counted: bool = True

    def __str__(self) -> str:
        told = "are counted, not compared" if self.counted else "are not counted"
        return f"{self.trials} trials of study {self.study}, whose best points it began with, {told}: {self.why}"


@dataclass(frozen=True, slots=True)
class Account:
    """What a study's best trial, its `number`, scored on validation, and what choosing it was worth.

    `trials` counts all that were judged, pruned ones too, in all `studies` of the same data, horizon, quantiles and
    metric, `distinct` those with records of their own, `effective` as how many independent ones they count (NaN where
    that can't be had). `score` and `corrected` are in the metric's own unit and direction (of direction "nearest":
    distances from where it should be); `corrected` is NaN where it can't be had, and `reason` says why. `compared`
    trials were judged at all `positions` of the best one: what is known of correlations comes from these. `skill` is of
    strategies alone. What a trial chose by itself on validation (its best epoch) is not corrected for. With `seeds` the
    score is of so many that did not choose the trial, since seeds differ by more than the best trials (`Noise`);
    `skill` is that of the first seed, whose model is kept. `trials` and `studies` hold the `earlier` ones that count,
    each as much as those that are compared, and `corrected` what the best of so many more is luckier by.
    """

    metric: str
    study: str
    number: int
    studies: int
    trials: int
    distinct: int
    effective: float
    compared: int
    positions: int
    score: float
    corrected: float
    overfitting: Overfitting
    skill: Skill | None = None
    reason: str = ""
    seeds: int = 0
    earlier: tuple[Earlier, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The account as plain data."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The account in words, a line a finding."""
        known = "" if math.isnan(self.effective) else f", worth {self.effective:.1f} independent ones"
        studies = f" in {self.studies} studies" if self.studies > 1 else ""
        fresh = f" (over {self.seeds} fresh {'seed' if self.seeds == 1 else 'seeds'})" if self.seeds else ""
        found = [f"{self.trials} trials on this data{studies}{known}"]
        if math.isnan(self.corrected):
            told = f"; not corrected for the choice: {self.reason}"
        else:
            told = f", {self.corrected:.4g} corrected for the choice"
        found.append(f"{self.metric} {self.score:.4g} on validation{fresh}{told}")
        if not math.isnan(self.overfitting.probability):
            found.append(f"probability of overfitting {self.overfitting.probability:.0%}")
        found += map(str, self.earlier)
        return found + ([] if self.skill is None else _tell_skill(self.skill))


def settle(
    bets: Sequence[Bet],
    *,
    study: str,
    number: int,
    goal: Goal,
    subject: Subject,
    per_year: float = 1.0,
    noise: Noise | None = None,
    earlier: Sequence[Earlier] = (),
) -> Account | None:
    """The account of trial `number` of a study, from all bets on its subject; None where it is no bet of theirs.

    The score is corrected as the best of all bets that are compared, of whatever study, or, where another study has a
    better one, as the best of its own study's. Where `noise` of seeds is large the score is what that says the trial is
    worth, and its optimism that of the first seeds: part of that is gone with them, so this is cautious.
    """
    winner = next((bet for bet in bets if (bet.study, bet.number) == (study, number)), None)
    if winner is None or winner.score is None or not winner.parts.size:
        return None
    score, seeds = (noise.worth, noise.seeds) if noise is not None and noise.large else (winner.score, 0)
    compared, table = _align(bets, winner)
    coverage = subject.quantiles[-1] - subject.quantiles[0] if subject.quantiles else 0.0  # none of classes
    sums = sum_parts(table, goal=goal, coverage=coverage, per_year=per_year)
    lags = _count_lags(winner.positions, horizon=subject.horizon) if goal.of == "forecasts" else 0
    chosen, reason = _correct(sums, compared, winner, lags=lags)
    earlier = tuple(one for one in earlier if one.study not in {bet.study for bet in bets})
    more = [one.trials for one in earlier if one.counted]
    trials = len(bets) + sum(more)
    alone, effective = _count_effective(_losses(table, goal), trials=(len(bets), trials), compared=len(compared))
    luck = _weigh_earlier(sums, compared.index(winner), own=alone, whole=effective)
    return Account(
        metric=goal.name,
        study=study,
        number=number,
        distinct=len({bet.key for bet in bets}),
        studies=len({bet.study for bet in bets}) + len(more),
        trials=trials,
        effective=effective,
        compared=len(compared),
        positions=len(winner.positions),
        score=goal.show(score),
        corrected=math.nan if chosen is None else goal.show(score + chosen.optimism + luck),
        overfitting=_overfit(sums, len(compared)),
        skill=_judge_skill(winner.parts[0], effective) if goal.of == "returns" else None,
        reason=reason,
        seeds=seeds,
        earlier=earlier,
    )


def _weigh_earlier(sums: ScoreSums | None, place: int, *, own: float, whole: float) -> float:
    """By how much the best of `whole` effective trials is luckier than of its `own`, were all equally good: in units of
    the standard error of how far it is from the median one."""
    if sums is None or not whole > own:
        return 0.0
    return (expected_largest(whole) - expected_largest(own)) * measure_gap_error(sums, place)


def _align(bets: Sequence[Bet], winner: Bet) -> tuple[list[Bet], Doubles]:
    """The bets that were judged wherever the winner was, and their parts there [K, C, N]."""
    compared, columns = [], []
    for bet in bets:
        if len(bet.parts) != len(winner.parts):
            continue
        rows = np.searchsorted(bet.positions, winner.positions)
        if (rows < len(bet.positions)).all() and np.array_equal(bet.positions[rows], winner.positions):
            compared.append(bet)
            columns.append(bet.parts[:, rows])
    return compared, np.stack(columns, axis=-1)


def _correct(
    sums: ScoreSums | None, compared: Sequence[Bet], winner: Bet, *, lags: int
) -> tuple[Selection | None, str]:
    """How much of the winner's score is that it was chosen, and why that can't be said."""
    if sums is None:
        return None, "it depends on the order of returns, so no part of the time has a score of its own"
    place = compared.index(winner)
    scores = sums.scores()
    if not scores[place] <= np.nanmin(scores):  # another study has a better one
        own = [n for n, bet in enumerate(compared) if bet.study == winner.study]
        sums = ScoreSums(sums.parts[:, :, own], sums.finish)
    found = correct_selection(sums, lags=lags)
    return (None if math.isnan(found.corrected) else found), found.reason


def _overfit(sums: ScoreSums | None, trials: int) -> Overfitting:
    if sums is None:
        return Overfitting(math.nan, 0, 0, trials, reason="it depends on the order of returns")
    return probability_of_overfitting(sums)


def _losses(table: Doubles, goal: Goal) -> Doubles:
    """What each trial lost or earned at each position [C, N], at positions where all have something."""
    if goal.of == "returns":
        return np.asarray(table[0])
    known = (table[1] > 0).all(axis=1)
    return np.asarray(table[0][known] / table[1][known])


def _count_effective(losses: Doubles, *, trials: Sequence[int], compared: int) -> list[float]:
    """The effective number of so many trials each time: the others count for as much, each, as the compared ones."""
    number = effective_number(losses)
    return [min(number * count / compared, float(count)) for count in trials]


def _count_lags(positions: Ints, *, horizon: int) -> int:
    """The cutoffs before one whose horizons overlap its own."""
    return 0 if len(positions) < 2 else -(-horizon // int(np.diff(positions).min())) - 1


def _judge_skill(returns: Doubles, effective: float) -> Skill | None:
    sample: SharpeSample = sample_sharpe(returns)
    if math.isnan(sample.sharpe):
        return None
    trials = 1.0 if math.isnan(effective) else effective
    deflated = deflated_sharpe(sample, trials=trials, trial_variance=1.0 / (sample.periods - 1))
    return Skill(sample.sharpe, sample.periods, deflated, minimum_track_record(sample))


def _tell_skill(skill: Skill) -> list[str]:
    record = "no track record is long enough"
    if math.isfinite(skill.track_record):
        record = f"a track record of {math.ceil(skill.track_record):,} periods proves it above 0"
    return [f"deflated Sharpe ratio {skill.deflated.probability:.3f}; {record}, there are {skill.periods:,}"]
