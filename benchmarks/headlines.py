"""The figures that document 001 ("train once, apply many") puts first, measured here: an answer alone, in a batch and
kept, and how far off estimates of the Hurst exponent are, alone and together.

The document's network is a CNN over 500 steps with layers of 64 and 32: `adaptive_cnn` of that size, opened from its
bundle, one thread. Its exponents are told by `random_forest` from the shape of 1,000 series of 500 rows of fractional
noise, for 500 others. Theirs are the document's figures, of another machine and unknown data: what can be compared is
whether ours keep what they promise. One JSON line a comparison.

    python benchmarks/headlines.py [--out benchmarks/results/headlines.jsonl]
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tell import make_line, open_parser, tell

import tidewright as tw
from tidewright.data.panel import Panel
from tidewright.data.simulate import fractional_panel, signal_panel
from tidewright.features.view import View

LENGTH, BATCH, ROUNDS = 500, 32, 400
SINGLE_MS, BATCH_MS, FASTER = 1.87, 1.02, 1.8
ALONE_MAE, TOGETHER_MAE = 0.1089, 0.1176
ABOUT = "adaptive_cnn over 500 steps, one thread"


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    tell(compare(), out=open_parser(__doc__).parse_args().out)


def compare() -> Iterator[dict[str, Any]]:
    """Times, then errors."""
    yield from answers()
    yield from estimates()


def answers() -> Iterator[dict[str, Any]]:
    """One window, a window of a batch, and one that is kept, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        session = open_network(Path(folder) / "cnn")
    rows = np.random.default_rng(1).normal(size=(BATCH, LENGTH)).astype(np.float32)
    kept = tw.cached(session)
    kept.predict(rows[:1])
    ways: dict[str, Callable[[], Any]] = {
        "alone": lambda: session.predict(rows[:1]),
        "batch": lambda: session.predict(rows),
        "kept": lambda: kept.predict(rows[:1]),
    }
    found = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, call in ways.items():
            found[way].append(time_ms(call))
    alone, batch, hit = (float(np.median(found[way])) for way in ways)
    batch /= BATCH
    theirs = "theirs: the document's figure, on its own machine"
    given: dict[str, Any] = {"unit": "CPU ms", "n": ROUNDS}
    yield make_line("B54 one window vs document 001", alone, SINGLE_MS, note=f"{ABOUT}; {theirs}", **given)
    note = f"{ABOUT}, {BATCH} windows in one call; {theirs}"
    yield make_line("B55 a window of a batch vs document 001", batch, BATCH_MS, note=note, **given)
    note = (
        f"{ABOUT}, {BATCH} windows in one call: {alone / batch:.2f} times as fast a window; the document says {FASTER}"
    )
    yield make_line("B55 a window of a batch vs one alone", batch, alone, note=note, **given)
    note = f"{ABOUT}: {alone / hit:.0f} times as fast as without the cache; the bound is the document's, below a ms"
    yield make_line("B57 a kept answer vs one millisecond", hit, 1.0, note=note, **given)


def estimates() -> Iterator[dict[str, Any]]:
    """How far off the exponents are, of each series alone and of all together."""
    learn, judge = world(1_000, seed=1), world(500, seed=2)
    truth = judge.values("hurst")[judge.offsets[:-1]]
    estimator = tw.fit_estimator("random_forest", learn, target="hurst")
    together = estimator.estimate(judge)["estimate"].to_numpy()
    parts = [judge.table.filter(judge.table["series"] == name) for name in judge.series_ids]
    alone, seconds = np.empty(len(parts)), []
    for place, part in enumerate(parts):
        one = Panel.from_table(part, **judge_roles(judge))
        started = time.process_time()
        alone[place] = estimator.estimate(one)["estimate"][0]
        seconds.append(time.process_time() - started)
    started = time.process_time()
    estimator.estimate(judge)
    each = (time.process_time() - started) / len(parts) * 1e3
    apart = float(np.abs(alone - together).max())
    note = f"random_forest, fractional noise of another seed; alone and together differ by {apart:.1e} at most"
    times = f"; {np.median(seconds) * 1e3:.2f} CPU ms a series alone, {each:.2f} together, measuring its shape included"
    for how, made, theirs in (("alone", alone, ALONE_MAE), ("together", together, TOGETHER_MAE)):
        error = float(np.abs(made - truth).mean())
        name = f"B56 Hurst exponent of 500 rows, {how} vs document 001"
        yield make_line(name, error, theirs, unit="mean absolute error", n=len(parts), note=note + times)


def judge_roles(panel: Panel) -> dict[str, Any]:
    roles = panel.roles
    return {"series": roles.series, "time": roles.time, "target": roles.target, "static": list(roles.static)}


def world(series: int, *, seed: int) -> Panel:
    """Series of exponents that are spread evenly."""
    hursts = np.random.default_rng(seed).uniform(0.05, 0.95, series)
    return fractional_panel(hursts=hursts.tolist(), length=LENGTH, seed=seed)


def open_network(folder: Path) -> Any:
    """A session of a network that learned a little: how well does not matter to its speed."""
    panel, task = signal_panel(n_series=4, length=1_200, seed=0), tw.Task(1)
    split, train = tw.split_holdout(panel, task), tw.TrainSpec(epochs=1, steps=5)
    spec = tw.build_spec("adaptive_cnn", {"head": (64, 32)})
    fitted = tw.fit(spec, panel=panel, split=split, task=task, view=View(LENGTH), train=train)
    return tw.open(tw.save_bundle(fitted, panel=panel, folder=folder, split=split), strict=True)


def time_ms(call: Callable[[], Any]) -> float:
    """CPU milliseconds: other work doesn't count, and on one thread they are those of a quiet machine's clock."""
    started = time.thread_time()
    call()
    return (time.thread_time() - started) * 1e3


if __name__ == "__main__":
    main()
