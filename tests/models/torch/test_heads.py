"""The distributions that a network's scores describe, and their quantiles inside the graph, against scipy."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError
from tidewright.features.separate import to_windows
from tidewright.models.spec import FeedForward
from tidewright.models.torch.count_quantiles import count_quantiles
from tidewright.models.torch.fitted import TorchFitted, from_tensors
from tidewright.models.torch.heads import (
    CountHead,
    GaussianHead,
    MixtureHead,
    StudentHead,
    head_of,
    open_head,
    split_mixture,
    split_two,
)
from tidewright.models.torch.network import build
from tidewright.models.torch.shape import Shape
from tidewright.registry.bundle import save_bundle
from tidewright.registry.rebuild import rebuild
from tidewright.training.fit import fit, keep_covariates, usual_view
from tidewright.training.spec import TrainSpec

LEVELS = (0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.995)
SHAPE = Shape(lookback=10, horizon=4, past=0, known=0, static=0, quantiles=LEVELS)
HEADS = ("quantile", "point", "gaussian", "student", "mixture", "negative_binomial")


def draw(columns: int, *, count: int = 50, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, SHAPE.horizon, columns, generator=torch.Generator().manual_seed(seed)) * 1.5


def units(count: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((count, 1), 30.0), torch.full((count, 1), 5.0)


def test_normal_quantiles_are_scipys() -> None:
    scores = draw(2)
    place, spread = split_two(scores)
    expected = 30 + 5 * stats.norm.ppf(LEVELS, place.numpy()[..., None], spread.numpy()[..., None])
    np.testing.assert_allclose(GaussianHead(SHAPE)(scores, *units()).numpy(), expected, rtol=2e-5, atol=2e-5)


def test_students_quantiles_are_scipys_at_the_learned_freedom() -> None:
    head = StudentHead(SHAPE)
    with torch.no_grad():
        head.log_freedom.copy_(torch.tensor([-1.0, 0.5, 2.0, 9.0]))
    head.settle()
    freedom = 1 + np.exp([-1.0, 0.5, 2.0, 7.0])  # the last one is held
    np.testing.assert_allclose(head.freedom().detach().numpy(), freedom, rtol=1e-5)
    scores = draw(2)
    place, spread = (part.numpy()[..., None] for part in split_two(scores))
    expected = 30 + 5 * stats.t.ppf(LEVELS, freedom[None, :, None], place, spread)
    np.testing.assert_allclose(head(scores, *units()).detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_a_mixtures_quantiles_solve_its_distribution_function() -> None:
    head, scores = MixtureHead(SHAPE, components=3), draw(9)
    answer = (head(scores, *units()).numpy() - 30) / 5
    log_weights, places, spreads = (part.double().numpy()[:, :, None] for part in split_mixture(scores))
    below = (np.exp(log_weights) * stats.norm.cdf(answer[..., None], places, spreads)).sum(axis=3)
    np.testing.assert_allclose(below, np.broadcast_to(LEVELS, below.shape), atol=2e-5)  # float32

    def miss(x: float) -> float:
        parts = stats.norm.cdf(x, places[3, 2, 0], spreads[3, 2, 0])
        return float((np.exp(log_weights[3, 2, 0]) * parts).sum() - 0.75)

    assert answer[3, 2, 4] == pytest.approx(optimize.brentq(miss, -20, 20), abs=1e-4)


@pytest.mark.parametrize("dispersion", [0.001, 0.2, 1.0, 4.0])
@pytest.mark.parametrize("mean", [0.01, 0.7, 5.0, 25.0])
def test_quantiles_of_small_counts_are_exact_once_rounded(mean: float, dispersion: float) -> None:
    answer = ask_counts(mean, dispersion)
    exact = quantiles_of(mean, dispersion)
    small = exact < 63
    assert small.sum() >= 5
    np.testing.assert_array_equal(np.round(answer[small]), exact[small])


@pytest.mark.parametrize(("dispersion", "off"), [(1e-4, 3e-4), (0.2, 3e-4), (1.0, 2e-3), (2.0, 7e-3), (4.0, 0.03)])
def test_levels_of_large_counts_are_off_by_no_more_than_is_said(dispersion: float, off: float) -> None:
    found = 0
    for mean in (40.0, 63.0, 90.0, 1e3, 3e4, 1e6):
        answer = ask_counts(mean, dispersion)
        shape = 1 / dispersion
        large = answer > 64
        # the distribution function between counts, as the answer reads it: half of a count lies on either side
        low = np.floor(answer + 0.5) - 1
        share = answer + 0.5 - np.floor(answer + 0.5)
        below = stats.nbinom.cdf(low, shape, shape / (shape + mean))
        at = below + share * stats.nbinom.pmf(low + 1, shape, shape / (shape + mean))
        assert np.abs(at - LEVELS)[large].max(initial=0.0) <= off
        found += int(large.sum())
    assert found > 20


def test_quantiles_of_counts_move_little_where_their_parameters_do() -> None:
    means = torch.linspace(0.5, 200.0, 4000, dtype=torch.float64).reshape(1, -1)
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    answer = count_quantiles(means, torch.full_like(means, 0.3), levels=levels, normal=torch.special.ndtri(levels))
    assert (answer.diff(dim=2) >= 0).all()
    steps = answer.diff(dim=1)
    assert steps.min() > -0.5  # counts: where the sum hands over to the approximation
    assert steps.max() < 1.0


def ask_counts(mean: float, dispersion: float) -> np.ndarray:
    parts = [torch.full((1, 1), value, dtype=torch.float64) for value in (mean, dispersion)]
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    answer: np.ndarray = count_quantiles(*parts, levels=levels, normal=torch.special.ndtri(levels))[0, 0].numpy()
    return answer


def quantiles_of(mean: float, dispersion: float) -> np.ndarray:
    shape = 1 / dispersion
    return np.asarray(stats.nbinom.ppf(LEVELS, shape, shape / (shape + mean)))


def test_a_window_of_zeros_has_a_mean_of_less_than_a_count() -> None:
    head = CountHead(SHAPE)
    scores = torch.tensor(head.start).expand(1, 4, 2)
    expected, dispersion = head.parts(scores, torch.zeros(1, 1))
    np.testing.assert_allclose(expected.numpy(), 0.1, rtol=1e-4)  # one count in a lookback of ten
    np.testing.assert_allclose(dispersion.numpy(), 0.3, rtol=1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_every_head_gives_ascending_finite_quantiles_for_any_window(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(FeedForward(), SHAPE, head=name).eval()
        for parameter in network.core.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        target = torch.rand(60, 10) * 50
    target[0], target[1], target[2] = float("nan"), 0.0, target[2] * 1e8
    target[3:30][torch.rand(27, 10, generator=torch.Generator().manual_seed(1)) < 0.4] = float("nan")
    with torch.no_grad():
        answer = network(target)
    assert answer.shape == (60, 4, len(LEVELS))
    assert answer.isfinite().all()
    assert (answer.diff(dim=2) >= 0).all()


@pytest.mark.parametrize("name", ["gaussian", "student", "mixture"])
def test_an_untrained_distribution_is_near_the_windows_own(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(FeedForward(), SHAPE, head=name).eval()
        target = torch.randn(400, 10) * 5 + 30
    with torch.no_grad():
        z = (network(target) - target.mean(1)[:, None, None]) / target.std(1, correction=0)[:, None, None]
    np.testing.assert_allclose(z.mean((0, 1)).numpy()[1:-1], stats.norm.ppf(LEVELS[1:-1]), atol=0.4)


def test_heads_know_themselves_by_their_tensors() -> None:
    for name in HEADS:
        components = 5 if name == "mixture" else None
        tensors = build(FeedForward(), SHAPE, head=name, components=components).state_dict()
        assert head_of(tensors) == (name, components)
    with pytest.raises(BundleError, match="should be one number from 2 to 16; got 900"):
        head_of({"head.components": np.array(900)})
    with pytest.raises(ConfigError, match="from 2 to 16 components; got 17"):
        open_head("mixture", SHAPE, components=17)
    with pytest.raises(ConfigError, match=r"no head is called 'gauss'. There are: quantile, point"):
        open_head("gauss", SHAPE)


def learn(loss: str) -> TorchFitted:
    panel = small_panel(series=2, covariates=False)
    whole = replace(panel, table=panel.table.with_columns(panel.table[panel.roles.target].round(0)))
    task = Task(3, (0.05, 0.5, 0.95))
    split = split_holdout(whole, task)
    view = usual_view(whole, split=split, task=task)
    train = TrainSpec(epochs=3, steps=20, batch_size=64, loss=loss, learning_rate=3e-3)  # type: ignore[arg-type]
    spec = FeedForward(hidden=(16,))
    fitted = fit(spec, panel=keep_covariates(whole, spec.takes), split=split, task=task, view=view, train=train)
    assert isinstance(fitted, TorchFitted)
    return fitted


@pytest.mark.parametrize("loss", ["mse", "huber", "gaussian", "student", "mixture", "negative_binomial", "crps"])
def test_every_head_goes_into_a_bundle_and_comes_back_bit_for_bit(loss: str, tmp_path: Path) -> None:
    fitted = learn(loss)
    bundle = save_bundle(fitted, panel=small_panel(series=2, covariates=False), folder=tmp_path / loss)
    assert bundle.parity <= bundle.tolerance
    batch, answer = bundle.example()
    again = rebuild(bundle.manifest, bundle.tensors())
    assert again.predict(to_windows(batch, horizon=3)).tobytes() == answer.tobytes()


def test_a_mixture_with_another_number_of_components_is_refused() -> None:
    fitted = learn("mixture")
    tensors = fitted.tensors() | {"head.components": np.array(4)}
    with pytest.raises(BundleError, match=r"core.answer.weight .* should be \(36, 16\)"):
        from_tensors(fitted.spec, task=fitted.task, view=fitted.view, shape=fitted.shape, tensors=tensors)


def test_the_spread_of_a_distribution_has_a_floor() -> None:
    _, spread = split_two(torch.full((1, 1, 2), -200.0))
    assert float(spread) == pytest.approx(1e-3)
    assert math.isfinite(float(torch.log(spread)))
