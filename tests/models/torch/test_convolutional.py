"""Convolutional networks against the dilated network computed at every step, and what they can see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from tidewright.errors import ConfigError
from tidewright.models.build import build_spec
from tidewright.models.specs.convolutional import TCN, AdaptiveCNN
from tidewright.models.torch.adaptive_cnn import AdaptiveCNNCore, AttentionPool, conv_sizes, head_sizes
from tidewright.models.torch.convolutional import Block, TCNCore, dilation_base, receptive_field, same_conv
from tidewright.models.torch.network import build
from tidewright.models.torch.shape import Shape
from tidewright.tuning.read_space import find_space
from tidewright.tuning.space import Choice, FloatRange, IntRange


def make_core(spec: Any, *, lookback: int) -> nn.Module:
    shape = Shape(lookback=lookback, horizon=2, past=1, known=1, static=1, quantiles=(0.1, 0.5, 0.9))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        core = build(spec, shape).eval().core
        for name, parameter in core.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(parameter, std=0.3)
    return core


def dilated(core: TCNCore, steps: Tensor, *, base: int) -> Tensor:
    """Bai, Kolter, Koltun 2018 at every step of [N, F, L]: convolutions with holes, padded with zeros on the left."""

    def causal(conv: nn.Conv1d, steps: Tensor, dilation: int) -> Tensor:
        padded = pad(steps, ((conv.kernel_size[0] - 1) * dilation, 0))
        return conv1d(padded, conv.weight, conv.bias, dilation=dilation)

    for level, block in enumerate(core.blocks):
        assert isinstance(block, Block)
        inner = torch.relu(causal(block.first, steps, base**level))
        inner = torch.relu(causal(block.second, inner, base**level))
        steps = torch.relu(block.skip(steps) + inner)
    return steps


@pytest.mark.parametrize("kernel_size", [2, 3, 6])
@pytest.mark.parametrize("lookback", [1, 2, 7, 16, 45])
@pytest.mark.parametrize("base", [None, 3])
def test_the_thinned_network_is_the_dilated_one_at_its_last_step(
    kernel_size: int, lookback: int, base: int | None
) -> None:
    spec = TCN(num_channels=(5, 5, 7, 12), kernel_size=kernel_size, dilation_base=base)
    core = make_core(spec, lookback=lookback)
    assert isinstance(core, TCNCore)
    steps = torch.randn(3, 4, lookback, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        thinned = core.blocks(steps)
        whole = dilated(core, steps, base=dilation_base(spec, lookback))
    assert whole[:, :, -1].abs().max() > 0
    np.testing.assert_allclose(thinned[:, :, -1].numpy(), whole[:, :, -1].numpy(), atol=1e-5)


@pytest.mark.parametrize(("kernel_size", "base"), [(2, 2), (3, 2), (3, 5), (5, 3)])
def test_the_last_step_sees_its_receptive_field_whole_and_nothing_before_it(kernel_size: int, base: int) -> None:
    spec = TCN(num_channels=(2, 2, 2), kernel_size=kernel_size, dilation_base=base)
    reach = receptive_field(spec, base)
    blocks = [Block(2, 2, kernel_size=kernel_size, thinning=base, dropout=0.0) for _ in spec.num_channels]
    network = nn.Sequential(*blocks)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.5)  # nothing cancels, no unit is off
    steps = torch.ones(1, 2, reach + 9, requires_grad=True)
    network(steps)[:, :, -1].sum().backward()
    assert steps.grad is not None
    assert (steps.grad[0, 0] != 0).tolist() == [False] * 9 + [True] * reach


def test_each_filter_has_the_length_that_is_learned_beside_its_direction() -> None:
    core = make_core(TCN(), lookback=30)
    state = core.state_dict()
    for block in range(5):
        for name in ("first", "second"):
            conv = core.get_submodule(f"blocks.{block}.{name}")
            learned = state[f"blocks.{block}.{name}.parametrizations.weight.original0"]
            assert isinstance(conv.weight, Tensor)
            torch.testing.assert_close(conv.weight.flatten(1).norm(dim=1), learned.flatten())


@pytest.mark.parametrize("lookback", [1, 2, 3, 96, 512, 720, 3125])
def test_a_default_tcn_sees_any_usual_lookback(lookback: int) -> None:
    assert receptive_field(TCN(), dilation_base(TCN(), lookback)) >= lookback


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_channels": (8, 8)}, r"tcn sees 25 of the 40 steps .* dilation_base 5\. Give another block"),
        ({"num_channels": (8, 8, 8), "dilation_base": 2}, r"tcn sees 29 of the 40 steps"),
        ({"dilation_base": 6}, r"a dilation_base of 1 to 5 leaves no step out .*; got 6"),
        ({"num_channels": ()}, r"needs a block at least .*; got num_channels \(\)"),
        ({"kernel_size": 1}, r"kernel_size of 2 at least; got .* kernel_size 1"),
    ],
)
def test_a_tcn_that_would_not_see_its_lookback_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_core(TCN(**options), lookback=40)


def test_the_space_of_the_tcn_holds_the_documented_ranges_and_each_of_its_networks_can_be_built() -> None:
    ranges = find_space("tcn").ranges
    assert ranges["model.kernel_size"] == IntRange(3, 7)
    assert ranges["model.dropout"] == FloatRange(0.0, 0.5)
    assert ranges["train.learning_rate"] == FloatRange(1e-4, 1e-2, log=True)
    assert ranges["train.epochs"] == IntRange(50, 200)
    assert ranges["train.batch_size"] == IntRange(16, 128)
    assert ranges["view.lookback"] == IntRange(7, 30)
    assert ranges["task.horizon"] == IntRange(1, 14)
    channels = ranges["model.num_channels"]
    assert isinstance(channels, Choice)
    assert {(32, 64, 128), (32, 64, 128, 256)} <= set(channels.choices)
    for choice in channels.choices:
        for kernel_size in range(3, 8):
            spec = build_spec("tcn", {"num_channels": choice, "kernel_size": kernel_size})
            assert isinstance(spec, TCN)
            assert receptive_field(spec, dilation_base(spec, 30)) >= 30


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_a_convolution_that_keeps_its_steps_agrees_with_numpy(kernel_size: int) -> None:
    layer = same_conv(1, 1, kernel_size=kernel_size)
    weight = next(p for p in layer.parameters() if p.dim() == 3).detach().numpy().ravel().astype(np.float64)
    steps = np.random.default_rng(0).normal(size=9)
    padded = np.pad(steps, ((kernel_size - 1) // 2, kernel_size // 2))
    with torch.no_grad():
        ours = layer(torch.from_numpy(steps).float().reshape(1, 1, -1)).numpy().ravel()
    np.testing.assert_allclose(ours, np.correlate(padded, weight, mode="valid"), atol=1e-6)


@pytest.mark.parametrize(
    ("lookback", "layers", "kernel"), [(1, 1, 1), (2, 1, 1), (5, 1, 3), (30, 2, 3), (96, 4, 7), (500, 6, 7)]
)
def test_the_lookback_sizes_the_convolutions(lookback: int, layers: int, kernel: int) -> None:
    widths, size = conv_sizes(AdaptiveCNN(channels=4), lookback)
    assert (len(widths), size) == (layers, kernel)
    assert widths == (4, 8, 16, 16, 16, 16)[:layers]
    core = make_core(AdaptiveCNN(channels=4), lookback=lookback)
    assert isinstance(core, AdaptiveCNNCore)
    with torch.no_grad():
        left = core.convolutions(torch.randn(3, 4, lookback))
    assert left.shape == (3, widths[-1], max(lookback >> layers, 1))
    assert left.shape[2] <= 8


def test_the_automatic_head_falls_from_what_comes_in_to_what_goes_out() -> None:
    core = make_core(AdaptiveCNN(channels=4), lookback=96)
    widths = [layer.out_features for layer in core.get_submodule("head").children() if isinstance(layer, nn.Linear)]
    assert tuple(widths) == head_sizes(16 * 6 + 2 + 1, 2 * 3) == (39, 15)
    assert head_sizes(5000, 720) == (256, 256)


def test_attention_weights_are_positive_sum_to_one_and_make_the_mean() -> None:
    pool = AttentionPool(6)
    steps = torch.randn(5, 6, 9)
    with torch.no_grad():
        weights = pool.weights(steps)
        assert (weights > 0).all()
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(5))
        torch.testing.assert_close(pool(steps), torch.einsum("nfr,nr->nf", steps, weights))
        same = torch.randn(5, 6, 1).expand(5, 6, 9)
        torch.testing.assert_close(pool(same), same[:, :, 0])


def test_batch_normalisation_learns_from_the_batch_and_answers_each_row_by_itself() -> None:
    core = make_core(AdaptiveCNN(dropout=0.0), lookback=20)
    rows = (torch.randn(16, 20), torch.ones(16, 20), torch.randn(16, 20, 1), torch.randn(16, 22, 1), torch.randn(16, 1))
    wild = tuple(torch.cat([part[:1], 50 * part[1:]]) for part in rows)
    with torch.no_grad():
        core.train()
        assert not torch.allclose(core(*rows)[0], core(*wild)[0], atol=1e-3)
        core.eval()
        torch.testing.assert_close(core(*rows)[0], core(*wild)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 4}, r"should be odd and within the lookback of 12 steps; got 4"),
        ({"kernel_size": 13}, r"should be odd and within the lookback of 12 steps; got 13"),
        ({"layers": 4}, r"a lookback of 12 allows 1 to 3 layers; got 4"),
        ({"layers": 0}, r"adaptive_cnn\.layers is made of whole numbers of 1 or more; got 0"),
    ],
)
def test_sizes_that_do_not_fit_the_lookback_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_core(AdaptiveCNN(**options), lookback=12)
