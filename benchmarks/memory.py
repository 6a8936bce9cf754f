"""Peak memory and CPU seconds of a training step: with blocks computed again (`train.recompute`), and with all kept.

Each measurement is a process of its own, on one thread; the sides alternate, the figures are medians. A small batch
goes first, so that gradients and the optimiser's state are there. Memory is the peak of the step above what the process
holds before it (Linux: VmHWM, put back to the present before). One JSON line a comparison; ratio is ours / theirs.

On a machine with CUDA each case runs there too, under bfloat16 autocast: peak memory, windows a second, and the
operations a second of the step (counted by torch, the second forward pass left out) as a share of what one large
bfloat16 matrix product reaches on that card.

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

REPEATS, STEPS = 3, 2  # processes a side, and steps in each of them
QUANTILES = (0.1, 0.5, 0.9)
CASES: dict[str, dict[str, Any]] = {
    "cnn_lstm_transformer": {
        "options": {"scale": 8.0, "transformer_layers": 8},
        "shape": (96, 24, 0, 4, 0),
        "batch": 16,
        "cuda": {"scale": 41.0},  # 500 million weights
    },
    "tft": {"options": {"hidden": 128}, "shape": (96, 24, 4, 8, 2), "batch": 48, "cuda": {"hidden": 512, "scale": 3.5}},
    "tft without covariates": {
        "model": "tft",
        "options": {"hidden": 128},
        "shape": (96, 24, 0, 0, 0),
        "batch": 48,
        "cuda": {"hidden": 512, "scale": 3.5},
    },
    "patchtst": {"options": {}, "shape": (336, 96, 0, 0, 0), "batch": 256, "cuda": {"d_model": 512, "layers": 8}},
}
UNITS = {"memory": "MiB", "cpu": "cpu_s/step", "windows": "windows/s", "rate": "FLOP/s"}


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(CASES), help="one network")
    parser.add_argument("--out", type=Path, help="a file for the lines")
    parser.add_argument("--side", help=argparse.SUPPRESS)  # one measurement, in a process of its own
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure_step(**json.loads(options.side))))
        return
    import torch

    lines = []
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for name in [options.only] if options.only else CASES:
            for line in compare(name, device):
                print(json.dumps(line), flush=True)
                lines.append(json.dumps(line) + "\n")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text("".join(lines))


def compare(name: str, device: str) -> Iterator[dict[str, Any]]:
    """The lines of one network on one device."""
    sides: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for _ in range(REPEATS):
        for recompute, measured in sides.items():
            measured.append(ask_side({"name": name, "recompute": recompute, "device": device}))
    facts = sides[True][0]
    note = (
        f"{facts['weights']:,.0f} weights, batches of {facts['batch']:.0f} windows, shape {CASES[name]['shape']} of "
        f"lookback, horizon, past, known, static; with recompute against without; median of {REPEATS} processes a side"
    )
    for what, unit in UNITS.items():
        if what in facts:
            ours, theirs = (statistics.median(one[what] for one in sides[again]) for again in (True, False))
            yield make_line(f"{what} of a step on {device}: {name}", ours=ours, theirs=theirs, unit=unit, note=note)
    if "peak_rate" in facts:
        best, reached = facts["peak_rate"], statistics.median(one["rate"] for one in sides[True])
        note += "; theirs is one bfloat16 product of matrices of 8192 by 8192 on the same card"
        yield make_line(f"share of the card's rate: {name}", ours=reached, theirs=best, unit="FLOP/s", note=note)


def make_line(name: str, *, ours: float, theirs: float, unit: str, note: str) -> dict[str, Any]:
    """One comparison."""
    return {
        "name": name,
        "ours": ours,
        "theirs": theirs,
        "unit": unit,
        "ratio": ours / theirs,
        "n": REPEATS,
        "note": note,
    }


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


def measure_step(name: str, *, recompute: bool, device: str) -> dict[str, float]:
    """Peak MiB and seconds of a step, in this process."""
    import torch

    from tidewright.models.build import build_spec
    from tidewright.models.torch.network import build
    from tidewright.models.torch.recompute import recompute_blocks
    from tidewright.models.torch.shape import Shape

    torch.set_num_threads(1)
    torch.manual_seed(0)
    case, cuda = CASES[name], device == "cuda"
    shape = Shape(*case["shape"], QUANTILES)
    spec = build_spec(case.get("model", name), case["options"] | (case["cuda"] if cuda else {}))
    network = build(spec, shape).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    facts = {"weights": float(sum(p.numel() for p in network.parameters())), "batch": float(case["batch"])}
    with recompute_blocks(network, model=name) if recompute else nullcontext():
        take_step(network, optimizer, draw_inputs(shape, 2, device=device))
        inputs = draw_inputs(shape, case["batch"], device=device)
        before = read_memory(device, restart=True)
        times = [take_step(network, optimizer, inputs) for _ in range(STEPS)]
        facts["memory"] = (read_memory(device) - before) / 2**20
        facts["cpu"] = min(cpu for cpu, _ in times)
    if cuda:
        facts |= measure_rates(network, optimizer, inputs, seconds=min(wall for _, wall in times))
    return facts


def measure_rates(network: Any, optimizer: Any, inputs: dict[str, Any], *, seconds: float) -> dict[str, float]:
    """Windows a second, operations a second of a step without its second forward pass, and the card's own."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        take_step(network, optimizer, inputs)  # outside recompute_blocks: nothing is computed twice
    rows = len(inputs["target"])
    return {
        "windows": rows / seconds,
        "rate": counter.get_total_flops() / seconds,
        "peak_rate": measure_product(inputs["target"].device.type),
    }


def measure_product(device: str, size: int = 8192) -> float:
    """Operations a second of one bfloat16 matrix product."""
    import torch

    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        left @ right
        wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def take_step(network: Any, optimizer: Any, inputs: dict[str, Any]) -> tuple[float, float]:
    """CPU and wall seconds of one training step."""
    import torch

    device = inputs["target"].device.type
    wait(device)
    cpu, wall = time.process_time(), time.perf_counter()
    optimizer.zero_grad()
    with torch.autocast("cuda", dtype=torch.bfloat16) if device == "cuda" else nullcontext():
        scores, _, _ = network.score(**inputs)
    scores.float().square().mean().backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    wait(device)
    return time.process_time() - cpu, time.perf_counter() - wall


def draw_inputs(shape: Any, rows: int, *, device: str) -> dict[str, Any]:
    """Random windows."""
    import torch

    span = shape.lookback + shape.horizon
    sizes = {"past": (shape.lookback, shape.past), "known": (span, shape.known), "static": (shape.static,)}
    sizes["target"] = (shape.lookback,)
    return {name: torch.randn(rows, *sizes[name], device=device) for name in shape.inputs}


def read_memory(device: str, *, restart: bool = False) -> float:
    """The peak in bytes since the last restart; with `restart` what is held now, and peaks count from here."""
    import torch

    if device == "cuda":
        if restart:
            torch.cuda.reset_peak_memory_stats()
        return float(torch.cuda.memory_allocated() if restart else torch.cuda.max_memory_allocated())
    if restart:
        Path("/proc/self/clear_refs").write_text("5")
    field = "VmRSS:" if restart else "VmHWM:"
    status = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in status if line.startswith(field))) * 1024


def wait(device: str) -> None:
    """Until the card has done what it was told."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
