"""CPU seconds of rolling features of many series: ours against pandas, polars, mlforecast and tsfresh, on one thread.

"ten" is mean, standard deviation, minimum, maximum and sum over 7 and 28 rows, of 500 series of 5,000 rows; "ten of
higher order" is variance, median, 90 % quantile, skewness and kurtosis over the same windows. pandas has a column a
series (its fastest form), polars and mlforecast a long table. Ours is measured both on arrays (`rolling_columns`) and
from panel to panel (`add_lags`). tsfresh works out its efficient set of features window by window; it is measured on
few windows, as microseconds a row and feature. mlforecast has no sum: there the windows 7, 14, 28, 56 and 84 of mean
and standard deviation make ten on both sides.

Every figure is the median of runs in turn, after one that is not counted. What a side frees stays with the process, so
that the first touch of new pages, which can cost more than the work itself in a virtual machine, counts on no side. One
JSON line a comparison; ratio is ours / theirs, lower is better. Peers that are no dependencies live in `.venv-peers`,
which this script fills; where that fails, their lines are left out.

    python benchmarks/features.py [--runs 5] [--keep]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tell import tell

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # after the thread counts
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-peers"
RESULTS = Path(__file__).resolve().parent / "results" / "features.jsonl"
SERIES, ROWS = 500, 5_000
WINDOWS = (7, 28)
PEER_WINDOWS = (7, 14, 28, 56, 84)
TEN = ("mean", "std", "min", "max", "sum")
HIGHER = ("var", "median", "q0.9", "skew", "kurtosis")
TSFRESH = (2, 60, 28)  # series, rows, window
Line = dict[str, Any]


def main() -> None:
    """Prints every comparison, and keeps them when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help=f"put the lines into {RESULTS.name}")
    parser.add_argument("--peer", choices=("mlforecast", "tsfresh"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    keep_memory()
    if asked.peer:
        print(json.dumps(serve_peer(asked.peer, runs=asked.runs)))
        return
    lines = [*compare_frames(asked.runs), *compare_sizes(asked.runs), *compare_peers(asked.runs)]
    tell(lines, out=RESULTS if asked.keep else None)


def compare_frames(runs: int) -> Iterator[Line]:
    """Arrays and panels against pandas and polars, in this process."""
    flat, offsets = draw()
    panel, frame = make_panel(), make_frame()
    wide = pd.DataFrame(flat.reshape(SERIES, ROWS).T)
    for title, names in (("ten", TEN), ("ten of higher order", HIGHER)):
        sides: dict[str, Callable[[], Any]] = {
            "arrays": partial(roll_arrays, flat, offsets, WINDOWS, names),
            "panel": partial(roll_panel, panel, WINDOWS, names),
            "pandas wide": partial(roll_pandas, wide, names),
            "polars": partial(roll_polars, frame, names),
        }
        if names is HIGHER:
            del sides["polars"]  # it has no rolling skewness without bias, and no kurtosis before 1.30
        check_equal(sides["arrays"](), wide, names)
        spent = measure(sides, runs=runs)
        for side in ("arrays", "panel"):
            for peer in (name for name in sides if name not in ("arrays", "panel")):
                yield compare(f"{title}, 2.5 million rows: {side} vs {peer}", spent[side], spent[peer], runs=runs)


def compare_sizes(runs: int) -> Iterator[Line]:
    """The cost of a row with ten times the rows, in more series or in longer ones, and with a longer window."""
    flat, offsets = draw()
    few, long = slice(0, 50 * ROWS), np.array([0, SERIES * ROWS])
    sides: dict[str, Callable[[], Any]] = {
        "250,000 rows": partial(roll_arrays, flat[few], offsets[:51], WINDOWS, TEN),
        "1.25 million rows": partial(roll_arrays, flat[: 250 * ROWS], offsets[:251], WINDOWS, TEN),
        "2.5 million rows": partial(roll_arrays, flat, offsets, WINDOWS, TEN),
        "2.5 million rows of one series": partial(roll_arrays, flat, long, WINDOWS, TEN),
        "windows of 1,000": partial(roll_arrays, flat, offsets, (1_000, 1_001), TEN),
        "all rows before": partial(roll_arrays, flat, offsets, (ROWS, ROWS), TEN),
    }
    spent = {name: 1e9 * seconds for name, seconds in measure(sides, runs=runs).items()}
    first, *others = sides
    small = spent[first] / (50 * ROWS)
    for name in others:
        rows = 250 * ROWS if name.startswith("1.25") else len(flat)
        title = f"ten, cost a row: {name} vs {first}"
        yield compare(title, spent[name] / rows, small, runs=runs, unit="cpu_ns_a_row")


def compare_peers(runs: int) -> Iterator[Line]:
    """Against mlforecast and tsfresh, which run in their own environment."""
    if not install_peers():
        return
    theirs = ask_peer("mlforecast", runs=runs)
    made = {"panel": partial(roll_panel, make_panel(), PEER_WINDOWS, ("mean", "std"))}
    ours = measure(made, runs=runs)["panel"]
    note = f"mlforecast {theirs['version']}, preprocess with 10 lag transforms, min_samples=1, one thread"
    yield compare("ten, 2.5 million rows: panel vs mlforecast", ours, theirs["seconds"], runs=runs, note=note)
    theirs = ask_peer("tsfresh", runs=1)
    flat, offsets = draw()
    arrays = measure({"arrays": partial(roll_arrays, flat, offsets, WINDOWS, TEN)}, runs=runs)["arrays"]
    note = (
        f"tsfresh {theirs['version']}, roll_time_series and extract_features with EfficientFCParameters: "
        f"{theirs['features']} features of {theirs['windows']} windows of {TSFRESH[2]} rows; ours is ten features"
    )
    each = {"ours": 1e6 * arrays / (10 * len(flat)), "theirs": 1e6 * theirs["seconds"] / theirs["cells"]}
    yield compare(
        "a feature of a row: arrays vs tsfresh's efficient set", each["ours"], each["theirs"], runs=runs,
        unit="cpu_us", note=note,
    )  # fmt: skip


def draw() -> tuple[Any, Any]:
    """The values [T] of all series, and their offsets."""
    flat = 100.0 + np.random.default_rng(0).normal(size=SERIES * ROWS)
    return flat, np.arange(0, SERIES * ROWS + 1, ROWS)


def make_frame() -> Any:
    """The long polars table."""
    import polars as pl

    flat, _ = draw()
    steps = np.arange(SERIES * ROWS)
    return pl.DataFrame({"series": steps // ROWS, "t": steps % ROWS, "y": flat})


def make_panel() -> Any:
    """The same as a panel."""
    from tidewright.data.panel import Panel

    return Panel.from_table(make_frame(), series="series", time="t", target="y")


def roll_arrays(flat: Any, offsets: Any, windows: Any, names: Any) -> Any:
    """Ours, arrays to an array."""
    from tidewright.features.lags import rolling_columns

    return rolling_columns(flat, offsets, windows, names)


def roll_panel(panel: Any, windows: Any, names: Any) -> Any:
    """Ours, panel to panel."""
    from tidewright.features.lags import add_lags

    return add_lags(panel, rolling=windows, statistics=names)


def roll_pandas(wide: pd.DataFrame, names: Any) -> list[pd.DataFrame]:
    """Theirs: a wide table for each feature."""
    return [by_pandas(wide.rolling(window, min_periods=1), name) for window in WINDOWS for name in names]


def by_pandas(roll: Any, name: str) -> pd.DataFrame:
    """One statistic of a wide table."""
    if name == "q0.9":
        return roll.quantile(0.9)
    return getattr(roll, {"kurtosis": "kurt"}.get(name, name))()


def roll_polars(frame: Any, names: Any) -> Any:
    """Theirs: a long table with ten more columns."""
    import polars as pl

    return frame.with_columns(
        getattr(pl.col("y"), f"rolling_{name}")(window, min_samples=1).over("series").alias(f"{name}{window}")
        for window in WINDOWS
        for name in names
    )


def check_equal(made: Any, wide: pd.DataFrame, names: Any) -> None:
    """Both sides give the same numbers."""
    few = wide.iloc[:, :3]
    theirs = [by_pandas(few.rolling(window, min_periods=1), name) for window in WINDOWS for name in names]
    for column, table in enumerate(theirs):
        ours = made[: 3 * ROWS, column].reshape(3, ROWS).T
        np.testing.assert_allclose(ours, table.to_numpy(), rtol=1e-6, atol=1e-6)


def keep_memory() -> None:
    """Freed memory stays with the process, where the C library is GNU's."""
    if sys.platform == "linux":
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(-4, 0)  # M_MMAP_MAX: large arrays come from the heap
        library.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def measure(sides: dict[str, Callable[[], Any]], *, runs: int) -> dict[str, float]:
    """The median CPU seconds of each, run in turn."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for run in range(runs + 1):
        for name, side in sides.items():
            start = time.process_time()
            made = side()
            if run:
                spent[name].append(time.process_time() - start)
            del made
    return {name: median(times) for name, times in spent.items()}


def compare(name: str, ours: float, theirs: float, *, runs: int, unit: str = "cpu_s", note: str = "") -> Line:
    """One line."""
    figures = {"ours": round(ours, 4), "theirs": round(theirs, 4), "unit": unit, "ratio": round(ours / theirs, 6)}
    return {"name": name, **figures, "n": runs, "note": note}


def install_peers() -> bool:
    """Whether mlforecast and tsfresh are in the peers' environment, which is made if need be."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
    look = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ('mlforecast', 'tsfresh'))))"
    if subprocess.run([str(python), "-c", look], capture_output=True, check=False).returncode == 0:
        return True
    print("installing mlforecast and tsfresh into .venv-peers (minutes, once) ...", file=sys.stderr)
    done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", "mlforecast", "tsfresh"], check=False)
    if done.returncode:
        print("they could not be installed; their comparisons are left out.", file=sys.stderr)
    return not done.returncode


def ask_peer(name: str, *, runs: int) -> dict[str, Any]:
    """What this script measures inside the peers' environment."""
    python = PEERS / "bin" / "python"
    command = [str(python), __file__, "--peer", name, "--runs", str(runs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def serve_peer(name: str, *, runs: int) -> dict[str, Any]:
    """Inside the peers' environment."""
    import warnings

    warnings.filterwarnings("ignore")
    return serve_mlforecast(runs) if name == "mlforecast" else serve_tsfresh()


def serve_mlforecast(runs: int) -> dict[str, Any]:
    """Ten lag transforms of mlforecast, at lag 1 as it always has them."""
    from importlib.metadata import version

    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean, RollingStd

    flat, _ = draw()
    steps = np.arange(SERIES * ROWS)
    frame = pd.DataFrame({"unique_id": steps // ROWS, "ds": steps % ROWS, "y": flat})
    wanted = [kind(window, min_samples=1) for window in PEER_WINDOWS for kind in (RollingMean, RollingStd)]
    model = MLForecast(models=[], freq=1, lag_transforms={1: wanted}, num_threads=1)
    side = partial(model.preprocess, frame, static_features=[], dropna=False)
    return {"seconds": measure({"all": side}, runs=runs)["all"], "version": version("mlforecast")}


def serve_tsfresh() -> dict[str, Any]:
    """The efficient set of every window of few rows."""
    from importlib.metadata import version

    from tsfresh import extract_features
    from tsfresh.feature_extraction import EfficientFCParameters
    from tsfresh.utilities.dataframe_functions import roll_time_series

    series, rows, window = TSFRESH
    flat, _ = draw()
    steps = np.arange(series * rows)
    frame = pd.DataFrame({"id": steps // rows, "t": steps % rows, "y": flat[: len(steps)]})
    options = {"n_jobs": 0, "disable_progressbar": True}

    def side() -> Any:
        rolled = roll_time_series(
            frame, column_id="id", column_sort="t", max_timeshift=window - 1, min_timeshift=window - 1, **options
        )
        settings = EfficientFCParameters()
        return extract_features(rolled, column_id="id", column_sort="t", default_fc_parameters=settings, **options)

    start = time.process_time()
    made = side()
    seconds = time.process_time() - start
    sizes = {"windows": made.shape[0], "features": made.shape[1], "cells": made.shape[0] * made.shape[1]}
    return {"seconds": seconds, "version": version("tsfresh"), **sizes}


if __name__ == "__main__":
    main()
