"""Small populations, and their members learned alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import FitError
from tidewright.features.view import View
from tidewright.models.spec import FeedForward
from tidewright.models.torch.fitted import TorchFitted
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.population import Population, fit_population
from tidewright.training.spec import TrainSpec

TASK = Task(horizon=3)
SPEC = FeedForward(hidden=(16, 8), dropout=0.2)
BASE = TrainSpec(epochs=3, steps=6, batch_size=16, learning_rate=5e-3, judged=64)
TRAINS = (
    BASE,
    replace(BASE, seed=1, learning_rate=1e-3, weight_decay=0.1),
    replace(BASE, seed=2, learning_rate=2e-2, weight_decay=0.0, clip=0.05),
)
CLOSE = 2e-4  # of a loss or a standardised weight, after three epochs: sums of float32 in another order


@cache
def make_panel(takes: tuple[str, ...] = ()) -> Panel:
    return keep_covariates(small_panel(series=3, rows=120), takes)


@cache
def make_split() -> Split:
    return split_holdout(make_panel(), TASK, validation=18, test=18)


def learn(spec: Any = SPEC, trains: Any = TRAINS, **parts: Any) -> Population:
    asked = {"panel": make_panel(), "split": make_split(), "task": TASK, "view": View(8)} | parts
    return fit_population(spec, trains=trains, **asked)


def learn_alone(train: TrainSpec, spec: Any = SPEC, **parts: Any) -> TorchFitted:
    asked = {"panel": make_panel(), "split": make_split(), "task": TASK, "view": View(8)} | parts
    fitted = fit(spec, train=train, **asked)
    assert isinstance(fitted, TorchFitted)
    return fitted


def assert_equal(found: TorchFitted | FitError, wanted: TorchFitted, *, close: float = CLOSE) -> None:
    assert isinstance(found, TorchFitted)
    assert found.spec == wanted.spec
    stopped = [[record["stopped"] for record in fitted.history] for fitted in (found, wanted)]
    assert stopped[0] == stopped[1]
    for name in ("train_loss", "validation_loss", "learning_rate"):
        losses = [[record[name] for record in fitted.history] for fitted in (found, wanted)]
        assert losses[0] == pytest.approx(losses[1], rel=close)
    assert [record.keys() for record in found.history] == [record.keys() for record in wanted.history]
    tensors = wanted.tensors()
    assert set(found.tensors()) == set(tensors)
    for name, tensor in found.tensors().items():
        np.testing.assert_allclose(tensor, tensors[name], rtol=close, atol=10 * close, err_msg=name)


@cache
def base() -> Population:
    return learn()


@cache
def alone(place: int) -> TorchFitted:
    return learn_alone(TRAINS[place])
