"""A training step through torch.compile against the same step as it is: CPU seconds, and how long compiling takes.

Both are measured in one process, in turns, on one thread, as `compile=measured` does while a network learns. The step
is forward, pinball loss and backward. Simulated windows: 64 series of 2,000 steps, lookback 96, horizon 24. Compiled
code of earlier runs is not used: the compiler's cache is a new folder.

    python benchmarks/compile.py [--out benchmarks/results/compile.jsonl]
"""

from __future__ import annotations

import os
import tempfile
import time
from functools import partial
from typing import Any

from tell import make_line, open_parser, tell

BATCH = 256
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "feedforward (256, 128)": ("feedforward", {}),
    "dlinear": ("dlinear", {}),
    "tcn": ("tcn", {}),
}


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    options = open_parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        tell(map(compare, CASES), out=options.out)


def compare(case: str) -> dict[str, Any]:
    """One network's step, compiled and as it is."""
    import torch

    from tidewright.data.simulate import signal_panel
    from tidewright.data.splits import Cutoffs
    from tidewright.data.task import DEFAULT_QUANTILES, Task
    from tidewright.features.view import View
    from tidewright.features.windows import cut_windows
    from tidewright.models.build import build_spec
    from tidewright.models.torch.network import build
    from tidewright.models.torch.shape import shape_of
    from tidewright.runtime import detect_runtime, keep_memory
    from tidewright.training.gather import open_source
    from tidewright.training.losses import open_loss
    from tidewright.training.measured import REPEATS, Trial, compile_scores
    from tidewright.training.precision import Means
    from tidewright.training.spec import TrainSpec
    from tidewright.training.torch_loop import draw_batches

    torch.set_num_threads(1)
    torch.compiler.reset()
    panel, task = signal_panel(n_series=64, length=2000, seed=0), Task(horizon=24)
    windows = cut_windows(panel, View(96), horizon=24, cutoffs=Cutoffs(panel.span[0], panel.span[1] - 24))
    source, train = open_source(windows), TrainSpec(batch_size=BATCH)
    torch.manual_seed(0)
    network = build(build_spec(*CASES[case]), shape_of(windows, task)).train()
    draw = partial(draw_batches, len(source), train, shuffle=torch.Generator())
    measure = open_loss("quantile", DEFAULT_QUANTILES, complete=source.complete)
    trial = Trial(network, train, source, measure, draw, detect_runtime("cpu"))
    compiled = trial.open_step(network, Means(compiled=compile_scores(network)))
    with keep_memory():  # as `fit` does
        wall, cpu = time.perf_counter(), os.times()
        compiled()
        after = os.times()
        spent = sum(after[:4]) - sum(cpu[:4])  # of the C++ compiler too
        wall = time.perf_counter() - wall
        taken = trial.time({"compiled": compiled, "eager": trial.open_step(network, Means())})
    ours, theirs = taken["compiled"] / 1e3, taken["eager"] / 1e3
    gain = f"paid back after {spent / (theirs - ours):,.0f} steps" if ours < theirs else "never paid back"
    note = (
        f"batch {BATCH}, one thread, the least of {REPEATS} alternating steps; compiling took {spent:.0f} CPU "
        f"s, {wall:.0f} s by the clock, {gain}"
    )
    name = f"training step: {case} compiled vs eager"
    return make_line(name, ours, theirs, unit="cpu_s/step", n=REPEATS, note=note)


if __name__ == "__main__":
    main()
