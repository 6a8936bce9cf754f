"""CPU seconds and test error of a whole training: ours against neuralforecast's, with like networks, on ETTh1.

Both sides get the same number of steps and windows a step, loss (squared error of windows standardised one by one),
optimiser (Adam, 1e-3, nothing clipped), lookback and horizon (96), no validation, one thread, and a network of the same
layers; what could not be made equal stands in `NOTES`. The batch is the one that the papers train ETTh1 with. Data:
the board's split, 8,640 hours to learn from, MSE on all 2,785 windows of the test in all 7 channels, each channel
standardised by its training part.

The seconds are those of all steps but the first `WARM`, by the difference of two fits, so that start and set-up don't
count. One JSON line a comparison and a line for the errors; ratio is ours / theirs, lower is better. The peer lives in
`.venv-peers`, see training_step.py.

    python benchmarks/training.py [--models dlinear,nhits] [--seeds 3] [--steps 450] [--batch 256] [--keep]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from tell import keep

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

from training_step import DATA, PEERS, ask_peer, install_peers

RESULTS = Path(__file__).resolve().parent / "results" / "training.jsonl"
LOOKBACK = HORIZON = 96
ROWS, TRAIN_ROWS, TEST = 14_400, 8_640, 2_880
STEPS, WARM, CHANNELS = 450, 50, 7  # so that PatchTST's 450 x 128 windows are one pass at most
RATE = 1e-3


@dataclass(frozen=True)
class Pair:
    """A network of either side with its options, the windows of one channel a step, and its channels (none: all 7)."""

    ours: str
    options: dict[str, Any]
    theirs: str
    peer: dict[str, Any]
    batch: int = 32
    channels: tuple[str, ...] = ()
    steps: int = STEPS


MIXER = {"layers": 2, "width": 64, "dropout": 0.3}
PEER_MIXER = {"n_block": 2, "ff_dim": 64, "dropout": 0.3, "revin": False}
RECURRENT = {"hidden": 128, "head": (128,), "dropout": 0.0}
PEER_RECURRENT = {"encoder_n_layers": 1, "encoder_hidden_size": 128, "decoder_layers": 2, "decoder_hidden_size": 128}
PAIRS = {
    "dlinear": Pair("dlinear", {"kernel": 25}, "DLinear", {"moving_avg_window": 25}),
    "nlinear": Pair("nlinear", {}, "NLinear", {}),
    "nhits": Pair(
        "nhits",
        {"width": 512, "layers": 4, "pools": (8, 4, 1), "strides": (24, 12, 1)},
        "NHITS",
        {"mlp_units": [[512, 512]] * 3, "n_pool_kernel_size": [8, 4, 1], "n_freq_downsample": [24, 12, 1]},
    ),
    "tsmixer": Pair("tsmixer", MIXER, "TSMixer", {"n_series": CHANNELS, **PEER_MIXER}, 32 * CHANNELS),
    "tsmixer of one channel": Pair("tsmixer", MIXER, "TSMixer", {"n_series": 1, **PEER_MIXER}, 32, ("OT",), 250),
    "lstm": Pair("lstm", RECURRENT, "LSTM", PEER_RECURRENT),
    "lstm with highway": Pair("lstm", {**RECURRENT, "highway": True}, "LSTM", PEER_RECURRENT),
    "tcn": Pair(
        "tcn",
        {"num_channels": (32,) * 5, "kernel_size": 3, "head": (64,), "dropout": 0.0},
        "TCN",
        {
            "kernel_size": 3,
            "dilations": [1, 1, 2, 2, 4, 4, 8, 8, 16, 16],
            "encoder_hidden_size": 32,
            "decoder_layers": 2,
            "decoder_hidden_size": 64,
        },
    ),
    "patchtst": Pair(
        "patchtst",
        {"d_model": 16, "nhead": 4, "layers": 3, "dim_feedforward": 128, "dropout": 0.3},
        "PatchTST",
        {
            "hidden_size": 16,
            "n_heads": 4,
            "encoder_layers": 3,
            "linear_hidden_size": 128,
            "dropout": 0.3,
            "revin": False,
            "res_attention": False,
        },
        128,
    ),
    "tft": Pair(
        "tft", {"hidden": 64, "heads": 4, "dropout": 0.1}, "TFT", {"hidden_size": 64, "n_head": 4, "dropout": 0.1}
    ),
}
STATES = "their decoder reads the state of each of the last 96 steps, ours the last state"
NOTES = {
    "dlinear": "",
    "nlinear": "",
    "nhits": "theirs backcasts every step, ours knots; their first layer has no activation; ours reads the mask too",
    "tsmixer of one channel": "OT alone, so that the network is the same but for the mask that ours reads too, and its "
    "layer norm in the place of their batch norm",
    "tsmixer": "theirs mixes the 7 channels, a step takes 32 windows of all of them; ours mixes a channel's value and "
    "mask, a step takes 224 windows; batch norm there, layer norm here",
    "lstm": STATES,
    "lstm with highway": f"{STATES}, and beside it one matrix leads from the window to the answer",
    "tcn": "as many convolutions of the same size; theirs have no skips and a matrix over time at the end, ours have "
    "skips and weight norm and are computed where the last step looks",
    "patchtst": "",
    "tft": "theirs is given the last value as the known future, ours the number of the step",
}


def main() -> None:
    """Prints the lines, and keeps them when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(PAIRS))
    parser.add_argument("--seeds", type=int, default=3, help="fits whose test errors are averaged")
    parser.add_argument("--steps", type=int, help="instead of those of the pair")
    parser.add_argument("--batch", type=int, help="windows a step, instead of the papers'; no errors are taken")
    parser.add_argument("--keep", action="store_true", help=f"put the lines into {RESULTS.name}, over those so named")
    parser.add_argument("--peer", help=argparse.SUPPRESS)  # this script inside the peer's environment
    asked = parser.parse_args()
    if asked.peer:
        serve_peer(asked.peer)
        return
    if not DATA.exists():
        sys.exit(f"{DATA.name} is not beside the project; nothing was measured.")
    if not install_peers():
        return
    for name in asked.models.split(","):
        for line in compare(name, seeds=asked.seeds, steps=asked.steps, batch=asked.batch):
            keep(line, out=RESULTS if asked.keep else None)


def compare(name: str, *, seeds: int, steps: int | None, batch: int | None) -> Iterator[dict[str, Any]]:
    """A model's line of seconds and, with the papers' batch, its line of errors."""
    pair = PAIRS[name]
    how: dict[str, Any] = {"batch": batch or pair.batch, "steps": steps or pair.steps, "scored": batch is None}
    ours, theirs = [], []
    for seed in range(seeds):
        ours.append(fit_ours(pair, seed=seed, **how))
        theirs.append(fit_theirs(name=name, seed=seed, **how))
    own, other = ours[0], theirs[0]
    title = f"{name} vs neuralforecast {pair.theirs}" + (f", batch {batch}" if batch else "")
    equal = (
        f"{how['steps']} steps of {how['batch']} windows; {own['weights']:,} weights here, "
        f"{other['weights']:,} in theirs "
        f"({other['version']})" + (f"; {NOTES[name]}" if NOTES[name] else "")
    )
    spent = mean(one["seconds"] for one in ours), mean(one["seconds"] for one in theirs)
    whole = f"whole fits took {mean(o['whole'] for o in ours):.1f} and {mean(o['whole'] for o in theirs):.1f}"
    note = f"{equal}; CPU seconds of the last {how['steps'] - WARM} steps, one thread; {whole}"
    yield make_line(f"training: {title}", *spent, unit="cpu_s", n=seeds, note=note)
    if how["scored"]:
        errors = mean(one["mse"] for one in ours), mean(one["mse"] for one in theirs)
        each = "; ".join(f"{o['mse']:.4f} and {t['mse']:.4f}" for o, t in zip(ours, theirs, strict=True))
        yield make_line(f"test MSE: {title}", *errors, unit="mse", n=seeds, note=f"{equal}; by seed {each}")


def make_line(name: str, ours: float, theirs: float, *, unit: str, n: int, note: str) -> dict[str, Any]:
    """One comparison."""
    return {
        "name": name,
        "ours": round(ours, 4),
        "theirs": round(theirs, 4),
        "unit": unit,
        "ratio": round(ours / theirs, 4),
        "n": n,
        "note": note,
    }


def fit_ours(pair: Pair, *, batch: int, steps: int, seed: int, scored: bool) -> dict[str, Any]:
    """Seconds, weights and test error of our side."""
    import polars as pl

    from tidewright.data.layout import melt_columns
    from tidewright.data.panel import Panel
    from tidewright.data.splits import split_holdout, without_test
    from tidewright.data.task import Task
    from tidewright.features.view import View
    from tidewright.models.build import build_spec
    from tidewright.training.evaluate import evaluate
    from tidewright.training.fit import fit
    from tidewright.training.spec import TrainSpec

    table = pl.read_csv(DATA).head(ROWS)
    table = table.select("date", *pair.channels) if pair.channels else table
    train = table.head(TRAIN_ROWS)
    scaled = [(pl.col(c) - train[c].mean()) / train[c].std(ddof=0) for c in table.columns[1:]]
    long = melt_columns(table.with_columns(scaled), time="date")
    panel = Panel.from_table(long, series="series", time="date", target="value")
    task = Task(horizon=HORIZON, quantiles=(0.1, 0.5, 0.9))
    split = split_holdout(panel, task, validation=TEST, test=TEST, stride=1)
    spent = {}
    for count in (1, WARM, steps):  # the first one loads what is loaded once
        how = TrainSpec(
            steps=count, epochs=1, judged=1, batch_size=batch, loss="mse", learning_rate=RATE, optimizer="adam",
            weight_decay=0.0, clip=float("inf"), seed=seed,
        )  # fmt: skip
        started = time.process_time()
        fitted = fit(
            build_spec(pair.ours, pair.options),
            panel=panel,
            split=without_test(split),
            task=task,
            view=View(LOOKBACK),
            train=how,
        )
        spent[count] = time.process_time() - started
    found = {
        "seconds": spent[steps] - spent[WARM],
        "whole": spent[steps],
        "weights": sum(parameter.numel() for parameter in fitted.network.parameters()),
    }
    if scored:
        assert split.test is not None
        found["mse"] = evaluate(fitted, panel=panel, split=split, cutoffs=split.test, season=24).scores["mse"]
    return found


def fit_theirs(**asked: Any) -> dict[str, Any]:
    """Seconds, weights and test error of the peer, in a process of its own."""
    with subprocess.Popen(
        [str(PEERS / "bin" / "python"), __file__, "--peer", json.dumps(asked)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as peer:
        return ask_peer(peer)


def serve_peer(asked: str) -> None:
    """Inside the peer's environment: one JSON line."""
    import logging
    import warnings
    from importlib.metadata import version

    warnings.filterwarnings("ignore")
    import numpy as np
    import pandas as pd
    import torch
    from neuralforecast import NeuralForecast, models
    from neuralforecast.losses.pytorch import MSE
    from neuralforecast.tsdataset import TimeSeriesDataset

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    what = json.loads(asked)
    pair = PAIRS[what["name"]]
    wide = pd.read_csv(DATA, parse_dates=["date"]).head(ROWS).set_index("date")
    wide = wide[list(pair.channels)] if pair.channels else wide
    wide = (wide - wide[:TRAIN_ROWS].mean()) / wide[:TRAIN_ROWS].std(ddof=0)
    batch = what["batch"] // pair.peer.get("n_series", 1)
    spent = {}
    for steps in (1, WARM, what["steps"]):
        model = getattr(models, pair.theirs)(
            h=HORIZON, input_size=LOOKBACK, max_steps=steps, loss=MSE(), learning_rate=RATE, num_lr_decays=-1,
            windows_batch_size=batch, scaler_type="standard", random_seed=what["seed"] + 1, accelerator="cpu",
            logger=False, enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False,
            **pair.peer,
        )  # fmt: skip
        started = time.process_time()
        forecast = NeuralForecast([model], freq="h")
        forecast.fit(melt(wide[:TRAIN_ROWS]), val_size=0)
        spent[steps] = time.process_time() - started
    model = forecast.models[0]
    found = {
        "seconds": spent[steps] - spent[WARM],
        "whole": spent[steps],
        "weights": sum(parameter.numel() for parameter in model.parameters()),
        "version": version("neuralforecast"),
    }
    if what["scored"]:
        dataset = TimeSeriesDataset.from_df(melt(wide))[0]
        model.set_test_size(TEST)
        answers = np.asarray(model.predict(dataset=dataset, step_size=1))
        actual = np.lib.stride_tricks.sliding_window_view(wide.sort_index(axis=1).to_numpy()[-TEST:], HORIZON, axis=0)
        found["mse"] = float(
            np.mean((answers.reshape(len(wide.columns), -1, HORIZON) - actual.transpose(1, 0, 2)) ** 2)
        )
    print(json.dumps(found), flush=True)


def melt(wide: Any) -> Any:
    """The long table that neuralforecast takes."""
    return wide.reset_index().melt("date", var_name="unique_id", value_name="y").rename(columns={"date": "ds"})


if __name__ == "__main__":
    main()
