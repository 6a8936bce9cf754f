"""`stack`: the weights, none below 0 and 1 together, that make a mixture's loss least (Breiman 1996).

K models, N windows, H horizon, Q quantiles, M cells.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tidewright.features.windows import Doubles
from tidewright.metrics.accuracy import Scored

SQUARED = ("mse", "rmse", "rmsse")  # metrics that a mean serves: stacked by squared errors, others by absolute ones
LEVELS = ("pinball", "wql", "sql", "crps")  # metrics of all quantiles
SCALED = ("mase", "rmsse", "sql")
MOST_CELLS = 400_000  # numbers a model
ROUNDS, CLOSE = 60, 1e-5  # of reweighting, and the move of the weights that ends it


def stack(said: Doubles, scored: Scored, metric: str) -> Doubles:
    """The weights [K] of what models say [K, N, H, Q]; equal ones where nothing is scored.

    By the squared error of the median for metrics that are squares, else by the quantile loss: of the median, or of
    all levels for a metric of all levels. Errors count in the windows' own scale for scaled metrics.
    """
    errors, levels = _open_errors(said, scored, metric)
    if not errors.shape[1]:
        return np.full(len(said), 1.0 / len(said))
    return solve_squares(errors) if metric in SQUARED else solve_quantiles(errors, levels)


def solve_squares(errors: Doubles, *, weights: Doubles | None = None) -> Doubles:
    """The w on the simplex with the least sum of (w @ errors)^2, cells [M] weighed by `weights`; errors are [K, M].

    As non-negative least squares: with w = s u, u on the simplex, the least of |w @ errors|^2 + (sum w - 1)^2 over s
    grows with |u @ errors|^2, so the solution over its sum is the one sought.
    """
    from scipy.optimize import nnls

    gram = (errors if weights is None else errors * weights) @ errors.T
    size = np.trace(gram) / len(gram)
    if size == 0.0:
        return np.full(len(gram), 1.0 / len(gram))
    values, vectors = np.linalg.eigh(gram / size)
    root = np.sqrt(np.maximum(values, 1e-12))[:, None] * vectors.T
    found, _ = nnls(np.vstack([root, np.ones(len(gram))]), np.append(np.zeros(len(gram)), 1.0))
    return np.asarray(found / found.sum())


def solve_quantiles(errors: Doubles, levels: Doubles) -> Doubles:
    """The w on the simplex with the least mean quantile loss of w @ errors at the cells' levels [M], by reweighted
    least squares: a loss is a square over its own size, taken from the round before."""
    weights = np.full(len(errors), 1.0 / len(errors))
    least = 1.0
    for _ in range(ROUNDS):
        residual = weights @ errors
        size = np.abs(residual)
        usual = float(size.mean())
        if usual == 0.0:
            break
        slope = np.where(residual >= 0, levels, 1.0 - levels)
        before, weights = weights, solve_squares(errors, weights=slope / np.maximum(size, least * usual))
        least = max(least / 2.0, 1e-4)  # from a square towards the loss itself
        if least == 1e-4 and np.abs(weights - before).max() < CLOSE:
            break
    return weights


def _open_errors(said: Doubles, scored: Scored, metric: str) -> tuple[Doubles, npt.NDArray[np.float64]]:
    """What came minus what each model said, for the cells that count [K, M], and the quantile level of each."""
    median = int(np.argmin(np.abs(scored.levels - 0.5)))
    columns = slice(None) if metric in LEVELS else slice(median, median + 1)
    errors = scored.actual[:, :, None] - said[..., columns]
    if metric in SCALED:
        scale = np.sqrt(np.asarray(scored.scale_squared)) if metric == "rmsse" else np.asarray(scored.scale)
        usable = np.where(scale > 0, scale, np.nan)  # a window without one is not scored
        errors = errors / usable[:, None, None]
    flat = errors.reshape(len(said), -1)
    levels = np.broadcast_to(scored.levels[columns], errors.shape[1:]).reshape(-1)
    cells = np.flatnonzero(~np.isnan(flat[0]))
    if len(cells) > MOST_CELLS:
        cells = cells[np.unique(np.linspace(0, len(cells) - 1, MOST_CELLS).astype(np.int64))]
    return flat[:, cells], levels[cells]
