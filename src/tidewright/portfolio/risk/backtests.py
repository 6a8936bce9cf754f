"""Was the risk right? Values at risk held against what then happened. T bars."""

# ruff: noqa: PT028  # test_var is no test of pytest's

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.catalog import explain_unknown
from tidewright.checks import check_real, check_whole
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.risk.coverage import (
    TestResult,
    TrafficLight,
    conditional_coverage,
    independence,
    kupiec,
    traffic_light,
)
from tidewright.portfolio.risk.measure import check_confidence
from tidewright.portfolio.risk.read import read_column, refuse_returns
from tidewright.portfolio.risk.record import freeze_arrays
from tidewright.portfolio.risk.shortfall_tests import Model, Null, shortfall_tests
from tidewright.portfolio.show import show


@dataclass(frozen=True, slots=True, eq=False)
class VarTest:
    """Values at risk against returns: `exceptions` of `bars` losses went beyond, `expected` should have.

    `rows` are those of the exceptions, in the arrays as they came. kupiec asks whether there are too many or too few,
    independence whether they come in clusters, conditional_coverage both. z1 and z2 ask whether the expected shortfall
    is large enough (Acerbi and Szekely), and are None without one. A p-value is NaN where its test can't be made:
    `notes` say why.
    """

    bars: int
    confidence: float
    exceptions: int
    expected: float
    rows: NDArray[np.intp]
    kupiec: TestResult
    independence: TestResult
    conditional_coverage: TestResult
    traffic_light: TrafficLight
    z1: TestResult | None
    z2: TestResult | None
    notes: tuple[str, ...] = ()

    __test__ = False  # no test of pytest's

    def __post_init__(self) -> None:
        freeze_arrays(self)

    def __repr__(self) -> str:
        return show(self)


def test_var(
    returns: ArrayLike,
    var: ArrayLike,
    *,
    confidence: float,
    es: ArrayLike | None = None,
    model: Model = "normal",
    degrees: float = 5.0,
    simulations: int = 10_000,
    seed: int = 0,
) -> VarTest:
    """Tests of one series of values at risk [T], and of expected shortfalls [T], by the returns [T] that followed.

    Row t of `var` and `es` is what was said of bar t before it, as a positive loss, such as `rolling_var` gives;
    leading rows of NaN are left out. An exception is a loss above the value at risk. The p-values of z1 and z2 are
    those of `simulations` histories in which each bar is a normal, or a t with `degrees` of freedom (`model`), that has
    the bar's value at risk and expected shortfall.

    >>> returns = np.zeros(250)
    >>> returns[[10, 80, 200]] = -0.05
    >>> found = test_var(returns, np.full(250, 0.03), confidence=0.99)
    >>> found.exceptions, round(found.expected, 6), found.traffic_light.zone, round(found.kupiec.p_value, 4)
    (3, 2.5, 'green', 0.758)
    """
    check_confidence(confidence)
    _check_options(model, degrees=degrees, simulations=simulations, seed=seed)
    earned, said, short, notes = _read(returns, var, es=es)
    skipped = np.asarray(returns).shape[0] - len(earned)
    beyond = -earned > said
    bars, count = len(earned), int(beyond.sum())
    coverage, clusters = kupiec(count, bars=bars, rate=1.0 - confidence), independence(beyond)
    z1 = z2 = None
    if short is not None:
        null = Null(model, degrees, confidence)
        z1, z2 = shortfall_tests(earned, var=said, es=short, null=null, simulations=simulations, seed=seed)
        named = "a normal" if model == "normal" else f"a t with {degrees:g} degrees of freedom"
        notes += (f"p-values of z1 and z2 by {simulations} histories in which each bar follows {named}; seed {seed}",)
    return VarTest(
        bars=bars,
        confidence=confidence,
        exceptions=count,
        expected=bars * (1.0 - confidence),
        rows=np.flatnonzero(beyond) + skipped,
        kupiec=coverage,
        independence=clusters,
        conditional_coverage=conditional_coverage(coverage, clusters),
        traffic_light=traffic_light(count, bars=bars, rate=1.0 - confidence),
        z1=z1,
        z2=z2,
        notes=notes + _tell(beyond),
    )


def _check_options(model: str, *, degrees: float, simulations: int, seed: int) -> None:
    if model not in ("normal", "t"):
        raise ConfigError(explain_unknown("model", model, ("normal", "t")))
    check_real("degrees", degrees, words="a number above 1.01", low=1.01, open_low=True)
    check_whole("simulations", simulations, least=100, most=10_000_000)
    check_whole("seed", seed, least=0)


def _read(
    returns: ArrayLike, var: ArrayLike, *, es: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray | None, tuple[str, ...]]:
    """The arrays without their leading rows that have no value at risk."""
    earned, said = _read_one("returns", returns), _read_one("var", var)
    short = None if es is None else _read_one("es", es)
    for name, values in (("var", said), ("es", short)):
        if values is not None and len(values) != len(earned):
            raise AllocationError(f"{len(earned)} returns came with {len(values)} rows of {name}. Give one a return.")
    there = np.isfinite(said)
    first = int(np.argmax(there)) if there.any() else len(said)
    earned, said, short = earned[first:], said[first:], None if short is None else short[first:]
    if len(earned) < 2:
        raise AllocationError(f"{len(earned)} bars have a value at risk; a test needs at least 2. Bring more bars.")
    for name, values in (("return", earned), ("var", said), ("es", short)):
        if values is not None and not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise AllocationError(
                f"the {name} of row {row + first} is {values[row]} ({(~np.isfinite(values)).sum()} such). Only "
                "leading rows may lack a value at risk: drop those rows, or fill them."
            )
    refuse_returns(earned[:, None], assets=("returns",), times=None)
    _check_signs(said, short, first=first)
    return earned, said, short, (f"{first} leading rows without a value at risk were left out",) if first else ()


def _read_one(name: str, values: ArrayLike) -> FloatArray:
    return read_column(values, noun=name, advice="A test is of one series: pass one asset's column [T].")


def _check_signs(var: FloatArray, es: FloatArray | None, *, first: int) -> None:
    if (var < 0.0).mean() > 0.5:
        raise AllocationError(
            f"{(var < 0.0).mean():.0%} of the values at risk are below zero; they are positive losses here. Turn their "
            "sign, as of what calculate_var gives."
        )
    if es is None:
        return
    low = np.flatnonzero(es <= 0.0)
    low = low if low.size else np.flatnonzero(es < var)
    if low.size:
        row = int(low[0])
        raise AllocationError(
            f"the expected shortfall of row {row + first} is {es[row]:g} with a value at risk of {var[row]:g} "
            f"({low.size} such); it is a positive loss, and no smaller. Mend those rows."
        )


def _tell(beyond: NDArray[np.bool_]) -> tuple[str, ...]:
    if not beyond.any():
        return ("no loss went beyond the value at risk: clusters and the size of losses there can't be tested",)
    if beyond.all():
        return ("every loss went beyond the value at risk: clusters can't be tested",)
    if not beyond[:-1].any():
        return ("only the last bar went beyond the value at risk: clusters can't be tested",)
    return ()
