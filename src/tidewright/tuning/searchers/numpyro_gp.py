"""A Gaussian process whose hyperparameters NumPyro samples, so that what isn't known of them is heeded.

Expected improvement is averaged over the samples (Snoek, Larochelle and Adams, 2012).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from tidewright.optional import require
from tidewright.tuning.searchers.gp import GPSearcher
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.searchers.surrogate import (
    LENGTH_SPREAD,
    NOISE_MIDDLE,
    NOISE_SPREAD,
    SIGNAL_SPREAD,
    Data,
    Doubles,
    bounds_of,
    fit_hyperparameters,
    hold,
    length_middle,
)

WARMUP, SAMPLES, KEPT, DEPTH = 16, 16, 8, 3  # four times as long a chain picks no better points
PAD = 64  # points are filled up to a multiple, for every shape is compiled, in 5 CPU s


class NumPyroSearcher:
    """`GPSearcher` with samples of the hyperparameters by the no-U-turn sampler (Hoffman and Gelman, 2014), the same
    priors, in place of the most probable ones."""

    def __init__(self) -> None:
        self._searcher = GPSearcher(sample_hyperparameters)

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        return self._searcher.suggest(history)


def sample_hyperparameters(data: Data, seed: int) -> Sequence[Doubles]:
    """`KEPT` samples, begun at the most probable ones."""
    require("numpyro", extra="search", purpose="the search numpyro")
    jax = require("jax", extra="search", purpose="the search numpyro")
    start = fit_hyperparameters(data)
    with jax.enable_x64(True):
        drawn = np.asarray(_chain()(jax.random.key(seed), start, *_pad(data)))
    return list(hold(drawn[:: SAMPLES // KEPT], data.options))


@cache
def _chain() -> Any:
    """The whole chain as one function, compiled once for each shape: (key, start, data) to samples [S, G + 2]."""
    import jax
    from numpyro.infer.hmc import hmc
    from numpyro.infer.util import potential_energy

    def potential(*data: Any) -> Any:
        return lambda theta: potential_energy(_model, data, {}, {"theta": theta})

    begin, step = hmc(potential_fn_gen=potential, algo="NUTS")

    def run(key: Any, start: Any, *data: Any) -> Any:
        state = begin(start, num_warmup=WARMUP, max_tree_depth=DEPTH, model_args=data, rng_key=key)

        def move(state: Any, _: Any) -> Any:
            moved = step(state, model_args=data)
            return moved, moved.z

        return jax.lax.scan(move, state, None, length=WARMUP + SAMPLES)[1][WARMUP:]

    return jax.jit(run)


def _model(apart: Any, values: Any, there: Any) -> None:
    """The density of `surrogate.loss`; rows that fill up are independent of all others and have the value 0."""
    import jax.numpy as jnp
    import numpyro
    from jax.scipy.linalg import solve_triangular
    from numpyro.distributions import Normal

    options = apart.shape[0]
    middles = jnp.array([length_middle(options)] * options + [0.0, NOISE_MIDDLE])
    spreads = jnp.array([LENGTH_SPREAD] * options + [SIGNAL_SPREAD, NOISE_SPREAD])
    theta = numpyro.sample("theta", Normal(middles, spreads).to_event(1))
    low, high = bounds_of(options)
    theta = jnp.clip(theta, jnp.asarray(low), jnp.asarray(high))
    squared = jnp.tensordot(jnp.exp(-2.0 * theta[:-2]), apart, axes=1)
    root = jnp.sqrt(5.0 * jnp.where(squared > 0.0, squared, 1e-12))
    shape = (1.0 + root + root**2 / 3.0) * jnp.exp(-root) * there[:, None] * there[None]
    diagonal = there * (jnp.exp(theta[-1]) + 1e-9) + (1.0 - there)
    lower = jnp.linalg.cholesky(jnp.exp(theta[-2]) * shape + jnp.diag(diagonal))
    whitened = solve_triangular(lower, values, lower=True)
    numpyro.factor("likelihood", -0.5 * whitened @ whitened - jnp.log(jnp.diag(lower)).sum())


def _pad(data: Data) -> tuple[Doubles, Doubles, Doubles]:
    """Squared distances [G, P, P], values [P] and which rows are there [P], for P a multiple of `PAD`."""
    count = len(data.values)
    more = PAD * math.ceil(count / PAD) - count
    there = np.concatenate([np.ones(count), np.zeros(more)])
    return np.pad(data.apart, ((0, 0), (0, more), (0, more))), np.pad(data.values, (0, more)), there
