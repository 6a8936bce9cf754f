"""Windows of other lengths: each network of the catalog answers them as its graph does, or says why it can't."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conformance.networks import SMALL, TASK, TORCH, draw_inputs, shape_for
from tidewright.errors import ConfigError
from tidewright.features.separate import to_windows
from tidewright.features.view import View
from tidewright.features.windows import Batch
from tidewright.models.build import build_spec
from tidewright.models.lengths import allow_lengths
from tidewright.models.spec import MODELS
from tidewright.models.torch.fitted import TorchFitted
from tidewright.models.torch.lengths import explain_fixed, widest_lengths
from tidewright.models.torch.network import build
from tidewright.registry.export import to_onnx
from tidewright.registry.parity import open_graph, run_graph

FREE = {"adaptive_cnn": {"attention": True}, "cnn_lstm": {"pool": 1}}  # the options with which they allow it
ALLOWED = {"lstm", "gru", "tcn", "cnn_lstm", "transformer", "transformer_encoder", "adaptive_transformer", "tft"}
ALLOWED |= {"adaptive_cnn"}


TINY = {"tcn": {"num_channels": (8, 8)}, "tft": {"hidden": 4, "heads": 2}, "gru": {"hidden": 8, "head": ()}}


def make(name, *, known=1, **options):
    """A network of random weights that has learned from 10 steps, with known covariates; an export takes seconds."""
    spec, shape = build_spec(name, {**SMALL.get(name, {}), **TINY.get(name, {}), **options}), shape_for(name)
    shape = replace(shape, past=shape.past if name == "lstm" else 0, known=min(shape.known, known), static=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = build(spec, shape)
        for parameter in network.parameters():  # away from a start that answers nearly nothing
            torch.nn.init.normal_(parameter, std=0.3)
    return TorchFitted(spec, TASK, View(shape.lookback), shape, network)


def draw_batch(shape, steps, *, seed=0):
    given = {name: one.numpy() for name, one in draw_inputs(replace(shape, lookback=steps), 5, seed=seed).items()}
    given["target"][1, : steps // 2] = np.nan
    absent = {"past": (5, steps, 0), "known": (5, steps + 4, 0), "static": (5, 0)}
    return Batch(**{name: np.empty(size, np.float32) for name, size in absent.items()} | given)


@pytest.mark.parametrize("name", TORCH)
def test_it_answers_other_lengths_as_its_graph_does_or_says_why_not(name):
    fixed = make(name, **FREE.get(name, {}))
    if explain_fixed(fixed.spec):
        assert name not in ALLOWED
        with pytest.raises(ConfigError, match=f"{name} takes windows of 10 steps alone: it has weights for each step"):
            allow_lengths(fixed, (5, 20))
        return
    assert name in ALLOWED
    least, most = widest_lengths(fixed.spec, 10)
    free = allow_lengths(fixed, (least, most or 25))
    graph = open_graph(to_onnx(free).SerializeToString())
    for steps in (least, 10, 13, free.lengths[1]):
        batch = draw_batch(fixed.shape, steps)
        eager = free.predict(to_windows(batch, horizon=TASK.horizon))
        assert np.abs(run_graph(graph, batch) - eager).max() <= 1e-5 * np.abs(eager).max(), steps
    batch = to_windows(draw_batch(fixed.shape, 10), horizon=TASK.horizon)
    assert np.array_equal(free.predict(batch), fixed.predict(batch))
    assert {key: one.shape for key, one in free.tensors().items()} == {k: v.shape for k, v in fixed.tensors().items()}


@pytest.mark.parametrize("name", TORCH)
def test_a_network_whose_weights_are_the_same_at_any_lookback_is_allowed_or_says_what_holds_it(name):
    """So that a new network is not forgotten."""
    spec, shape = build_spec(name, {**SMALL.get(name, {}), **FREE.get(name, {})}), shape_for(name)
    sizes = []
    for lookback in (10, 11):
        with torch.device("meta"):
            network = build(spec, replace(shape, lookback=lookback))
        sizes.append({key: tuple(one.shape) for key, one in network.named_parameters()})
    assert (sizes[0] == sizes[1]) == (name in ALLOWED) or name in HELD


HELD = {
    "nbeats": "its stacks answer the lookback again, step by step",
    "nhits": "its pools are cut from the lookback",
    "sparsetsf": "a weight for each period of the lookback: 10 and 11 steps have as many",
    "patchtst": "a position for each patch: 10 and 11 steps have as many",
}


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("lstm", {"highway": True}, "highway has a weight for each step"),
        ("transformer", {"positions": "learned"}, "learned a vector for each position"),
        ("adaptive_cnn", {}, "its head has weights for each step that its convolutions leave"),
        ("cnn_lstm", {}, "its pooling leaves"),
    ],
)
def test_an_option_that_ties_a_network_to_its_steps_is_named(name, options, why):
    with pytest.raises(ConfigError, match=f"{name} takes windows of 10 steps alone: .*{why}"):
        allow_lengths(make(name, **options), (5, 20))


def test_a_model_that_is_no_network_refuses():
    from tests.registry.test_parity import make_floor

    with pytest.raises(ConfigError, match="takes windows of 12 steps alone: it is a formula"):
        allow_lengths(make_floor(MODELS.load("ridge")()), (5, 20))


@pytest.mark.parametrize(
    ("name", "options", "lengths"), [("gru", {}, (5, 20)), ("tcn", {"num_channels": (4, 4, 4)}, (6, 12))]
)
def test_a_graph_of_any_length_may_follow_one_of_a_fixed_length(name, options, lengths):
    torch._dynamo.reset()  # as in a new process
    fixed = make(name, known=0, **options)
    to_onnx(fixed)
    graph = to_onnx(allow_lengths(fixed, lengths))
    assert graph.graph.input[0].type.tensor_type.shape.dim[1].dim_param


def test_lengths_end_where_a_manifest_does():
    with pytest.raises(ConfigError, match="from these to at most 1000000; got"):
        allow_lengths(make("gru"), (5, 10**9))


@pytest.mark.parametrize("lengths", [(12, 20), (5, 9), (1, 20), (20, 5), (5, 20.0), (5, 2000), 7])
def test_lengths_that_leave_out_its_own_or_that_it_cannot_see_are_refused(lengths):
    with pytest.raises(ConfigError, match="from 2 up to its own 10 steps, and from these to at most 13"):
        allow_lengths(make("tcn"), lengths)


def test_a_shorter_window_of_a_transformer_is_the_padded_one():
    """Positions are counted from the newest step, so that a missing step and one that is not there are alike."""
    free = allow_lengths(make("transformer_encoder", known=0), (4, 20))
    short = draw_batch(free.shape, 6)
    padded = draw_batch(free.shape, 10)
    padded = replace(padded, target=np.pad(short.target, ((0, 0), (4, 0)), constant_values=np.nan))
    apart = free.predict(to_windows(short, horizon=4)) - free.predict(to_windows(padded, horizon=4))
    assert np.abs(apart).max() <= 1e-5
