"""TSMixer and TiDE: their shortcuts, what a step's covariates may move, and options out of range."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tidewright.errors import ConfigError
from tidewright.models.specs.mixer import TiDE, TSMixer
from tidewright.models.torch.mixer import MixerLayer, TSMixerCore
from tidewright.models.torch.network import build
from tidewright.models.torch.shape import Shape
from tidewright.models.torch.tide import ResidualBlock, TiDECore

SHAPE = Shape(lookback=12, horizon=5, past=2, known=3, static=2, quantiles=(0.1, 0.5, 0.9))
ALONE = replace(SHAPE, past=0, known=0, static=0)


def random_core(spec: Any, shape: Shape) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        core = build(spec, shape).core.eval()
        for parameter in core.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return core


def silence(*layers: torch.nn.Module) -> None:
    for layer in layers:
        for parameter in layer.parameters():
            torch.nn.init.zeros_(parameter)


def draw(seed: int = 0) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(seed)
    return {
        "values": torch.randn(6, 12, generator=rng),
        "seen": torch.ones(6, 12),
        "past": torch.randn(6, 12, 2, generator=rng),
        "known": torch.randn(6, 17, 3, generator=rng),
        "static": torch.randn(6, 2, generator=rng),
    }


def test_tide_without_its_coder_is_one_matrix() -> None:
    core, inputs = random_core(TiDE(width=8), SHAPE), draw()
    silence(core.step)
    weight, bias = core.answer.weight.detach().numpy(), core.answer.bias.detach().numpy()
    with torch.no_grad():
        found = core(**inputs).numpy()
    np.testing.assert_allclose(found, (inputs["values"].numpy() @ weight.T + bias).reshape(6, 5, 3), atol=1e-5)


def test_known_covariates_of_a_step_reach_it_also_without_tides_coder() -> None:
    core, inputs = random_core(TiDE(width=8), SHAPE), draw()
    assert isinstance(core, TiDECore)
    silence(core.coder)
    moved = inputs["known"].clone()
    moved[:, 12 + 3] += 1.0  # the fourth step of the horizon
    with torch.no_grad():
        change = (core(**inputs | {"known": moved}) != core(**inputs)).any(dim=2).any(dim=0)
    assert change.tolist() == [False, False, False, True, False]


def test_a_residual_block_is_its_formula() -> None:
    block = ResidualBlock(4, 6, 3, dropout=0.5, layer_norm=True).eval()
    rows = torch.randn(7, 4, generator=torch.Generator().manual_seed(1))
    weights = [parameter.detach().numpy() for parameter in (*block.dense.parameters(), *block.skip.parameters())]
    first, first_bias, second, second_bias, skip = weights
    raw = np.maximum(rows.numpy() @ first.T + first_bias, 0) @ second.T + second_bias + rows.numpy() @ skip.T
    expected = (raw - raw.mean(1, keepdims=True)) / np.sqrt(raw.var(1, keepdims=True) + 1e-5)
    with torch.no_grad():
        np.testing.assert_allclose(block(rows).numpy(), expected, atol=1e-5)


def test_a_mixer_layer_is_its_formula() -> None:
    layer = MixerLayer(6, 3, width=5, dropout=0.5).eval()
    steps = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(1))

    def norm(x: np.ndarray) -> np.ndarray:
        return (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)  # type: ignore[no-any-return]

    time, time_bias = (p.detach().numpy() for p in layer.time.parameters())
    wide, wide_bias = (p.detach().numpy() for p in layer.widen.parameters())
    back, back_bias = (p.detach().numpy() for p in layer.narrow.parameters())
    x = steps.numpy()
    x = x + np.maximum(np.einsum("ntf,st->nsf", norm(x), time) + time_bias[:, None], 0)
    x = x + np.maximum(norm(x) @ wide.T + wide_bias, 0) @ back.T + back_bias
    with torch.no_grad():
        np.testing.assert_allclose(layer(steps.transpose(1, 2)).transpose(1, 2).numpy(), x, atol=1e-5)


@pytest.mark.parametrize("shape", [ALONE, SHAPE], ids=["target alone", "all inputs"])
def test_tsmixer_without_its_mixers_projects_the_target(shape: Shape) -> None:
    core, inputs = random_core(TSMixer(width=8), shape), draw()
    assert isinstance(core, TSMixerCore)
    silence(core.history, core.answer)
    inputs = inputs if shape is SHAPE else inputs | {"past": None, "known": None, "static": None}
    weight, bias = core.project.weight.detach().numpy(), core.project.bias.detach().numpy()
    expected = (inputs["values"].numpy() @ weight.T + bias)[:, :, None].repeat(3, axis=2)
    with torch.no_grad():
        np.testing.assert_allclose(core(**inputs).numpy(), expected, atol=1e-5)


def test_tsmixer_has_a_second_row_of_mixers_only_for_what_the_horizon_brings() -> None:
    alone, whole = build(TSMixer(layers=3), ALONE).core, build(TSMixer(layers=3), SHAPE).core
    assert isinstance(alone, TSMixerCore)
    assert isinstance(whole, TSMixerCore)
    assert (len(alone.history), len(alone.ahead), alone.join) == (3, 0, None)
    assert (len(whole.history), len(whole.ahead)) == (3, 3)


@pytest.mark.parametrize(
    ("record", "options", "message"),
    [
        (TSMixer, {"layers": 0}, r"tsmixer.layers is made of whole numbers of 1 or more; got 0"),
        (TSMixer, {"dropout": -0.1}, r"tsmixer.dropout is a share from 0 to below 1; got -0.1"),
        (TiDE, {"step_width": 0}, r"tide.step_width is made of whole numbers of 1 or more; got 0"),
        (TiDE, {"dropout": 1.0}, r"tide.dropout is a share from 0 to below 1; got 1.0"),
    ],
)
def test_options_out_of_range_are_refused(record: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        record(**options)
