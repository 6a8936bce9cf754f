"""The Temporal Fusion Transformer: its parts against slow formulas, its causality, its size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tidewright.errors import ConfigError
from tidewright.models.build import build_spec
from tidewright.models.specs.fusion import TFT
from tidewright.models.torch.explain import read_batch
from tidewright.models.torch.fusion import FusionCore, SharedAttention
from tidewright.models.torch.gates import GatedResidual
from tidewright.models.torch.network import ForecastNet, build
from tidewright.models.torch.selection import VariableSelection
from tidewright.models.torch.shape import Shape
from tidewright.training.spec import TrainSpec

SHAPE = Shape(lookback=9, horizon=4, past=2, known=3, static=2, quantiles=(0.1, 0.5, 0.9))
ALONE = replace(SHAPE, past=0, known=0, static=0)
DOCUMENTED = {"hidden": 512, "heads": 8, "lstm_layers": 2, "dropout": 0.2}


def seeded(make: Any) -> Any:
    """A module with random weights in every parameter, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        module = make()
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
        return module.eval().requires_grad_(False)


def network(shape: Shape = SHAPE) -> ForecastNet:
    made: ForecastNet = seeded(lambda: build(TFT(hidden=8, heads=2, lstm_layers=2), shape))
    return made


def draw(shape: Shape, count: int = 6, *, seed: int = 0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    sizes = {
        "target": (count, shape.lookback),
        "past": (count, shape.lookback, shape.past),
        "known": (count, shape.lookback + shape.horizon, shape.known),
        "static": (count, shape.static),
    }
    return {name: torch.randn(*sizes[name], generator=random) for name in shape.inputs}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))


def norm(x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    return (x - x.mean()) / np.sqrt(x.var() + eps)


def glu(x: np.ndarray) -> np.ndarray:
    value, gate = np.split(x, 2)
    return value * sigmoid(gate)


def softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max())
    return raised / raised.sum()


def weights_of(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in module.state_dict().items()}


def select_slowly(w: dict[str, np.ndarray], row: np.ndarray, context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equations 2 to 8 of the paper for one step, variable by variable."""
    embedded = [x * w["embed_weight"][v] + w["embed_bias"][v] for v, x in enumerate(row)]
    flat = np.concatenate(embedded)
    hidden = w["weigh.first.weight"] @ flat + w["weigh.first.bias"] + w["weigh.context.weight"] @ context
    hidden = w["weigh.second.weight"] @ elu(hidden) + w["weigh.second.bias"]
    gated = glu(w["weigh.gate.weight"] @ hidden + w["weigh.gate.bias"])
    skipped = w["weigh.skip.weight"] @ flat + w["weigh.skip.bias"]
    eps = 1.0 if len(row) == 2 else 1e-5
    shares = softmax(norm(skipped + gated, eps) * w["weigh.norm.weight"] + w["weigh.norm.bias"])
    chosen = np.zeros(w["embed_weight"].shape[1])
    for v, x in enumerate(embedded):
        inner = elu(x @ w["first_weight"][v] + w["first_bias"][v]) @ w["second_weight"][v] + w["second_bias"][v]
        passed = glu(inner @ w["gate_weight"][v] + w["gate_bias"][v])
        chosen += shares[v] * (norm(x + passed) * w["norm_weight"][v] + w["norm_bias"][v])
    return chosen, shares


@pytest.mark.parametrize("variables", [2, 3, 6])
def test_selecting_all_variables_at_once_is_selecting_them_one_by_one(variables: int) -> None:
    module = seeded(lambda: VariableSelection(variables, 5, dropout=0.3, context=True))
    random = torch.Generator().manual_seed(1)
    values, context = torch.randn(3, 4, variables, generator=random), torch.randn(3, 5, generator=random)
    chosen, shares = module(values, context)
    for n in range(3):
        for t in range(4):
            slow = select_slowly(weights_of(module), values[n, t].double().numpy(), context[n].double().numpy())
            np.testing.assert_allclose(chosen[n, t].numpy(), slow[0], rtol=2e-4, atol=2e-5)
            np.testing.assert_allclose(shares[n, t].numpy(), slow[1], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("variables", [2, 5])
def test_a_flag_is_computed_for_its_two_values_alone(variables: int) -> None:
    plain = seeded(lambda: VariableSelection(variables, 5, dropout=0.3, context=True))
    flagged = seeded(lambda: VariableSelection(variables, 5, dropout=0.3, context=True, flag=True))
    random = torch.Generator().manual_seed(1)
    values, context = torch.randn(3, 4, variables, generator=random), torch.randn(3, 5, generator=random)
    values[:, :, -1] = (values[:, :, -1] > 0).float()
    for one, other in zip(plain(values, context), flagged(values, context), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)


def test_one_variable_alone_weighs_one_and_needs_no_weighing() -> None:
    module = VariableSelection(1, 4, dropout=0.0, context=True)
    _, shares = module(torch.randn(5, 3, 1), torch.randn(5, 4))
    assert (shares == 1).all()
    assert not [name for name, _ in module.named_parameters() if "weigh." in name]


def test_weights_start_even_enough_that_no_variable_is_shut_out() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = VariableSelection(6, 32, dropout=0.0, context=False)
        _, shares = module(torch.randn(200, 5, 6), None)
    assert shares.mean((0, 1)).min() > 0.02


def test_a_gated_residual_is_its_formula() -> None:
    module = seeded(lambda: GatedResidual(6, dropout=0.5, context=True))
    random = torch.Generator().manual_seed(2)
    entered, context = torch.randn(6, generator=random), torch.randn(6, generator=random)
    w, x, c = weights_of(module), entered.double().numpy(), context.double().numpy()
    hidden = w["second.weight"] @ elu(w["first.weight"] @ x + w["first.bias"] + w["context.weight"] @ c)
    gated = glu(w["skip.gate.weight"] @ (hidden + w["second.bias"]) + w["skip.gate.bias"])
    slow = norm(x + gated) * w["skip.norm.weight"] + w["skip.norm.bias"]
    np.testing.assert_allclose(module(entered, context).numpy(), slow, rtol=1e-4, atol=1e-5)


def test_a_gated_residual_in_training_is_the_one_that_answers() -> None:
    module = seeded(lambda: GatedResidual(6, dropout=0.0, context=True))
    random = torch.Generator().manual_seed(2)
    entered, context = torch.randn(9, 6, generator=random), torch.randn(9, 6, generator=random)
    answered = module(entered, context)
    np.testing.assert_allclose(module.train()(entered, context).numpy(), answered.numpy(), rtol=1e-4, atol=1e-5)


def test_attention_with_shared_values_is_the_mean_of_its_heads() -> None:
    heads, width, horizon, steps = 3, 12, 4, 9
    module = seeded(lambda: SharedAttention(width, heads, dropout=0.2))
    random = torch.Generator().manual_seed(3)
    told = torch.randn(2, steps, width, generator=random)
    answer, attention = module(told[:, -horizon:], told)
    w, size = weights_of(module), width // heads
    for n, inputs in enumerate(told.double().numpy()):
        query, key = inputs @ w["query.weight"].T, inputs @ w["key.weight"].T
        each = np.zeros((heads, horizon, steps))
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for h in range(horizon):
                own = steps - horizon + h
                scores = query[own, part] @ key[: own + 1, part].T / np.sqrt(size)
                each[head, h, : own + 1] = softmax(scores)
        value = inputs @ w["value.weight"].T
        slow = np.mean([one @ value for one in each], axis=0) @ w["out.weight"].T
        np.testing.assert_allclose(attention[n].numpy(), each.mean(axis=0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(answer[n].numpy(), slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [SHAPE, replace(SHAPE, static=0), replace(SHAPE, known=0), ALONE])
def test_weights_and_attention_are_shares_and_the_future_gets_none(shape: Shape) -> None:
    reading = read_batch(network(shape), **draw(shape))
    parts = [reading.past, reading.future, reading.attention]
    assert (reading.static is None) == (shape.static == 0)
    for part in parts if reading.static is None else [*parts, reading.static]:
        assert (part >= 0).all()
        np.testing.assert_allclose(part.sum(-1).numpy(), 1.0, atol=1e-5)
    assert reading.past.shape == (6, shape.lookback, 2 + shape.past + shape.known)
    assert reading.future.shape == (6, shape.horizon, max(shape.known, 1))
    later = torch.ones(shape.horizon, shape.lookback + shape.horizon).triu(shape.lookback + 1).bool()
    assert (reading.attention[:, later] == 0).all()
    assert (reading.attention[:, ~later] > 0).all()


def test_a_step_of_the_horizon_hears_of_no_known_value_after_itself() -> None:
    net, inputs = network(), draw(SHAPE)
    plain = net.score(**inputs)[0]
    for step in range(SHAPE.horizon):
        known = inputs["known"].clone()
        known[:, SHAPE.lookback + step] += 2.0
        moved = (net.score(**inputs | {"known": known})[0] - plain).abs().amax((0, 2))
        assert (moved[:step] == 0).all()
        assert (moved[step:] > 1e-6).all()


def test_what_is_read_is_what_the_answer_was_made_of() -> None:
    net, inputs = network(), draw(SHAPE)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    reading = read_batch(net, **inputs)
    assert torch.equal(reading.scores, net.score(**inputs)[0])
    after = net.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert isinstance(net.core, FusionCore)
    kept = []
    hook = net.core.attend.register_forward_hook(lambda _m, _i, out: kept.append(out[1]))
    net(**inputs)
    hook.remove()
    assert torch.equal(kept[0], reading.attention)


def test_a_network_without_static_columns_learns_its_contexts() -> None:
    core = build(TFT(hidden=8, heads=2), replace(SHAPE, static=0)).core
    constants = dict(core.named_parameters())["statics.constants"]
    assert constants.shape == (4, 8)
    assert not [name for name, _ in core.named_parameters() if "statics.select" in name]


def count(shape: Shape, **options: Any) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(build_spec("tft", options), shape).parameters())


def expected_count(shape: Shape, *, width: int, depth: int, heads: int) -> int:
    """The parameters of the paper's blocks, added up by hand."""
    gate = 2 * width * width + 2 * width + 2 * width
    residual = 2 * (width * width + width) + gate

    def selection(variables: int, *, context: bool) -> int:
        own = variables * (2 * width + residual)
        if variables == 1:
            return own
        first = variables * width * width + width + (width * width if context else 0)
        rest = (width * width + width) + (2 * width * variables + 2 * variables)
        return own + first + rest + variables * width * variables + variables + 2 * variables

    statics = selection(shape.static, context=False) + 4 * residual if shape.static else 4 * width
    chosen = selection(2 + shape.past + shape.known, context=True) + selection(max(shape.known, 1), context=True)
    lstms = 2 * depth * (8 * width * width + 8 * width)
    attention = 2 * width * width + 2 * width * (width // heads)
    blocks = gate + (residual + width * width) + attention + gate + residual + gate
    return statics + chosen + lstms + blocks + (width + 1) * len(shape.quantiles)


@pytest.mark.parametrize("shape", [SHAPE, replace(SHAPE, static=0, known=1), ALONE])
@pytest.mark.parametrize("options", [{"hidden": 12, "heads": 3}, {**DOCUMENTED, "scale": 0.25}])
def test_it_has_the_parameters_of_the_papers_blocks(shape: Shape, options: dict[str, Any]) -> None:
    spec = TFT(**options)
    # without known columns the one future variable is the step, whose selection has no weighing
    assert count(shape, **options) == expected_count(shape, width=spec.width, depth=spec.depth, heads=spec.heads)


def test_one_number_scales_it_to_a_hundred_and_to_five_hundred_millions() -> None:
    sizes = {scale: count(SHAPE, **DOCUMENTED, scale=scale) for scale in (1.0, 1.65, 3.5)}
    assert sizes[1.0] < 50e6
    assert 100e6 <= sizes[1.65] < 120e6
    assert 500e6 <= sizes[3.5] < 600e6


def test_the_documented_configuration_can_be_asked_for() -> None:
    spec = TFT(hidden=512, heads=8, lstm_layers=2, dropout=0.2)
    train = TrainSpec(learning_rate=1e-4, batch_size=256, epochs=100, clip=1.0, patience=10)
    with torch.device("meta"):
        net = build(spec, SHAPE)
        inputs = {name: torch.empty(train.batch_size, *value.shape[1:]) for name, value in draw(SHAPE).items()}
        assert net(**inputs).shape == (256, 4, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, r"tft.heads must divide tft.hidden; got 3 heads of 64. Take hidden=63, or other heads"),
        ({"hidden": 0}, r"tft.hidden is made of whole numbers of 1 or more; got 0"),
        ({"lstm_layers": 0}, r"tft.lstm_layers is made of whole numbers of 1 or more; got 0"),
        ({"dropout": 1.0}, r"tft.dropout is a share from 0 to below 1; got 1.0"),
        ({"scale": 0.0}, r"tft.scale is a number above 0 and finite; got 0.0"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TFT(**options)
