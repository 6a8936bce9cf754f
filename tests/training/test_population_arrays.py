"""Populations of the networks that learn from plain arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tidewright.errors import ConfigError, FitError
from tidewright.models.classic import ModelConfig
from tidewright.models.torch.classic import build_classic
from tidewright.runtime import Choice, detect_runtime
from tidewright.training.fit_arrays import fit_classic, read_labelled
from tidewright.training.population_arrays import fit_classics
from tidewright.training.spec import TrainSpec

BASE = TrainSpec(epochs=3, steps=6, batch_size=16, learning_rate=5e-3, judged=64)
CLOSE = 2e-4  # of a loss or a weight, after three epochs: sums of float32 in another order


def test_networks_on_arrays_end_as_one_by_one() -> None:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(200, 5)).astype(np.float32)
    data = read_labelled((features, features[:, :2].sum(axis=1)), name="arrays")
    configs = [ModelConfig("feed_forward", 5, [8], dropout_rate=share, use_batch_norm=False) for share in (0.0, 0.3)]
    trains = [replace(BASE, loss="mse", seed=seed, learning_rate=1e-2 / (seed + 1)) for seed in (0, 1)]
    asked: dict[str, Any] = {"training": data, "judging": data, "runtime": detect_runtime("cpu")}
    together = [build_classic(config, seed=7) for config in configs]
    histories = fit_classics(together, trains=trains, **asked)
    for config, train, network, history in zip(configs, trains, together, histories, strict=True):
        single = build_classic(config, seed=7)
        wanted = fit_classic(single, train=train, **asked)
        assert not isinstance(history, FitError)
        assert [r["validation_loss"] for r in history] == pytest.approx(
            [r["validation_loss"] for r in wanted], rel=CLOSE
        )
        for name, tensor in single.state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], tensor, rtol=CLOSE, atol=10 * CLOSE)


def test_networks_on_arrays_are_of_one_form() -> None:
    features = np.ones((8, 5), dtype=np.float32)
    data = read_labelled((features, features[:, 0]), name="arrays")
    asked: dict[str, Any] = {"training": data, "judging": data, "runtime": detect_runtime("cpu")}
    one, other = (build_classic(ModelConfig("feed_forward", 5, [size])) for size in (4, 8))
    with pytest.raises(ConfigError, match="got two of another hidden_sizes"):
        fit_classics([one, other], trains=[BASE, BASE], **asked)
    with pytest.raises(ConfigError, match="got 1 networks and 2 trains"):
        fit_classics([one], trains=[BASE, BASE], **asked)
    reduced = replace(asked["runtime"], precision=Choice("bfloat16", "bfloat16", "asked for"))
    with pytest.raises(ConfigError, match="feed_forward can't be batched: a batched step is in float32"):
        fit_classics([one], trains=[BASE], **{**asked, "runtime": reduced})
    with pytest.raises(ConfigError, match="lstm can't be batched: LSTM has no batched form"):
        fit_classics([build_classic(ModelConfig("lstm", 5, [4]))], trains=[BASE], **asked)
