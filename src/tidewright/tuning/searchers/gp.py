"""Bayesian optimisation with a Gaussian process and expected improvement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tidewright.tuning.searchers.cube import Cube, Doubles
from tidewright.tuning.searchers.draw import sobol_point
from tidewright.tuning.searchers.improve import Improvement, rank_candidates
from tidewright.tuning.searchers.laplace import draw_hyperparameters
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.searchers.surrogate import Data, Posterior
from tidewright.tuning.searchers.untried import Tried, label_of, next_untried, rng_of
from tidewright.tuning.searchers.worth import Worth, weigh_trials

Fit = Callable[[Data, int], Sequence[Doubles]]  # hyperparameters, one array a sample, of data and a seed


class GPSearcher:
    """Suggests where a Gaussian process expects the most improvement; the first points are of a Sobol sequence.

    Running trials count as if they came out as expected (Ginsbourger et al. 2010). A pruned trial counts as the upper
    quartile of the complete ones, a failed one as the worst. Several objectives are mixed into one by weights that are
    drawn anew for each trial (Knowles, 2006).
    """

    def __init__(self, fit: Fit | None = None) -> None:
        """`fit` gives samples of the hyperparameters; without one, `draw_hyperparameters` does."""
        self._tried = Tried()
        self._cube: Cube | None = None
        self._fit = fit or draw_hyperparameters

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        tried = self._tried.labels(history)
        if self._cube is None or self._cube.space is not history.space:
            self._cube = Cube(history.space)
        worth = weigh_trials(history, self._cube)
        if len(worth.values) < startup(self._cube) or not self._cube.options:
            return next_untried(history, tried, lambda turn: sobol_point(history, history.number + turn))
        ranked = iter(self._rank(history, self._cube, worth, tried))
        return next_untried(history, tried, lambda _: next(ranked, None))

    def _rank(self, history: History, cube: Cube, worth: Worth, tried: Any) -> list[Mapping[str, Any]]:
        data = Data(cube.columns(worth.places), worth.values, cube.groups)
        posteriors = [Posterior(theta, data) for theta in self._fit(data, history.number)]
        best = [float(posterior.predict(data.columns)[0].min()) for posterior in posteriors]
        if len(worth.pending):
            posteriors = [posterior.with_pending(cube.columns(worth.pending)) for posterior in posteriors]
        known = worth.places[np.argsort(worth.values, kind="stable")[:3]]
        places = rank_candidates(Improvement(posteriors, best), cube=cube, known=known, rng=rng_of(history))
        points = [cube.point(row) for row in places]
        return [point for point in points if label_of(history.space, point) not in tried]


def startup(cube: Cube) -> int:
    """How many trials must have ended before a model is made of them."""
    return min(10, len(cube.options) + 2)
