"""Points drawn evenly (Bergstra and Bengio, 2012), and points of a sequence that leaves no gaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.searchers.shares import value_at
from tidewright.tuning.searchers.untried import Tried, draw_point, next_untried, rng_of


class RandomSearcher:
    """Draws each option evenly from its range, whatever came of the others."""

    def __init__(self) -> None:
        self._tried = Tried()

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""

        def propose(turn: int) -> Mapping[str, Any]:
            return draw_point(history.space, rng_of(history, turn))

        return next_untried(history, self._tried.labels(history), propose)


class SobolSearcher:
    """Goes along a Sobol sequence that the study's seed scrambles (Owen, 1998): trial n gets its point n."""

    def __init__(self) -> None:
        self._tried = Tried()

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        tried = self._tried.labels(history)
        return next_untried(history, tried, lambda turn: sobol_point(history, history.number + turn))


def sobol_point(history: History, place: int) -> Mapping[str, Any]:
    """The point at a place of the study's sequence."""
    from scipy.stats import qmc

    names = history.space.names
    sequence = qmc.Sobol(len(names), rng=history.seed)
    if place:  # it can't go forward by nothing
        sequence.fast_forward(place)
    shares = dict(zip(names, sequence.random(1)[0], strict=True))
    return history.space.walk(lambda name, one: value_at(one, shares[name]))
