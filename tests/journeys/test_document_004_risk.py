"""The allocation and the risk of the technology guide: each of its blocks as it stands, beside the call here.

The blocks name PyPortfolioOpt and arch, which run on the same returns: 500 days of ten real stocks. `calculate_var`
and `calculate_cvar` are names of ours, and come with only their import changed.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

import tidewright as tw
from tidewright.data.market import load_market
from tidewright.errors import AllocationError

GUIDE = Path(__file__).resolve().parents[2].parent / "shared" / "source_documents" / "004_technology_stack.txt"

HRP = """
from pypfopt import HRPOpt

returns = pd.DataFrame(...)  # Asset returns
hrp = HRPOpt(returns)
weights = hrp.optimize()
"""

GARCH = """
from arch import arch_model

model = arch_model(returns, vol='Garch', p=1, q=1)
results = model.fit()
forecast = results.forecast(horizon=5)
"""

VAR = '''
def calculate_var(returns, confidence=0.95):
    """Historical VaR"""
    return np.percentile(returns, (1 - confidence) * 100)

def calculate_cvar(returns, confidence=0.95):
    """Conditional VaR (Expected Shortfall)"""
    var = calculate_var(returns, confidence)
    return returns[returns <= var].mean()
'''
OUR_VAR = "from tidewright import calculate_cvar, calculate_var"

STOCKS = ("AAPL", "AMD", "BAC", "CVX", "GE", "JNJ", "JPM", "KO", "PG", "XOM")
SECTORS = {name: "Banks" if name in ("BAC", "JPM") else "Oil" if name in ("CVX", "XOM") else "Other" for name in STOCKS}


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not on this machine")
@pytest.mark.parametrize("block", [HRP, GARCH, VAR])
def test_the_blocks_are_the_guides_own(block: str) -> None:
    assert block in GUIDE.read_text()


@cache
def read_returns() -> pd.DataFrame:
    """500 days, the calmest stock first: the peer's tree takes assets as they stand."""
    wide = load_market().pivot("stock", index="date", values="price").sort("date").tail(501)
    closes = pd.DataFrame(wide.select(STOCKS).to_numpy(), columns=list(STOCKS))
    returns = closes.pct_change().iloc[1:]
    return returns[returns.var().sort_values().index]


def run_block(block: str, **names: Any) -> dict[str, Any]:
    space = {"np": np, "pd": pd} | names
    exec(block, space)
    return space


def test_hierarchical_risk_parity_is_pyportfolioopts_and_by_default_the_papers() -> None:
    returns = read_returns()
    theirs = run_block(HRP.replace("pd.DataFrame(...)", "pd.DataFrame(given)"), given=returns)["weights"]
    ours = tw.allocate(returns, assets=returns.columns, method="hrp", distance="plain", linkage="single")
    assert ours.as_dict() == pytest.approx(dict(theirs), rel=1e-9)
    paper = tw.allocate(returns, assets=returns.columns, method="hrp")  # correlations' distances of distances
    assert paper.values.sum() == pytest.approx(1.0, abs=1e-12)
    turned = tw.allocate(returns[returns.columns[::-1]], assets=returns.columns[::-1], method="hrp")
    assert turned.as_dict() == pytest.approx(paper.as_dict(), rel=1e-9)


@cache
def year_of_figures() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    returns = read_returns()
    return 252 * returns.mean().to_numpy(), 252 * returns.cov().to_numpy()


def pose(**limits: Any) -> tuple[Any, dict[str, Any]]:
    """PyPortfolioOpt's problem, and what ours is asked with, of the same means and covariance a year."""
    from pypfopt import EfficientFrontier

    names, (mean, matrix) = tuple(read_returns().columns), year_of_figures()
    theirs = EfficientFrontier(pd.Series(mean, names), pd.DataFrame(matrix, names, names))
    ours = {"assets": names, "expected": mean, "covariance": tw.Covariance(matrix, names, "sample, a year")}
    return theirs, ours | limits


def test_the_highest_sharpe_ratio_is_pyportfolioopts_long_only_and_with_limits_on_sectors() -> None:
    theirs, ours = pose()
    wanted = np.array(list(theirs.max_sharpe(risk_free_rate=0.0).values()))
    found = tw.optimise(None, method="max_sharpe", **ours)
    np.testing.assert_allclose(found.weights.values, wanted, atol=1e-4)
    limits = tw.Limits.parse("Oil <= 0.2", "Other <= 0.7", groups=SECTORS)
    theirs, ours = pose(limits=limits)
    theirs.add_sector_constraints(SECTORS, {}, {"Oil": 0.2, "Other": 0.7})
    wanted = np.array(list(theirs.max_sharpe(risk_free_rate=0.0).values()))
    found = tw.optimise(None, method="max_sharpe", **ours)
    mean, matrix = year_of_figures()
    np.testing.assert_allclose(found.weights.values, wanted, atol=1e-4)
    assert found.objective >= mean @ wanted / np.sqrt(wanted @ matrix @ wanted) - 1e-9
    assert sum(found.weights.as_dict()[name] for name in STOCKS if SECTORS[name] == "Oil") <= 0.2 + 1e-9


def test_the_efficient_frontier_is_pyportfolioopts() -> None:
    _, ours = pose()
    line = tw.frontier(None, points=5, **ours)
    for point in range(1, 4):
        theirs, _ = pose()
        wanted = np.array(list(theirs.efficient_return(float(line.returns[point])).values()))
        assert line.risk[point] == pytest.approx(np.sqrt(wanted @ year_of_figures()[1] @ wanted), rel=1e-6)


def test_turnover_is_limited_over_the_whole_portfolio_as_in_cvxpy() -> None:
    import cvxpy as cp

    held = np.full(10, 0.1)
    theirs, ours = pose(limits=tw.Limits.parse("turnover <= 0.3"), previous=held)
    theirs.add_constraint(lambda w: cp.norm1(w - held) <= 0.3)
    wanted = np.array(list(theirs.min_volatility().values()))
    found = tw.optimise(None, method="min_variance", **{**ours, "expected": None})
    assert np.abs(found.weights.values - held).sum() <= 0.3
    assert found.objective == pytest.approx(wanted @ year_of_figures()[1] @ wanted, rel=1e-6)


def test_garch_and_its_five_steps_are_archs_and_need_no_percent(capsys: pytest.CaptureFixture[str]) -> None:
    from arch.utility.exceptions import DataScaleWarning

    fractions = read_returns()[["JPM"]]
    with pytest.warns(DataScaleWarning, match="poorly scaled"):  # as it stands, of fractions: a fit not to be relied on
        run_block(GARCH, returns=fractions)
    theirs = run_block(GARCH, returns=100.0 * fractions)
    assert "Current function value" in capsys.readouterr().out  # the guide's fit prints its iterations
    fit = tw.fit_volatility(fractions, assets=["JPM"], model="garch")
    ahead = fit.forecast(horizon=5)
    np.testing.assert_allclose(1e4 * ahead.variance[:, 0], theirs["forecast"].variance.to_numpy()[-1], rtol=3e-3)
    assert fit.log_likelihood[0] - 500 * np.log(100.0) == pytest.approx(theirs["results"].loglikelihood, abs=1e-3)
    assert not fit.failures
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("model", "theirs"), [("egarch", {"vol": "EGARCH", "o": 1}), ("gjr", {"vol": "GARCH", "o": 1})]
)
def test_its_variants_are_archs_too(model: Any, theirs: dict[str, Any]) -> None:
    from arch import arch_model

    fractions = read_returns()[["XOM"]]
    wanted = arch_model(100.0 * fractions, p=1, q=1, **theirs).fit(disp="off")
    fit = tw.fit_volatility(fractions, assets=["XOM"], model=model)
    assert fit.log_likelihood[0] - 500 * np.log(100.0) == pytest.approx(wanted.loglikelihood, abs=1e-2)
    step = wanted.forecast(horizon=1).variance.to_numpy()[-1]
    np.testing.assert_allclose(1e4 * fit.forecast(horizon=1).variance[:, 0], step, rtol=1e-2)


def test_value_at_risk_is_the_guides_for_one_asset_and_pools_no_table() -> None:
    returns = read_returns()
    theirs, ours = run_block(VAR), run_block(OUR_VAR)
    for name in returns:
        for call in ("calculate_var", "calculate_cvar"):
            assert ours[call](returns[name]) == theirs[call](returns[name])
    pooled = theirs["calculate_var"](returns)  # one figure of all ten stocks, which is the risk of none of them
    each = tw.value_at_risk(returns, assets=returns.columns, confidence=0.95)
    assert each.var.min() < -pooled < each.var.max()
    with pytest.raises(AllocationError, match="percentile of 10 assets in one pool"):
        ours["calculate_var"](returns)
    assert isinstance(theirs["calculate_cvar"](returns), pd.Series)  # its shortfall takes each stock's mean of the pool
    with pytest.raises(AllocationError, match="in one pool"):
        ours["calculate_cvar"](returns)


def test_the_three_ways_of_the_guide_are_methods_of_one_call() -> None:
    returns = read_returns()
    weights = np.full(10, 0.1)
    book = returns.to_numpy() @ weights
    asked: dict[str, Any] = {"assets": returns.columns, "confidence": 0.95, "weights": weights}
    past = tw.value_at_risk(returns, method="historical", **asked).portfolio
    normal = tw.value_at_risk(returns, method="normal", **asked).portfolio
    drawn = tw.value_at_risk(returns, method="monte_carlo", draws=100_000, **asked).portfolio
    assert past is not None
    assert normal is not None
    assert drawn is not None
    theirs = run_block(VAR)
    assert past.var == pytest.approx(-np.sort(book)[25])  # beyond it lie 5 % of 500; theirs goes on towards the next
    assert past.var <= -theirs["calculate_var"](book) <= -np.sort(book)[24]
    assert past.es == pytest.approx(-np.sort(book)[:25].mean())
    assert past.es == pytest.approx(-theirs["calculate_cvar"](book))
    spread, bell = book.std(ddof=1), stats.norm.ppf(0.95)
    assert normal.var == pytest.approx(bell * spread - book.mean(), rel=1e-9)
    assert normal.es == pytest.approx(stats.norm.pdf(bell) / 0.05 * spread - book.mean(), rel=1e-9)
    assert [drawn.var, drawn.es] == pytest.approx([normal.var, normal.es], rel=0.02)
