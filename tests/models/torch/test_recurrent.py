"""Recurrent networks against cells that are written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tidewright.models.specs.recurrent import GRU, LSTM
from tidewright.models.torch.network import build
from tidewright.models.torch.recurrent import RecurrentCore, last_states
from tidewright.models.torch.shape import Shape

SHAPE = Shape(lookback=7, horizon=2, past=1, known=1, static=1, quantiles=(0.1, 0.5, 0.9))


def make_core(spec: Any) -> RecurrentCore:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        core = build(spec, SHAPE).eval().core
    assert isinstance(core, RecurrentCore)
    return core


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def gru_cell(x: np.ndarray, h: np.ndarray, w: dict[str, np.ndarray], end: str) -> np.ndarray:
    """Cho et al. 2014, the reset gate after the product as in cuDNN; the update gate keeps the old state."""
    into = (x @ w[f"weight_ih_{end}"].T + w[f"bias_ih_{end}"]).reshape(len(x), 3, -1)
    over = (h @ w[f"weight_hh_{end}"].T + w[f"bias_hh_{end}"]).reshape(len(x), 3, -1)
    reset, keep = sigmoid(into[:, 0] + over[:, 0]), sigmoid(into[:, 1] + over[:, 1])
    return np.asarray((1 - keep) * np.tanh(into[:, 2] + reset * over[:, 2]) + keep * h)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_gru_answers_as_its_cell_written_by_hand(bidirectional: bool) -> None:
    core = make_core(GRU(hidden=5, bidirectional=bidirectional))
    weights = {name: p.detach().double().numpy() for name, p in core.recurrent.named_parameters()}
    steps = torch.randn(4, 7, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        states = last_states(core.recurrent, steps)
    ends = {"l0": range(7), "l0_reverse": range(6, -1, -1)} if bidirectional else {"l0": range(7)}
    assert len(states) == len(ends)
    for state, (end, order) in zip(states, ends.items(), strict=True):
        h = np.zeros((4, 5))
        for t in order:
            h = gru_cell(steps[:, t].double().numpy(), h, weights, end)
        np.testing.assert_allclose(state.numpy(), h, atol=1e-6)


def test_a_gru_starts_out_remembering() -> None:
    core = make_core(GRU(hidden=5, layers=2, bidirectional=True))
    for name, bias in core.recurrent.named_parameters():
        if "bias" in name:
            assert bias.tolist() == [1.0 if "bias_ih" in name and 5 <= k < 10 else 0.0 for k in range(15)]


def test_a_gru_has_three_quarters_of_the_recurrent_weights_of_an_lstm() -> None:
    gru, lstm = (make_core(spec).recurrent for spec in (GRU(hidden=9), LSTM(hidden=9)))
    counts = [sum(p.numel() for p in net.parameters()) for net in (gru, lstm)]
    assert counts == [3 * 9 * (4 + 9 + 2), 4 * 9 * (4 + 9 + 2)]  # two biases a gate, as in cuDNN


@pytest.mark.parametrize("spec", [GRU(hidden=5, layers=2), LSTM(hidden=5, layers=2)])
def test_a_gap_is_not_read_as_a_zero(spec: Any) -> None:
    core = make_core(spec)
    values, seen = torch.randn(3, 7), torch.ones(3, 7)
    values[:, 3] = 0.0
    gap = seen.clone()
    gap[:, 3] = 0.0
    rest = (torch.randn(3, 7, 1), torch.randn(3, 9, 1), torch.randn(3, 1))
    with torch.no_grad():
        assert not torch.allclose(core(values, seen, *rest), core(values, gap, *rest))


@pytest.mark.parametrize("record", [GRU, LSTM])
def test_the_highway_adds_one_matrix_on_the_window_to_every_quantile(record: Any) -> None:
    core = make_core(record(hidden=5, highway=True))
    assert core.highway is not None
    values, rest = torch.randn(3, 7), (torch.randn(3, 7, 1), torch.randn(3, 9, 1), torch.randn(3, 1))
    with torch.no_grad():
        whole = core(values, torch.ones(3, 7), *rest)
        weight, core.highway = core.highway.weight.detach(), None
        without = core(values, torch.ones(3, 7), *rest)
    np.testing.assert_allclose((whole - without).numpy(), (values @ weight.T)[:, :, None].expand(3, 2, 3), atol=1e-5)
    assert make_core(record(hidden=5)).highway is None
