"""Sample paths with the time structure of the forecast's errors, from the quantiles of any model.

N windows, H horizon, Q quantiles, P paths. A Gaussian copula joins the steps (the idea of the Schaake shuffle: Clark
and others 2004); its correlation comes from the ranks of what was observed under the forecasts. Paths of two series,
or of two windows, are drawn apart from each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.data.task import refuse_classes
from tidewright.errors import ConfigError, DataError
from tidewright.features.windows import Doubles, Windows, cut_windows
from tidewright.metrics.distribution import score_at, value_at
from tidewright.models.fitted import Fitted

FEWEST = 10  # windows that ranks are taken of
SMALLEST = 1e-9  # eigenvalue of a correlation that draws are made from


@dataclass(frozen=True, eq=False, slots=True)
class Dependence:
    """How the errors of the steps hang together: `correlation` [H, H] of normal scores, from so many `windows`."""

    correlation: Doubles
    windows: int


def measure_dependence(fitted: Fitted, *, panel: Panel, cutoffs: Cutoffs) -> Dependence:
    """The dependence between the steps of a model's errors at some cutoffs (say the validation part's).

    Spearman's rank correlation of the labels' scores under their forecasts, r = 2 sin(pi rho / 6) of it (exact for a
    Gaussian copula: Pearson 1907), and the nearest correlation without negative eigenvalues. With fewer windows than
    steps it is noisy. Missing labels are left out pair by pair. Raises `DataError` for fewer than 10 windows.
    """
    refuse_classes(fitted.task, "the dependence of steps")
    windows = cut_windows(panel, fitted.view, horizon=fitted.task.horizon, cutoffs=cutoffs, least=1)
    if len(windows) < FEWEST:
        raise DataError(f"ranks need {FEWEST} windows at least; there are {len(windows)}. Give more cutoffs.")
    scores = score_at(fitted.predict(windows), windows.labels(), levels=fitted.task.quantiles)
    return Dependence(mend_correlation(2.0 * np.sin(np.pi / 6.0 * rank_correlation(scores))), len(windows))


def sample_paths(fitted: Fitted, windows: Windows, *, dependence: Dependence, paths: int, seed: int = 0) -> Doubles:
    """Paths [N, P, H] on the original scale: at every step distributed as the quantiles say (straight lines between
    normal scores, normal tails), and from step to step as `dependence` says. Raises `ConfigError`.
    """
    horizon = fitted.task.horizon
    if paths < 1:
        raise ConfigError(f"paths is the number of paths a window, 1 or more; got {paths}.")
    if dependence.correlation.shape != (horizon, horizon):
        raise ConfigError(
            f"the dependence is of {len(dependence.correlation)} steps, the model forecasts {horizon}. "
            "Measure it with this model."
        )
    size, vectors = np.linalg.eigh(dependence.correlation)
    root = vectors * np.sqrt(np.maximum(size, 0.0))
    draws = np.random.default_rng(seed).standard_normal((paths, len(windows), horizon)) @ root.T
    drawn = value_at(fitted.predict(windows), draws, levels=fitted.task.quantiles)
    return np.ascontiguousarray(drawn.transpose(1, 0, 2))


def rank_correlation(values: Doubles) -> Doubles:
    """Spearman's rank correlation [H, H] of columns [N, H]; NaN is left out pair by pair, 0 where nothing moves.

    >>> rank_correlation(np.array([[1.0, 10.0], [2.0, 1000.0], [3.0, 20000.0]])).round(6)
    array([[1., 1.],
           [1., 1.]])
    """
    from scipy.stats import rankdata

    seen = np.isfinite(values)
    ranks = np.asarray(rankdata(values, axis=0, nan_policy="omit"))
    middle = (seen.sum(axis=0) + 1) / 2
    centred = np.where(seen, ranks - middle, 0.0)
    both = seen.astype(np.float64)
    squares = (centred**2).T @ both  # of one column where the other is seen
    size = np.sqrt(squares * squares.T)
    found: Doubles = np.divide(centred.T @ centred, size, out=np.zeros_like(size), where=size > 0)
    np.fill_diagonal(found, 1.0)
    return found


def mend_correlation(correlation: Doubles) -> Doubles:
    """The correlation with its negative eigenvalues lifted to 0 and its diagonal put back to 1 (Rousseeuw,
    Molenberghs 1993).

    >>> mend_correlation(np.array([[1.0, 0.5], [0.5, 1.0]]))
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    size, vectors = np.linalg.eigh(correlation)
    if size.min() >= SMALLEST:
        return correlation
    lifted = (vectors * np.maximum(size, SMALLEST)) @ vectors.T
    spread = np.sqrt(np.diag(lifted))
    return np.asarray(lifted / np.outer(spread, spread))
