"""Attention against torch's own, and what masks, positions, patches and variates must and must not change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidewright.errors import ConfigError
from tidewright.models.build import build_spec
from tidewright.models.specs.attention import (
    AdaptiveTransformer,
    ITransformer,
    PatchTST,
    Transformer,
    TransformerEncoder,
)
from tidewright.models.torch.attention import Attention, Layer, Positions, bar
from tidewright.models.torch.itransformer import VariateCore, standardise_covariates
from tidewright.models.torch.patchtst import PatchCore
from tidewright.models.torch.shape import Shape
from tidewright.models.torch.transformer import (
    AdaptiveCore,
    EncoderCore,
    StepTokens,
    TransformerCore,
    average,
    draw_members,
)

ALONE = Shape(lookback=24, horizon=5, past=0, known=0, static=0, quantiles=(0.5,))
RICH = replace(ALONE, past=2, known=3, static=2)
START = (0.0,)


@pytest.fixture(autouse=True)
def _seeded() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        yield


def loud(module: Any) -> Any:
    """The module in evaluation mode, with weights that a start near zero can't hide."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module.eval().requires_grad_(False)


def torch_attention(ours: Attention, width: int) -> nn.MultiheadAttention:
    """torch's layer with our weights."""
    theirs = nn.MultiheadAttention(width, ours.heads, batch_first=True).eval().requires_grad_(False)
    theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
    assert theirs.in_proj_bias is not None
    theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    theirs.out_proj.weight.copy_(ours.merge.weight)
    theirs.out_proj.bias.copy_(ours.merge.bias)
    return theirs


def inputs(shape: Shape, count: int = 6) -> dict[str, Tensor | None]:
    """Standardised inputs of a core without gaps; None for kinds that the shape has not."""
    length = shape.lookback
    return {
        "values": torch.randn(count, length),
        "seen": torch.ones(count, length),
        "past": torch.randn(count, length, shape.past) if shape.past else None,
        "known": torch.randn(count, length + shape.horizon, shape.known) if shape.known else None,
        "static": torch.randn(count, shape.static) if shape.static else None,
    }


def test_attention_agrees_with_torch_s_where_tokens_are_missing() -> None:
    ours = loud(Attention(12, 3))
    asking, asked = torch.randn(7, 4, 12), torch.randn(7, 9, 12)
    present = (torch.rand(7, 9) > 0.4).float()
    present[:, 0] = 1.0
    expected, _ = torch_attention(ours, 12)(asking, asked, asked, key_padding_mask=present == 0)
    np.testing.assert_allclose(ours(asking, asked, bar(present)).numpy(), expected.numpy(), atol=1e-5)


def test_a_layer_agrees_with_torch_s_decoder_and_encoder_layers() -> None:
    ours = loud(Layer(12, 3, hidden=20, dropout=0.5, activation="relu", cross=True))
    theirs = nn.TransformerDecoderLayer(12, 3, 20, batch_first=True, norm_first=True).eval().requires_grad_(False)
    assert ours.memory is not None
    theirs.self_attn, theirs.multihead_attn = torch_attention(ours.itself, 12), torch_attention(ours.memory, 12)
    theirs.linear1, theirs.linear2 = ours.expand, ours.shrink
    theirs.norm1, theirs.norm2, theirs.norm3 = ours.norms
    tokens, memory = torch.randn(3, 4, 12), torch.randn(3, 6, 12)
    np.testing.assert_allclose(ours(tokens, memory=memory).numpy(), theirs(tokens, memory).numpy(), atol=1e-4)
    last = loud(Layer(12, 3, hidden=20, dropout=0.5, activation="relu", first=False))
    encoder = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True).eval()
    encoder.self_attn, encoder.linear1, encoder.linear2 = torch_attention(last.itself, 12), last.expand, last.shrink
    encoder.norm1, encoder.norm2 = last.norms
    encoder.train().requires_grad_(False)  # torch's fast path of evaluation has no dropout to leave out
    for part in (encoder.dropout, encoder.dropout1, encoder.dropout2):
        part.p = 0.0
    np.testing.assert_allclose(last(tokens).numpy(), encoder(tokens).numpy(), atol=1e-4)


def test_a_token_that_is_not_there_has_the_weight_zero_and_the_others_share_one() -> None:
    attention = Attention(4, 1).requires_grad_(False)
    attention.key_value.weight[4:] = torch.eye(4)  # values are the tokens, and tokens are one-hot: out come weights
    attention.merge.weight.copy_(torch.eye(4))
    present = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    weights = attention(torch.randn(2, 3, 4) * 50, torch.eye(4).expand(2, 4, 4), bar(present))
    assert (weights[present[:, None, :].expand_as(weights) == 0] == 0).all()
    np.testing.assert_allclose(weights.sum(2).numpy(), 1.0, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_attention_is_finite_where_no_token_is_there(dtype: torch.dtype) -> None:
    attention = loud(Attention(8, 2)).to(dtype)
    tokens = torch.randn(2, 5, 8, dtype=dtype)
    assert attention(tokens, tokens, bar(torch.zeros(2, 5, dtype=dtype))).isfinite().all()


@pytest.mark.parametrize("options", [{}, {"first": False}, {"residual": False}, {"norm": "batch"}], ids=str)
def test_without_positions_tokens_that_trade_places_trade_answers(options: dict[str, Any]) -> None:
    layer = loud(Layer(8, 2, hidden=16, dropout=0.3, **options))
    tokens, order = torch.randn(3, 7, 8), torch.randperm(7)
    np.testing.assert_allclose(layer(tokens[:, order]).numpy(), layer(tokens)[:, order].numpy(), atol=1e-5)
    for kind in ("sinusoidal", "learned"):
        placed = loud(Positions(kind, 7, width=8))  # type: ignore[arg-type]
        moved = layer(placed(tokens[:, order])) - layer(placed(tokens))[:, order]
        assert moved.abs().max() > 1e-2


def test_the_tokens_that_are_asked_for_alone_get_what_they_get_among_all() -> None:
    layer = loud(Layer(8, 2, hidden=16, dropout=0.3))
    tokens, barred = torch.randn(3, 7, 8), bar((torch.rand(3, 7) > 0.3).float())
    whole = layer(tokens, barred)
    np.testing.assert_allclose(layer(tokens, barred, only=slice(-1, None)).numpy(), whole[:, -1:].numpy(), atol=1e-5)


def test_sines_and_cosines_turn_by_the_same_angle_each_step() -> None:
    places = Positions("sinusoidal", 50, width=16)(torch.zeros(1, 50, 16))[0].unflatten(1, (8, 2))
    angle = torch.atan2(places[..., 0], places[..., 1])
    turned = torch.remainder(angle[1:] - angle[:-1], 2 * torch.pi)
    expected = 10_000.0 ** (-np.arange(0, 16, 2) / 16)
    np.testing.assert_allclose(turned.numpy(), np.broadcast_to(expected, (49, 8)), atol=1e-4)


def test_a_decoder_s_first_place_follows_the_encoder_s_last() -> None:
    places = Positions("sinusoidal", 9, width=4)
    whole = places(torch.zeros(1, 9, 4))
    assert torch.equal(places(torch.zeros(1, 2, 4), 7), whole[:, 7:])
    core = TransformerCore(Transformer(d_model=4, nhead=1), replace(ALONE, lookback=7, horizon=2), start=START).eval()
    assert torch.equal(core._future(torch.zeros(3, 7), None, None)[2], whole[0, 7:])  # its own vector starts at 0


@pytest.mark.parametrize("kind", ["sinusoidal", "learned", "none"])
def test_the_order_of_steps_counts_unless_there_are_no_positions(kind: Any) -> None:
    spec = AdaptiveTransformer(d_model=16, segments=1, positions=kind)
    core, given = loud(AdaptiveCore(spec, ALONE, start=START)), inputs(ALONE)
    values = given["values"]
    assert values is not None
    backwards = core(**given | {"values": values.flip(1)})
    assert torch.allclose(core(**given), backwards, atol=1e-4) == (kind == "none")


@pytest.mark.parametrize(
    "core",
    [
        lambda: EncoderCore(TransformerEncoder(d_model=16), ALONE, start=START),
        lambda: TransformerCore(Transformer(d_model=16), ALONE, start=START),
        lambda: AdaptiveCore(AdaptiveTransformer(d_model=16), ALONE, start=START),
    ],
    ids=["encoder", "transformer", "adaptive"],
)
def test_a_step_that_is_missing_is_no_token(core: Any) -> None:
    """What its token holds does not matter: another embedding of missing steps gives the same bits."""
    made = loud(core())
    given = inputs(ALONE)
    seen = given["seen"]
    assert seen is not None
    seen[:, 3:9] = 0.0
    given["values"] = given["values"] * seen
    before = made(**given)
    made.tokens.embed.weight[:, 1] += 5.0
    assert torch.equal(made(**given), before)


def test_a_step_with_a_covariate_alone_is_still_a_token() -> None:
    tokens = loud(StepTokens(replace(ALONE, past=2), 8, dropout=0.0, positions="none"))
    past = torch.zeros(1, 24, 2)
    past[0, 5, 1] = -0.3
    seen = torch.zeros(1, 24)
    seen[0, 7] = 1.0
    _, present = tokens(torch.zeros(1, 24), seen, past, None, None)
    assert present[0].nonzero().flatten().tolist() == [5, 7]


def test_the_decoder_sees_what_is_known_of_every_step_of_the_horizon() -> None:
    core, given = loud(TransformerCore(Transformer(d_model=16), RICH, start=START)), inputs(RICH)
    plain, known = core(**given), given["known"]
    assert known is not None
    moved = known.clone()
    moved[:, -1] += 2.0
    change = (core(**given | {"known": moved}) - plain).abs().amax((0, 2))
    assert (change > 0).all()  # one pass: the tokens of the horizon attend to each other
    assert change[-1] > change[:-1].max()


def test_sizes_are_those_of_the_formulas_and_span_the_documented_range() -> None:
    """The documents' Transformer has from 50 thousand to two million parameters and more."""

    def count(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    shape = replace(ALONE, lookback=30, horizon=14)
    small = Transformer(d_model=64, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=64)
    large = Transformer(d_model=256, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=1024)
    assert 50_000 < count(TransformerCore(small, shape, start=START)) < 100_000
    assert 1_500_000 < count(TransformerCore(large, shape, start=START)) < 2_500_000
    width, hidden, patches = 16, 128, 42
    layer = 4 * (width * width + width) + 2 * width * hidden + hidden + width + 4 * width
    whole = 32 * width + width + patches * width + 3 * layer + patches * width * 96 + 96
    assert count(PatchCore(PatchTST(), replace(ALONE, lookback=336, horizon=96), start=START)) == whole


def test_patches_are_cut_as_the_paper_says() -> None:
    core = PatchCore(PatchTST(patch_len=4, stride=3), replace(ALONE, lookback=11), start=START)
    steps = torch.arange(11.0).expand(2, 11)
    expected = [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9], [9, 10, 10, 10]]
    assert core._cut(steps)[1].tolist() == expected
    assert core.patches == 4


@pytest.mark.parametrize("lookback", [1, 5, 16, 17, 336])
def test_every_step_of_any_lookback_is_in_a_patch(lookback: int) -> None:
    shape = replace(ALONE, lookback=lookback)
    core, given = loud(PatchCore(PatchTST(layers=1), shape, start=START)), inputs(shape, 1)
    values = given["values"]
    assert values is not None
    given["values"] = values.requires_grad_()
    core(**given).sum().backward()
    assert values.grad is not None
    assert (values.grad != 0).all()


def test_a_patch_without_any_value_is_not_attended_to() -> None:
    core = loud(PatchCore(PatchTST(patch_len=4, stride=4, layers=1), ALONE, start=START))
    present = torch.ones(1, 24)
    present[:, 8:12] = 0.0
    tokens = torch.randn(1, core.patches, 16)
    barred = bar(core._cut(present).amax(dim=2))
    moved = tokens.clone()
    moved[:, 2] += 3.0
    before, after = core.layers[0](tokens, barred), core.layers[0](moved, barred)
    others = [0, 1, 3, 4, 5, 6]
    assert torch.equal(before[:, others], after[:, others])
    assert not torch.equal(before[:, 2], after[:, 2])


def test_a_patch_is_a_token_as_long_as_one_of_its_values_was_seen() -> None:
    core = PatchCore(PatchTST(patch_len=4, stride=4, layers=1), ALONE, start=START).eval()
    barred: list[Tensor] = []
    core.layers[0].register_forward_pre_hook(lambda _, given: barred.append(given[1]))
    given = inputs(ALONE, 1)
    seen = given["seen"]
    assert seen is not None
    seen[:, 4:11] = 0.0
    core(**given)
    assert (barred[0].flatten() == 0).tolist() == [True, False, True, True, True, True, True]


@pytest.mark.parametrize("identity", [True, False])
def test_covariates_that_trade_places_are_told_apart_by_their_identity_alone(identity: bool) -> None:
    core = loud(VariateCore(ITransformer(d_model=16, identity=identity), RICH, start=START))
    given = inputs(RICH)
    known = given["known"]
    assert known is not None
    traded = core(**given | {"known": known[:, :, [2, 0, 1]]})
    assert torch.allclose(core(**given), traded, atol=1e-4) != identity


def test_a_covariate_without_any_value_is_no_token() -> None:
    core = loud(VariateCore(ITransformer(d_model=16, identity=False), RICH, start=START))
    given = inputs(RICH)
    past = given["past"]
    assert past is not None
    past[:, :, 1] = 0.0
    lone = {**given, "past": past[:, :, :1]}
    np.testing.assert_allclose(core(**given).numpy(), core(**lone).numpy(), atol=1e-5)


def test_covariates_are_standardised_over_what_was_seen() -> None:
    steps = torch.randn(4, 30, 2) * 3 + 1
    steps[torch.rand(4, 30, 2) < 0.3] = 0.0
    course, told = standardise_covariates(steps)
    for row in range(4):
        for column in range(2):
            values = steps[row, :, column].double().numpy()
            there = values[values != 0]
            spread = np.sqrt(there.var() + 1e-5)
            expected = np.where(values != 0, (values - there.mean()) / spread, 0.0)
            np.testing.assert_allclose(course[row, column, :-2].numpy(), expected, atol=1e-5)
            np.testing.assert_allclose(course[row, column, -2:].numpy(), [there.mean(), spread], rtol=1e-5)
    assert (told == 1).all()


@pytest.mark.parametrize(("count", "segments"), [(24, 4), (10, 4), (3, 5), (7, 1), (7, 7)])
def test_parts_are_pooled_as_torch_pools_and_missing_tokens_are_left_out(count: int, segments: int) -> None:
    tokens, members = torch.randn(3, count, 6), draw_members(count, segments)
    expected = nn.functional.adaptive_avg_pool1d(tokens.transpose(1, 2), segments).transpose(1, 2)
    np.testing.assert_allclose(average(tokens, torch.ones(3, count), members).numpy(), expected.numpy(), atol=1e-6)
    present = torch.zeros(3, count)
    present[:, 0] = 1.0
    pooled = average(tokens, present, members)
    assert torch.equal(pooled[:, 0], tokens[:, 0])
    assert (pooled[:, members[:, 0] == 0] == 0).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("transformer", {"d_model": 30, "nhead": 4}, r"d_model 30 and nhead 4. Ask for a d_model of 4 times an even"),
        ("transformer_encoder", {"d_model": 9, "nhead": 3}, r"even number that nhead divides; got d_model 9"),
        ("transformer", {"num_decoder_layers": 0}, r"num_decoder_layers is made of whole numbers of 1 or more; got 0"),
        ("adaptive_transformer", {"segments": 0}, r"segments is made of whole numbers of 1 or more; got 0"),
        ("patchtst", {"patch_len": 4, "stride": 8}, r"go unread; got stride 8 and patch_len 4. Ask for a smaller"),
        ("patchtst", {"head_dropout": 1.0}, r"head_dropout is a share from 0 to below 1; got 1.0"),
        ("itransformer", {"nhead": 0}, r"got d_model 128 and nhead 0"),
    ],
)
def test_an_option_that_cannot_be_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_spec(name, options)
