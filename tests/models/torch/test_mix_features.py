"""A layer over features in parts is the layers one by one, forward and back, with the same draws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidewright.models.torch import mix_features as module
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.mix_features import across, mix_features


def draw_layers(features: int, share: float) -> tuple[nn.Linear, nn.Linear, Dropout, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        table = torch.randn(features, 103, requires_grad=True)
        return nn.Linear(features, 8), nn.Linear(8, features), Dropout(share), table


def learn(answer: Callable[[], Tensor], *wanted: Tensor) -> list[np.ndarray]:
    """What is answered, and the gradients of its squares."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        mixed = answer()
    gradients = torch.autograd.grad(mixed.square().sum(), wanted)
    return [one.detach().numpy() for one in (mixed, *gradients)]


@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize("features", [1, 2, 9])
def test_in_parts_it_is_the_layers_one_by_one(monkeypatch: pytest.MonkeyPatch, features: int, share: float) -> None:
    monkeypatch.setattr(module, "PART", 8 * 40)  # three parts, the last one shorter
    widen, narrow, dropout, table = draw_layers(features, share)
    wanted = (table, *widen.parameters(), *narrow.parameters())
    found = learn(lambda: mix_features(table, widen, narrow, dropout=dropout), *wanted)
    slow = learn(lambda: across(narrow, dropout(torch.relu(across(widen, table)))), *wanted)
    for one, other in zip(found, slow, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_the_layers_are_called_one_by_one_where_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_Mix", None)
    widen, narrow, dropout, table = draw_layers(2, 0.4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert mix_features(table, widen, narrow, dropout=dropout).dtype == torch.bfloat16
    assert mix_features(table, widen, narrow, dropout=dropout.eval()).shape == (2, 103)
    assert mix_features(table, widen, narrow, dropout=nn.Dropout(0.4)).shape == (2, 103)
    with pytest.raises(AttributeError):
        mix_features(table, widen, narrow, dropout=dropout.train())
