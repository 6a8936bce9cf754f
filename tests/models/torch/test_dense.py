"""Feed-forward networks: how their weights start, and what a residual block adds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tidewright.errors import ConfigError
from tidewright.models.specs.dense import FeedForward, ResidualMLP
from tidewright.models.torch.dense import DenseCore, ResidualCore, start_layer
from tidewright.models.torch.network import build
from tidewright.models.torch.shape import Shape

SHAPE = Shape(lookback=12, horizon=5, past=2, known=3, static=2, quantiles=(0.1, 0.5, 0.9))
ALONE = Shape(lookback=12, horizon=5, past=0, known=0, static=0, quantiles=(0.5,))


def first_weight(initialisation: Any, *, activation: Any = "relu") -> np.ndarray:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        core = build(FeedForward(hidden=(400,), activation=activation, initialisation=initialisation), SHAPE).core
    assert isinstance(core, DenseCore)
    layer = core.hidden[0]
    assert isinstance(layer, torch.nn.Linear)
    assert (layer.bias == 0).all()
    weight: np.ndarray = layer.weight.detach().double().numpy()
    return weight


def test_xavier_weights_are_uniform_between_glorots_bounds() -> None:
    weight = first_weight("xavier")
    bound = np.sqrt(6 / sum(weight.shape))
    assert np.abs(weight).max() <= bound
    assert weight.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)


def test_he_weights_are_normal_with_two_over_the_inputs() -> None:
    weight = first_weight("he", activation="tanh")
    assert weight.std() == pytest.approx(np.sqrt(2 / weight.shape[1]), rel=0.02)
    assert np.abs(weight).max() > 3 * weight.std()


@pytest.mark.parametrize(("activation", "gain"), [("relu", 2.0), ("gelu", 2.0), ("tanh", 1.0), ("sigmoid", 1.0)])
def test_orthogonal_columns_have_the_gain_of_the_activation(activation: Any, gain: float) -> None:
    weight = first_weight("orthogonal", activation=activation)
    np.testing.assert_allclose(weight.T @ weight, gain * np.eye(weight.shape[1]), atol=1e-5)


@pytest.mark.parametrize(("activation", "same"), [("relu", "he"), ("gelu", "he"), ("tanh", "xavier")])
def test_the_usual_start_is_that_of_the_activation(activation: Any, same: Any) -> None:
    chosen, usual = (first_weight(one, activation=activation) for one in (same, "auto"))
    assert np.array_equal(chosen, usual)


@pytest.mark.parametrize("initialisation", ["xavier", "orthogonal", "he"])
def test_a_start_leaves_no_layer_without_a_draw(initialisation: Any) -> None:
    layer = torch.nn.Linear(6, 6, bias=False)
    torch.nn.init.zeros_(layer.weight)
    start_layer(layer, activation="relu", initialisation=initialisation)
    assert (layer.weight != 0).all()


def test_a_residual_network_is_its_formula() -> None:
    core = build(ResidualMLP(width=6, blocks=2), ALONE).core.eval()
    assert isinstance(core, ResidualCore)
    values = torch.randn(7, 12, generator=torch.Generator().manual_seed(1))
    weights = {label: value.detach().double().numpy() for label, value in core.state_dict().items()}

    def norm(x: np.ndarray) -> np.ndarray:
        return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)  # type: ignore[no-any-return]

    def apply(label: str, x: np.ndarray) -> np.ndarray:
        return x @ weights[f"{label}.weight"].T + weights[f"{label}.bias"]  # type: ignore[no-any-return]

    row = apply("enter", np.concatenate([values.double().numpy(), np.ones((7, 12))], axis=1))
    for number in range(2):
        hidden = np.maximum(apply(f"blocks.{number}.widen", norm(row)), 0)
        row = row + apply(f"blocks.{number}.narrow", hidden)
    with torch.no_grad():
        found = core(values, torch.ones(7, 12), None, None, None)[:, :, 0]
    np.testing.assert_allclose(found, apply("answer", norm(row)), atol=1e-5)


def test_the_first_layer_of_a_deep_residual_network_still_hears_the_loss() -> None:
    values = torch.randn(64, 12, generator=torch.Generator().manual_seed(1))

    def hear(spec: Any) -> float:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            core = build(spec, ALONE).core.eval()
        core(values, torch.ones_like(values), None, None, None).square().sum().backward()
        first, last = next(core.parameters()).grad, core.answer.weight.grad
        return float(first.norm() / last.norm())

    assert hear(FeedForward(hidden=(16,) * 20, activation="sigmoid")) < 1e-6
    assert hear(ResidualMLP(width=16, blocks=20, activation="sigmoid")) > 1e-3


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_the_norms_are_what_they_are_called(norm: Any) -> None:
    core = build(ResidualMLP(norm=norm), SHAPE).core
    kinds = {type(part).__name__ for part in core.modules()}
    wanted = {"layer": {"LayerNorm"}, "batch": {"BatchNorm1d"}, "none": set()}[norm]
    assert kinds & {"LayerNorm", "BatchNorm1d"} == wanted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": 0}, r"resmlp.blocks is made of whole numbers of 1 or more; got 0"),
        ({"dropout": 1.5}, r"resmlp.dropout is a share from 0 to below 1; got 1.5"),
    ],
)
def test_options_out_of_range_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ResidualMLP(**options)
