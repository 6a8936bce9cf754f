"""CPU seconds of a table of series' shapes, beside tsfresh, and how the cost grows with the rows.

`shape_table` with its usual 39 columns, against tsfresh 0.21 with its features of the same kinds (24 columns: moments,
the same autocorrelations and partial ones, entropy of the spectrum) and with its efficient set (all of its features
but the slow ones). Series of 1,000 rows, one thread. One JSON line a comparison; ratio is ours / theirs. tsfresh lives
in `.venv-peers`, which this script makes; where that fails, its lines are left out with a word on stderr.

    python benchmarks/shape.py [--out benchmarks/results/shape.jsonl]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tell import open_parser, tell

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-peers"
SERIES, ROWS, REPEATS = 50, 1_000, 5
LAGS, PARTIAL = (1, 2, 3, 4, 5, 6, 7, 10, 15, 20), (1, 2, 3, 4, 5)
SETS = ("same kinds", "efficient set")


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    parser = open_parser(__doc__)
    parser.add_argument("--peer", choices=SETS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        print(json.dumps(serve(options.peer)))
        return
    tell(compare(), out=options.out)


def compare() -> Iterator[dict[str, Any]]:
    """Both sides, then ours with ten times the rows of a series, and with ten times the series."""
    ours = measure(SERIES, ROWS)
    for peer in SETS if install() else ():
        done = subprocess.run(
            [str(PEERS / "bin" / "python"), __file__, "--peer", peer], check=True, capture_output=True, text=True
        )
        found = json.loads(done.stdout.strip().splitlines()[-1])
        note = f"{SERIES} series of {ROWS} rows; ours 39 columns, theirs {found['columns']}; medians"
        yield line(f"shapes vs tsfresh, {peer}", ours, found["seconds"], note=note, n=REPEATS)
    for what, series, rows in (("rows", SERIES, 10 * ROWS), ("series", 10 * SERIES, ROWS)):
        more = measure(series, rows)
        yield line(f"shapes of ten times the {what} vs ten times the cost", more, 10 * ours, n=REPEATS, note="medians")


def line(name: str, ours: float, theirs: float, *, n: int, note: str) -> dict[str, Any]:
    """One line."""
    figures = {"ours": round(ours, 5), "theirs": round(theirs, 5), "unit": "cpu_s", "ratio": ours / theirs}
    return {"name": name, **figures, "n": n, "note": note}


def measure(series: int, rows: int) -> float:
    """CPU seconds of our table, compiled before."""
    from tidewright.features.shape import ShapeSpec, measure_shapes

    values = make(series, rows)
    starts = np.arange(series) * rows
    return time_it(
        lambda: measure_shapes(values, starts=starts, stops=starts + rows, spec=ShapeSpec(), season=7), REPEATS
    )


def make(series: int, rows: int) -> Any:
    """Noise with a weekly wave, flat."""
    wave = np.sin(2 * np.pi * np.arange(series * rows) / 7)
    return wave + np.random.default_rng(0).normal(size=series * rows)


def time_it(call: Callable[[], Any], repeats: int) -> float:
    """The median of CPU seconds after one call that does not count."""
    call()
    found = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        found.append(time.process_time() - started)
    return statistics.median(found)


def install() -> bool:
    """Whether tsfresh is in the peers' environment, which is made if need be."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
    look = "import importlib.util as u, sys; sys.exit(not u.find_spec('tsfresh'))"
    if subprocess.run([str(python), "-c", look], capture_output=True, check=False).returncode == 0:
        return True
    print("installing tsfresh into .venv-peers (minutes, once) ...", file=sys.stderr)
    done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", "tsfresh"], check=False)
    if done.returncode:
        print("it could not be installed; its comparisons are left out.", file=sys.stderr)
    return not done.returncode


def serve(peer: str) -> dict[str, Any]:
    """Inside the peers' environment: CPU seconds and columns of tsfresh."""
    import warnings

    import pandas as pd
    from tsfresh import extract_features
    from tsfresh.feature_extraction import EfficientFCParameters

    warnings.filterwarnings("ignore")
    frame = pd.DataFrame({"id": np.repeat(np.arange(SERIES), ROWS), "value": make(SERIES, ROWS)})
    alike: dict[str, Any] = {name: None for name in ("length", "mean", "standard_deviation", "skewness", "kurtosis")}
    alike |= {
        "autocorrelation": [{"lag": lag} for lag in (*LAGS, 7)],
        "partial_autocorrelation": [{"lag": lag} for lag in PARTIAL],
        "fourier_entropy": [{"bins": 10}],
        "fft_aggregated": [{"aggtype": kind} for kind in ("centroid", "variance", "skew")],
    }
    chosen = alike if peer == SETS[0] else EfficientFCParameters()
    options = {"column_id": "id", "default_fc_parameters": chosen, "n_jobs": 0, "disable_progressbar": True}
    columns = extract_features(frame[frame["id"] < 2], **options).shape[1]
    seconds = time_it(lambda: extract_features(frame, **options), REPEATS if peer == SETS[0] else 1)
    return {"seconds": seconds, "columns": columns}


if __name__ == "__main__":
    main()
