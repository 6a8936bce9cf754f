"""The scalings inside the graph, and what each option of a network changes."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.utils._python_dispatch import TorchDispatchMode

from tidewright.models.build import build_spec
from tidewright.models.spec import LSTM, MODELS, NETWORKS, FeedForward
from tidewright.models.torch.heads import PointHead
from tidewright.models.torch.network import build, copy_network, standardise
from tidewright.models.torch.recurrent import RecurrentCore
from tidewright.models.torch.shape import Shape

SHAPE = Shape(lookback=6, horizon=3, past=1, known=2, static=1, quantiles=(0.1, 0.5, 0.9))
CHANGES: dict[str, dict[str, Any]] = {
    "nbeats": {
        "stacks": ("generic",),
        "blocks": 2,
        "layers": 2,
        "width": 9,
        "terms": 5,
        "degree": 2,
        "harmonics": 1,
        "dropout": 0.6,
    },
    "nhits": {"pools": (2, 1, 1), "strides": (2, 1, 1), "blocks": 2, "layers": 1, "width": 9, "dropout": 0.6},
    "tsmixer": {"layers": 1, "width": 9, "dropout": 0.6},
    "tide": {
        "width": 9,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "decoder_width": 3,
        "step_width": 2,
        "final_width": 9,
        "layer_norm": False,
        "dropout": 0.6,
    },
    "dlinear": {"kernel": 3},
    "nlinear": {},
    "rlinear": {"affine": False},
    "sparsetsf": {"period": 3, "hidden": 5},
    "feedforward": {
        "hidden": (9,),
        "activation": "tanh",
        "dropout": 0.6,
        "batch_norm": True,
        "initialisation": "orthogonal",
    },
    "resmlp": {
        "width": 9,
        "blocks": 2,
        "expansion": 3,
        "activation": "tanh",
        "norm": "none",
        "dropout": 0.6,
        "initialisation": "orthogonal",
    },
    "lstm": {"hidden": 9, "layers": 2, "bidirectional": True, "head": (9,), "dropout": 0.6, "highway": True},
    "tft": {"hidden": 8, "heads": 2, "lstm_layers": 2, "dropout": 0.6, "scale": 2.0},
    "gru": {"hidden": 9, "layers": 2, "bidirectional": True, "head": (9,), "dropout": 0.6, "highway": True},
    "tcn": {"num_channels": (9, 9), "kernel_size": 4, "dilation_base": 3, "head": (9,), "dropout": 0.6},
    "adaptive_cnn": {
        "channels": 9,
        "layers": 2,
        "kernel_size": 5,
        "batch_norm": False,
        "attention": True,
        "head": (9,),
        "dropout": 0.6,
    },
    "cnn_lstm": {
        "cnn_channels": (9, 9),
        "cnn_kernel_sizes": (4, 3),
        "pool": 3,
        "hidden": 9,
        "layers": 2,
        "bidirectional": True,
        "head": (9,),
        "dropout": 0.6,
    },
    "cnn_lstm_transformer": {
        "arrangement": "parallel",
        "width": 32,
        "conv_layers": 4,
        "kernel_size": 5,
        "lstm_layers": 3,
        "transformer_layers": 5,
        "heads": 2,
        "scale": 0.5,
        "dropout": 0.6,
    },
}
CHANGES |= {
    "transformer": {
        "d_model": 32,
        "nhead": 2,
        "num_encoder_layers": 1,
        "num_decoder_layers": 2,
        "dim_feedforward": 9,
        "positions": "learned",
        "dropout": 0.6,
    },
    "transformer_encoder": {
        "d_model": 32,
        "nhead": 2,
        "layers": 1,
        "dim_feedforward": 9,
        "head": (9,),
        "positions": "none",
        "dropout": 0.6,
    },
    "adaptive_transformer": {
        "d_model": 32,
        "nhead": 2,
        "layers": 1,
        "dim_feedforward": 9,
        "segments": 3,
        "residual": False,
        "positions": "learned",
        "dropout": 0.6,
    },
    "patchtst": {
        "patch_len": 8,
        "stride": 4,
        "d_model": 8,
        "nhead": 2,
        "layers": 1,
        "dim_feedforward": 9,
        "norm": "layer",
        "dropout": 0.6,
        "head_dropout": 0.6,
    },
    "lear": {"season": 1, "lags": (2,), "squash": False},
    "itransformer": {
        "d_model": 32,
        "nhead": 2,
        "layers": 1,
        "dim_feedforward": 9,
        "identity": False,
        "dropout": 0.6,
    },
}
OPTIONS = [(name, option) for name, changes in CHANGES.items() for option in changes]


def answer(spec: Any) -> torch.Tensor:
    """What a seeded network says in training mode, so that dropout counts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(spec, SHAPE).train()
        draw = torch.Generator().manual_seed(1)
        inputs = {
            "target": torch.randn(8, 6, generator=draw),
            "past": torch.randn(8, 6, 1, generator=draw),
            "known": torch.randn(8, 9, 2, generator=draw),
            "static": torch.randn(8, 1, generator=draw),
        }
        result: torch.Tensor = network(**inputs).detach()
        return result


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_an_option_of_a_network_that_changes_is_seen(name: str, option: str) -> None:
    plain, changed = build_spec(name), build_spec(name, {option: CHANGES[name][option]})
    weights = [set(dict(build(spec, SHAPE).named_parameters())) for spec in (plain, changed)]
    assert weights[0] != weights[1] or not torch.equal(answer(plain), answer(changed))


def test_every_option_of_every_network_is_tested() -> None:
    torches = [name for name, entry in MODELS.items() if entry.kind == "torch"]
    assert sorted(NETWORKS) == sorted(torches)
    for name in torches:
        options = {field.name for field in fields(MODELS.load(name))} - {"name", "penalties"}  # see test_fit_lear
        assert options == set(CHANGES[name]), name


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu"])
def test_the_activations_differ(activation: Any) -> None:
    others = {"relu", "tanh", "sigmoid", "gelu"} - {activation}
    mine = answer(FeedForward(activation=activation, dropout=0.0))
    assert mine.isfinite().all()
    assert not any(torch.equal(mine, answer(FeedForward(activation=o, dropout=0.0))) for o in others)  # type: ignore[arg-type]


def test_the_forget_gate_starts_open() -> None:
    core = build(LSTM(hidden=5, layers=2, bidirectional=True), SHAPE).core
    assert isinstance(core, RecurrentCore)
    for name, bias in core.recurrent.named_parameters():
        if "bias" in name:
            expected = [1.0 if "bias_ih" in name and 5 <= k < 10 else 0.0 for k in range(20)]
            assert bias.tolist() == expected


def test_an_untrained_network_answers_the_normal_quantiles_of_the_window() -> None:
    target = torch.randn(400, 6, generator=torch.Generator().manual_seed(2)) * 5 + 30
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(FeedForward(), Shape(6, 2, 0, 0, 0, (0.1, 0.5, 0.9))).eval()
    with torch.no_grad():
        z = (network(target) - target.mean(1)[:, None, None]) / target.std(1, correction=0)[:, None, None]
    np.testing.assert_allclose(z.mean((0, 1)).numpy(), [-1.2816, 0.0, 1.2816], atol=0.2)


def test_a_point_network_adds_its_spread_to_the_median() -> None:
    network = build(FeedForward(), SHAPE, head="point").eval()
    assert isinstance(network.head, PointHead)
    network.head.spread.copy_(torch.tensor([[-1.0, 0.0, 2.0]] * 3))
    inputs = (torch.randn(4, 6), torch.randn(4, 6, 1), torch.randn(4, 9, 2), torch.randn(4, 1))
    with torch.no_grad():
        score, mean, scale = network.score(*inputs)
        expected = mean[:, :, None] + scale[:, :, None] * (score + network.head.spread)
        assert score.shape == (4, 3, 1)
        assert torch.equal(network(*inputs), expected)


def _without_dust(value: float) -> float:
    """Numbers below 1e-30 as 0: float32 keeps few digits of what comes of them."""
    return 0.0 if abs(value) < 1e-30 else value


@settings(max_examples=100, deadline=None)
@given(
    window=arrays(np.float32, (3, 7), elements=st.floats(-1000, 1000, width=32).map(_without_dust)),
    missing=arrays(np.bool_, (3, 7)),
)
def test_standardising_agrees_with_numpy(window: np.ndarray, missing: np.ndarray) -> None:
    window = np.where(missing, np.nan, window).astype(np.float32)
    values, seen, mean, scale = (t.numpy() for t in standardise(torch.from_numpy(window), torch.tensor(3.0)))
    np.testing.assert_array_equal(seen, ~missing)
    assert (values[missing] == 0).all()
    for row in range(3):
        observed = window[row][~missing[row]].astype(np.float64)
        expected = observed.mean() if observed.size else 0.0
        deviation = observed.std() if observed.size else 0.0
        peak = np.abs(observed).max(initial=0.0)
        np.testing.assert_allclose(mean[row, 0], expected, atol=1e-6 * max(peak, 1e-30))
        if deviation > 1e-5 * peak:  # above float32's rounding
            np.testing.assert_allclose(scale[row, 0], deviation, rtol=0.05)
            np.testing.assert_allclose(
                values[row][~missing[row]], (observed - mean[row, 0]) / scale[row, 0], atol=2e-6 * peak / deviation
            )
        elif deviation == 0:
            assert scale[row, 0] == 3.0
            assert (values[row] == 0).all()


def test_infinities_count_as_missing() -> None:
    window = torch.tensor([[1.0, float("inf"), 3.0, -float("inf")]])
    values, seen, mean, scale = standardise(window, torch.ones(()))
    np.testing.assert_allclose(values.numpy(), [[-1.0, 0.0, 1.0, 0.0]], rtol=1e-6)
    assert seen.tolist() == [[1.0, 0.0, 1.0, 0.0]]
    assert (mean.item(), scale.item()) == pytest.approx((2.0, 1.0), rel=1e-6)


def test_the_scalings_make_no_tensors_of_zeros_or_ones_for_each_is_two_nodes_of_the_graph() -> None:
    called: list[str] = []

    class Note(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            called.append(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    with Note():
        standardise(torch.ones(2, 4), torch.ones(()))
    assert "where" in called
    assert not {"zeros_like", "ones_like", "full_like"} & set(called)


def test_a_copy_has_its_own_weights_and_those_of_recurrent_layers_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[torch.nn.Module] = []

    def join(part: torch.nn.Module) -> None:  # the real one does something on a GPU alone
        joined.append(part)

    monkeypatch.setattr(torch.nn.LSTM, "flatten_parameters", join)
    network = build(LSTM(hidden=4, head=()), SHAPE)
    joined.clear()
    own = copy_network(network)
    assert [part is own.core.recurrent for part in joined] == [True]
    for ours, theirs in zip(own.parameters(), network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert ours.data_ptr() != theirs.data_ptr()
