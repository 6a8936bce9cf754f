"""How long an answer takes: raw ONNX Runtime, ours, eager torch, TorchScript, AOTInductor and Darts' ONNX graph.

Networks, LightGBM of 200 rounds and an ensemble of them on windows of 96 steps of the target alone, horizon 24, three
quantiles; batches of 1, 32 and 1024; one thread. All sides of a case answer in turns in one process, each call is timed
alone; Darts answers in an environment of its own (.venv-darts, made by the script) for an LSTM of the same size. A line
compares medians; both 99th percentiles stand in its note. The case "plain" is the 100-64-32-16-1 network of
session_overhead.py.

    python benchmarks/latency.py --prepare      # train, seal and compile into --folder, which takes long, once
    python benchmarks/latency.py [--cases lstm tft] [--aot mlp tcn] [--no-darts] [--out FILE]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
from tell import add, make_line, open_parser

ROOT = Path(__file__).resolve().parent.parent
DARTS = ROOT / ".venv-darts"
LOOKBACK, HORIZON = 96, 24
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("feedforward", {"hidden": (64, 64)}),
    "lstm": ("lstm", {"hidden": 64, "layers": 1, "head": (64,)}),
    "tcn": ("tcn", {}),
    "cnn": ("adaptive_cnn", {}),
    "transformer": ("transformer_encoder", {"d_model": 32, "layers": 2, "dim_feedforward": 64}),
    "tft": ("tft", {"hidden": 32}),
}
CASES = ("plain", *NETWORKS, "lightgbm", "ensemble")
BATCHES = (1, 32, 1024)
CASE_S = 2.5  # of measuring a case and batch
ROUND_S = 0.005  # of a side's calls in one round
LEAST = 5  # rounds at least
Sides = Mapping[str, Callable[[Any], Any]]


def main() -> None:
    """Prints the lines of each case as it is measured."""
    parser = open_parser(__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "latency", help="where bundles are kept")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--no-darts", action="store_true")
    parser.add_argument("--aot", nargs="*", default=list(NETWORKS), help="networks that AOTInductor compiles")
    options = parser.parse_args()
    for case in options.cases:
        bundle, sides = prepare(case, options.folder / case, aot=case in options.aot)
        for size in () if options.prepare else BATCHES:
            for line in measure(case, sides, make_windows(bundle.manifest.view.lookback, size)):
                add(line, out=options.out)
        if case == "lstm" and not options.prepare and not options.no_darts:
            for line in compare_darts(sides["ours"]):
                add(line, out=options.out)


def prepare(case: str, folder: Path, *, aot: bool) -> tuple[Any, Sides]:
    """The bundle of a case, sealed where it is missing, and all that answers for it, by name."""
    import tidewright as tw
    from tidewright.registry.parity import open_graph

    if not folder.exists():
        seal(case, folder)
    session = tw.open(folder, backend="onnxruntime", strict=True)
    bundle = session.bundle
    raw, named, names = open_graph(bundle.graph), open_graph(bundle.graph), ["quantiles"]  # alike cold, each its own
    sides: dict[str, Callable[[Any], Any]] = {
        "ours": lambda x: session.predict(x).quantiles,
        "raw ONNX Runtime": lambda x: raw.run(None, {"target": x})[0],
        "raw ONNX Runtime, output named": lambda x: named.run(names, {"target": x})[0],
    }
    if case in NETWORKS:
        sides["eager torch"] = ask_torch(session.fitted.network)
        for backend in ("torchscript", *(["aotinductor"] if aot else [])):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what torch says of its own parts
                other = tw.open(bundle, backend=backend, strict=True)
            sides[backend] = lambda x, other=other: other.predict(x).quantiles
    return bundle, sides


def ask_torch(network: Any) -> Callable[[Any], Any]:
    """The network as anybody would ask it."""
    import torch

    torch.set_num_threads(1)

    def ask(x: Any) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(x)).numpy()

    return ask


def seal(case: str, folder: Path) -> None:
    """Trains a little, for how well it learned does not matter here."""
    import tidewright as tw

    if case == "plain":
        from session_overhead import write_network

        folder.parent.mkdir(parents=True, exist_ok=True)
        write_network(folder)
        return
    panel = make_panel()
    members = ("mlp", "tcn", "lightgbm") if case == "ensemble" else (case,)
    fitted = [learn(member, panel) for member in members]
    model = fitted[0]
    if case == "ensemble":
        from tidewright.training.ensemble import fit_ensemble

        model = fit_ensemble(fitted, panel=panel, split=tw.split_holdout(panel, tw.Task(HORIZON)), rule="mean")
    folder.parent.mkdir(parents=True, exist_ok=True)
    tw.save_bundle(model, panel=panel, folder=folder, name=case)


def learn(case: str, panel: Any) -> Any:
    """One model of a case."""
    import tidewright as tw
    from tidewright.features.view import View

    name, settings = NETWORKS.get(case, (case, {"rounds": 200}))
    task, train = tw.Task(HORIZON, (0.1, 0.5, 0.9)), tw.TrainSpec(epochs=1, steps=5)
    split = tw.split_holdout(panel, task)
    return tw.fit(tw.build_spec(name, settings), panel=panel, split=split, task=task, view=View(LOOKBACK), train=train)


def make_panel() -> Any:
    """Hourly waves with noise."""
    from tidewright.data.simulate import signal_panel

    return signal_panel(n_series=8, length=600, seed=0, frequency="1h", period=24)


def make_windows(lookback: int, size: int) -> Any:
    """So many windows of a wave with noise."""
    draw = np.random.default_rng(1)
    wave = 10 + np.sin(2 * np.pi * (np.arange(lookback) + draw.integers(0, 24, (size, 1))) / 24)
    return (wave + 0.1 * draw.normal(size=(size, lookback))).astype(np.float32)


def measure(case: str, sides: Sides, x: Any) -> Iterator[dict[str, Any]]:
    """Ours beside each of the others, after all gave the same answer."""
    wanted = sides["raw ONNX Runtime"](x)
    for name, ask in sides.items():
        apart = np.abs(ask(x) - wanted).max() / np.abs(wanted).max()
        assert apart < 1e-4, (case, name, apart)
    times = time_in_turns(sides, x)
    for name in list(sides)[1:]:
        low, high = np.median(times["ours"]), np.median(times[name])
        tails = [float(np.percentile(times[side], 99)) for side in ("ours", name)]
        note = f"p99 {tails[0]:.1f} and {tails[1]:.1f} us; one thread, checks, statistics and result included in ours"
        yield make_line(f"{case} batch {len(x)} vs {name}", low, high, unit="us", n=len(times[name]), note=note)


def time_in_turns(sides: Sides, x: Any) -> dict[str, list[float]]:
    """The microseconds of every call, the sides in turns."""
    counts = {name: max(1, int(ROUND_S / time_call(ask, x, calls=3)[-1] * 1e6)) for name, ask in sides.items()}
    times: dict[str, list[float]] = {name: [] for name in sides}
    ends, rounds = time.perf_counter() + CASE_S, 0
    order, draw = list(sides), np.random.default_rng(0)
    while rounds < LEAST or time.perf_counter() < ends:
        draw.shuffle(order)  # who follows whom counts, for caches
        for name in order:
            times[name] += time_call(sides[name], x, calls=counts[name])
        rounds += 1
    return times


def time_call(ask: Callable[[Any], Any], x: Any, *, calls: int) -> list[float]:
    """The microseconds of each of some calls."""
    times, now = [], time.perf_counter_ns
    for _ in range(calls):
        started = now()
        ask(x)
        times.append((now() - started) / 1000)
    return times


def compare_darts(ask: Callable[[Any], Any]) -> Iterator[dict[str, Any]]:
    """One window of raw history through our LSTM, and through Darts' ONNX graph of one of the same size."""
    python = make_darts()
    if python is None:
        return
    x, ours, theirs = make_windows(LOOKBACK, 1), [], []
    for _ in range(3):  # in turns: ours here, then theirs in their own environment
        time_call(ask, x, calls=100)
        ours += time_call(ask, x, calls=2000)
        done = subprocess.run([python, __file__, "--time-darts"], capture_output=True, text=True, check=True)
        theirs += json.loads(done.stdout.splitlines()[-1])
    tails = [float(np.percentile(times, 99)) for times in (ours, theirs)]
    note = f"p99 {tails[0]:.1f} and {tails[1]:.1f} us; from raw history; Darts' inputs by prepare_onnx_inputs"
    name, low, high = "lstm batch 1 vs Darts' ONNX runner", float(np.median(ours)), float(np.median(theirs))
    yield make_line(name, low, high, unit="us", n=len(theirs), note=note)


def make_darts() -> Path | None:
    """The Python of Darts' environment, made where it is missing; none where it can't be, which is said."""
    python = DARTS / "bin" / "python"
    look = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ('darts', 'onnxruntime', 'torch'))))"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(DARTS)], check=True)
    if subprocess.run([python, "-c", look], check=False).returncode:
        print("installing darts into .venv-darts (minutes, once) ...", file=sys.stderr)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        wanted = ["torch==2.13.0", "u8darts", "pytorch-lightning", "onnx", "onnxruntime", "onnxscript"]
        if subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", *wanted], check=False).returncode:
            print("darts could not be installed: its line is left out", file=sys.stderr)
            return None
    return python


def time_darts() -> list[float]:
    """Runs in Darts' environment: the microseconds of its inputs and its graph, one window."""
    import logging
    import tempfile

    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    import onnxruntime
    import pandas
    from darts import TimeSeries
    from darts.models import BlockRNNModel
    from darts.utils.likelihood_models.torch import QuantileRegression
    from darts.utils.onnx_utils import prepare_onnx_inputs

    sizes = {"input_chunk_length": LOOKBACK, "output_chunk_length": HORIZON, "hidden_dim": 64, "n_rnn_layers": 1}
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False, "enable_model_summary": False}
    likelihood = QuantileRegression([0.1, 0.5, 0.9])
    model = BlockRNNModel(
        model="LSTM", hidden_fc_sizes=[64], likelihood=likelihood, n_epochs=1, pl_trainer_kwargs=quiet, **sizes
    )
    hours = pandas.date_range("2024-01-01", periods=600, freq="h")
    series = TimeSeries.from_times_and_values(hours, make_windows(600, 1)[0])
    model.fit(series)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        model.to_onnx(f"{folder}/lstm.onnx")
        graph = onnxruntime.InferenceSession(f"{folder}/lstm.onnx", settings, providers=["CPUExecutionProvider"])
    names = [one.name for one in graph.get_inputs()]

    def ask(given: Any) -> Any:
        past, _, _ = prepare_onnx_inputs(model, given)
        return graph.run(None, dict(zip(names, [past], strict=True)))

    time_call(ask, series, calls=100)
    return time_call(ask, series, calls=1000)


if __name__ == "__main__":
    if "--time-darts" in sys.argv:
        print(json.dumps(time_darts()))
    else:
        main()
