"""What every network of the catalog must do before it learns; a new entry of kind "torch" is tested by being there."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from tests.conformance.networks import SHAPE, SMALL, TORCH, draw_inputs, fresh_network, shape_for, small_spec
from tidewright.errors import ConfigError
from tidewright.models.build import build_spec
from tidewright.models.spec import MODELS
from tidewright.models.torch.network import build

pytestmark = pytest.mark.parametrize("name", TORCH)


def test_crossing_scores_are_put_in_order(name: str) -> None:
    network = fresh_network(name).eval()
    with torch.inference_mode():
        inputs = draw_inputs(shape_for(name), 50)
        scores, _, _ = network.score(**inputs)
        assert (scores.diff(dim=2) < 0).any()  # random weights do cross
        assert (network(**inputs).diff(dim=2) >= 0).all()


def test_the_gradient_reaches_every_parameter(name: str) -> None:
    network = fresh_network(name).train()
    network(**draw_inputs(shape_for(name), 32)).square().sum().backward()
    still = [label for label, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_missing_values_in_any_input_give_finite_answers(name: str) -> None:
    network = fresh_network(name).eval()
    inputs = draw_inputs(shape_for(name), 40)
    hole = torch.Generator().manual_seed(5)
    for value in inputs.values():
        value[torch.rand(value.shape, generator=hole) < 0.5] = float("nan")
    inputs["target"][0] = float("nan")
    inputs["target"][1] = 7.0
    inputs["target"][2, :-1] = float("nan")
    with torch.inference_mode():
        assert network(**inputs).isfinite().all()


def test_a_window_that_does_not_move_is_answered_near_its_level(name: str) -> None:
    network = build(small_spec(name), shape_for(name)).eval()
    network.usual_scale.fill_(2.0)
    inputs = draw_inputs(shape_for(name), 3) | {"target": torch.full((3, SHAPE.lookback), 1e6)}
    with torch.inference_mode():
        assert (network(**inputs) - 1e6).abs().max() < 50.0


@pytest.mark.parametrize("factor", [1e-20, 1e-3, 1e6, 1e20])
def test_the_answer_has_the_units_of_the_target(name: str, factor: float) -> None:
    network = fresh_network(name).eval()
    inputs = draw_inputs(shape_for(name), 10)
    with torch.inference_mode():
        plain = network(**inputs).double() * factor
        scaled = network(**inputs | {"target": (inputs["target"].double() * factor).float()}).double()
    np.testing.assert_allclose(scaled.numpy(), plain.numpy(), rtol=1e-4)


def test_every_input_moves_the_answer(name: str) -> None:
    network = fresh_network(name).eval()
    inputs = draw_inputs(shape_for(name), 6)
    with torch.inference_mode():
        plain = network(**inputs)
        for label, value in inputs.items():
            for column in range(value.shape[-1]):
                moved = value.clone()
                moved[..., column] += 3.0
                assert (network(**inputs | {label: moved}) != plain).any(), f"{label} {column} is not used"


def test_it_can_learn_a_handful_of_windows_by_heart(name: str) -> None:
    still = {"dropout": 0.0} if "dropout" in {field.name for field in fields(MODELS.load(name))} else {}
    spec = build_spec(name, {**SMALL.get(name, {}), **still})
    shape = replace(shape_for(name), quantiles=(0.5,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(spec, shape)
        inputs, labels = draw_inputs(shape, 6), torch.randn(6, shape.horizon)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
        for _ in range(300):
            optimizer.zero_grad()
            loss = (network.score(**inputs)[0][:, :, 0] - labels).square().mean()
            loss.backward()
            optimizer.step()
            if loss < 0.01 * labels.var():
                break
    assert float(loss.detach()) < 0.02 * float(labels.var())


@pytest.mark.parametrize("horizon", [1, 25], ids=["one step", "longer than the lookback"])
def test_any_horizon_is_answered_and_learned_from(name: str, horizon: int) -> None:
    shape = replace(shape_for(name), horizon=horizon)
    network = build(small_spec(name), shape).train()
    answer = network(**draw_inputs(shape, 8))
    assert answer.shape == (8, horizon, 3)
    assert answer.isfinite().all()
    answer.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_an_option_out_of_range_is_refused_by_name(name: str) -> None:
    for field in fields(MODELS.load(name)):
        for value in strange_values(field.name, getattr(build_spec(name), field.name)):
            with pytest.raises(ConfigError, match=rf"{name}.*{field.name}|{field.name}.*{name}"):
                build_spec(name, {field.name: value})


def strange_values(option: str, usual: object) -> list[object]:
    """Values that no network can have, whatever the option means."""
    if option == "name":
        return []
    if isinstance(usual, bool):
        return ["maybe"]
    if isinstance(usual, float):
        return [-0.5, float("nan"), float("inf"), *([1.0] if "dropout" in option else [])]
    if isinstance(usual, int) or usual is None:
        return [0, -1, "many"]
    return ["nonsense"] if isinstance(usual, str) else [(0,) * len(usual), (-1,) * len(usual)]  # type: ignore[arg-type]
