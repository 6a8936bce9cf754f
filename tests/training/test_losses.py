"""Losses against scipy and closed forms, their gradients, and what networks learn from simulated data with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy import integrate, stats

from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import DataError
from tidewright.features.view import View
from tidewright.features.windows import cut_windows
from tidewright.models.spec import FeedForward
from tidewright.models.torch.fitted import TorchFitted
from tidewright.models.torch.heads import CountHead, StudentHead, split_mixture
from tidewright.models.torch.network import ForecastNet, build
from tidewright.models.torch.shape import Shape
from tidewright.training.fit import fit
from tidewright.training.losses import (
    HEADS,
    count_loss,
    mixture_loss,
    normal_crps,
    normal_loss,
    open_loss,
    student_loss,
)
from tidewright.training.spec import TrainSpec

LOSSES = sorted(set(HEADS) - {"sharpe"})  # that one is of a run of cutoffs: test_positions.py
SHAPE = Shape(lookback=6, horizon=3, past=0, known=0, static=0, quantiles=(0.1, 0.5, 0.9))
VALUES = np.linspace(-6, 6, 41)


def to(values: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)


@pytest.mark.parametrize("spread", [0.01, 1.0, 7.0])
def test_likelihoods_are_scipys(spread: float) -> None:
    z, at = to(VALUES), VALUES * spread
    found = normal_loss(z, spread=to(spread)).numpy()
    np.testing.assert_allclose(found, -stats.norm.logpdf(at, scale=spread), rtol=1e-5, atol=1e-5)
    for freedom in (1.2, 4.0, 300.0):
        found = student_loss(z, spread=to(spread), freedom=to(freedom)).numpy()
        np.testing.assert_allclose(found, -stats.t.logpdf(at, freedom, scale=spread), rtol=1e-4, atol=1e-4)


def test_a_mixtures_likelihood_is_the_sum_of_its_parts() -> None:
    weights, places, spreads = np.array([0.2, 0.5, 0.3]), np.array([-2.0, 0.0, 3.0]), np.array([0.5, 1.0, 0.1])
    expected = -np.log((weights * stats.norm.pdf(VALUES[:, None], places, spreads)).sum(axis=1))
    shape = (1, len(VALUES), 3)
    parts = [to(part).expand(shape) for part in (np.log(weights), places, spreads)]
    np.testing.assert_allclose(mixture_loss(to(VALUES)[None], *parts)[0].numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mean", [0.01, 3.0, 500.0])
@pytest.mark.parametrize("dispersion", [1e-3, 0.5, 4.0])
def test_the_likelihood_of_counts_is_scipys(mean: float, dispersion: float) -> None:
    counts, shape = np.array([0, 1, 2, 10, 300, 5000]), 1 / dispersion
    expected = -stats.nbinom.logpmf(counts, shape, shape / (shape + mean))
    found = count_loss(to(counts), to(mean), to(dispersion)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [-3.0, -0.4, 0.0, 2.5])
def test_the_crps_of_a_normal_distribution_is_its_integral(value: float) -> None:
    def apart(x: float) -> float:
        return float((stats.norm.cdf(x, scale=2.0) - (x >= value)) ** 2)

    expected = sum(integrate.quad(apart, *ends)[0] for ends in ((-30, value), (value, 30)))
    assert float(normal_crps(to(value / 2.0), spread=to(2.0))) == pytest.approx(expected, rel=1e-4)


def test_the_crps_of_many_quantiles_is_twice_their_pinball_loss() -> None:
    levels = tuple((np.arange(199) + 1) / 200)
    network = build(FeedForward(hidden=()), Shape(6, 3, 0, 0, 0, levels))
    with torch.no_grad():
        for parameter in network.core.parameters():
            if parameter.ndim > 1:
                parameter.zero_()  # the start: the normal distribution's quantiles
    target, labels = torch.randn(20, 6) * 2, torch.randn(20, 3) * 3
    with torch.no_grad():
        pinball, count = open_loss("quantile", levels, complete=True)(network, {"target": target}, labels)
        _, mean, scale = network.score(target)
        crps = normal_crps((labels - mean) / scale, spread=torch.ones(()))
    assert 2 * float(pinball) / int(count) == pytest.approx(float(crps.mean()), rel=0.02)  # the levels' ends are cut


def make_network(loss: str) -> ForecastNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = build(FeedForward(hidden=(8,), dropout=0.0), SHAPE, head=HEADS[loss])
        for parameter in network.core.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return network


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_finite_everywhere_and_reach_every_parameter(loss: str) -> None:
    network = make_network(loss)
    target = torch.rand(40, 6, generator=torch.Generator().manual_seed(2)).mul(20).round()
    labels = torch.rand(40, 3, generator=torch.Generator().manual_seed(3)).mul(20).round()
    target[0], target[1], target[2, :5] = float("nan"), 4.0, float("nan")
    target[3] = 0.0
    labels[4], labels[5, 0], labels[6] = float("nan"), float("nan"), 1e6
    total, count = open_loss(loss, SHAPE.quantiles, complete=False)(network, {"target": target}, labels)
    (total / count).backward()  # type: ignore[no-untyped-call]
    assert total.isfinite()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("loss", LOSSES)
def test_missing_labels_do_not_count_whatever_the_loss(loss: str) -> None:
    network = make_network(loss)
    target = torch.rand(9, 6, generator=torch.Generator().manual_seed(2)).mul(20).round()
    labels = torch.rand(9, 3, generator=torch.Generator().manual_seed(3)).mul(20).round()
    with torch.no_grad():
        half, few = open_loss(loss, SHAPE.quantiles, complete=True)(network, {"target": target[:5]}, labels[:5])
        labels[5:] = float("nan")
        masked, seen = open_loss(loss, SHAPE.quantiles, complete=False)(network, {"target": target}, labels)
    assert int(seen) == int(few)
    assert float(masked) == pytest.approx(float(half), rel=1e-5)


def test_hubers_loss_is_squared_near_and_absolute_far() -> None:
    network = make_network("huber")
    target, labels = torch.randn(7, 6), torch.randn(7, 3)
    with torch.no_grad():
        scores, mean, scale = network.score(target)
        error = ((labels - mean) / scale - scores[:, :, 0]).abs().numpy()
        total, count = open_loss("huber", SHAPE.quantiles, complete=True, delta=0.7)(
            network, {"target": target}, labels
        )
    expected = np.where(error < 0.7, 0.5 * error**2, 0.7 * (error - 0.35))
    assert float(total) == pytest.approx(expected.sum(), rel=1e-5)
    assert count == 21


@pytest.mark.parametrize("loss", ["quantile", "mse", "mae", "huber"])
def test_in_the_targets_unit_an_error_is_the_forecasts_own(loss: str) -> None:
    network = make_network(loss)
    network.usual_scale.fill_(2.0)
    target, labels = 3.0 * torch.randn(7, 6) + 5.0, 3.0 * torch.randn(7, 3) + 5.0
    target[0] *= 1e4  # livelier than a hundred times the usual: weighs as much as those
    with torch.no_grad():
        scores, mean, scale = network.score(target)
        error = labels.unsqueeze(2) - (mean.unsqueeze(2) + scale.unsqueeze(2) * scores)
        error[0] *= 100.0 * 2.0 / scale[0]
        total, count = open_loss(loss, SHAPE.quantiles, complete=True, unit="target")(
            network, {"target": target}, labels
        )
    size, tilt = (error / 2.0).numpy(), np.array(SHAPE.quantiles) - 0.5
    expected = {
        "quantile": 0.5 * np.abs(size) + tilt * size,
        "mse": size**2,
        "mae": np.abs(size),
        "huber": np.where(np.abs(size) < 1.0, 0.5 * size**2, np.abs(size) - 0.5),
    }
    assert float(total) == pytest.approx(float(expected[loss].sum()), rel=1e-4)
    assert count == size.size


def test_gradients_in_the_targets_unit_are_finite_for_windows_that_stand_still_or_are_missing() -> None:
    network = make_network("mse")
    target, labels = torch.randn(5, 6), torch.randn(5, 3)
    target[0], target[1], target[2] = float("nan"), 4.0, 1e28
    total, count = open_loss("mse", SHAPE.quantiles, complete=False, unit="target")(network, {"target": target}, labels)
    (total / count).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def learn(values: np.ndarray, loss: Any, **options: Any) -> tuple[TorchFitted, Panel]:
    table = pl.DataFrame({"t": np.arange(len(values)), "y": values.astype(float)})
    panel = Panel.from_table(table, time="t", target="y")
    task = Task(2, (0.05, 0.25, 0.5, 0.75, 0.95))
    split = split_holdout(panel, task, validation=600, test=600)
    train = TrainSpec(loss=loss, epochs=40, steps=50, batch_size=128, learning_rate=5e-3, patience=40, **options)
    spec = FeedForward(hidden=(), dropout=0.0)
    fitted = fit(spec, panel=panel, split=split, task=task, view=View(64), train=train)
    assert isinstance(fitted, TorchFitted)
    return fitted, panel


def cover(fitted: TorchFitted, panel: Panel) -> np.ndarray:
    """The share of the last 600 labels at or below each quantile."""
    split = split_holdout(panel, fitted.task, validation=600, test=600, stride=1)
    assert split.test is not None
    windows = cut_windows(panel, fitted.view, horizon=2, cutoffs=split.test)
    below = windows.labels()[:, :, None] <= fitted.predict(windows)
    return np.asarray(below.mean(axis=(0, 1)))


LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
# three standard errors of a share of 600 labels and as much for what is learned from 3,000 rows
ROOM = 6 * np.sqrt(LEVELS * (1 - LEVELS) / 600)


@pytest.mark.parametrize("loss", ["gaussian", "crps"])
def test_a_normal_distribution_is_recovered(loss: str) -> None:
    draw = np.random.default_rng(0)
    fitted, panel = learn(draw.normal(100, 8, 4200), loss)
    answer = fitted.predict(cut_windows(panel, fitted.view, horizon=2, cutoffs=split_holdout(panel, fitted.task).train))
    np.testing.assert_allclose(answer.mean((0, 1)), stats.norm.ppf(LEVELS, 100, 8), atol=1.6)  # a fifth of it
    assert (np.abs(cover(fitted, panel) - LEVELS) < ROOM).all()


def test_the_freedom_of_students_t_is_recovered() -> None:
    draw = np.random.default_rng(1)
    fitted, panel = learn(draw.standard_t(3, 6000), "student")
    head = fitted.network.head
    assert isinstance(head, StudentHead)
    freedom = head.freedom().numpy()
    assert (freedom > 2.0).all()
    assert (freedom < 5.0).all()
    assert (np.abs(cover(fitted, panel) - LEVELS) < ROOM).all()


def test_a_mixture_of_two_is_recovered_by_its_likelihood() -> None:
    draw = np.random.default_rng(2)
    values = to(np.where(draw.random(20_000) < 0.3, draw.normal(-1, 0.2, 20_000), draw.normal(1, 0.4, 20_000)))
    scores = torch.tensor([0.0, 0.0, -0.7, 0.7, 0.0, 0.0]).reshape(1, 1, 6).requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        mixture_loss(values[None], *split_mixture(scores)).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    log_weights, places, spreads = (part.detach().flatten().numpy() for part in split_mixture(scores))
    np.testing.assert_allclose(np.exp(log_weights), [0.3, 0.7], atol=0.015)
    np.testing.assert_allclose(places, [-1.0, 1.0], atol=0.015)
    np.testing.assert_allclose(spreads, [0.2, 0.4], atol=0.015)


def test_a_mixture_sees_two_modes_where_a_normal_distribution_sees_none() -> None:
    draw = np.random.default_rng(2)
    values = np.where(draw.random(4200) < 0.3, draw.normal(-10, 1, 4200), draw.normal(10, 2, 4200))
    fitted, panel = learn(values, "mixture", components=2)
    assert (np.abs(cover(fitted, panel) - LEVELS) < ROOM).all()
    assert (fitted.history[-1]["validation_loss"] + 0.3) < learn(values, "gaussian")[0].history[-1]["validation_loss"]


def test_counts_are_recovered_and_their_coverage_is_right() -> None:
    draw = np.random.default_rng(3)
    mean, dispersion = 40.0, 0.2
    shape = 1 / dispersion
    fitted, panel = learn(draw.negative_binomial(shape, shape / (shape + mean), 4200), "negative_binomial")
    head = fitted.network.head
    assert isinstance(head, CountHead)
    windows = cut_windows(panel, fitted.view, horizon=2, cutoffs=split_holdout(panel, fitted.task).train)
    with torch.no_grad():
        scores, average, _ = fitted.network.score(torch.from_numpy(windows.batch().target))
        expected, found = head.parts(scores, average)
    assert float(expected.mean()) == pytest.approx(mean, rel=0.05)
    assert float(found.mean()) == pytest.approx(dispersion, rel=0.25)
    assert (np.abs(cover(fitted, panel) - LEVELS) < ROOM).all()


@pytest.mark.parametrize("value", [-3.0, 2.5])
def test_counts_that_are_none_are_refused(value: float) -> None:
    values = np.tile([1.0, 2.0, value], 1400)
    with pytest.raises(DataError, match=rf"for counts, .* the target has \d+ other values, such as {value:g}\."):
        learn(values, "negative_binomial")


def test_the_loss_of_a_normal_distribution_is_least_at_its_own_parameters() -> None:
    draw = torch.randn(20_000, generator=torch.Generator().manual_seed(4))
    for score in (normal_loss, normal_crps):
        best = float(score(draw, spread=torch.ones(())).mean())
        for place, spread in ((0.1, 1.0), (-0.1, 1.0), (0.0, 1.15), (0.0, 0.87)):
            other = score((draw - place) / spread, spread=torch.tensor(spread))
            assert float(other.mean()) > best
    assert math.isclose(float(normal_loss(draw, spread=torch.ones(())).mean()), 1.4189, rel_tol=0.02)
