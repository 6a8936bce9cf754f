"""CPU seconds of one training step: ours against a bare PyTorch loop, and against neuralforecast's.

Each comparison alternates between the sides on one thread and quotes medians. One JSON line a comparison; ratio is
ours / theirs. The peer lives in `.venv-peers`, which this script makes; where that fails, its lines are left out with
a word on stderr. Data: ETTh1's training part (7 channels, 8640 hours), lookback 96, horizon 96, three quantiles.

    python benchmarks/training_step.py [--no-peers] [--out benchmarks/results/training_step.jsonl]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from tell import make_line, open_parser, tell

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "ett" / "ETTh1.csv"
PEERS = ROOT / ".venv-peers"
LOOKBACK, HORIZON, ROWS, BATCH, QUANTILES = 96, 96, 8640, 256, (0.1, 0.5, 0.9)
STEPS, REPEATS = 60, 7
PEER_STEPS, PEER_REPEATS = (5, 25), 5

KINDS = {
    "plain": "it calls the same network, standardising included, and fused AdamW",
    "default": "it calls the same network, standardising included, and AdamW as it is by default",
    "prepared": "they are standardised in advance too, so that it calls the core alone; fused AdamW",
}

Measure = Callable[[], float]


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    parser = open_parser(__doc__)
    parser.add_argument("--no-peers", action="store_true", help="only the bare loop")
    parser.add_argument("--peer", help=argparse.SUPPRESS)  # this script inside the peer's environment
    options = parser.parse_args()
    if options.peer:
        serve_peer(options.peer)
        return
    if not DATA.exists():
        sys.exit(f"ETTh1.csv is not at {DATA.relative_to(ROOT.parent)} beside the project; nothing was measured.")
    import torch

    torch.set_num_threads(1)
    tell(chain(compare_bare(), () if options.no_peers else compare_peers()), out=options.out)


def compare_bare() -> Iterator[dict[str, Any]]:
    """Our step against one written by hand, with the same network and windows cut in advance."""
    from tidewright.models.spec import LSTM, FeedForward

    cases = [
        (FeedForward(), "plain"),
        (FeedForward(), "default"),
        (FeedForward(), "prepared"),
        (FeedForward(hidden=(64,)), "plain"),
        (LSTM(), "plain"),
    ]
    for spec, kind in cases:
        ours, theirs = alternate(our_step(spec), bare_step(spec, kind=kind), repeats=REPEATS)
        name = f"{spec.name} {spec.hidden}"
        note = (
            f"batch {BATCH}; gather, forward, pinball loss, backward, clip, AdamW. The bare loop's windows are cut in "
            f"advance and held in memory; {KINDS[kind]}"
        )
        yield line_of(f"{name} vs bare loop, {kind}", ours, theirs, n=REPEATS, note=note)


def compare_peers() -> Iterator[dict[str, Any]]:
    """Our step against neuralforecast's, a like-sized network each."""
    from tidewright.models.spec import LSTM, FeedForward

    if not install_peers():
        return
    pairs = {
        "DLinear": FeedForward(hidden=(116,), dropout=0.0),
        "NHITS": FeedForward(hidden=(1536, 1280, 400), dropout=0.0),
        "LSTM": LSTM(hidden=64, head=(), dropout=0.0),
    }
    for name, spec in pairs.items():
        with subprocess.Popen(
            [str(PEERS / "bin" / "python"), __file__, "--peer", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        ) as peer:
            facts = ask_peer(peer)
            step = our_step(spec)
            ours, theirs = alternate(step, lambda peer=peer: ask_peer(peer)["seconds"], repeats=PEER_REPEATS)
            assert peer.stdin is not None
            peer.stdin.close()
        note = (
            f"our {spec.name} ({count_weights(spec):,} weights) against neuralforecast {facts['version']}'s {name} "
            f"({facts['weights']:,}), batches of {BATCH} windows, MQLoss there, pinball here; their step is the "
            f"difference of {PEER_STEPS[1]} and {PEER_STEPS[0]} steps, so that start and set-up don't count"
        )
        yield line_of(f"{spec.name} vs neuralforecast {name}", ours, theirs, n=PEER_REPEATS, note=note)


def line_of(name: str, ours: float, theirs: float, *, n: int, note: str) -> dict[str, Any]:
    """One comparison, in CPU seconds a step."""
    note = f"{note}; median of {n} alternating runs, one thread"
    return make_line(f"training step: {name}", ours, theirs, unit="cpu_s/step", n=n, note=note)


def alternate(ours: Measure, theirs: Measure, *, repeats: int) -> tuple[float, float]:
    """The medians of both sides, measured in turn; the first turn warms up."""
    pairs = [(ours(), theirs()) for _ in range(repeats + 1)][1:]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def cut() -> Any:
    """ETTh1's training windows as the library sees them."""
    import polars as pl

    from tidewright.data.panel import Panel
    from tidewright.data.splits import Cutoffs
    from tidewright.features.view import View
    from tidewright.features.windows import cut_windows

    wide = pl.read_csv(DATA, try_parse_dates=True).head(ROWS)
    long = wide.unpivot(index="date", variable_name="channel", value_name="value")
    panel = Panel.from_table(long, time="date", target="value", series="channel")
    first, last = panel.span
    return cut_windows(panel, View(LOOKBACK), horizon=HORIZON, cutoffs=Cutoffs(first, last - HORIZON))


def our_step(spec: Any) -> Measure:
    """CPU seconds a step of the library's own epoch."""

    from tidewright.runtime import keep_memory
    from tidewright.training.epoch import Course, run_epoch
    from tidewright.training.gather import open_source
    from tidewright.training.learner import open_learner
    from tidewright.training.losses import open_loss
    from tidewright.training.spec import TrainSpec

    source, train = open_source(cut()), TrainSpec(steps=STEPS, batch_size=BATCH)
    network = fresh(spec)
    course = Course(spec.name, "", source, source, train)
    learner = open_learner(network, train)
    measure = open_loss("quantile", QUANTILES, complete=source.complete)

    def run() -> float:
        started = time.process_time()
        with keep_memory():  # as `fit` does
            run_epoch(learner, course, measure=measure)
        return (time.process_time() - started) / STEPS

    return run


def bare_step(spec: Any, *, kind: str) -> Measure:
    """CPU seconds a step of a loop as one writes it by hand."""
    import torch

    windows = cut()
    inputs = torch.from_numpy(windows.batch().target)
    labels = torch.from_numpy(windows.labels().astype("float32"))
    mask = torch.ones(BATCH, LOOKBACK)
    if kind == "prepared":
        mean, scale = inputs.mean(1, keepdim=True), inputs.std(1, keepdim=True, correction=0).clamp(min=1e-6)
        inputs, labels = (inputs - mean) / scale, (labels - mean) / scale
    network, draw = fresh(spec), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4, fused=kind != "default" or None)
    levels = torch.tensor(QUANTILES)

    def run() -> float:
        started = time.process_time()
        order = torch.randperm(len(inputs), generator=draw)
        network.train()
        total = 0.0
        for step in range(STEPS):
            index = order[step * BATCH : (step + 1) * BATCH]
            x, y = inputs[index], labels[index]
            optimizer.zero_grad()
            if kind == "prepared":
                error = y.unsqueeze(2) - network.core(x, mask, None, None, None)
            else:
                scores, mean, scale = network.score(x)
                error = ((y - mean) / scale).unsqueeze(2) - scores
            loss = torch.maximum(levels * error, (levels - 1) * error).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        return (time.process_time() - started) / STEPS

    return run


def fresh(spec: Any) -> Any:
    """The same seeded network for either side."""
    import torch

    from tidewright.models.torch.network import build
    from tidewright.models.torch.shape import Shape

    torch.manual_seed(0)
    return build(spec, Shape(LOOKBACK, HORIZON, 0, 0, 0, QUANTILES))


def count_weights(spec: Any) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in fresh(spec).parameters())


def install_peers() -> bool:
    """Whether neuralforecast is in its own environment, which is made if need be."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
    if subprocess.run([str(python), "-c", "import neuralforecast"], capture_output=True, check=False).returncode == 0:
        return True
    print("installing neuralforecast into .venv-peers (minutes, once) ...", file=sys.stderr)
    pinned = ["--constraint", str(ROOT / "constraints.txt"), "torch==2.13.0", "neuralforecast"]
    done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", *pinned], check=False)
    if done.returncode:
        print("neuralforecast could not be installed; its comparisons are left out.", file=sys.stderr)
    return not done.returncode


def ask_peer(peer: subprocess.Popen[str]) -> dict[str, Any]:
    """One measurement by the peer's process."""
    assert peer.stdin is not None
    assert peer.stdout is not None
    peer.stdin.write("go\n")
    peer.stdin.flush()
    for line in peer.stdout:
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    raise SystemExit("the peer's process ended without an answer; run it with --peer to see why.")


def serve_peer(name: str) -> None:
    """Inside the peer's environment: CPU seconds a step for every line on stdin."""
    import logging
    import warnings
    from importlib.metadata import version

    warnings.filterwarnings("ignore")
    import pandas as pd
    import torch
    from neuralforecast import NeuralForecast, models
    from neuralforecast.losses.pytorch import MQLoss

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    wide = pd.read_csv(DATA, parse_dates=["date"]).head(ROWS)
    long = wide.melt("date", var_name="unique_id", value_name="y").rename(columns={"date": "ds"})
    sizes = {"LSTM": {"encoder_n_layers": 1, "encoder_hidden_size": 64, "decoder_layers": 1, "decoder_hidden_size": 64}}
    quiet = ("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary")
    for _ in sys.stdin:
        spent = []
        for steps in PEER_STEPS:
            model = getattr(models, name)(
                h=HORIZON,
                input_size=LOOKBACK,
                max_steps=steps,
                windows_batch_size=BATCH,
                loss=MQLoss(quantiles=list(QUANTILES)),
                accelerator="cpu",
                gradient_clip_val=1.0,
                **dict.fromkeys(quiet, False),
                **sizes.get(name, {}),
            )
            started = time.process_time()
            NeuralForecast([model], freq="h").fit(long, val_size=0)
            spent.append(time.process_time() - started)
        seconds = (spent[1] - spent[0]) / (PEER_STEPS[1] - PEER_STEPS[0])
        weights = sum(parameter.numel() for parameter in model.parameters())
        print(json.dumps({"seconds": seconds, "weights": weights, "version": version("neuralforecast")}), flush=True)


if __name__ == "__main__":
    main()
