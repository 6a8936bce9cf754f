"""The deflated Sharpe ratio after a search: the count of trials comes from the study's ledger, or from the caller."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.metrics.effective import effective_number
from tidewright.portfolio.inference import deflated_sharpe, minimum_track_record, sample_sharpe
from tidewright.portfolio.inference.strategies import read_strategies
from tidewright.tuning.account import Account, Skill
from tidewright.tuning.study import Study


def deflate(
    returns: ArrayLike,
    *,
    trials: float | ArrayLike | None = None,
    study: Study | Account | None = None,
    trial_variance: float | None = None,
    risk_free: float = 0.0,
) -> Skill:
    """What luck leaves of the Sharpe ratio of net `returns` [T], one a period, after all that was tried to find them.

    Say what was tried in one of two ways: `study`, whose ledger counted every trial on the same data over all studies
    and knows as how many independent ones they count; or `trials`, a number, or the net returns of every strategy that
    was tried [T, N], which are counted as `metrics.effective.effective_number` counts. `trial_variance` is that of the
    trials' Sharpe ratios a period; by default that of strategies without skill, 1 / (T - 1).
    Source: Bailey and Lopez de Prado (2014), The Deflated Sharpe Ratio.

    >>> monthly = np.random.default_rng(1).normal(0.02, 0.04, 120)
    >>> alone, after = deflate(monthly, trials=1), deflate(monthly, trials=1000)
    >>> alone.deflated.probability > after.deflated.probability, after.deflated.trials
    (True, 1000.0)
    """
    if (trials is None) == (study is None):
        raise AllocationError("say what was tried: either trials= (a number, or the returns of all) or study=.")
    number = _count_study(study) if trials is None else _count(trials, periods=np.size(returns))
    sample = sample_sharpe(returns, risk_free=risk_free)
    if math.isnan(sample.sharpe):
        raise AllocationError(f"the {sample.periods} returns don't vary, so they have no Sharpe ratio. Check them.")
    variance = 1.0 / (sample.periods - 1) if trial_variance is None else trial_variance
    deflated = deflated_sharpe(sample, trials=number, trial_variance=variance)
    return Skill(sample.sharpe, sample.periods, deflated, minimum_track_record(sample))


def _count(trials: float | ArrayLike, *, periods: int) -> float:
    if isinstance(trials, int | float):
        return trials
    table = read_strategies(trials, least=4, noun="trials' returns")
    if len(table) != periods:
        raise AllocationError(f"{periods} returns came with trials of {len(table)} periods. Bring the same periods.")
    return effective_number(table)


def _count_study(study: Study | Account | None) -> float:
    account = study.account if isinstance(study, Study) else study
    if account is None:
        raise AllocationError("the study kept no account of its trials. Give their number as trials=.")
    return float(account.trials) if math.isnan(account.effective) else account.effective
