"""The table of figures of returns: what each is, its unit, which way is better, and where it comes from.

In the formulas r are net returns, b the benchmark's, f the risk-free return, all per period; P is periods_per_year, T
the number of returns, W wealth, D = 1 - W / (its highest so far), w weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from numpy.typing import ArrayLike

from tidewright.catalog import explain_unknown
from tidewright.errors import UnknownNameError
from tidewright.metrics.returns import drawdowns, growth, held, relative, tails
from tidewright.metrics.returns.sample import Floats, Sample

Of = Literal["returns", "benchmark", "ledger"]
Annual = Literal["no", "times P", "times sqrt(P)", "power P / T"]


@dataclass(frozen=True, slots=True)
class ReturnMetric:
    """One figure about returns.

    `of` says what it needs: the returns alone, a benchmark's beside them, or a ledger's holdings. `ddof` is that of its
    standard deviation, None where it has none; `annual` how it is made a year's; `undefined` when it is nan. `compute`
    takes a `Sample` and gives a number, or one for each of its histories. `objective` says that a search may be asked
    to make it as good as can be.
    """

    name: str
    direction: Literal["lower", "higher", "none"]
    unit: Literal["fraction", "fraction a year", "ratio", "periods", "times a year"]
    formula: str
    compute: Callable[[Sample], Floats]
    undefined: str = "never"
    source: str = "standard"
    ddof: int | None = None
    annual: Annual = "no"
    of: Of = "returns"
    objective: bool = False

    def measure(
        self,
        returns: ArrayLike,
        *,
        periods_per_year: float,
        risk_free: float = 0.0,
        benchmark: ArrayLike | None = None,
    ) -> float:
        """The figure of the net returns [T] of one strategy; `risk_free` is a return per period.

        >>> RETURN_METRICS["omega"].measure([0.02, -0.01], periods_per_year=252)
        2.0
        """
        sample = Sample.read(returns, periods_per_year=periods_per_year, risk_free=risk_free, benchmark=benchmark)
        return float(self.compute(sample))


def find_return_metric(name: str) -> ReturnMetric:
    """The figure of that name; an unknown name is an error that says which is near.

    >>> find_return_metric("sharpe").formula
    'mean(r - f) / std(r - f) sqrt(P)'
    """
    if name not in RETURN_METRICS:
        raise UnknownNameError(explain_unknown("figure of returns", name, RETURN_METRICS))
    return RETURN_METRICS[name]


def write_definitions() -> str:
    """The table of all figures in Markdown, as docs/backtest.md has it."""
    head = (
        "| figure | formula | ddof | a year | unit | better | undefined | source |\n|---|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, *(f"| {' | '.join(_tell(one))} |" for one in RETURN_METRICS.values())])


def _tell(one: ReturnMetric) -> tuple[str, ...]:
    formula = one.formula.replace("|", "\\|")
    ddof = "" if one.ddof is None else str(one.ddof)
    annual, better = ("" if word in ("no", "none") else word for word in (one.annual, one.direction))
    return f"`{one.name}`", formula, ddof, annual, one.unit, better, one.undefined, one.source


_BACON = "Bacon 2008"
_SHORT = "T < 2 or no variation"
_ALL = (
    ReturnMetric("total_return", "higher", "fraction", "prod(1 + r) - 1", growth.find_total, objective=True),
    ReturnMetric(
        "cagr", "higher", "fraction a year", "prod(1 + r)^(P / T) - 1", growth.find_cagr,
        source=_BACON, annual="power P / T", objective=True,
    ),
    ReturnMetric(
        "mean_return", "higher", "fraction a year", "mean(r) P", growth.find_mean, source=_BACON, annual="times P",
    ),
    ReturnMetric(
        "volatility", "lower", "fraction a year", "std(r) sqrt(P)", growth.find_volatility,
        undefined="T < 2", source=_BACON, ddof=1, annual="times sqrt(P)", objective=True,
    ),
    ReturnMetric(
        "sharpe", "higher", "ratio", "mean(r - f) / std(r - f) sqrt(P)", growth.find_sharpe,
        undefined=_SHORT, source="Sharpe 1994", ddof=1, annual="times sqrt(P)", objective=True,
    ),
    ReturnMetric(
        "sortino", "higher", "ratio", "mean(r - f) / sqrt(mean(min(r - f, 0)^2)) sqrt(P)", growth.find_sortino,
        undefined="no r below f", source="Sortino and van der Meer 1991", ddof=0, annual="times sqrt(P)",
        objective=True,
    ),
    ReturnMetric(
        "max_drawdown", "lower", "fraction", "max(D)", drawdowns.find_deepest,
        source="Magdon-Ismail and Atiya 2004", objective=True,
    ),
    ReturnMetric(
        "calmar", "higher", "ratio", "cagr / max_drawdown", drawdowns.find_calmar,
        undefined="no drawdown", source="Young 1991, over the whole sample", annual="power P / T", objective=True,
    ),
    ReturnMetric("hit_rate", "higher", "fraction", "mean(r > 0)", growth.find_hit_rate, objective=True),
    ReturnMetric(
        "omega", "higher", "ratio", "sum(max(r - f, 0)) / sum(max(f - r, 0))", growth.find_omega,
        undefined="no r below f", source="Keating and Shadwick 2002", objective=True,
    ),
    ReturnMetric(
        "payoff", "higher", "ratio", "mean(r where r > 0) / mean(-r where r < 0)", growth.find_payoff,
        undefined="no gain or no loss", source=_BACON,
    ),
    ReturnMetric(
        "average_drawdown", "lower", "fraction", "mean over drawdowns of their max(D), 0 without one",
        drawdowns.find_mean_depth, source=_BACON,
    ),
    ReturnMetric(
        "ulcer_index", "lower", "fraction", "sqrt(mean(D^2)) over the T periods", drawdowns.find_ulcer,
        source="Martin and McCann 1989", objective=True,
    ),
    ReturnMetric(
        "drawdown_length", "lower", "periods", "longest from a peak to its recovery, or to the end",
        drawdowns.find_longest, source=_BACON,
    ),
    ReturnMetric(
        "average_drawdown_length", "lower", "periods", "mean over drawdowns of peak to recovery, or to the end",
        drawdowns.find_mean_length, source=_BACON,
    ),
    ReturnMetric(
        "drawdown_recovery", "lower", "periods", "of the deepest drawdown: trough to recovery", drawdowns.find_recovery,
        undefined="not recovered, or no drawdown", source=_BACON,
    ),
    ReturnMetric(
        "average_recovery", "lower", "periods", "mean over drawdowns that are over of trough to recovery",
        drawdowns.find_mean_recovery, undefined="none is over", source=_BACON,
    ),
    ReturnMetric(
        "skew", "higher", "ratio", "mean(z^3), z = (r - mean(r)) / std(r)", tails.find_skew,
        undefined="no variation", ddof=0,
    ),
    ReturnMetric(
        "kurtosis", "lower", "ratio", "mean(z^4), 3 for a normal", tails.find_kurtosis,
        undefined="no variation", ddof=0,
    ),
    ReturnMetric(
        "tail_ratio", "higher", "ratio", "|95th percentile of r| / |5th percentile|", tails.find_tail_ratio,
        undefined="5th percentile 0",
    ),
    ReturnMetric(
        "value_at_risk", "lower", "fraction", "-(k-th lowest r), k = floor(0.05 T) + 1; a loss a period",
        tails.find_value_at_risk, source="Rockafellar and Uryasev 2002", objective=True,
    ),
    ReturnMetric(
        "expected_shortfall", "lower", "fraction", "-mean of the lowest 0.05 T returns, the last one in part",
        tails.find_expected_shortfall, source="Rockafellar and Uryasev 2002", objective=True,
    ),
    ReturnMetric(
        "alpha", "higher", "fraction a year", "a P of r - f = a + beta (b - f) + e, least squares", relative.find_alpha,
        undefined="b does not vary", source="Jensen 1968", annual="times P", of="benchmark",
    ),
    ReturnMetric(
        "alpha_error", "lower", "fraction a year", "classical standard error of a, times P", relative.find_alpha_error,
        undefined="T < 3 or b does not vary", source="least squares", ddof=2, annual="times P", of="benchmark",
    ),
    ReturnMetric(
        "beta", "none", "ratio", "cov(r - f, b - f) / var(b - f)", relative.find_beta,
        undefined="b does not vary", source="Sharpe 1964", of="benchmark",
    ),
    ReturnMetric(
        "beta_error", "lower", "ratio", "classical standard error of beta", relative.find_beta_error,
        undefined="T < 3 or b does not vary", source="least squares", ddof=2, of="benchmark",
    ),
    ReturnMetric(
        "tracking_error", "lower", "fraction a year", "std(r - b) sqrt(P)", relative.find_tracking_error,
        undefined="T < 2", source=_BACON, ddof=1, annual="times sqrt(P)", of="benchmark",
    ),
    ReturnMetric(
        "information_ratio", "higher", "ratio", "mean(r - b) / std(r - b) sqrt(P)", relative.find_information_ratio,
        undefined="r - b does not vary", source="Grinold and Kahn 2000", ddof=1, annual="times sqrt(P)",
        of="benchmark",
    ),
    ReturnMetric(
        "up_capture", "higher", "ratio", "(prod(1 + r)^(1/n) - 1) / (prod(1 + b)^(1/n) - 1), the n periods of b > 0",
        relative.find_up_capture, undefined="no b above 0", source="Morningstar 2011, a period", of="benchmark",
    ),
    ReturnMetric(
        "down_capture", "lower", "ratio", "the same over the periods of b < 0", relative.find_down_capture,
        undefined="no b below 0", source="Morningstar 2011, a period", of="benchmark",
    ),
    ReturnMetric(
        "turnover", "lower", "times a year", "sum(|trades| / 2 / equity) P / T, without the entry", held.find_turnover,
        undefined="nothing was traded", annual="times P", of="ledger",
    ),
    ReturnMetric("gross_exposure", "none", "fraction", "mean of sum(|w|)", held.find_gross, of="ledger"),
    ReturnMetric("net_exposure", "none", "fraction", "mean of sum(w)", held.find_net, of="ledger"),
    ReturnMetric(
        "cost_drag", "lower", "fraction a year", "sum(costs) / mean(equity) P / T", held.find_cost_drag,
        annual="times P", of="ledger",
    ),
)  # fmt: skip
RETURN_METRICS: Mapping[str, ReturnMetric] = MappingProxyType({metric.name: metric for metric in _ALL})
OBJECTIVES: Mapping[str, ReturnMetric] = MappingProxyType({one.name: one for one in _ALL if one.objective})
