"""Peak memory and CPU seconds of a training step: with blocks computed again (`train.recompute`), and with all kept.

Each measurement is a process of its own, on one thread; the sides alternate, the figures are medians. A small batch
goes first, so that gradients and the optimiser's state are there. Memory is the peak of the step above what the process
holds before it (Linux: VmHWM, put back to the present before). One JSON line a comparison; ratio is ours / theirs.

What it saves on a GPU is for `gpu.py` to say.

    python benchmarks/memory.py [--only patchtst] [--out benchmarks/results/memory.jsonl]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tell import make_line, open_parser, tell

REPEATS, STEPS = 3, 2  # processes a side, and steps in each of them
QUANTILES = (0.1, 0.5, 0.9)
CASES: dict[str, dict[str, Any]] = {
    "cnn_lstm_transformer": {
        "options": {"scale": 8.0, "transformer_layers": 8},
        "shape": (96, 24, 0, 4, 0),
        "batch": 16,
    },
    "tft": {"options": {"hidden": 128}, "shape": (96, 24, 4, 8, 2), "batch": 48},
    "tft without covariates": {
        "model": "tft",
        "options": {"hidden": 128},
        "shape": (96, 24, 0, 0, 0),
        "batch": 48,
    },
    "patchtst": {"options": {}, "shape": (336, 96, 0, 0, 0), "batch": 256},
}
UNITS = {"memory": "MiB", "cpu": "cpu_s/step"}


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    parser = open_parser(__doc__)
    parser.add_argument("--only", choices=sorted(CASES), help="one network")
    parser.add_argument("--side", help=argparse.SUPPRESS)  # one measurement, in a process of its own
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure_step(**json.loads(options.side))))
        return
    names = [options.only] if options.only else CASES
    tell((line for name in names for line in compare(name)), out=options.out)


def compare(name: str) -> Iterator[dict[str, Any]]:
    """The lines of one network."""
    sides: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for _ in range(REPEATS):
        for recompute, measured in sides.items():
            measured.append(ask_side({"name": name, "recompute": recompute}))
    facts = sides[True][0]
    note = (
        f"{facts['weights']:,.0f} weights, batches of {facts['batch']:.0f} windows, shape {CASES[name]['shape']} of "
        f"lookback, horizon, past, known, static; with recompute against without; median of {REPEATS} processes a side"
    )
    for what, unit in UNITS.items():
        ours, theirs = (statistics.median(one[what] for one in sides[again]) for again in (True, False))
        yield make_line(f"{what} of a step on cpu: {name}", ours, theirs, unit=unit, n=REPEATS, note=note)


def ask_side(side: dict[str, Any]) -> dict[str, float]:
    """One measurement by a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--side", json.dumps(side)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measure_step(name: str, *, recompute: bool) -> dict[str, float]:
    """Peak MiB and seconds of a step, in this process."""
    import torch

    from tidewright.models.build import build_spec
    from tidewright.models.torch.network import build
    from tidewright.models.torch.recompute import recompute_blocks
    from tidewright.models.torch.shape import Shape

    torch.set_num_threads(1)
    torch.manual_seed(0)
    case = CASES[name]
    shape = Shape(*case["shape"], QUANTILES)
    spec = build_spec(case.get("model", name), case["options"])
    network = build(spec, shape).train()
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    facts = {"weights": float(sum(p.numel() for p in network.parameters())), "batch": float(case["batch"])}
    with recompute_blocks(network, model=name) if recompute else nullcontext():
        take_step(network, optimizer, draw_inputs(shape, 2))
        inputs = draw_inputs(shape, case["batch"])
        before = read_memory(restart=True)
        facts["cpu"] = min(take_step(network, optimizer, inputs) for _ in range(STEPS))
        facts["memory"] = (read_memory() - before) / 2**20
    return facts


def take_step(network: Any, optimizer: Any, inputs: dict[str, Any]) -> float:
    """CPU seconds of one training step."""
    import torch

    started = time.process_time()
    optimizer.zero_grad()
    scores, _, _ = network.score(**inputs)
    scores.square().mean().backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return time.process_time() - started


def draw_inputs(shape: Any, rows: int) -> dict[str, Any]:
    """Random windows."""
    import torch

    span = shape.lookback + shape.horizon
    sizes = {"past": (shape.lookback, shape.past), "known": (span, shape.known), "static": (shape.static,)}
    sizes["target"] = (shape.lookback,)
    return {name: torch.randn(rows, *sizes[name]) for name in shape.inputs}


def read_memory(*, restart: bool = False) -> float:
    """The peak in bytes since the last restart; with `restart` what is held now, and peaks count from here."""
    if restart:
        Path("/proc/self/clear_refs").write_text("5")
    field = "VmRSS:" if restart else "VmHWM:"
    status = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in status if line.startswith(field))) * 1024


if __name__ == "__main__":
    main()
