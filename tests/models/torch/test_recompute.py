"""Blocks that are computed again in the backward pass: the same bits in less memory, and nothing counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tidewright.errors import ConfigError
from tidewright.models.build import build_spec
from tidewright.models.spec import NETWORKS
from tidewright.models.torch.network import ForecastNet, build
from tidewright.models.torch.recompute import list_blocks, recompute_blocks
from tidewright.models.torch.shape import Shape

BLOCKED = (
    *("adaptive_transformer", "cnn_lstm_transformer", "itransformer", "nbeats", "nhits", "patchtst", "resmlp", "tcn"),
    *("tft", "tide", "transformer", "transformer_encoder", "tsmixer"),
)
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in BLOCKED),
    ("resmlp", {"norm": "batch"}),
    ("cnn_lstm_transformer", {"arrangement": "parallel"}),
    ("nbeats", {"stacks": ("trend", "seasonality", "generic")}),
]


def make_network(name: str, options: dict[str, Any]) -> ForecastNet:
    spec = build_spec(name, options)
    takes = spec.takes
    shape = Shape(24, 4, 2 * ("past" in takes), 2 * ("known" in takes), 2 * ("static" in takes), (0.1, 0.5, 0.9))
    torch.manual_seed(3)
    if hasattr(spec, "dropout"):
        spec = replace(spec, dropout=0.3)  # type: ignore[type-var]  # a dataclass, each
    return build(spec, shape).train()


def draw_inputs(network: ForecastNet) -> dict[str, Tensor]:
    shape = network.shape
    torch.manual_seed(4)
    sizes = {"target": (24,), "past": (24, shape.past), "known": (28, shape.known), "static": (shape.static,)}
    return {name: torch.randn(8, *sizes[name]) for name in shape.inputs}


def run_pass(network: ForecastNet) -> tuple[bytes, dict[str, bytes], dict[str, bytes], int]:
    """The scores, every gradient, every buffer, and how many numbers the graph kept."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    inputs = draw_inputs(network)
    torch.manual_seed(5)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        scores, _, _ = network.score(**inputs)
    held = sum(kept.values())
    scores.square().mean().backward()
    gradients = {name: raw(weight.grad) for name, weight in network.named_parameters() if weight.grad is not None}
    return raw(scores), gradients, {name: raw(buffer) for name, buffer in network.named_buffers()}, held


def raw(tensor: Tensor) -> bytes:
    return tensor.detach().numpy().tobytes()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_scores_gradients_statistics_and_draws_keep_their_bits(name: str, options: dict[str, Any]) -> None:
    seen, after = [], []
    for again in (False, True):
        network = make_network(name, options)
        with recompute_blocks(network, model=name) if again else nullcontext():
            seen.append(run_pass(network))
        after.append(torch.get_rng_state().tolist())
        assert all("forward" not in vars(part) for part in network.modules())
    assert seen[0][:3] == seen[1][:3]
    assert after[0] == after[1]
    assert seen[1][3] < seen[0][3]  # or nothing was saved


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - set(BLOCKED)))
def test_a_network_without_blocks_says_so(name: str) -> None:
    with (
        pytest.raises(ConfigError, match=rf"{name} has no repeated blocks to compute again; .* Leave it out"),
        recompute_blocks(make_network(name, {}), model=name),
    ):
        pass


def test_batch_normalisation_moves_its_running_moments_once() -> None:
    networks = [make_network("patchtst", {"norm": "batch"}) for _ in range(2)]
    run_pass(networks[0])
    with recompute_blocks(networks[1], model="patchtst"):
        run_pass(networks[1])
    norms = [[part for part in network.modules() if isinstance(part, nn.BatchNorm1d)] for network in networks]
    assert norms[0]
    for plain, again in zip(*norms, strict=True):
        assert int(again.num_batches_tracked or -1) == 1
        assert again.momentum == 0.1
        assert bool(again.running_mean.any())  # type: ignore[union-attr]  # it has one
        assert torch.equal(plain.running_mean, again.running_mean)  # type: ignore[arg-type]  # likewise
        assert torch.equal(plain.running_var, again.running_var)  # type: ignore[arg-type]  # likewise


def test_names_copies_and_answers_are_those_of_the_plain_network() -> None:
    network = make_network("transformer", {})
    names, inputs = list(network.state_dict()), draw_inputs(network)
    plain = network.eval()(**inputs)
    with recompute_blocks(network, model="transformer"):
        assert list(network.state_dict()) == names
        assert torch.equal(network(**inputs), plain)
        with torch.inference_mode():
            assert torch.equal(network.train().eval()(**inputs), plain)


def test_an_error_inside_leaves_nothing_behind() -> None:
    network = make_network("tcn", {})
    with pytest.raises(KeyboardInterrupt), recompute_blocks(network, model="tcn"):
        raise KeyboardInterrupt
    assert all("forward" not in vars(block) for block in list_blocks(network))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(threads)
