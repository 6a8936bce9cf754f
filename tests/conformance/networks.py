"""Small networks of the catalog, the panel they learn from, and what they are asked."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import torch

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.features.view import View, fit_static
from tidewright.features.windows import Windows, cut_windows
from tidewright.models.build import build_spec
from tidewright.models.spec import MODELS, ModelSpec
from tidewright.models.torch.fitted import TorchFitted
from tidewright.models.torch.network import ForecastNet, build
from tidewright.models.torch.shape import Shape
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.spec import TrainSpec

TORCH = [name for name, entry in MODELS.items() if entry.kind == "torch"]
SMALL = {"feedforward": {"hidden": (24,)}, "lstm": {"hidden": 12, "head": (12,)}}
SMALL |= {
    "resmlp": {"width": 12, "blocks": 2},
    "tsmixer": {"layers": 1, "width": 12, "dropout": 0.1},
    "tide": {"width": 16, "decoder_width": 4, "final_width": 8, "dropout": 0.1},
    "nbeats": {"stacks": ("trend", "generic"), "width": 6, "blocks": 1, "terms": 4, "layers": 2, "degree": 1},
    "sparsetsf": {"period": 2, "hidden": 32},
    "nhits": {"width": 16, "pools": (4, 1), "strides": (4, 1)},
    "transformer": {"d_model": 16, "num_encoder_layers": 1, "dim_feedforward": 24},
    "transformer_encoder": {"d_model": 16, "layers": 1, "dim_feedforward": 24, "head": (12,)},
    "adaptive_transformer": {"d_model": 16, "layers": 1, "dim_feedforward": 24},
    "patchtst": {"patch_len": 4, "stride": 2, "layers": 2, "dim_feedforward": 24, "dropout": 0.1},
    "itransformer": {"d_model": 16, "nhead": 4, "dim_feedforward": 24},
    "tft": {"hidden": 12, "heads": 3},
    "cnn_lstm_transformer": {"width": 16, "conv_layers": 1, "lstm_layers": 1, "transformer_layers": 1},
}
TASK = Task(horizon=4)
QUICK = TrainSpec(epochs=2, steps=6, batch_size=64)
SHAPE = Shape(lookback=10, horizon=4, past=2, known=3, static=2, quantiles=(0.1, 0.5, 0.9))


def small_spec(name: str) -> ModelSpec:
    return build_spec(name, SMALL.get(name, {}))


def shape_for(name: str) -> Shape:
    """Two past, three known and two static features, as far as the model takes them."""
    takes = MODELS.load(name).takes
    return replace(SHAPE, **{kind: 0 for kind in ("past", "known", "static") if kind not in takes})


@cache
def make_panel(name: str) -> Panel:
    """Four daily series with a weekly cycle, one shorter than the lookback; the covariates that the model takes."""
    effect = 8.0 if "known" in MODELS.load(name).takes else 0.0
    rng = np.random.default_rng(7)
    tables = []
    for number, length in enumerate((160, 160, 150, 12)):
        days = np.arange(160 - length, 160)
        promo = rng.integers(0, 2, length).astype(float)
        sold = 50.0 * (number + 1) + 10 * np.sin(2 * np.pi * days / 7) + effect * promo + rng.normal(0, 0.5, length)
        sold[rng.random(length) < 0.03] = np.nan
        sold[-1] = 50.0
        tables.append(
            pl.DataFrame(
                {
                    "shop": f"s{number}",
                    "day": pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 6, 8), eager=True)[160 - length :],
                    "sold": sold,
                    "visits": rng.normal(0, 1, length),
                    "promo": promo,
                    "size": float(number),
                    "town": "north" if number % 2 else "south",
                }
            )
        )
    whole = Panel.from_table(
        pl.concat(tables).fill_nan(None),
        series="shop",
        time="day",
        target="sold",
        past=["visits"],
        known=["promo"],
        static=["size", "town"],
    )
    return keep_covariates(whole, MODELS.load(name).takes)


@cache
def make_view(name: str) -> View:
    return View(14, ("weekday",) if "known" in MODELS.load(name).takes else (), fit_static(make_panel(name)))


@cache
def make_split(name: str) -> Split:
    return split_holdout(make_panel(name), TASK, validation=20, test=20)


@cache
def learned(name: str) -> TorchFitted:
    fitted = fit(
        small_spec(name), panel=make_panel(name), split=make_split(name), task=TASK, view=make_view(name), train=QUICK
    )
    assert isinstance(fitted, TorchFitted)
    return fitted


def scored_windows(name: str) -> Windows:
    test = make_split(name).test
    assert test is not None
    return cut_windows(make_panel(name), make_view(name), horizon=TASK.horizon, cutoffs=test, least=1)


def fresh_network(name: str, shape: Shape | None = None) -> ForecastNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = build(small_spec(name), shape or shape_for(name))
        for parameter in network.parameters():  # away from a start that answers nearly nothing
            torch.nn.init.normal_(parameter, std=0.3)
        return network


def draw_inputs(shape: Shape, count: int, *, seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    sizes = {
        "target": (count, shape.lookback),
        "past": (count, shape.lookback, shape.past),
        "known": (count, shape.lookback + shape.horizon, shape.known),
        "static": (count, shape.static),
    }
    inputs = {name: torch.randn(*sizes[name], generator=draw) for name in shape.inputs}
    return inputs | {"target": inputs["target"] * 20 + 100}
