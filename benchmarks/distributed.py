"""Steps a second and the loss curve of one process and of two that teach the same network together, by DDP and by FSDP.

The sides alternate, one thread a process; an epoch's seconds are those of its record, so that starting the processes
doesn't count (that is a line of its own). One JSON line a comparison; ratio is ours / theirs. Data: ETTh1's training
part (7 channels, 8640 hours), lookback 96, horizon 96, three quantiles, global batches of 256.

    python benchmarks/distributed.py [--out benchmarks/results/distributed.jsonl]
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tell import make_line, open_parser, tell

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "ett" / "ETTh1.csv"
LOOKBACK, HORIZON, ROWS, BATCH = 96, 96, 8640, 256
EPOCHS, STEPS, REPEATS = 3, 12, 3


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    options = open_parser(__doc__).parse_args()
    if not DATA.exists():
        sys.exit(f"ETTh1.csv is not at {DATA.relative_to(ROOT.parent)} beside the project; nothing was measured.")
    tell(compare_processes(), out=options.out)


def compare_processes() -> Iterator[dict[str, Any]]:
    """Two processes against one; rounding alone: one process that takes batches in three parts."""
    from tidewright.models.spec import FeedForward

    spec = FeedForward(hidden=(1536, 1280, 400), dropout=0.0)
    runs: dict[str, list[dict[str, Any]]] = {"one": [], "ddp": [], "fsdp": []}
    for _ in range(REPEATS):
        runs["one"].append(learn(spec))
        for strategy in ("ddp", "fsdp"):
            runs[strategy].append(learn(spec, devices=2, strategy=strategy))
    for strategy in ("ddp", "fsdp"):
        name = f"feedforward of 2.9 M weights, {strategy} 2 processes vs 1"
        yield from compare(name, ours=runs[strategy], theirs=runs["one"])
    yield compare_curves(
        "feedforward of 2.9 M weights, 1 process in three parts vs 1", [learn(spec, parts=3)], runs["one"]
    )


def compare(name: str, *, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Speed, start and curve of some runs against others."""
    yield compare_curves(name, ours, theirs)
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[1]:.1f} over the last 5 minutes from other work"
    alike = f"median of {REPEATS} alternating runs of {EPOCHS} epochs of {STEPS} steps, the first epoch left out"
    for key, unit, note in (
        ("rate", "steps/s", f"{alike}; one thread a process; {load}"),
        ("start_s", "s", f"seconds of the whole call beyond its epochs: processes, imports, windows; {load}"),
    ):
        mine, other = statistics.median(r[key] for r in ours), statistics.median(r[key] for r in theirs)
        title = f"distributed: {name}: {unit if key == 'rate' else 'start'}"
        yield make_line(title, mine, other, unit=unit, n=REPEATS, note=note)


def compare_curves(name: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """The last validation losses, and how far the curves part on the way: sums of float32 in another order."""
    pairs = list(zip(ours[0]["curve"], theirs[0]["curve"], strict=True))
    apart = [abs(mine - other) / other for mine, other in pairs]
    note = (
        f"validation loss after {EPOCHS} epochs of {STEPS} steps; relative difference of the training loss "
        f"{apart[0]:.1e} in the first epoch, of any loss {max(apart):.1e} at most"
    )
    return make_line(f"distributed: {name}: loss", *pairs[-1], unit="loss", n=REPEATS, note=note)


def learn(spec: Any, *, parts: int = 1, **devices: Any) -> dict[str, Any]:
    """The steps a second, the seconds beyond the epochs and the loss curve of one run."""
    import polars as pl

    from tidewright.data.panel import Panel
    from tidewright.data.splits import split_holdout
    from tidewright.data.task import Task
    from tidewright.features.view import View
    from tidewright.training.fit import fit
    from tidewright.training.spec import TrainSpec

    table = pl.read_csv(DATA, try_parse_dates=True).head(ROWS + 2 * HORIZON).unpivot(index="date")
    panel = Panel.from_table(table, series="variable", time="date", target="value")
    task = Task(horizon=HORIZON)
    started = time.perf_counter()
    fitted = fit(
        spec,
        panel=panel,
        split=split_holdout(panel, task, validation=HORIZON, test=HORIZON),
        task=task,
        view=View(LOOKBACK),
        train=TrainSpec(epochs=EPOCHS, steps=STEPS, batch_size=BATCH, patience=EPOCHS, accumulate=parts),
        **devices,
    )
    whole = time.perf_counter() - started
    seconds = [record["seconds"] for record in fitted.history]
    return {
        "rate": STEPS / statistics.median(seconds[1:]),
        "start_s": whole - sum(seconds),
        "curve": [record[key] for record in fitted.history for key in ("train_loss", "validation_loss")],
    }


if __name__ == "__main__":
    main()
