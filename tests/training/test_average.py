"""The averaged weights are the formula's, and they are what is judged and given back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tests.training.test_torch_loop import BASE, TASK, VIEW, bits, learn, make_panel, make_split
from tidewright.features.windows import cut_windows
from tidewright.models.spec import FeedForward
from tidewright.models.torch.fitted import TorchFitted
from tidewright.models.torch.network import ForecastNet, build
from tidewright.models.torch.shape import Shape
from tidewright.training.average import open_average
from tidewright.training.epoch import measure_loss
from tidewright.training.fit import fit
from tidewright.training.gather import open_source
from tidewright.training.losses import open_loss

SHAPE = Shape(lookback=8, horizon=2, past=0, known=0, static=0, quantiles=(0.1, 0.5, 0.9))


def make_network(batch_norm: bool = False) -> ForecastNet:
    torch.manual_seed(0)
    return build(FeedForward(hidden=(4,), batch_norm=batch_norm), SHAPE)


def test_it_is_the_formula_of_an_exponential_mean() -> None:
    network = make_network()
    average = open_average(network, 0.9)
    assert average is not None
    expected = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    for step in range(200):
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight))
        average.follow(step)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, tensor in network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor.double().numpy()
    for name, tensor in average.network.state_dict().items():
        np.testing.assert_allclose(tensor.numpy(), expected[name], rtol=1e-4, atol=1e-5)


def test_statistics_of_batch_normalisation_follow_and_counts_are_copied() -> None:
    network = make_network(batch_norm=True)
    average = open_average(network, 0.5)
    assert average is not None
    network.train()
    for step in range(12):
        network(torch.randn(16, 8) * 5)
        average.follow(step)
    own, theirs = average.network.state_dict(), network.state_dict()
    counts = [name for name in own if name.endswith("num_batches_tracked")]
    assert counts
    for name in counts:
        assert own[name] == theirs[name] == 12
    moved = [name for name in own if name.endswith("running_var")]
    assert moved
    assert not any(torch.equal(own[name], theirs[name]) for name in moved)
    assert torch.equal(own["usual_scale"], theirs["usual_scale"])  # what does not move stays to the bit


def test_there_is_none_unless_it_is_asked_for() -> None:
    assert open_average(make_network(), 0.0) is None


def test_the_mean_of_the_weights_is_judged_and_given_back() -> None:
    fitted = learn(replace(BASE, ema=0.95, epochs=6))
    windows = cut_windows(make_panel(), VIEW, horizon=3, cutoffs=make_split().validation, least=1)
    source = open_source(windows)
    measure = open_loss("quantile", TASK.quantiles, complete=source.complete)
    losses = [record["validation_loss"] for record in fitted.history]
    assert measure_loss(fitted.network, source, measure=measure) == min(losses)
    assert bits(fitted) != bits(learn(replace(BASE, epochs=6)))


def test_it_smooths_what_a_large_rate_makes_restless() -> None:
    restless = replace(BASE, learning_rate=0.05, epochs=12, patience=12, steps=7)
    plain = [record["validation_loss"] for record in learn(restless).history]
    mean = [record["validation_loss"] for record in learn(replace(restless, ema=0.9)).history]
    assert np.std(np.diff(mean[3:])) < np.std(np.diff(plain[3:]))


def test_a_network_with_batch_normalisation_learns_with_it() -> None:
    spec = FeedForward(hidden=(16,), batch_norm=True)
    train = replace(BASE, ema=0.9, epochs=8)
    fitted = fit(spec, panel=make_panel(), split=make_split(), task=TASK, view=VIEW, train=train)
    assert isinstance(fitted, TorchFitted)
    assert fitted.history[-1]["validation_loss"] < fitted.history[0]["validation_loss"]
