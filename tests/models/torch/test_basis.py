"""N-BEATS and N-HiTS: bases against NumPy, parts that add up, pooling that sees no gap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tidewright.errors import ConfigError
from tidewright.models.specs.basis import NBEATS, NHiTS
from tidewright.models.torch.bases import fourier, hats, polynomial
from tidewright.models.torch.basis import StackedBlocks, pool_steps
from tidewright.models.torch.network import build
from tidewright.models.torch.shape import Shape

SHAPE = Shape(lookback=24, horizon=12, past=0, known=0, static=0, quantiles=(0.1, 0.5, 0.9))
READABLE = NBEATS(stacks=("trend", "seasonality"), width=16, degree=2, harmonics=3)


def random_core(spec: Any) -> StackedBlocks:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        core = build(spec, SHAPE).core.eval()
        for parameter in core.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    assert isinstance(core, StackedBlocks)
    return core


def draw_window() -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.randn(5, 24, generator=torch.Generator().manual_seed(1))
    seen = torch.ones_like(values)
    seen[:, 7:9] = 0.0
    return values * seen, seen


@pytest.mark.parametrize("spec", [READABLE, NBEATS(width=8, terms=5), NHiTS(width=8)], ids=lambda spec: spec.name)
def test_the_parts_and_the_start_are_the_forecast(spec: Any) -> None:
    core, (values, seen) = random_core(spec), draw_window()
    with torch.no_grad():
        parts = core.decompose(values, seen, None, None, None)
        whole = core(values, seen, None, None, None)
    assert parts.shape == (len(core.plan), 5, 12, 3)
    np.testing.assert_allclose(parts.sum(dim=0) + core.start, whole, rtol=1e-5, atol=1e-5)


def test_the_trend_is_a_polynomial_and_the_seasonality_has_its_harmonics_alone() -> None:
    core, (values, seen) = random_core(READABLE), draw_window()
    with torch.no_grad():
        trend, season = core.decompose(values, seen, None, None, None).double().numpy()
    assert np.abs(np.diff(trend, n=3, axis=1)).max() < 1e-4 * np.abs(trend).max()
    assert np.abs(np.diff(trend, n=2, axis=1)).max() > 1e-3 * np.abs(trend).max()
    power = np.abs(np.fft.rfft(season, axis=1))
    assert power[:, 4:].max() < 1e-4 * power[:, :4].max()
    assert (power[:, :4].max(axis=(0, 2)) > 0.01).all()


def test_the_bases_are_those_of_numpy() -> None:
    time = np.arange(1, 8) / 7
    np.testing.assert_allclose(polynomial(7, 3), [time**power for power in range(4)], rtol=1e-6)
    angle = 2 * np.pi * np.arange(9) / 9
    expected = [np.cos(k * angle) for k in range(5)] + [np.sin(k * angle) for k in range(1, 5)]
    np.testing.assert_allclose(fourier(9, 99), expected, atol=1e-6)
    assert np.linalg.matrix_rank(fourier(9, 99).numpy()) == 9
    for length, stride in ((12, 1), (12, 5), (7, 3), (4, 9), (1, 2)):
        knots = -(-length // stride)
        places = np.linspace(0, knots - 1, length)
        lines = [np.interp(places, np.arange(knots), np.eye(knots)[row]) for row in range(knots)]
        np.testing.assert_allclose(hats(length, stride), lines, atol=1e-6)


def test_a_stack_of_wide_strides_answers_by_straight_lines() -> None:
    core, (values, seen) = random_core(NHiTS(pools=(4, 1), strides=(6, 1), width=8)), draw_window()
    with torch.no_grad():
        slow, free = core.decompose(values, seen, None, None, None).numpy()
    assert np.abs(np.diff(slow, n=2, axis=1)).max() < 1e-4
    assert np.abs(np.diff(free, n=2, axis=1)).max() > 0.01


@settings(max_examples=60, deadline=None)
@given(
    values=arrays(np.float32, (2, 11), elements=st.floats(-5, 5, width=32)),
    seen=arrays(np.bool_, (2, 11)),
    size=st.integers(1, 14),
)
def test_pooling_takes_the_largest_observed_value(values: np.ndarray, seen: np.ndarray, size: int) -> None:
    values = np.where(seen, values, 0.0).astype(np.float32)
    found, share = (t.numpy() for t in pool_steps(torch.from_numpy(values), torch.from_numpy(seen).float(), size))
    assert found.shape == share.shape == (2, -(-11 // size))
    for row in range(2):
        for place in range(found.shape[1]):
            end = 11 - (found.shape[1] - 1 - place) * size
            part = slice(max(0, end - size), end)
            there = values[row, part][seen[row, part]]
            assert found[row, place] == (there.max() if there.size else 0.0)
            assert share[row, place] == pytest.approx(there.size / size)


def test_what_a_block_explained_is_taken_from_the_next_ones_window() -> None:
    core, (values, seen) = random_core(NBEATS(stacks=("generic",), blocks=2, width=8, terms=4)), draw_window()
    with torch.no_grad():
        backcast, first = core.blocks[0](values, seen, [])
        nothing, second = core.blocks[1]((values - backcast) * seen, seen, [])
        expected = first + second + core.start
        np.testing.assert_allclose(core(values, seen, None, None, None), expected, rtol=1e-5)
    assert nothing is None


def test_the_blocks_of_a_readable_stack_share_their_weights() -> None:
    def count(spec: NBEATS) -> int:
        return sum(parameter.numel() for parameter in build(spec, SHAPE).parameters())

    shared, more = (NBEATS(stacks=("trend", "generic"), width=8, blocks=blocks) for blocks in (2, 3))
    own = NBEATS(stacks=("generic",), width=8, blocks=2)
    longer = NBEATS(stacks=("generic",), width=8, blocks=3)
    assert count(more) - count(shared) == count(longer) - count(own)  # only the generic stack grew
    assert len(build(READABLE, SHAPE).core.blocks) == 2


def test_the_generic_network_has_the_parameters_of_the_paper() -> None:
    spec = NBEATS(stacks=("generic",), blocks=1, width=32, layers=4, terms=7)
    layers = (2 * 24 * 32 + 32) + 3 * (32 * 32 + 32)  # the mask stands beside the window
    ahead = 32 * 7 * 3 + 7 * 3 + 7 * 12
    assert sum(parameter.numel() for parameter in build(spec, SHAPE).parameters()) == layers + ahead


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NBEATS(stacks=()), r"nbeats.stacks names one stack at least; got none"),
        (lambda: NBEATS(width=0), r"nbeats.width is made of whole numbers of 1 or more; got 0"),
        (lambda: NBEATS(dropout=1.0), r"nbeats.dropout is a share from 0 to below 1; got 1.0"),
        (lambda: NHiTS(pools=(2, 1)), r"one number a stack; got \(2, 1\) and \(24, 12, 1\). Give as many"),
        (lambda: NHiTS(pools=(2, 0, 1)), r"nhits.pools is made of whole numbers of 1 or more; got \(2, 0, 1\)"),
    ],
)
def test_options_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
