"""The cheap draws drop the share that they say, evenly, and leave the mean and the gradient right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tidewright.models.build import build_spec
from tidewright.models.spec import NETWORKS
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.network import build
from tidewright.models.torch.shape import Shape


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
def test_the_share_is_dropped_and_the_mean_stays(share: float) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        values = Dropout(share)(torch.ones(400, 501))
    error = (share * (1 - share) / values.numel()) ** 0.5  # of a share of independent draws
    assert float((values == 0).double().mean()) == pytest.approx(share, abs=4 * error + 1e-5)
    np.testing.assert_allclose(values[values != 0].numpy(), 1 / (1 - share), rtol=1e-3)
    assert float(values.double().mean()) == pytest.approx(1.0, abs=5 * error / (1 - share) + 1e-4)


def test_numbers_are_dropped_without_regard_to_each_other() -> None:
    """Also the four that share one draw, whose places repeat every fourth number."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        dropped = (Dropout(0.3)(torch.ones(200_000)) == 0).double().view(-1, 8).numpy()
    shared = np.corrcoef(dropped, rowvar=False) - np.eye(8)
    assert np.abs(shared).max() < 4 / 25_000**0.5 * 1.2
    np.testing.assert_allclose(dropped.mean(0), 0.3, atol=4 * (0.21 / 25_000) ** 0.5)


def test_the_gradient_goes_where_the_values_went() -> None:
    values = torch.randn(50, 7, requires_grad=True)
    left = Dropout(0.4)(values)
    left.sum().backward()
    assert values.grad is not None
    np.testing.assert_allclose((values.grad * values).detach().numpy(), left.detach().numpy(), rtol=1e-6)


def test_torch_s_seed_decides() -> None:
    def draw(seed: int) -> list[float]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            kept: list[float] = Dropout(0.5)(torch.ones(64)).tolist()
            return kept

    assert draw(3) == draw(3) != draw(4)


@pytest.mark.parametrize("share", [0.0, 1e-9])
def test_a_share_near_nothing_drops_next_to_nothing(share: float) -> None:
    assert float((Dropout(share)(torch.ones(1000)) == 0).double().mean()) <= 0.003
    assert Dropout(share).eval()(torch.ones(3)).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_numbers_stay_of_their_kind_and_their_mean_stays_within_its_digits(kind: torch.dtype) -> None:
    values = torch.ones(400, 500, dtype=kind, requires_grad=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        left = Dropout(0.1)(values)
    left.double().sum().backward()
    assert left.dtype == kind
    share = float((left == 0).double().mean())
    assert share == pytest.approx(0.1, abs=0.003)
    assert float(left.detach().double().mean()) == pytest.approx(1.0, abs=0.003 + torch.finfo(kind).eps)
    assert values.grad is not None
    assert torch.equal(values.grad, left.detach())


def test_under_autocast_it_drops_what_the_layer_before_it_gave() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(8, 8), Dropout(0.5), torch.nn.Linear(8, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        first = network[1](network[0](torch.ones(64, 8)))
        answer = network(torch.ones(64, 8))
    assert first.dtype == answer.dtype == torch.bfloat16
    assert 0 < int((first == 0).sum()) < first.numel()
    answer.float().square().sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in network.parameters() if p.grad is not None)


def test_every_network_drops_with_it() -> None:
    shape = Shape(lookback=16, horizon=3, past=1, known=2, static=1, quantiles=(0.1, 0.5, 0.9))
    for name in NETWORKS:
        spec = build_spec(name)
        with torch.device("meta"):
            network = build(spec, shape)
        assert not any(isinstance(part, torch.nn.Dropout) for part in network.modules()), name
        if hasattr(spec, "dropout"):
            replaced = build(replace(spec, dropout=0.5), shape)  # type: ignore[type-var]  # a dataclass, each
            assert any(isinstance(part, Dropout) for part in replaced.modules()), name
