"""What a session costs: one row of a 100-64-32-16-1 network against raw ONNX Runtime, and forecasts against
peers.

python benchmarks/session_overhead.py            # both parts; peers are installed into .venv-peers, once
python benchmarks/session_overhead.py --no-peers # the first part alone

Both sides of a comparison run in turns, one thread each; figures are medians. One JSON line a comparison goes
to stdout and to benchmarks/results/session_overhead.jsonl.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # after the thread counts

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "session_overhead.jsonl"
PEERS = ROOT / ".venv-peers"
SIZES = (100, 64, 32, 16, 1)
LOOKBACK, HORIZON = 96, 24


def main() -> None:
    lines = [*measure_row(), *(measure_forecast() if "--no-peers" not in sys.argv else [])]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for line in lines:
        print(json.dumps(line))


def line(name: str, *, ours: float, theirs: float, unit: str, n: int, note: str) -> dict[str, Any]:
    return {"name": name, "ours": ours, "theirs": theirs, "unit": unit, "ratio": ours / theirs, "n": n, "note": note}


def measure_row(rounds: int = 300, calls: int = 200) -> list[dict[str, Any]]:
    """`Session.predict` against `InferenceSession.run` on the same graph, one row: median of the rounds'
    means.
    """
    import tidewright as tw
    from tidewright.registry.parity import open_graph
    from tidewright.registry.verify import GRAPH

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "mlp"
        write_network(place)
        session = tw.open(place, strict=True)
        raw = open_graph((place / GRAPH).read_bytes())
    row = np.random.default_rng(1).normal(size=(1, SIZES[0])).astype(np.float32)
    sides: dict[str, Callable[[], Any]] = {
        "ours": lambda: session.predict(row),
        "default": lambda: raw.run(None, {"target": row}),
        "named": lambda: raw.run(["quantiles"], {"target": row}),
    }
    assert np.array_equal(session.predict(row).quantiles, raw.run(None, {"target": row})[0])
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            times[name].append(time_calls(call, calls))
    ours = median(times["ours"])
    return [
        line(
            f"mlp batch 1 vs raw onnxruntime, {how}",
            ours=ours,
            theirs=median(times[side]),
            unit="us",
            n=rounds * calls,
            note="100-64-32-16-1 relu, one thread, checks, statistics and result included",
        )
        for side, how in (("default", "run(None, feed)"), ("named", "run([name], feed)"))
    ]


def time_calls(call: Callable[[], Any], calls: int) -> float:
    """The mean time of a call in microseconds."""
    started = time.perf_counter_ns()
    for _ in range(calls):
        call()
    return (time.perf_counter_ns() - started) / calls / 1000


def write_network(place: Path) -> None:
    """A bundle of the plain network: 100 values in, one number out."""
    from safetensors.numpy import save

    from tidewright.registry.manifest import to_plain
    from tidewright.registry.verify import CARD, EXAMPLE, GRAPH, WEIGHTS, seal
    from tidewright.registry.write import write_folder

    draw = np.random.default_rng(0)
    weights: dict[str, Any] = {}
    for layer, (width, size) in enumerate(pairwise(SIZES)):
        weights[f"w{layer}"] = (draw.normal(size=(width, size)) / np.sqrt(width)).astype(np.float32)
        weights[f"b{layer}"] = draw.normal(size=size).astype(np.float32)
    rows = draw.normal(size=(4, SIZES[0])).astype(np.float32)
    answer = rows
    for layer in range(len(SIZES) - 1):
        answer = (answer if layer == 0 else np.maximum(answer, 0)) @ weights[f"w{layer}"] + weights[f"b{layer}"]
    files = {
        GRAPH: make_graph(weights).SerializeToString(),
        WEIGHTS: save(weights),
        EXAMPLE: save({"target": rows, "answer": answer.astype(np.float64)[:, :, None]}),
        CARD: b"a benchmark's network\n",
    }
    write_folder(seal(to_plain(describe_network()), files), place)


def make_graph(weights: dict[str, Any]) -> Any:
    """The ONNX graph: a Gemm a layer, ReLU between them."""
    from onnx import TensorProto, helper, numpy_helper

    value, nodes = "target", []
    for layer in range(len(SIZES) - 1):
        if layer:
            nodes.append(helper.make_node("Relu", [value], [f"r{layer}"]))
            value = f"r{layer}"
        nodes.append(helper.make_node("Gemm", [value, f"w{layer}", f"b{layer}"], [f"h{layer}"]))
        value = f"h{layer}"
    nodes.append(helper.make_node("Reshape", [value, "shape"], ["quantiles"]))
    constants = {**weights, "shape": np.array([-1, 1, 1], dtype=np.int64)}
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("target", TensorProto.FLOAT, ["N", SIZES[0]])],
        [helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, ["N", 1, 1])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def describe_network() -> Any:
    """Its manifest."""
    from tidewright.data.frequency import Frequency
    from tidewright.data.panel import Roles
    from tidewright.data.schema import Schema
    from tidewright.data.task import Task
    from tidewright.features.view import View
    from tidewright.models.spec import FeedForward
    from tidewright.registry.manifest import Manifest, Parity, Trained, Widths

    return Manifest(
        name="mlp",
        spec=FeedForward(hidden=SIZES[1:-1]),
        task=Task(1, (0.5,)),
        view=View(SIZES[0], schema=Schema(Roles("t", "y"), {"t": "Int64", "y": "Float64"}, Frequency("step", 1, 0))),
        season=1,
        widths=Widths(),
        parity=Parity(0.0, 1e-5, 4, "none"),
        data=Trained(0, 0, "", ""),
        versions={},
    )


def measure_forecast(rounds: int = 7) -> list[dict[str, Any]]:
    """A forecast from raw history, one series and 100: ours against neuralforecast's and Darts' predict."""
    python = make_peers()
    found = []
    for count in (1, 100):
        ours = {"mlp": [], "lstm": []}
        sessions = {model: train_ours(model, count) for model in ours}
        theirs: dict[str, list[float]] = {}
        for _ in range(3):  # in turns: ours here, then theirs in their own environment
            for model, (session, panel) in sessions.items():
                session.forecast(panel)
                ours[model] += [time_calls(lambda s=session, p=panel: s.forecast(p), 1) / 1000 for _ in range(rounds)]
            done = subprocess.run(
                [python, __file__, "--peer", str(count), str(rounds)], capture_output=True, text=True, check=True
            )
            for name, values in json.loads(done.stdout.splitlines()[-1]).items():
                theirs.setdefault(name, []).extend(values)
        for name, values in theirs.items():
            model = name.split()[-1]
            note = f"{count} hourly series of 480 rows, lookback {LOOKBACK}, horizon {HORIZON}, one thread, warm"
            case = f"forecast {model} {count} series vs {name.rsplit(' ', 1)[0]}"
            found.append(
                line(case, ours=median(ours[model]), theirs=median(values), unit="ms", n=len(values), note=note)
            )
    return found


def make_table(count: int, rows: int = 480) -> dict[str, Any]:
    """The same hourly series for both sides, as columns."""
    draw = np.random.default_rng(0)
    hours = np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(1, "h")
    wave = 10 * np.sin(2 * np.pi * np.arange(rows) / 24)
    return {
        "unique_id": np.repeat([f"s{number:03}" for number in range(count)], rows),
        "ds": np.tile(hours, count),
        "y": np.concatenate([wave + 50 + number + draw.normal(size=rows) for number in range(count)]),
    }


def train_ours(model: str, count: int) -> tuple[Any, Any]:
    """A session on a small network, and the panel."""
    import tidewright as tw

    with tempfile.TemporaryDirectory() as folder:
        bundle, panel = save_ours(model, count, Path(folder) / "model")
        return tw.open(bundle, strict=True), panel


def save_ours(model: str, count: int, place: Path) -> tuple[Any, Any]:
    """A bundle of a small network, and the panel; how well it learned does not matter here."""
    import polars as pl

    import tidewright as tw
    from tidewright.features.view import View

    panel = tw.Panel.from_table(pl.DataFrame(make_table(count)), series="unique_id", time="ds", target="y")
    task = tw.Task(horizon=HORIZON)
    split = tw.split_holdout(panel, task)
    width = 320 if model == "slow" else 64
    options: dict[str, Any] = {"hidden": [64, 64]} if model == "mlp" else {"hidden": width, "layers": 1, "head": [64]}
    spec = tw.build_spec("feedforward" if model == "mlp" else "lstm", options)
    train = tw.TrainSpec(epochs=1, steps=20)
    fitted = tw.fit(spec, panel=panel, split=split, task=task, view=View(LOOKBACK), train=train)
    return tw.save_bundle(fitted, panel=panel, folder=place), panel


def make_peers() -> str:
    """The Python of the peers' environment, made where it is missing; one process at a time makes it."""
    python = PEERS / "bin" / "python"
    look = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ('neuralforecast', 'darts'))))"
    with locked(ROOT / "benchmarks"):
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        if subprocess.run([python, "-c", look], check=False).returncode:
            print("installing neuralforecast and darts into .venv-peers (minutes, once) ...", file=sys.stderr)
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            wanted = ["--constraint", ROOT / "constraints.txt", "torch==2.13.0", "neuralforecast", "darts"]
            subprocess.run([*pip, *wanted], check=True)
    return str(python)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock (flock) of a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def time_peers(count: int, rounds: int) -> dict[str, list[float]]:
    """Runs in the peers' environment: times of predict in milliseconds."""
    import logging

    warnings.simplefilter("ignore")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "darts"):
        logging.getLogger(name).setLevel(logging.ERROR)
    import torch

    torch.set_num_threads(1)
    table = make_table(count)
    return {**time_neuralforecast(table, rounds), **time_darts(table, rounds)}


def time_neuralforecast(table: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MQLoss
    from neuralforecast.models import LSTM, MLP

    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    shared = {"h": HORIZON, "input_size": LOOKBACK, "max_steps": 20, "loss": MQLoss(quantiles=[0.1, 0.5, 0.9]), **quiet}
    models = {
        "mlp": MLP(num_layers=2, hidden_size=64, **shared),
        "lstm": LSTM(encoder_hidden_size=64, encoder_n_layers=1, decoder_hidden_size=64, **shared),
    }
    frame, found = pd.DataFrame(table), {}
    for name, model in models.items():
        fitted = NeuralForecast(models=[model], freq="h")
        fitted.fit(frame)
        fitted.predict(frame)
        found[f"neuralforecast.predict {name}"] = [
            time_calls(lambda f=fitted: f.predict(frame), 1) / 1000 for _ in range(rounds)
        ]
    return found


def time_darts(table: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    import pandas as pd
    from darts import TimeSeries
    from darts.models import BlockRNNModel
    from darts.utils.likelihood_models.torch import QuantileRegression

    frame = pd.DataFrame(table)
    series = TimeSeries.from_group_dataframe(frame, group_cols="unique_id", time_col="ds", value_cols="y")
    series = [one.astype(np.float32) for one in series]
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False, "enable_model_summary": False}
    model = BlockRNNModel(
        input_chunk_length=LOOKBACK,
        output_chunk_length=HORIZON,
        model="LSTM",
        hidden_dim=64,
        n_rnn_layers=1,
        hidden_fc_sizes=[64],
        likelihood=QuantileRegression([0.1, 0.5, 0.9]),
        use_static_covariates=False,
        n_epochs=1,
        batch_size=256,
        pl_trainer_kwargs=quiet,
    )
    model.fit(series)

    def predict() -> Any:
        return model.predict(HORIZON, series=series, predict_likelihood_parameters=True, verbose=False)

    predict()
    return {"darts.predict lstm": [time_calls(predict, 1) / 1000 for _ in range(rounds)]}


if __name__ == "__main__":
    if "--peer" in sys.argv:
        place = sys.argv.index("--peer")
        print(json.dumps(time_peers(int(sys.argv[place + 1]), int(sys.argv[place + 2]))))
    else:
        main()
