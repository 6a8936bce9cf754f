"""Whether 10,000 answers leave anything behind, of every model of the catalog on every backend that starts quickly.

Models are small (lookback 24, horizon 6) and learned little. Each session answers by ones and threes; then what Python
holds (tracemalloc) after 500 more, and the process's memory (RSS) after 10,000 more, are held against what they were.
Answers that are a fit each are fewer: as many as come in `--seconds`. A leak of 50 bytes an answer would be half a
megabyte, one of a window's answer (100 bytes and more) a megabyte; the allocator's own noise is a few hundred
kilobytes, so ours / theirs is the growth over 1 MB. One JSON line a model and backend. Foundation models, whose weights
are not here, are left out. `tests/inference/test_leaks.py` holds one model a backend.

    python benchmarks/leaks.py [--models lstm ridge] [--seconds 30] [--out benchmarks/results/leaks.jsonl]
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")

import gc
import json
import sys
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

from backends import HORIZON, LOOKBACK, SMALL
from tell import add, make_line, open_parser

import tidewright as tw
from tidewright.data.simulate import signal_panel
from tidewright.features.view import View
from tidewright.inference.backends.catalog import BACKENDS, SLOW
from tidewright.inference.timing import repeat_example
from tidewright.models.spec import MODELS

CALLS, TRACED, SOME, LIMIT = 10_000, 500, 300, 1.0
TREES: dict[str, dict[str, Any]] = {
    **{name: {"rounds": 10} for name in ("lightgbm", "xgboost", "catboost")},
    **{name: {"trees": 4} for name in ("random_forest", "extra_trees")},
    "svr": {"most_rows": 200},
}


def main() -> None:
    """Prints a line a model and backend; what is in the file already is not done again."""
    names = [name for name, entry in MODELS.items() if entry.kind != "foundation"]
    parser = open_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=names, choices=names)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    lines = options.out.read_text().splitlines() if options.out and options.out.exists() else []
    done = {json.loads(line)["name"] for line in lines}
    warnings.simplefilter("ignore")
    quick = [name for name, entry in BACKENDS.items() if entry.kind != SLOW]
    for model in options.models:
        wanted = [backend for backend in quick if f"{model} on {backend}" not in done]
        if not wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            bundle = seal(model, Path(folder) / model)
            for backend in wanted:
                if not BACKENDS.load(backend).explain_unfit(bundle.manifest):
                    session = tw.open(bundle, backend=backend, strict=True)
                    add(measure(f"{model} on {backend}", session, bundle, seconds=options.seconds), out=options.out)


def seal(model: str, folder: Path) -> Any:
    """A small model that learned a little, and its bundle."""
    panel, task = signal_panel(n_series=4, length=200, seed=0), tw.Task(HORIZON)
    split, spec = tw.split_holdout(panel, task), tw.build_spec(model, {**SMALL, **TREES}.get(model, {}))
    train = tw.TrainSpec(epochs=1, steps=5)
    fitted = tw.fit(spec, panel=panel, split=split, task=task, view=View(LOOKBACK), train=train)
    return tw.save_bundle(fitted, panel=panel, folder=folder, split=split)


def measure(name: str, session: Any, bundle: Any, *, seconds: float) -> dict[str, Any]:
    """What is held after the answers, beside what was held before them."""
    given = [repeat_example(bundle, size) for size in (1, 3)]

    def ask(calls: int) -> int:
        end, count = time.monotonic() + seconds, 0
        while count < calls and time.monotonic() < end:
            session.predict(given[count % 2])
            count += 1
        session.latency()  # what was noted is counted
        gc.collect()
        return count

    ask(SOME)
    tracemalloc.start()
    ask(SOME)
    before = tracemalloc.get_traced_memory()[0]
    traced = ask(TRACED)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    ask(CALLS // 4)
    start = read_rss()
    count = ask(CALLS)
    grown = read_rss() - start
    note = f"{grown / max(count, 1):+.1f} bytes an answer; Python holds {held:+} bytes more after {traced} answers"
    print(name, count, grown, held, file=sys.stderr)
    return make_line(name, grown / 1e6, LIMIT, unit="MB of growth", n=count, note=note)


def read_rss() -> int:
    """The bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
