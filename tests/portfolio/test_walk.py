"""Walk-forward decisions, and the law that the future moves nothing before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio import (
    Costs,
    Ledger,
    Limits,
    Targets,
    View,
    Weights,
    backtest_weights,
    estimate_covariance,
    hrp_weights,
    returns_from_prices,
    tilt_by_forecast,
    walk_weights,
)

Floats = NDArray[np.float64]
NAMES = ("A", "B", "C", "D", "E")
ROWS, LOOKBACK, EVERY = 140, 30, 21
DAYS = np.datetime64("2020-01-01") + np.arange(ROWS)
SCHEDULE: dict[str, Any] = {"assets": NAMES, "lookback": LOOKBACK, "decide_every": EVERY}


def draw_prices(seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.01, (ROWS, 1)) + rng.normal(0, 1, (ROWS, 5)) * np.linspace(0.005, 0.02, 5)
    return 100 * np.exp(np.cumsum(steps, axis=0))


def decide_and_trade(prices: Floats, *, rule: str = "hrp") -> tuple[Targets, Ledger]:
    """The whole flow: returns, HRP tilted by a forecast (the mean of the last 10 returns), ledger."""
    days = DAYS[: len(prices)]
    returns = returns_from_prices(prices, times=days, assets=NAMES)
    means = np.array([returns[max(0, row - 9) : row + 1].mean(axis=0) for row in range(len(returns))])
    view = View(expected=means, uncertainty=np.full_like(means, 0.02), skill=0.2)
    targets = walk_weights(returns, times=days[1:], rule=rule, view=view, **SCHEDULE)
    costs = Costs(fee_bps=5, half_spread_bps=5)
    ledger = backtest_weights(targets.values, prices, times=days, assets=NAMES, decided=targets.times, costs=costs)
    return targets, ledger


def choose_cuts() -> list[int]:
    """24 random cuts, and the bars before, at and after every decision (row LOOKBACK of the prices is the "
    "first)."""
    drawn = np.random.default_rng(9).choice(np.arange(LOOKBACK + 1, ROWS - 1), 24, replace=False)
    decisions = np.arange(LOOKBACK, ROWS - 1, EVERY)
    near = np.concatenate([decisions - 1, decisions, decisions + 1])
    return sorted({int(cut) for cut in np.concatenate([drawn, near[near > LOOKBACK]])})


def assert_same_up_to(cut: int, *, ours: tuple[Targets, Ledger], theirs: tuple[Targets, Ledger]) -> None:
    known = int((ours[0].times <= DAYS[cut]).sum())
    assert known > 0
    assert theirs[0].values[:known].tobytes() == ours[0].values[:known].tobytes()
    for name in ("positions", "trades", "costs", "cash", "equity", "weights", "turnover"):
        before, after = getattr(ours[1], name)[: cut + 1], getattr(theirs[1], name)[: cut + 1]
        assert after.tobytes() == before.tobytes(), f"{name} before {DAYS[cut]} moved"


@pytest.mark.parametrize("rule", ["hrp", "herc", "nco", "risk_parity", "inverse_variance", "equal"])
def test_changing_every_price_after_a_bar_moves_no_bit_up_to_it(rule: str) -> None:
    prices = draw_prices()
    ours = decide_and_trade(prices, rule=rule)
    for cut in choose_cuts():
        changed = prices.copy()
        changed[cut + 1 :] *= np.random.default_rng(cut).uniform(0.7, 1.3, changed[cut + 1 :].shape)
        theirs = decide_and_trade(changed, rule=rule)
        assert_same_up_to(cut, ours=ours, theirs=theirs)
        assert theirs[1].equity[-1] != ours[1].equity[-1]


def test_cutting_the_future_off_moves_no_bit_before_it() -> None:
    prices = draw_prices(1)
    ours = decide_and_trade(prices)
    for cut in choose_cuts():
        assert_same_up_to(cut, ours=ours, theirs=decide_and_trade(prices[: cut + 1]))


def test_each_decision_is_the_rule_on_its_own_past() -> None:
    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    targets = walk_weights(returns, times=DAYS[1:], **SCHEDULE)
    rows = list(range(LOOKBACK - 1, ROWS - 1, EVERY))
    assert targets.times.tolist() == DAYS[1:][rows].tolist()
    for row, values in zip(rows, targets.values, strict=True):
        past = hrp_weights(returns[row - LOOKBACK + 1 : row + 1], assets=NAMES)
        np.testing.assert_array_equal(values, past.values)
    assert targets.method == "hrp"
    assert targets.tilted == (False,) * len(rows)
    np.testing.assert_array_equal(targets.latest().values, targets.values[-1])


def test_a_view_tilts_the_decisions_that_it_covers_and_no_others() -> None:
    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    rows = np.arange(LOOKBACK - 1, ROWS - 1, EVERY)
    expected = np.random.default_rng(2).normal(0, 0.01, returns.shape)
    expected[rows[0]] = np.nan
    skill = np.full(ROWS - 1, 0.3)
    skill[rows[1]] = 0.0
    spread = np.full_like(returns, 0.02)
    view = View(expected=expected, uncertainty=spread, skill=skill)
    plain = walk_weights(returns, times=DAYS[1:], **SCHEDULE)
    tilted = walk_weights(returns, times=DAYS[1:], view=view, **SCHEDULE)
    assert tilted.tilted == (False, False, *[True] * (len(rows) - 2))
    np.testing.assert_array_equal(tilted.values[:2], plain.values[:2])
    row = int(rows[2])
    base = hrp_weights(returns[row - LOOKBACK + 1 : row + 1], assets=NAMES)
    ours = tilt_by_forecast(base, expected=expected[row], uncertainty=spread[row], skill=0.3)
    np.testing.assert_array_equal(tilted.values[2], ours.values)


def test_a_view_without_skill_leaves_every_bit() -> None:
    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    view = View(expected=returns, uncertainty=np.full_like(returns, 0.02), skill=0.0)
    plain = walk_weights(returns, times=DAYS[1:], **SCHEDULE)
    assert walk_weights(returns, times=DAYS[1:], view=view, **SCHEDULE).values.tobytes() == plain.values.tobytes()


def test_a_rule_may_be_a_function_of_the_user() -> None:
    def first_only(returns: Any, /, *, assets: Any, times: Any = None) -> Any:
        weights = hrp_weights(returns, assets=assets, times=times)
        values = np.eye(len(weights.assets))[0]
        return type(weights)(assets=weights.assets, values=values, method="first only")

    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    targets = walk_weights(returns, times=DAYS[1:], rule=first_only, **SCHEDULE)
    assert targets.method == "first only"
    assert np.all(targets.values[:, 0] == 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lookback": 1}, "lookback is 1; weights need at least 2 rows"),
        ({"lookback": 500}, "139 rows of returns are fewer than the lookback of 500"),
        ({"decide_every": 0}, "decide_every is 0"),
        ({"assets": ("A", "B")}, "5 columns came with 2 asset names"),
        ({"rule": "hpr"}, "no allocation rule is called 'hpr'. Did you mean 'hrp'"),
        ({"times": DAYS[1:][::-1]}, "2020-05-18 .* comes after 2020-05-19. Sort the rows"),
    ],
)
def test_a_walk_that_can_not_be_is_refused(change: dict[str, Any], message: str) -> None:
    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    with pytest.raises(ValueError, match=message):
        walk_weights(returns, **{"times": DAYS[1:], **SCHEDULE, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expected": np.zeros((3, 5))}, r"expected returns have the shape \(3, 5\), the returns \(139, 5\)"),
        ({"skill": np.zeros(4)}, r"skill has the shape \(4,\)"),
        ({"skill": 2.0}, "the view of 2020-01-31: skill is 2.0"),
        (
            {"uncertainty": np.zeros((139, 5))},
            "the view of 2020-01-31: the uncertainty of 'A' is not above zero",
        ),
    ],
)
def test_a_view_that_can_not_be_is_refused(change: dict[str, Any], message: str) -> None:
    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    usual: dict[str, Any] = {"expected": returns, "uncertainty": np.full_like(returns, 0.02), "skill": 0.1}
    with pytest.raises(AllocationError, match=message):
        walk_weights(returns, times=DAYS[1:], view=View(**{**usual, **change}), **SCHEDULE)


def test_a_half_missing_signal_is_refused_with_its_asset_and_date() -> None:
    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    expected = returns.copy()
    expected[LOOKBACK - 1, 2] = np.nan
    view = View(expected=expected, uncertainty=np.full_like(returns, 0.02), skill=0.1)
    with pytest.raises(AllocationError, match="the view of 2020-01-31: the expected return of 'C' is nan"):
        walk_weights(returns, times=DAYS[1:], view=view, **SCHEDULE)


def test_options_reach_the_rule() -> None:
    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    targets = walk_weights(returns, times=DAYS[1:], options={"covariance": "ewma", "linkage": "ward"}, **SCHEDULE)
    first = hrp_weights(returns[:LOOKBACK], assets=NAMES, covariance="ewma", linkage="ward")
    np.testing.assert_array_equal(targets.values[0], first.values)
    assert targets.decision_notes[0] == first.notes
    assert targets.latest().notes == targets.decision_notes[-1]
    with pytest.raises(ConfigError, match="no option of hrp is called 'linkages'"):
        walk_weights(returns, times=DAYS[1:], options={"linkages": "ward"}, **SCHEDULE)


def test_an_estimate_that_is_the_same_at_every_decision_is_told() -> None:
    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    covariance = estimate_covariance(returns[:LOOKBACK], assets=NAMES)
    targets = walk_weights(returns, times=DAYS[1:], options={"covariance": covariance}, **SCHEDULE)
    (note,) = targets.notes
    assert note.startswith("covariance came as given, the same at every decision")
    assert (targets.values == targets.values[0]).all()
    assert walk_weights(returns, times=DAYS[1:], options={"covariance": "oas"}, **SCHEDULE).notes == ()


def test_a_rule_that_weighs_trades_is_told_what_is_held() -> None:
    """The weights of the last decision, moved by the returns since; money in cash does not move."""
    seen: list[Any] = []

    def half_in_cash(
        returns: Any, /, *, assets: Any, times: Any = None, limits: Any = None, previous: Any = None
    ) -> Any:
        seen.append(previous)
        return Weights(assets=assets, values=np.array([0.3, 0.2, 0, 0, 0]), method="half", net=0.5)

    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    start = {"C": 0.4}
    usual: dict[str, Any] = {"times": DAYS[1:], "rule": half_in_cash, **SCHEDULE}
    walk_weights(returns, options={"limits": Limits(), "previous": start}, **usual)
    assert seen[0].tolist() == [0.0, 0.0, 0.4, 0.0, 0.0]
    grown = np.array([0.3, 0.2]) * np.prod(1 + returns[LOOKBACK : LOOKBACK + EVERY, :2], axis=0)
    np.testing.assert_allclose(seen[1][:2], grown / (grown.sum() + 0.5), rtol=1e-12)
    seen.clear()
    walk_weights(returns, **usual)
    assert seen == [None] * len(seen)
    for previous, message in (({"gold": 1.0}, "previous holds 'gold'"), ([1.0], r"previous has the shape \(1,\)")):
        with pytest.raises(AllocationError, match=message):
            walk_weights(returns, options={"limits": Limits(), "previous": previous}, **usual)


def test_an_error_of_a_decision_names_its_date() -> None:
    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    returns[60, 1] = np.nan
    with pytest.raises(AllocationError, match="the decision of 2020-03-13: the return of 'B' at 2020-03-02 is nan"):
        walk_weights(returns, times=DAYS[1:], **SCHEDULE)


def test_every_decision_keeps_the_limits_also_one_that_a_view_tilts() -> None:
    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    limits = Limits.parse("each <= 0.3", "turnover <= 0.1", "A <= 0.25")
    view = View(
        expected=np.tile([0.1, -0.1, 0.05, 0.0, 0.0], (ROWS - 1, 1)), uncertainty=np.ones_like(returns), skill=1.0
    )
    for options in ({}, {"rule": "min_variance"}, {"view": view}):
        targets = walk_weights(returns, times=DAYS[1:], options={"limits": limits}, **SCHEDULE, **options)
        assert targets.values.max() <= 0.3 + 1e-8
        assert targets.values[:, 0].max() <= 0.25 + 1e-8
        for number in range(1, len(targets.times)):
            rows = slice(LOOKBACK + EVERY * (number - 1), LOOKBACK + EVERY * number)
            grown = targets.values[number - 1] * np.prod(1 + returns[rows], axis=0)
            assert np.abs(targets.values[number] - grown / grown.sum()).sum() <= 0.1 + 1e-7
        assert "'turnover <= 0.1' does not bind the first decision: nothing was held" in targets.decision_notes[0]


def test_a_walk_that_can_not_keep_its_limits_names_the_date_and_the_limits() -> None:
    returns = returns_from_prices(draw_prices(), times=DAYS, assets=NAMES)
    for limits, message in (
        (Limits.parse("each <= 0.1"), "the decision of 2020-01-31: .*'each <= 0.1'"),
        ("each <= 0.1", "limits is a Limits, such as .*got str"),
    ):
        with pytest.raises(AllocationError, match=message):
            walk_weights(returns, times=DAYS[1:], options={"limits": limits}, **SCHEDULE)
