"""The linear networks against the same formulas in NumPy, and what they make of gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tidewright.errors import ConfigError
from tidewright.models.build import build_spec
from tidewright.models.specs.linear import DLinear, NLinear, RLinear, SparseTSF
from tidewright.models.torch.linear import fill_gaps, last_observed, mean_nearby
from tidewright.models.torch.network import build
from tidewright.models.torch.shape import Shape

SHAPE = Shape(lookback=30, horizon=4, past=0, known=0, static=0, quantiles=(0.1, 0.5, 0.9))


def random_core(spec: Any, shape: Shape = SHAPE) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        core = build(spec, shape).core.eval()
        for parameter in core.parameters():
            torch.nn.init.normal_(parameter)
    return core


def ask(core: Any, values: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    mask = np.ones_like(values) if seen is None else seen
    inputs = (torch.from_numpy((values * mask).astype(np.float32)), torch.from_numpy(mask.astype(np.float32)))
    with torch.no_grad():
        answer: np.ndarray = core(*inputs, None, None, None).numpy()
    return answer


def draw(count: int = 5, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, SHAPE.lookback))


@pytest.mark.parametrize("kernel", [1, 5, 25, 75])
def test_dlinear_is_the_papers_formula(kernel: int) -> None:
    core, values = random_core(DLinear(kernel=kernel)), draw()
    padded = np.pad(values, ((0, 0), (kernel // 2, kernel // 2)), mode="edge")
    trend = np.stack([np.convolve(row, np.ones(kernel) / kernel, mode="valid") for row in padded])
    expected = trend @ core.answer.weight.detach().numpy().T + core.answer.bias.detach().numpy()
    expected = expected + (values - trend) @ core.season.weight.detach().numpy().T
    np.testing.assert_allclose(ask(core, values), expected.reshape(5, 4, 3), atol=3e-5)


def test_nlinear_is_the_papers_formula() -> None:
    core, values = random_core(NLinear()), draw()
    last = values[:, -1:]
    expected = (values - last) @ core.answer.weight.detach().numpy().T + core.answer.bias.detach().numpy() + last
    np.testing.assert_allclose(ask(core, values), expected.reshape(5, 4, 3), atol=3e-5)


@pytest.mark.parametrize("affine", [False, True])
def test_rlinear_is_the_papers_formula(affine: bool) -> None:
    core, values = random_core(RLinear(affine=affine)), draw()
    gain, offset = (core.gain.item(), core.offset.item()) if affine else (1.0, 0.0)
    expected = (values * gain + offset) @ core.answer.weight.detach().numpy().T + core.answer.bias.detach().numpy()
    np.testing.assert_allclose(ask(core, values), ((expected - offset) / gain).reshape(5, 4, 3), rtol=1e-3, atol=1e-4)


def test_the_whole_of_rlinear_is_reversible_instance_normalisation() -> None:
    network = build(RLinear(affine=False), SHAPE).eval()
    window = draw() * 7.0 + 40.0
    mean, scale = window.mean(1, keepdims=True), window.std(1, keepdims=True)
    weight, bias = network.core.answer.weight.detach().numpy(), network.core.answer.bias.detach().numpy()
    expected = ((window - mean) / scale) @ weight.T + bias
    expected = np.sort((expected * scale + mean).reshape(5, 4, 3), axis=2)
    with torch.no_grad():
        np.testing.assert_allclose(network(torch.from_numpy(window).float()).numpy(), expected, rtol=1e-5)


def test_an_affine_normalisation_changes_what_a_step_of_learning_does() -> None:
    def learn(affine: bool) -> np.ndarray:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            core = build(RLinear(affine=affine), SHAPE).core
        values = torch.from_numpy(draw()).float()
        before = core(values, torch.ones_like(values), None, None, None)
        before.square().sum().backward()
        torch.optim.SGD(core.parameters(), lr=0.01).step()
        return ask(core, draw())

    assert np.abs(learn(True) - learn(False)).max() > 1e-3


@pytest.mark.parametrize(("period", "hidden"), [(6, None), (6, 5), (7, None), (1, None), (40, 3)])
def test_sparsetsf_is_the_papers_formula(period: int, hidden: int | None) -> None:
    core, values = random_core(SparseTSF(period=period, hidden=hidden)), draw()
    weights = {name: tensor.detach().double().numpy() for name, tensor in core.state_dict().items()}
    half, around = period // 2, weights["around"].ravel()
    padded = np.pad(values, ((0, 0), (half, half)))
    window = values + np.stack([np.correlate(row, around, mode="valid") for row in padded])
    window = np.pad(window, ((0, 0), (-SHAPE.lookback % period, 0)))
    ahead = -(-SHAPE.horizon // period)
    expected = np.empty((len(values), ahead * period, 3))
    for place in range(period):
        state = window[:, place::period]
        if hidden:
            state = np.maximum(state @ weights["hidden.0.weight"].T + weights["hidden.0.bias"], 0.0)
        answer = state @ weights["answer.weight"].T + weights["answer.bias"]
        expected[:, place::period] = answer.reshape(len(values), ahead, 3)
    np.testing.assert_allclose(ask(core, values), expected[:, : SHAPE.horizon], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gain", [0.0, 1e-9, -1e-9])
def test_a_gain_near_nothing_is_not_divided_by(gain: float) -> None:
    core = random_core(RLinear())
    core.gain.data.fill_(gain)
    assert np.abs(ask(core, draw())).max() < 1e5


@pytest.mark.parametrize(
    ("name", "count"), [("dlinear", 2 * 30 * 12 + 12), ("nlinear", 372), ("rlinear", 374), ("sparsetsf", 34)]
)
def test_a_linear_network_has_its_matrices_and_nothing_else(name: str, count: int) -> None:
    network = build(build_spec(name), SHAPE)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@settings(max_examples=60, deadline=None)
@given(
    values=arrays(np.float32, (2, 9), elements=st.floats(-5, 5, width=32)),
    seen=arrays(np.bool_, (2, 9)),
    kernel=st.sampled_from([1, 3, 5, 9, 15, 25]),
)
def test_the_moving_average_is_that_of_the_observed_values(values: np.ndarray, seen: np.ndarray, kernel: int) -> None:
    values = np.where(seen, values, 0.0).astype(np.float32)
    found = mean_nearby(torch.from_numpy(values), torch.from_numpy(seen.astype(np.float32)), kernel).numpy()
    for row in range(2):
        for step in range(9):
            near = np.clip(np.arange(step - kernel // 2, step + kernel // 2 + 1), 0, 8)
            there = near[seen[row, near]]
            expected = values[row, there].mean() if there.size else 0.0
            assert found[row, step] == pytest.approx(expected, abs=1e-5)


def test_a_gap_is_filled_with_what_is_near_and_nothing_else_moves() -> None:
    values = torch.linspace(-2, 2, 60).repeat(2, 1)
    seen = torch.ones_like(values)
    seen[0, 40:44] = 0.0
    filled = fill_gaps(values * seen, seen)
    assert torch.equal(filled[1], values[1])
    assert torch.equal(filled[0, :40], values[0, :40])
    np.testing.assert_allclose(filled[0, 40:44], values[0, 40:44], atol=0.1)


@pytest.mark.parametrize("name", ["dlinear", "nlinear", "rlinear", "sparsetsf"])
def test_what_stands_under_a_gap_is_not_read(name: str) -> None:
    core, values = random_core(build_spec(name)), draw()
    seen = np.ones_like(values)
    seen[:, [3, 11, 29]] = 0.0
    answers = [ask(core, values + bump * (1 - seen), seen) for bump in (0.0, 100.0)]
    assert np.array_equal(*answers)


def test_the_last_observed_value_is_found_behind_a_gap() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 0.0], [6.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    seen = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert last_observed(values, seen).flatten().tolist() == [3.0, 5.0, 6.0, 0.0]


def test_a_kernel_that_has_no_centre_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dlinear.kernel is odd.*; got 24. Take 23 or 25"):
        DLinear(kernel=24)
    with pytest.raises(ConfigError, match=r"dlinear.kernel is made of whole numbers of 1 or more; got 0"):
        DLinear(kernel=0)


def test_a_period_or_hidden_layer_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sparsetsf.period is made of whole numbers of 1 or more; got 0"):
        SparseTSF(period=0)
    with pytest.raises(ConfigError, match=r"sparsetsf.hidden is made of whole numbers of 1 or more; got 0"):
        SparseTSF(hidden=0)
