"""A panel of up to 100,000 series x 200 rows, from a table in memory to a forecast, beside mlforecast: what it costs.

    python benchmarks/panel_scale.py [--series 10000,30000,100000] [--write]

Daily sales of shops with a week of their own, the last 14 days held out. Both sides begin with the same table (polars),
see the lags 1 to 7, 14 and 28 and the mean and deviation of 7 and 28 days, and boost 100 trees of 31 leaves on squared
errors with the same LightGBM, one thread. mlforecast learns one step ahead from every row and forecasts recursively;
we learn all 14 steps at once from 200,000 cells (`most_rows`), spread evenly, which is how our trees learn any panel.
Each side is a process of its own, one at a time: CPU seconds after the imports, and the process's peak memory less what
it held when the table was there. The mean absolute error on the days held out says what the difference of ways costs.
One JSON line a comparison goes to stdout, and with --write to benchmarks/results/panel_scale.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tell import tell

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "NUMBA_NUM_THREADS")
for variable in THREADS:
    os.environ[variable] = "1"

ROOT = Path(__file__).resolve().parents[1]
PEERS, RESULTS = ROOT / ".venv-peers", ROOT / "benchmarks" / "results" / "panel_scale.jsonl"
ROWS, HORIZON, SEASON = 200, 14, 7
LAGS, LENGTHS = (*range(1, 8), 14, 28), (7, 28)
ROUNDS, LEAVES, RATE, LEAST = 100, 31, 0.1, 20
UNITS = {"cpu": "CPU s", "wall": "s", "memory": "MiB", "error": "MAE"}


def main() -> None:
    """Prints the lines, and keeps them when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", default="10000,30000,100000")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--side", help=argparse.SUPPRESS)  # one measurement, in a process of its own
    parser.add_argument("--table", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(measure(run_ours if asked.side == "ours" else run_theirs, asked.table)))
        return
    install_peer()
    tell(compare([int(count) for count in asked.series.split(",")]), out=RESULTS if asked.write else None)


def compare(sizes: list[int]) -> Iterator[dict[str, Any]]:
    """Four lines a size, and how CPU time grows from the smallest to the largest."""
    spent: dict[int, dict[str, dict[str, float]]] = {}
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "sales.parquet"
            write_table(table, count=count)
            spent[count] = {side: ask(side, table) for side in ("ours", "theirs")}
        for what, unit in UNITS.items():
            ours, theirs = (spent[count][side][what] for side in ("ours", "theirs"))
            yield make_line(f"{count} series {what} vs mlforecast", ours, theirs, unit=unit, n=count * ROWS)
    small, large = min(sizes), max(sizes)
    if large > small:
        growth = [spent[large][side]["cpu"] / spent[small][side]["cpu"] for side in ("ours", "theirs")]
        name = f"CPU of {large} series over that of {small} vs mlforecast"
        yield make_line(name, *growth, unit="times", n=large * ROWS) | {"note": f"linear would be {large / small:g}"}


def make_line(name: str, ours: float, theirs: float, *, unit: str, n: int) -> dict[str, Any]:
    """One comparison."""
    note = f"{ROWS} rows a series, horizon {HORIZON}; one run a side"
    both = {"ours": round(ours, 3), "theirs": round(theirs, 3), "unit": unit, "ratio": round(ours / theirs, 3)}
    return {"name": name, **both, "n": n, "note": note}


def write_table(path: Path, *, count: int) -> None:
    """Sales of shops: a level, a week of its own, and noise that dies away, in float32."""
    import numpy as np
    import polars as pl

    draw = np.random.default_rng(0)
    level = np.exp(draw.normal(3.0, 1.0, (count, 1)))
    week = 1.0 + 0.3 * draw.normal(size=(count, SEASON))
    noise = draw.normal(size=(count, ROWS)).astype(np.float32)
    for step in range(1, ROWS):
        noise[:, step] += 0.7 * noise[:, step - 1]
    sales = (level * (np.tile(week, ROWS // SEASON + 1)[:, :ROWS] + 0.15 * noise)).astype(np.float32)
    shop = np.repeat(np.arange(count, dtype=np.int32), ROWS)
    day = np.tile(np.arange(ROWS, dtype=np.int32), count)
    pl.DataFrame({"unique_id": shop, "ds": day, "y": sales.ravel()}).write_parquet(path)


def ask(side: str, table: Path) -> dict[str, float]:
    """What one side cost, by a process of its own."""
    python = sys.executable if side == "ours" else str(PEERS / "bin" / "python")
    command = [python, __file__, "--side", side, "--table", str(table)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(run: Callable[[Any], Any], path: Path) -> dict[str, float]:
    """CPU and wall seconds, peak memory beyond the table's, and the error on the days held out."""
    import numpy as np
    import polars as pl

    table = pl.read_parquet(path)
    last = pl.col("ds") >= ROWS - HORIZON
    given, actual = table.filter(~last), table.filter(last)["y"].to_numpy().reshape(-1, HORIZON)
    del table
    run(given.filter(pl.col("unique_id") < 50))  # imports and compilers go first
    held, wall, cpu = _peak(), time.perf_counter(), time.process_time()
    forecast = run(given)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    error = float(np.mean(np.abs(np.asarray(forecast).reshape(-1, HORIZON) - actual)))
    return {"cpu": cpu, "wall": wall, "memory": _peak() - held, "error": error}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_ours(table: Any) -> Any:
    """The forecast [S, H] of our trees."""
    from tidewright.data.panel import Panel
    from tidewright.data.splits import Cutoffs, Split
    from tidewright.data.task import Task
    from tidewright.features.view import View
    from tidewright.features.windows import newest_windows
    from tidewright.models.spec import LightGBM
    from tidewright.training.fit import fit
    from tidewright.training.spec import TrainSpec

    panel = Panel.from_table(table, series="unique_id", time="ds", target="y")
    task, last = Task(horizon=HORIZON, quantiles=(0.5,)), panel.span[1]
    split = Split(Cutoffs(28, last - 2 * HORIZON), Cutoffs(last - HORIZON, last - HORIZON), None, HORIZON, HORIZON, 0)
    options = {"rounds": ROUNDS, "leaves": LEAVES, "learning_rate": RATE, "min_leaf": LEAST, "loss": "mean"}
    features = {"lags": LAGS, "rolling": LENGTHS, "statistics": ("mean", "std"), "feature_share": 1.0, "row_share": 1.0}
    spec = LightGBM(**options, **features)  # type: ignore[arg-type]  # two groups of options
    fitted = fit(spec, panel=panel, split=split, task=task, view=View(28), train=TrainSpec(seed=0), season=SEASON)
    return fitted.predict(newest_windows(panel, fitted.view, horizon=HORIZON))[:, :, 0]


def run_theirs(table: Any) -> Any:
    """The forecast [S, H] of mlforecast."""
    from lightgbm import LGBMRegressor
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean, RollingStd

    options: dict[str, Any] = {"n_estimators": ROUNDS, "num_leaves": LEAVES, "learning_rate": RATE}
    model = LGBMRegressor(**options, min_child_samples=LEAST, n_jobs=1, verbosity=-1, random_state=0)
    rolled = [make(window_size=length) for length in LENGTHS for make in (RollingMean, RollingStd)]
    forecaster = MLForecast(models={"lgb": model}, freq=1, lags=list(LAGS), lag_transforms={1: rolled}, num_threads=1)
    forecaster.fit(table, static_features=[])
    return forecaster.predict(HORIZON)["lgb"].to_numpy()


def install_peer() -> None:
    """mlforecast and our LightGBM in `.venv-peers`, which is made if need be."""
    from importlib.metadata import version

    python = PEERS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
    if subprocess.run([str(python), "-c", "import mlforecast, lightgbm"], capture_output=True, check=False).returncode:
        wanted = ["mlforecast", "polars", f"lightgbm=={version('lightgbm')}"]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)


if __name__ == "__main__":
    main()
