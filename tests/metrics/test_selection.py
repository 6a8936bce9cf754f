"""Overfitting and corrected scores: against halves laid out one by one, by hand, and in worlds of noise and skill."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from tidewright.errors import ConfigError, DataError, UnknownNameError
from tidewright.metrics.definitions import find_metric
from tidewright.metrics.returns import OBJECTIVES, RETURN_METRICS
from tidewright.metrics.score_sums import is_summed, sums_of_losses, sums_of_metric, sums_of_returns
from tidewright.metrics.selection import correct_selection, probability_of_overfitting


def laid_out(table, *, blocks, score):
    """Every halving written out: the logit of the rank, on the other half, of the trial that is best on one half."""
    parts = np.array_split(np.asarray(table), blocks)
    logits = []
    for inside in combinations(range(blocks), blocks // 2):
        one = score(np.concatenate([parts[k] for k in inside]))
        other = score(np.concatenate([parts[k] for k in range(blocks) if k not in inside]))
        share = stats.rankdata(other)[int(np.argmax(one))] / (table.shape[1] + 1)
        logits.append(np.log(share / (1 - share)))
    return np.array(logits)


def sharpe_of(returns):
    return returns.mean(axis=0) / returns.std(axis=0, ddof=1)


@pytest.mark.parametrize(("length", "blocks"), [(60, 6), (61, 8), (12, 4)])
def test_the_probability_is_that_of_halves_laid_out_one_by_one(length, blocks):
    returns = np.random.default_rng(length).normal(0.001, 0.01, (length, 9))
    logits = laid_out(returns, blocks=blocks, score=sharpe_of)
    found = probability_of_overfitting(sums_of_returns(returns), blocks=blocks)
    assert found.probability == np.mean(logits <= 0)
    assert found.logits == pytest.approx((logits.mean(), logits.std()), rel=1e-9)
    assert found.ways == len(logits)


def test_two_trials_that_take_turns_are_overfitted_whenever_one_of_them_is_ahead():
    """Worked by hand: losses 0 0 1 1 and 1 1 0 0 in four blocks. Of six halvings, two have a winner, which loses on
    the other half (rank 1 of 2, logit below 0); in four both tie in and out (rank 1.5 of 2, logit 0)."""
    first = np.array([0.0, 0.0, 1.0, 1.0])
    found = probability_of_overfitting(sums_of_losses(np.stack([first, 1 - first], axis=1)), blocks=4)
    assert (found.probability, found.ways) == (1.0, 6)
    assert found.logits[0] == pytest.approx(2 / 6 * np.log((1 / 3) / (2 / 3)))


def test_noise_is_overfitted_half_of_the_time_and_an_edge_is_not():
    draw = np.random.default_rng(0)
    noise = [probability_of_overfitting(sums_of_returns(draw.normal(0, 0.01, (240, 30))), blocks=8) for _ in range(60)]
    assert np.mean([one.probability for one in noise]) == pytest.approx(0.5, abs=0.05)
    edges = []
    for _ in range(20):
        returns = draw.normal(0, 0.01, (240, 30))
        returns[:, 7] += 0.006
        edges.append(probability_of_overfitting(sums_of_returns(returns), blocks=8).probability)
    assert np.mean(edges) < 0.01


def test_sixteen_blocks_are_the_papers_12_870_ways():
    found = probability_of_overfitting(sums_of_losses(np.random.default_rng(1).random((64, 5))))
    assert (found.blocks, found.ways) == (16, 12_870)


def by_hand(losses, *, folds, held, lags):
    """The mean loss, where it was held out, of the trial that is best on what is left."""
    count = len(losses)
    parts = np.array_split(np.arange(count), folds)
    total, size = 0.0, 0
    for way in combinations(range(folds), held):
        out = np.concatenate([parts[k] for k in way])
        kept = [row for row in range(count) if np.abs(out - row).min() > lags]
        best = losses[kept].mean(axis=0).argmin()
        total, size = total + losses[out, best].sum(), size + len(out)
    return total / size


@pytest.mark.parametrize(("folds", "held", "lags"), [(8, 2, 0), (8, 2, 2), (5, 1, 3), (6, 3, 1)])
def test_the_corrected_score_is_that_of_every_choice_made_by_hand(folds, held, lags):
    losses = np.random.default_rng(2).random((41, 12))
    found = correct_selection(sums_of_losses(losses), folds=folds, held=held, lags=lags)
    assert found.corrected == pytest.approx(by_hand(losses, folds=folds, held=held, lags=lags), rel=1e-12)
    assert (found.best, found.score) == (losses.mean(axis=0).argmin(), pytest.approx(losses.mean(axis=0).min()))
    assert found.optimism == found.corrected - found.score


def measure_bias(*, lags=0, spread=0.0, worlds=150):
    """The mean error of the raw and of the corrected score, in standard errors of one trial's score."""
    draw, errors = np.random.default_rng(3), []
    for _ in range(worlds):
        noise = draw.normal(size=(48 + lags, 30)) + draw.normal(size=(48 + lags, 1))
        noise = sum(noise[k : k + 48] for k in range(lags + 1)) / np.sqrt(lags + 1)
        true = 10.0 + spread * draw.normal(size=30)
        found = correct_selection(sums_of_losses(noise + true), lags=lags)
        errors.append((found.score - true[found.best], found.corrected - true[found.best]))
    return np.mean(errors, axis=0) / np.sqrt(2 / 48)


@pytest.mark.parametrize("lags", [0, 4])
def test_in_worlds_of_noise_the_best_score_is_optimistic_and_the_corrected_one_is_not(lags):
    raw, corrected = measure_bias(lags=lags)
    assert raw < -1.2
    assert abs(corrected) < 0.15 * abs(raw)


@pytest.mark.parametrize(("count", "lags"), [(16, 6), (30, 13)])
def test_where_horizons_overlap_nearly_all_of_a_short_time_it_is_unbiased_too(count, lags):
    """Few ways are left then, and what they hold out lies at the ends, which may be harder than the middle."""
    draw, errors = np.random.default_rng(8), []
    for _ in range(300):
        noise = draw.normal(size=(count + lags, 20)) + draw.normal(size=(count + lags, 1))
        noise = sum(noise[k : k + count] for k in range(lags + 1)) / np.sqrt(lags + 1)
        harder = 5.0 * np.abs(np.linspace(-1, 1, count))[:, None]
        found = correct_selection(sums_of_losses(noise + harder), lags=lags)
        errors.append((found.score - harder.mean(), found.corrected - harder.mean()))
    raw, corrected = np.mean(errors, axis=0)
    assert raw < -0.8
    assert abs(corrected) < 0.15 * abs(raw)


def test_where_trials_really_differ_the_corrected_score_is_nearer_the_truth_too():
    raw, corrected = measure_bias(spread=0.2)
    assert raw < -0.4
    assert abs(corrected) < abs(raw) / 2


def test_the_sums_of_returns_are_the_figures_themselves():
    returns = np.random.default_rng(4).normal(0.001, 0.02, (50, 3))
    for name, figure in RETURN_METRICS.items():
        if not is_summed(name):
            continue
        sign = -1.0 if figure.direction == "higher" else 1.0
        mine = sign * sums_of_returns(returns, metric=name, periods_per_year=252).scores()
        assert mine == pytest.approx(
            [figure.measure(column, periods_per_year=252) for column in returns.T], rel=1e-9
        ), name
    ordered = {"max_drawdown", "calmar", "ulcer_index", "omega", "value_at_risk", "expected_shortfall"}
    assert {name for name in OBJECTIVES if not is_summed(name)} == ordered


def test_a_strategy_that_never_trades_is_never_chosen():
    returns = np.random.default_rng(5).normal(-0.001, 0.01, (40, 3))
    returns[:, 1] = 0.0
    sums = sums_of_returns(returns)
    assert np.isnan(sums.scores()[1])
    assert correct_selection(sums).best != 1
    assert np.isfinite(correct_selection(sums).corrected)


@pytest.mark.parametrize(("metric", "aim", "expected"), [("rmse", 0.0, 2.0), ("wape", 0.0, 0.4), ("bias", 0.0, 0.4)])
def test_the_sums_of_a_metric_are_its_score_made_small(metric, aim, expected):
    sums = {"rmse": ([4.0, 4.0], [1.0, 1.0]), "wape": ([1.0, 3.0], [4.0, 6.0]), "bias": ([-1.0, 0.2], [1.0, 1.0])}
    above, below = (np.array(part)[:, None] for part in sums[metric])
    assert sums_of_metric(above, below, metric=find_metric(metric), aim=aim).scores() == pytest.approx([expected])


def test_what_can_t_be_corrected_says_why():
    one = correct_selection(sums_of_losses(np.ones((9, 1))))
    assert one.score == 1.0
    assert np.isnan(one.corrected)
    assert "one trial" in one.reason
    short = sums_of_losses(np.random.default_rng(6).random((3, 5)))
    assert "3 cutoffs are too few" in correct_selection(short).reason
    assert "3 cutoffs are too few" in probability_of_overfitting(short).reason
    tied = correct_selection(sums_of_losses(np.random.default_rng(6).random((9, 5))), lags=8)
    assert "can't be parted" in tied.reason


def test_impossible_requests_are_refused():
    sums = sums_of_losses(np.ones((9, 2)))
    with pytest.raises(ConfigError, match="even number"):
        probability_of_overfitting(sums, blocks=7)
    with pytest.raises(ConfigError, match="held from 1"):
        correct_selection(sums, held=8)
    with pytest.raises(UnknownNameError, match="Did you mean 'sharpe'"):
        sums_of_returns(np.ones((9, 2)), metric="sharp")
    with pytest.raises(DataError, match="finite numbers"):
        sums_of_losses([[np.nan, 1.0]])
    with pytest.raises(DataError, match=r"\[positions, trials\]"):
        sums_of_losses([1.0])
