"""Networks of several kinds: how their parts are joined, and how many weights they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidewright.errors import ConfigError
from tidewright.models.build import build_spec
from tidewright.models.specs.hybrid import CNNLSTM, CNNLSTMTransformer
from tidewright.models.torch.hybrid import CNNLSTMCore, CNNLSTMTransformerCore, EncoderBlock
from tidewright.models.torch.network import build
from tidewright.models.torch.shape import Shape
from tidewright.tuning.read_space import find_space
from tidewright.tuning.space import IntRange

SHAPE = Shape(lookback=12, horizon=2, past=1, known=1, static=1, quantiles=(0.1, 0.5, 0.9))
WIDE = Shape(lookback=96, horizon=24, past=5, known=3, static=2, quantiles=(0.1, 0.5, 0.9))


def make_core(spec: Any, shape: Shape = SHAPE) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(spec, shape).eval().core


def draw_rows(count: int = 3) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(1)
    sizes = ((count, 12), (count, 12), (count, 12, 1), (count, 14, 1), (count, 1))
    return tuple(torch.randn(*size, generator=draw) for size in sizes)


def count_weights(**options: Any) -> int:
    with torch.device("meta"):
        network = build(CNNLSTMTransformer(**options), WIDE)
    assert all(p.is_meta for p in network.parameters())
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("pool", "steps"), [(1, 12), (2, 3), (4, 3), (20, 12)])
def test_the_lstm_reads_what_the_convolutions_leave(pool: int, steps: int) -> None:
    core = make_core(CNNLSTM(cnn_channels=(4, 6), cnn_kernel_sizes=(3, 5), pool=pool, hidden=5))
    assert isinstance(core, CNNLSTMCore)
    read: list[Tensor] = []
    core.recurrent.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    with torch.no_grad():
        core(*draw_rows())
    assert read[0].shape == (3, steps, 6)


def test_an_empty_head_answers_straight_from_the_states() -> None:
    core = make_core(CNNLSTM(hidden=5, bidirectional=True, head=()))
    assert list(core.get_submodule("head").children()) == []
    assert core.get_parameter("answer.weight").shape == (2 * 3, 2 * 5 + 2 + 1)


@pytest.mark.parametrize(
    ("channels", "kernels", "message"),
    [
        ((8, 8), (3,), r"each convolution of cnn_lstm has a width and a kernel size; got .*\(8, 8\) and .*\(3,\)"),
        ((), (), r"got cnn_channels \(\)"),
        ((8,), (13,), r"a kernel of cnn_lstm should have 1 to 12 steps, its lookback; got 13"),
    ],
)
def test_convolutions_that_cannot_be_are_refused(channels: Any, kernels: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_core(CNNLSTM(cnn_channels=channels, cnn_kernel_sizes=kernels))


def watch_parts(arrangement: str) -> tuple[Tensor, dict[str, Tensor], dict[str, Any]]:
    """The learned places of the steps, and what each part read and said of some rows."""
    core = make_core(build_spec("cnn_lstm_transformer", {"arrangement": arrangement, "width": 8}))
    assert isinstance(core, CNNLSTMTransformerCore)
    read: dict[str, Tensor] = {}
    said: dict[str, Any] = {}
    for name in ("convolutions", "recurrent", "encoder"):

        def note(_: nn.Module, given: tuple[Tensor], out: Any, *, name: str = name) -> None:
            read[name], said[name] = given[0], out

        core.get_submodule(name).register_forward_hook(note)
    with torch.no_grad():
        core(*draw_rows())
    return core.place.detach(), read, said


def test_in_series_each_part_reads_the_one_before() -> None:
    place, read, said = watch_parts("serial")
    torch.testing.assert_close(read["recurrent"], said["convolutions"])
    torch.testing.assert_close(read["encoder"], said["recurrent"][0] + read["recurrent"] + place)


def test_side_by_side_all_parts_read_the_same() -> None:
    place, read, said = watch_parts("parallel")
    torch.testing.assert_close(read["recurrent"], read["convolutions"])
    torch.testing.assert_close(read["encoder"], read["convolutions"] + place)
    assert not torch.allclose(said["convolutions"], read["recurrent"])


def test_attention_agrees_with_the_one_of_torch() -> None:
    block = EncoderBlock(12, heads=3, dropout=0.5).eval()
    oracle = nn.MultiheadAttention(12, 3, batch_first=True).eval()
    steps = torch.randn(4, 7, 12)
    with torch.no_grad():
        oracle.in_proj_weight.copy_(block.ask.weight)
        oracle.in_proj_bias.zero_()
        oracle.out_proj.weight.copy_(block.merge.weight)
        oracle.out_proj.bias.copy_(block.merge.bias)
        np.testing.assert_allclose(block.attend(steps), oracle(steps, steps, steps)[0], atol=1e-6)


@pytest.mark.parametrize(("scale", "millions"), [(18.2, 100), (41.0, 510)])
def test_one_number_scales_it_to_a_hundred_and_to_five_hundred_million_weights(scale: float, millions: int) -> None:
    assert count_weights(scale=scale) == pytest.approx(millions * 1e6, rel=0.01)
    assert count_weights(scale=scale, arrangement="parallel") > millions * 1e6


def test_the_weights_are_those_of_the_parts() -> None:
    w, features, ahead = 8, 2 + 5 + 3, 24 * 3 + 2
    embed = w * features + w
    conv = 3 * (2 * w + 3 * w * w + w)
    lstm = 2 * (8 * w * w + 8 * w)
    encoder = 4 * (4 * w + 3 * w * w + w * w + w + 8 * w * w + 5 * w)
    head = 2 * w + (w + ahead) * w + w + (w + 1) * 24 * 3
    assert count_weights(width=w) == embed + conv + lstm + 96 * w + encoder + head
    assert count_weights(width=4, scale=2.0) == count_weights(width=w)


def test_the_scaled_width_divides_into_heads() -> None:
    assert [CNNLSTMTransformer(scale=s).scaled_width for s in (0.01, 0.52, 1.0, 18.2)] == [4, 32, 64, 1164]


@pytest.mark.parametrize("options", [{"scale": 0.0}, {"heads": 0}, {"conv_layers": 0}, {"width": 0}])
def test_sizes_of_nothing_are_refused(options: dict[str, Any]) -> None:
    named = rf"cnn_lstm_transformer\.{next(iter(options))} is .* got 0"
    with pytest.raises(ConfigError, match=named):
        CNNLSTMTransformer(**options)


def test_a_kernel_wider_than_the_lookback_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a kernel of cnn_lstm_transformer should have 1 to 12 steps.*; got 13"):
        make_core(CNNLSTMTransformer(kernel_size=13))


def test_its_space_holds_the_documented_depths() -> None:
    ranges = find_space("cnn_lstm_transformer").ranges
    assert ranges["model.conv_layers"] == IntRange(3, 5)
    assert ranges["model.lstm_layers"] == IntRange(2, 3)
    assert ranges["model.transformer_layers"] == IntRange(4, 8)
