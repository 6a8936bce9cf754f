"""What a backtest held and paid: turnover, exposure, cost drag."""

from __future__ import annotations

import numpy as np

from tidewright.metrics.returns.sample import Floats, Sample


def find_turnover(sample: Sample) -> Floats:
    """Half of what was traded a year, as a share of equity; the purchase from cash is left out."""
    return np.asarray(sample.held.turnover.sum() * sample.periods_per_year / sample.periods)[()]


def find_gross(sample: Sample) -> Floats:
    """The mean of the summed sizes of the weights."""
    return np.asarray(np.abs(sample.held.weights).sum(axis=1).mean())[()]


def find_net(sample: Sample) -> Floats:
    """The mean of the summed weights."""
    return np.asarray(sample.held.weights.sum(axis=1).mean())[()]


def find_cost_drag(sample: Sample) -> Floats:
    """Costs a year over mean equity."""
    held = sample.held
    return np.asarray(held.costs.sum() / held.equity.mean() * sample.periods_per_year / sample.periods)[()]
