"""Positions learned by their Sharpe ratio: the loss against its metric and the ledger, and what is learned."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import AllocationError, BundleError, ConfigError, DataError
from tidewright.features.view import View
from tidewright.features.windows import cut_windows, newest_windows
from tidewright.metrics.returns import sharpe
from tidewright.models.spec import FeedForward, LightGBM
from tidewright.models.torch.fitted import from_tensors
from tidewright.portfolio import Costs, backtest_weights, earn_positions
from tidewright.runtime import Choice, detect_runtime
from tidewright.training.fit import fit
from tidewright.training.positions import (
    PositionFitted,
    earn_fitted,
    fit_positions,
    positions_from_tensors,
    weigh_positions,
)
from tidewright.training.runs import SETTLED, draw_runs, open_runs
from tidewright.training.sharpe import earn, open_sharpe_loss, sharpe_ratio
from tidewright.training.spec import TrainSpec

TASK = Task(2)
VIEW = View(10)
BASE = TrainSpec(loss="sharpe", epochs=8, patience=8, batch_size=64, learning_rate=5e-3)
LENGTH, SERIES = 800, 6


def draw_returns(seed: int, *, signal: float) -> np.ndarray:
    """Returns [T, S] whose share `signal` is a slow state that history shows."""
    rng = np.random.default_rng(seed)
    state, news = np.zeros((LENGTH, SERIES)), np.sqrt(1 - 0.9**2) * rng.standard_normal((LENGTH, SERIES))
    for row in range(1, LENGTH):
        state[row] = 0.9 * state[row - 1] + news[row]
    return 0.01 * (signal * state + np.sqrt(1 - signal**2) * rng.standard_normal((LENGTH, SERIES)))


def to_panel(returns: np.ndarray) -> Panel:
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2030, 1, 1), eager=True)[: len(returns)]
    parts = [pl.DataFrame({"asset": f"a{k}", "day": days, "r": column}) for k, column in enumerate(returns.T)]
    return Panel.from_table(pl.concat(parts).fill_nan(None), series="asset", time="day", target="r", frequency="1d")


def make_split(panel: Panel) -> Split:
    return split_holdout(panel, TASK, validation=120, test=250, stride=3)


def learn(panel: Panel, *, train: TrainSpec = BASE, **options: Any) -> PositionFitted:
    spec = FeedForward(hidden=(12,))
    return fit_positions(spec, panel=panel, split=make_split(panel), view=VIEW, train=train, **options)


@cache
def world(seed: int, signal: float) -> Panel:
    return to_panel(draw_returns(seed, signal=signal))


@cache
def learned(seed: int, signal: float, cost_bps: float = 10.0) -> PositionFitted:
    return learn(world(seed, signal), train=replace(BASE, cost_bps=cost_bps))


def net_returns(seed: int, *, signal: float, cost_bps: float) -> np.ndarray:
    """Of the test part, which nothing else has seen."""
    panel = world(seed, signal)
    test = make_split(panel).test
    assert test is not None
    fitted = learned(seed, signal, cost_bps)
    return earn_fitted(fitted, panel=panel, cutoffs=replace(test, stride=1), costs=Costs(cost_bps, 0)).returns


def draw_book(seed: int, *, dates: int = 40, assets: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and what was earned [D, S], some of it missing."""
    draw = torch.Generator().manual_seed(seed)
    positions = torch.rand(dates, assets, generator=draw, dtype=torch.float64) * 2 - 1
    earned = 0.02 * torch.randn(dates, assets, generator=draw, dtype=torch.float64)
    earned[torch.rand(dates, assets, generator=draw) < 0.1] = float("nan")
    return torch.where(earned.isfinite(), positions, torch.zeros_like(positions)), earned


@pytest.mark.parametrize("rate", [0.0, 0.002])
def test_the_gradient_is_that_of_finite_differences(rate: float) -> None:
    positions, earned = draw_book(1, dates=9, assets=3)
    asked = positions.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda p: sharpe_ratio(earn(p, earned, rate=rate)), (asked,))


def test_the_loss_is_minus_the_metric_of_the_same_portfolio() -> None:
    positions, earned = draw_book(2)

    class Told(torch.nn.Module):  # a network that answers what it is given
        def forward(self, target: torch.Tensor) -> torch.Tensor:
            return target[:, :1, None]

    inputs = {"target": positions[earned.isfinite()].unsqueeze(1)}
    loss, count = open_sharpe_loss(7.0)(Told(), inputs, earned)  # type: ignore[arg-type]
    chosen = torch.where(earned.isfinite(), positions, torch.nan).numpy()
    account = earn_positions(chosen, earned.numpy(), costs=Costs(7, 0))
    assert count == 1
    assert float(loss) == pytest.approx(-sharpe(account.returns, periods_per_year=1), rel=1e-9)
    np.testing.assert_allclose(earn(positions, earned, rate=7e-4).numpy(), account.returns, rtol=1e-12)


def test_a_portfolio_that_never_moves_has_a_finite_loss_and_gradient() -> None:
    still = torch.zeros(5, 2, dtype=torch.float64, requires_grad=True)
    ratio = sharpe_ratio(earn(still, torch.zeros(5, 2, dtype=torch.float64), rate=0.001))
    ratio.backward()  # type: ignore[no-untyped-call]
    assert float(ratio.detach()) == 0.0
    assert still.grad is not None
    assert still.grad.isfinite().all()


def test_a_portfolio_that_loses_everything_has_a_finite_loss_and_is_refused_by_the_account() -> None:
    positions, earned = torch.tensor([[-1.0], [-1.0], [1.0]]), torch.tensor([[1.5], [0.1], [0.1]])
    assert sharpe_ratio(earn(positions, earned, rate=0.001)).isfinite()
    with pytest.raises(AllocationError, match="row 0 lose all of the equity"):
        earn_positions(positions, earned, costs=Costs(10, 0))
    with pytest.raises(AllocationError, match=r"a position is 3; positions lie between -1 and 1"):
        earn_positions([[3.0]], [[0.1]], costs=Costs(10, 0))
    with pytest.raises(AllocationError, match=r"positions have the shape \(1, 1\), returns \(1, 2\)"):
        earn_positions([[0.3]], [[0.1, 0.1]], costs=Costs(10, 0))


def test_long_positions_earn_what_the_ledger_says() -> None:
    panel = world(0, 0.6)
    test = make_split(panel).test
    assert test is not None
    cutoffs = replace(test, stride=1)
    fitted = learn(panel, sides="long")
    targets = weigh_positions(fitted, panel=panel, cutoffs=cutoffs)
    assert (targets.values >= 0).all()
    assert (targets.values.sum(axis=1) <= 1).all()
    returns = draw_returns(0, signal=0.6)
    prices = 100 * np.cumprod(1 + returns, axis=0)
    days = panel.frequency.times(np.arange(panel.span[0], panel.span[1] + 1)).astype("datetime64[us]")
    ledger = backtest_weights(
        targets.values,
        prices,
        times=days,
        assets=targets.assets,
        decided=targets.times,
        costs=Costs(10, 0),
        allow_cash=True,
    )
    account = earn_fitted(fitted, panel=panel, cutoffs=cutoffs, costs=Costs(10, 0))
    last = int(np.searchsorted(days, targets.times[-1])) + SETTLED
    assert np.prod(1 + account.returns) == pytest.approx(ledger.equity[last] / 1e6, rel=1e-4)  # the ledger's costs are
    assert len(ledger.net_returns()) == len(account.returns) + 1  # paid out of what they buy; the entry has its own bar
    moved = earn_positions(np.ones((3, 1)), np.zeros((3, 1)), costs=Costs(10, 0))
    assert moved.turnover.tolist() == [1.0, 0.0, 0.0]


def test_both_sides_go_short_and_the_long_only_ledger_says_no() -> None:
    panel = world(0, 0.6)
    targets = weigh_positions(learned(0, 0.6), panel=panel, cutoffs=make_split(panel).validation)
    assert (targets.values < 0).any()
    prices = np.ones((len(targets.times) + 1, SERIES))
    days = np.append(targets.times, targets.times[-1] + np.timedelta64(1, "D"))
    with pytest.raises(AllocationError, match="long-only"):
        backtest_weights(
            targets.values, prices, times=days, assets=targets.assets, decided=targets.times, costs=Costs(0, 0)
        )


def test_a_planted_signal_earns_on_an_untouched_test_part_after_costs() -> None:
    found = [sharpe(net_returns(seed, signal=0.6, cost_bps=10.0), periods_per_year=1) for seed in range(3)]
    assert min(found) > 0.6  # the standard error of each is 1 / sqrt(250) = 0.06


def test_noise_earns_nothing_but_chance() -> None:
    joined = np.concatenate([net_returns(seed, signal=0.0, cost_bps=0.0) for seed in range(4)])
    assert abs(sharpe(joined, periods_per_year=1)) < 2 / np.sqrt(len(joined))


def test_higher_costs_are_traded_against() -> None:
    def turnover(cost: float) -> float:
        panel = world(1, 0.25)
        whole = replace(make_split(panel).validation, stride=1)
        return float(
            earn_fitted(learned(1, 0.25, cost), panel=panel, cutoffs=whole, costs=Costs(0, 0)).turnover[1:].mean()
        )

    assert turnover(60.0) < 0.2 * turnover(0.0)


def test_validation_judges_by_one_ratio_over_all_its_dates() -> None:
    panel, fitted = world(2, 0.6), learned(2, 0.6)
    whole = replace(make_split(panel).validation, stride=1)
    account = earn_fitted(fitted, panel=panel, cutoffs=whole, costs=Costs(10, 0))
    assert len(account.returns) == len(whole) > 100
    strided = earn_fitted(fitted, panel=panel, cutoffs=make_split(panel).validation, costs=Costs(10, 0))
    assert np.array_equal(strided.returns, account.returns)
    best = min(record["validation_loss"] for record in fitted.history)
    assert -sharpe(account.returns, periods_per_year=1) == pytest.approx(best, rel=1e-5)


@settings(max_examples=15, deadline=None)
@given(after=st.integers(30, LENGTH - 2), seed=st.integers(0, 9))
def test_nothing_after_a_date_moves_a_bit_of_a_position_up_to_it(after: int, seed: int) -> None:
    returns = draw_returns(0, signal=0.6)
    other = returns.copy()
    other[after + 1 :] = np.random.default_rng(seed).normal(0, 0.3, other[after + 1 :].shape).clip(-0.9)
    cutoffs = replace(make_split(world(0, 0.6)).train, first=20, last=after)
    same = [
        weigh_positions(learned(0, 0.6), panel=to_panel(table), cutoffs=cutoffs).values for table in (returns, other)
    ]
    assert same[0].tobytes() == same[1].tobytes()


def test_the_test_part_is_not_learned_from_and_a_seed_gives_its_bits() -> None:
    returns = draw_returns(0, signal=0.6)
    first = make_split(world(0, 0.6)).test.first  # type: ignore[union-attr]
    returns[first + 1 :] = 0.5
    returns[first + 2 :] = -0.4
    again = learn(to_panel(returns), train=replace(BASE, cost_bps=10.0)).tensors()
    assert {k: v.tobytes() for k, v in again.items()} == {k: v.tobytes() for k, v in learned(0, 0.6).tensors().items()}


@settings(max_examples=60, deadline=None)
@given(count=st.integers(2, 300), size=st.integers(8, 80), steps=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_runs_of_an_epoch_share_no_step_and_each_is_consecutive(count: int, size: int, steps: int, seed: int) -> None:
    train = TrainSpec(loss="sharpe", batch_size=size, steps=steps)
    runs = draw_runs(count, train, shuffle=torch.Generator().manual_seed(seed))
    assert len(runs) == min(steps, max((count + 1) // (size + 1), 1))  # the same in every epoch: a schedule counts them
    for run in runs:
        assert (run.diff() == 1).all()
        assert len(run) == min(count, size)
        assert int(run[0]) >= 0
        assert int(run[-1]) < count
    ordered = sorted(runs, key=lambda run: int(run[0]))
    for early, late in itertools.pairwise(ordered):  # steps after a cutoff: +1 and +2
        assert int(early[-1]) + SETTLED < int(late[0]) + 1


def test_every_date_is_learned_from_in_some_epoch_and_the_order_changes() -> None:
    train, shuffle = TrainSpec(loss="sharpe", batch_size=10), torch.Generator().manual_seed(0)
    epochs = [draw_runs(45, train, shuffle=shuffle) for _ in range(30)]
    assert set(torch.cat([run for runs in epochs for run in runs]).tolist()) == set(range(45))
    assert any([int(run[0]) for run in runs] != sorted(int(run[0]) for run in runs) for runs in epochs)


def test_a_run_holds_every_series_of_its_dates_and_the_second_return_after_each() -> None:
    returns = draw_returns(3, signal=0.5)
    returns[:30, 2] = np.nan  # begins later
    returns[50, 1] = np.nan
    panel = to_panel(returns)
    cutoffs = replace(make_split(panel).train, first=20, last=60)
    windows = cut_windows(panel, VIEW, horizon=1, cutoffs=cutoffs, labelled=False, least=1)
    runs = open_runs(windows)
    inputs, earned = runs.batch(torch.arange(4, 34))
    expected = returns[20 + 4 + SETTLED : 20 + 34 + SETTLED].copy()
    expected[np.isnan(expected)] = 0.0
    expected[:6, 2] = np.nan  # no history yet at cutoffs 24 to 29
    np.testing.assert_array_equal(earned.numpy(), expected)
    last = inputs["target"][:, -1].numpy()
    shown = returns[24:54][np.isfinite(expected)]
    np.testing.assert_array_equal(last, shown.astype(np.float32))
    assert len(runs) == 41
    assert runs.complete


def test_options_are_live_in_a_run_of_positions() -> None:
    panel = world(0, 0.6)
    base = learned(0, 0.6).tensors()
    for change in ({"cost_bps": 50.0}, {"batch_size": 20}, {"steps": 1}, {"seed": 3}):
        other = learn(panel, train=replace(BASE, epochs=2, **change))  # type: ignore[arg-type]
        plain = learn(panel, train=replace(BASE, epochs=2))
        assert any((other.tensors()[key] != plain.tensors()[key]).any() for key in base)
    few = learn(panel, train=replace(BASE, epochs=2, judged=20))
    assert few.history[0]["validation_loss"] != learned(0, 0.6).history[0]["validation_loss"]
    assert few.history[0]["train_loss"] == learn(panel, train=replace(BASE, epochs=2)).history[0]["train_loss"]
    long = learn(panel, train=replace(BASE, epochs=1), sides="long")
    answers = long.decide(newest_windows(panel, VIEW, horizon=1))
    assert answers.shape == (SERIES,)
    assert (answers > 0).all()


def test_positions_are_learned_in_fewer_digits_too() -> None:
    reduced = replace(detect_runtime("cpu"), precision=Choice("bfloat16", "bfloat16", "asked for"))
    train = replace(BASE, epochs=2, patience=2)
    found, exact = (learn(world(0, 0.6), train=train, runtime=one).history[-1] for one in (reduced, None))
    assert found["precision"] == "bfloat16"
    assert found["train_loss"] != exact["train_loss"]
    assert found["train_loss"] == pytest.approx(exact["train_loss"], abs=0.02)


def test_a_killed_run_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    panel, train = world(0, 0.6), replace(BASE, epochs=4)

    def stop(event: Any) -> None:
        if getattr(event, "epoch", 0) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(panel, train=train, callbacks=[stop], checkpoint=tmp_path / "run")
    went_on = learn(panel, train=train, checkpoint=tmp_path / "run")
    whole = learn(panel, train=train)
    assert {k: v.tobytes() for k, v in went_on.tensors().items()} == {
        k: v.tobytes() for k, v in whole.tensors().items()
    }
    with pytest.raises(ConfigError, match="belongs to another run"):
        learn(panel, train=train, checkpoint=tmp_path / "run", sides="long")


@pytest.mark.parametrize("sides", ["both", "long"])
def test_tensors_make_the_positions_again_and_no_forecast(sides: Any) -> None:
    panel = world(0, 0.6)
    fitted = learn(panel, train=replace(BASE, epochs=1), sides=sides)
    shape, tensors = fitted.network.shape, fitted.tensors()
    twin = positions_from_tensors(fitted.spec, view=VIEW, shape=shape, tensors=tensors)
    windows = newest_windows(panel, VIEW, horizon=1)
    assert twin.sides == sides
    assert twin.decide(windows).tobytes() == fitted.decide(windows).tobytes()
    with pytest.raises(BundleError, match=r"weights of positions and no forecast\. Use positions_from_tensors"):
        from_tensors(fitted.spec, task=Task(1, (0.5,)), view=VIEW, shape=shape, tensors=tensors)
    other = {name: value for name, value in tensors.items() if name != "head.low"}
    with pytest.raises(BundleError, match="weights of a forecast and no positions"):
        positions_from_tensors(fitted.spec, view=VIEW, shape=shape, tensors=other)


def test_a_gain_is_one_of_its_own_size_where_the_loss_is_below_zero() -> None:
    greedy = learn(world(1, 0.6), train=replace(BASE, cost_bps=0.0, epochs=20, patience=2, least_gain=1.0))
    losses = [record["validation_loss"] for record in greedy.history]
    assert losses[0] < 0  # so that a loss nearer to zero is no gain
    assert len(losses) < 20


def test_prices_and_percents_are_refused() -> None:
    returns = draw_returns(0, signal=0.5)
    with pytest.raises(DataError, match=r"none of the \d+ values of 'a0' is 0 or below .* these look like prices"):
        learn(to_panel(100 * np.cumprod(1 + returns, axis=0)))
    mixed = returns.copy()
    mixed[:, 3] = 100 * np.cumprod(1 + returns[:, 3])
    with pytest.raises(DataError, match="values of 'a3' is 0 or below"):
        learn(to_panel(mixed))
    with pytest.raises(DataError, match=r"is -\d\.\d+: no simple return is below -1\. .* divide percent by 100"):
        learn(to_panel(100 * returns))


def test_what_cannot_be_learned_is_refused() -> None:
    panel = world(0, 0.6)
    parts: dict[str, Any] = {"panel": panel, "split": make_split(panel), "view": VIEW}
    with pytest.raises(ConfigError, match=r"the loss sharpe learns positions and no forecast\. Use fit_positions"):
        fit(FeedForward(), **parts, task=TASK, train=BASE)
    with pytest.raises(ConfigError, match="lightgbm is no network"):
        fit_positions(LightGBM(), **parts)
    with pytest.raises(ConfigError, match="positions are learned by the loss sharpe; got mse"):
        fit_positions(FeedForward(), **parts, train=TrainSpec(loss="mse"))
    with pytest.raises(ConfigError, match=r"sides is both or long; got 'short'"):
        fit_positions(FeedForward(), **parts, sides="short")  # type: ignore[arg-type]
    near = split_holdout(panel, Task(1), validation=120, test=250)
    with pytest.raises(ConfigError, match=r"for a horizon of 1, .* Make it with Task\(horizon=2\)"):
        fit_positions(FeedForward(), **parts | {"split": near})
    with pytest.raises(DataError, match=r"learned from windows of Shape\(lookback=10"):
        learned(0, 0.6).decide(newest_windows(panel, View(9), horizon=1))
