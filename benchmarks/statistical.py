"""CPU seconds a window of statistical models, beside statsforecast asked for the same, and where its ETS ends.

The two sides alternate in one process on one thread; the figures are medians over windows. One JSON line a comparison;
ratio is ours / theirs. Our models of intermittent demand are closed forms here; the others are statsforecast's, with
gaps bridged, the unit taken out, a simplex that starts again (ETS) and paths where its intervals have none (ETS).

    python benchmarks/statistical.py [--out benchmarks/results/statistical.jsonl]
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from tell import make_line, open_parser, tell

os.environ.setdefault("NIXTLA_NUMBA_CACHE", "1")  # what it compiles is no part of a window's cost, on either side
import numpy as np

HORIZON, QUANTILES = 12, (0.1, 0.5, 0.9)
DEMANDS, DEMAND_LENGTH, REPEATS = 500, 200, 9
CASES = (("monthly", 12, 144, 8), ("hourly", 24, 240, 5))  # name, season, values, windows


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    parser = open_parser(__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="of the seasonal models, by name; nothing else is run")
    options = parser.parse_args()
    sides = compare_seasonal(options.only)
    tell(sides if options.only else (*compare_demand(), *sides, compare_ends()), out=options.out)


def compare_demand() -> Iterator[dict[str, Any]]:
    """Models of intermittent demand on 500 series of 200 steps."""
    from statsforecast import models

    from tidewright.models.intermittent import forecast_intermittent
    from tidewright.models.specs.statistical import ADIDA, IMAPA, TSB, Croston

    draw = np.random.default_rng(0)
    demand = draw.poisson(draw.uniform(0.1, 2.0, size=(DEMANDS, 1)), size=(DEMANDS, DEMAND_LENGTH)).astype(float)
    pairs: dict[str, tuple[Any, Any]] = {
        "croston sba": (Croston(), models.CrostonSBA()),
        "croston optimised": (Croston(form="optimised"), models.CrostonOptimized()),
        "tsb": (TSB(), models.TSB(0.1, 0.1)),
        "adida": (ADIDA(), models.ADIDA()),
        "imapa": (IMAPA(), models.IMAPA()),
    }
    for name, (spec, theirs) in pairs.items():
        sides = [
            (
                measure(lambda spec=spec: forecast_intermittent(demand, spec)) / DEMANDS,
                measure(lambda model=theirs: [model.forecast(y=row, h=HORIZON) for row in demand]) / DEMANDS,
            )
            for _ in range(REPEATS + 1)
        ][1:]
        yield line(f"{name} vs statsforecast", sides, f"{DEMANDS} series of {DEMAND_LENGTH} steps")


def compare_seasonal(only: list[str]) -> Iterator[dict[str, Any]]:
    """The others (or `only` some) on windows with a trend, a season and noise."""
    from statsforecast import models

    from tidewright.models.specs.statistical import MSTL, AutoARIMA, AutoCES, AutoETS, Theta
    from tidewright.models.window_fits import fit_windows

    for case, season, length, count in CASES:
        rows = draw_windows(season, length=length, count=count + 1)
        pairs: dict[str, tuple[Any, Any]] = {
            "theta": (Theta(season=season), models.AutoTheta(season_length=season)),
            "mstl": (MSTL(seasons=(season,)), models.MSTL(season_length=season)),
            "auto_ets": (AutoETS(season=season), models.AutoETS(season_length=season)),
            "auto_ces": (AutoCES(season=season), models.AutoCES(season_length=season)),
            "auto_arima": (
                AutoARIMA(season=season),
                models.AutoARIMA(season_length=season, approximation=length > 150 or season > 12),
            ),
        }
        for name, (spec, theirs) in pairs.items():
            if only and name not in only:
                continue
            sides = [
                (
                    measure(
                        lambda spec=spec, row=row: fit_windows(row[None], spec, horizon=HORIZON, quantiles=QUANTILES)
                    ),
                    measure(lambda model=theirs, row=row: model.forecast(y=row, h=HORIZON, level=[80])),
                )
                for row in rows
            ][1:]
            yield line(f"{name} {case} vs statsforecast", sides, f"season {season}, {length} values")


def compare_ends() -> dict[str, Any]:
    """Akaike's criterion of the ETS model that is chosen for AirPassengers: lower is better."""
    from statsforecast.models import AutoETS
    from statsforecast.utils import AirPassengers

    from tidewright.models.window_fits import restart_simplex

    series = np.asarray(AirPassengers, dtype=float)
    alone = float(AutoETS(season_length=12).fit(series).model_["aic"])
    with restart_simplex():
        again = float(AutoETS(season_length=12).fit(series).model_["aic"])
    note = "the form with the least AICc on AirPassengers, one start of its simplex against up to three"
    return make_line("auto_ets AirPassengers vs statsforecast", again, alone, unit="AIC", n=1, note=note)


def draw_windows(season: int, *, length: int, count: int) -> np.ndarray:
    """Windows with a trend, a season and noise that is partly kept."""
    draw = np.random.default_rng(1)
    steps = np.arange(length)
    noise = draw.normal(size=(count, length)) + 0.3 * draw.normal(size=(count, length)).cumsum(axis=1)
    return np.asarray(100.0 + 0.1 * steps + 10.0 * np.sin(2 * np.pi * steps / season) + noise)


def measure(run: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    run()
    return time.process_time() - started


def line(name: str, sides: list[tuple[float, float]], note: str) -> dict[str, Any]:
    """One comparison: the medians of both sides."""
    ours, theirs = (statistics.median(side) for side in zip(*sides, strict=True))
    return make_line(name, ours, theirs, unit="cpu_s/window", n=len(sides), note=note)


if __name__ == "__main__":
    main()
