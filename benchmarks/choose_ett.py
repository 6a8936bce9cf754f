"""Chooses on ETTh1's validation part how each network learns; the test is not looked at here.

One rule for all. A trial's criterion is the mean of its MSE and its MAE on every seventh window of validation, each as
a share of the ridge floor's on the same windows. From the first value of every option in `GRIDS`, options are taken one
after the other: each other value is tried, and the best kept. One seed. The best trial of all is what the board uses.
Every trial is a line in benchmarks/results/choices.jsonl; a trial that stands there is not made again.
"""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

from board_ett import CHOICES, judge_ett, learn_ett, open_ett, read_trials
from tell import add

# a grid: options in the order in which they are tried; every value is a piece of "own" (see board_fit.py)
Piece = dict[str, Any]
Grid = tuple[tuple[Piece, ...], ...]

BASE: Piece = {"train": {"steps": 50, "epochs": 30, "patience": 5}}


def of_train(*values: Piece) -> tuple[Piece, ...]:
    return tuple({"train": value} for value in values)


def of_model(*values: Piece) -> tuple[Piece, ...]:
    return tuple({"model": value} for value in values)


LOSSES = of_train(
    {"loss": "mse", "unit": "target"},
    {"loss": "huber", "delta": 0.5, "unit": "target"},
    {"loss": "mae", "unit": "target"},
    {"loss": "mse"},
    {"loss": "mae"},
)
LOOKBACKS: tuple[Piece, ...] = ({"lookback": 336}, {"lookback": 512})
AVERAGES = of_train({"ema": 0.99}, {"ema": 0.0})
RATES = of_train({"learning_rate": 5e-4}, {"learning_rate": 1e-4})
LINEAR: Grid = (
    LOSSES,
    of_train({"learning_rate": 1e-3}, {"learning_rate": 3e-4}),
    LOOKBACKS,
    AVERAGES,
    of_train({"weight_decay": 1e-2}, {"weight_decay": 1.0}),
)
DEEP: Grid = (LOSSES[:3], RATES, LOOKBACKS, AVERAGES)
# the costlier a fit, the fewer options are tried
GRIDS: dict[str, Grid] = {
    "rlinear": LINEAR,
    "sparsetsf": (
        LOSSES[:4],
        of_train({"learning_rate": 1e-2}, {"learning_rate": 3e-3}),
        ({"lookback": 336}, {"lookback": 720}),
        AVERAGES,
        of_model({}, {"hidden": 64}),
    ),
    "tide": (
        *DEEP,
        of_model(
            {}, {"layer_norm": False}, {"width": 64, "dropout": 0.5},
            {"layer_norm": False, "dropout": 0.5}, {"layer_norm": False, "width": 256},
        ),
        LOSSES[:2],  # again: layer normalisation had hidden what they do
        LOOKBACKS,
        of_model({}, {"layer_norm": False, "dropout": 0.7}),
    ),
    "nhits": (
        LOSSES[:2],
        RATES,
        LOOKBACKS[:1],
        AVERAGES[:1],
        of_model({"dropout": 0.5}, {"dropout": 0.5, "width": 64}),
    ),
    "patchtst": (LOSSES[:2], RATES[:1], LOOKBACKS, AVERAGES[:1]),
    "itransformer": (
        LOSSES[:2], RATES, LOOKBACKS, AVERAGES[:1], of_model({"dropout": 0.3}),
        ({}, {"channels": True}, {"channels": True, "lookback": 96}),  # as its authors have it
        LOSSES[:2],
    ),
}  # fmt: skip


def choose(name: str, *, horizon: int) -> Piece:
    """The best options of a model, after every trial that its grid asks for."""
    grid = GRIDS[name]
    best = merge(BASE, *(values[0] for values in grid))
    least = try_once(name, horizon=horizon, own=best)
    for values in grid:
        start = best
        for value in values[1:]:
            own = merge(drop_losses(start) if "loss" in value.get("train", {}) else start, value)
            criterion = try_once(name, horizon=horizon, own=own)
            if criterion < least:
                best, least = own, criterion
    return best


def try_once(name: str, *, horizon: int, own: Piece) -> float:
    """The criterion of one trial: made now, or read if it was made before."""
    own = json.loads(json.dumps(own))
    for row in read_trials():
        if (row["model"], row["horizon"], row["own"]) == (name, horizon, own):
            return float(row["criterion"])
    started = time.process_time()
    fitted = learn_ett(name, horizon=horizon, own=own, seed=0)
    cpu = time.process_time() - started
    found, floor = judge_ett(fitted, horizon=horizon, cutoffs=open_ett(horizon).validation), judge_ridge(horizon)
    criterion = sum(found[metric] / floor[metric] for metric in floor) / len(floor)
    line = {"model": name, "horizon": horizon, "criterion": round(criterion, 5), "cpu_s": round(cpu, 1)}
    line |= {f"validation {metric}": round(value, 5) for metric, value in found.items()} | {"own": own}
    add(line, out=CHOICES)
    return criterion


@cache
def judge_ridge(horizon: int) -> dict[str, float]:
    """The floor's scores on the windows of the criterion."""
    fitted = learn_ett("ridge", horizon=horizon, own={}, seed=0)
    return judge_ett(fitted, horizon=horizon, cutoffs=open_ett(horizon).validation)


def merge(*pieces: Piece) -> Piece:
    """Options side by side, later ones over earlier ones; a model's are replaced whole."""
    own: Piece = {}
    for piece in pieces:
        for kind, value in piece.items():
            own[kind] = {**own.get(kind, {}), **value} if kind == "train" else value
    return own


def drop_losses(own: Piece) -> Piece:
    """The same options without those of a loss."""
    train = {name: value for name, value in own["train"].items() if name not in ("loss", "unit", "delta")}
    return {**own, "train": train}
