"""One training step in bfloat16 against float32: CPU seconds, and the memory that the process takes at most.

Each measurement is a process of its own, forked from one that has the windows, on one thread, in alternating turns;
memory is the rise of the peak resident set over what the process held before its network was made. The step is the
library's own (`run_epoch`): gather, forward, pinball loss, backward, clip, AdamW. Simulated windows: 64 series of 2,000
steps, lookback 96, horizon 24.

    python benchmarks/precision.py [--out benchmarks/results/precision.jsonl]
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tell import make_line, open_parser, tell

STEPS, BATCH, REPEATS = 12, 256, 3
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "feedforward (2048, 2048)": ("feedforward", {"hidden": (2048, 2048)}),
    "feedforward (64,)": ("feedforward", {"hidden": (64,)}),
    "lstm 64": ("lstm", {}),
    "tcn": ("tcn", {}),
    "patchtst": ("patchtst", {}),
}


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    options = open_parser(__doc__).parse_args()
    tell(compare_all(prepare()), out=options.out)


def compare_all(prepared: Any) -> Iterator[dict[str, Any]]:
    """Every network, and a product of matrices."""
    for case in CASES:
        yield from compare(case, prepared)
    yield compare_products()


def prepare() -> Any:
    """The windows, and all that a network is built from."""
    import torch

    from tidewright.data.simulate import signal_panel
    from tidewright.data.splits import Cutoffs
    from tidewright.data.task import Task
    from tidewright.features.view import View
    from tidewright.features.windows import cut_windows
    from tidewright.models.torch.shape import shape_of
    from tidewright.training.gather import open_source

    torch.set_num_threads(1)
    panel, task = signal_panel(n_series=64, length=2000, seed=0), Task(horizon=24)
    windows = cut_windows(panel, View(96), horizon=24, cutoffs=Cutoffs(panel.span[0], panel.span[1] - 24))
    return open_source(windows), shape_of(windows, task)


def compare(case: str, prepared: Any) -> Iterator[dict[str, Any]]:
    """The step's CPU seconds and the memory of one network."""
    found: dict[str, list[dict[str, float]]] = {"bfloat16": [], "float32": []}
    for _ in range(REPEATS):
        for precision, seen in found.items():
            seen.append(ask(case, precision, prepared))
    for what, unit in (("seconds", "cpu_s/step"), ("mebibytes", "MiB")):
        ours, theirs = (statistics.median(one[what] for one in found[name]) for name in ("bfloat16", "float32"))
        name = "training step" if what == "seconds" else "memory of training"
        loss = statistics.median(one["loss"] for one in found["bfloat16"])
        other = statistics.median(one["loss"] for one in found["float32"])
        note = (
            f"batch {BATCH}, lookback 96, horizon 24, one thread, {STEPS} steps a turn, medians; mean loss "
            f"of the second {STEPS} steps {loss:.4f} in bfloat16, {other:.4f} in float32"
        )
        yield make_line(f"{name}: {case} bfloat16 vs float32", ours, theirs, unit=unit, n=REPEATS, note=note)


def ask(case: str, precision: str, prepared: Any) -> dict[str, float]:
    """One measurement, in a process of its own."""
    receiver, sender = os.pipe()
    child = os.fork()
    if not child:
        os.write(sender, json.dumps(measure_one(case, precision, prepared)).encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as told:
        text = told.read()
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{case} in {precision} failed; nothing more was measured.")
    answer: dict[str, float] = json.loads(text)
    return answer


def measure_one(case: str, precision: str, prepared: Any) -> dict[str, float]:
    """CPU seconds a step, the rise of the peak resident set, and the last training loss."""
    import torch

    from tidewright.data.task import DEFAULT_QUANTILES
    from tidewright.models.build import build_spec
    from tidewright.models.torch.network import build
    from tidewright.runtime import keep_memory
    from tidewright.training.epoch import Course, run_epoch
    from tidewright.training.learner import open_learner
    from tidewright.training.losses import open_loss
    from tidewright.training.precision import open_means
    from tidewright.training.spec import TrainSpec

    source, shape = prepared
    before, train = read_peak(), TrainSpec(steps=STEPS, batch_size=BATCH)
    torch.manual_seed(0)
    network = build(build_spec(*CASES[case]), shape)
    means = open_means(precision)
    learner = open_learner(network, train, means=means)
    measure = means.change(open_loss("quantile", DEFAULT_QUANTILES, complete=source.complete))
    course = Course(case, "", source, source, train)
    with keep_memory():  # as `fit` does
        run_epoch(learner, course, measure=measure)
        started = time.process_time()
        loss = run_epoch(learner, course, measure=measure)
        seconds = (time.process_time() - started) / STEPS
    return {"seconds": seconds, "mebibytes": read_peak() - before, "loss": loss}


def read_peak() -> float:
    """The largest resident set so far, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    sys.exit("this system does not tell a process its peak memory (/proc/self/status); nothing was measured.")


def compare_products() -> dict[str, Any]:
    """Why float16 is not for a CPU: a product of two matrices."""
    import torch

    torch.set_num_threads(1)
    taken = {}
    for dtype in (torch.float32, torch.float16):
        matrix = torch.randn(1024, 1024).to(dtype)
        times = []
        for _ in range(4):
            started = time.process_time()
            matrix @ matrix
            times.append(time.process_time() - started)
        taken[dtype] = statistics.median(times[1:])
    ours, theirs = taken[torch.float16], taken[torch.float32]
    name = "product of two 1024 x 1024 matrices: float16 vs float32"
    note = "one thread; the reason that float16 on a CPU is a recorded fallback"
    return make_line(name, ours, theirs, unit="cpu_s", n=3, note=note)


if __name__ == "__main__":
    main()
