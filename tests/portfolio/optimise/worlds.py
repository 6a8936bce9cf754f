"""Markets for the tests of the optimiser: A assets with factors, different risks and means, no ties."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidewright.portfolio import Covariance, Limits
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.optimise.problem import Problem
from tidewright.portfolio.optimise.read import read_problem


def name_assets(count: int) -> tuple[str, ...]:
    return tuple(f"A{number}" for number in range(count))


def draw_returns(seed: int, *, rows: int = 200, assets: int = 8) -> FloatArray:
    rng = np.random.default_rng(seed)
    moved = rng.normal(size=(rows, 3)) @ rng.normal(size=(3, assets)) * 0.005
    own = rng.standard_t(5, size=(rows, assets)) * rng.uniform(0.004, 0.02, assets)
    return np.asarray(moved + own + rng.normal(5e-4, 5e-4, assets))


def pose(seed: int = 0, *, limits: Limits | None = None, assets: int = 8, **more: Any) -> Problem:
    return read_problem(draw_returns(seed, assets=assets), assets=name_assets(assets), limits=limits, **more)


def sample(returns: FloatArray) -> Covariance:
    return Covariance(np.cov(returns.T), name_assets(returns.shape[1]), "sample")
