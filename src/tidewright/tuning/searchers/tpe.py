"""Tree-structured Parzen estimators (Bergstra et al. 2011), multivariate, of Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidewright.optional import require
from tidewright.tuning.searchers.optuna_study import Mirror, quiet
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.searchers.untried import Tried, next_untried, seed_of

STARTUP_TRIALS = 10


class TPESearcher:
    """Suggests by TPE; the first `STARTUP_TRIALS` points are drawn evenly.

    A running trial counts as the worst there is, so that no two workers try the same region (constant liar). Options
    that are there with others alone are modelled with these (`group`).
    """

    def __init__(self) -> None:
        self._tried = Tried()
        self._mirror: Mirror | None = None

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        optuna = require("optuna", extra="tuning", purpose="tuning")
        mirror = self._mirror = Mirror.follow(self._mirror, history)
        ruled = bool(history.space.rules)

        def propose(turn: int) -> Mapping[str, Any]:
            seed = seed_of(history, turn)
            with quiet(optuna):
                sampler = optuna.samplers.TPESampler(
                    n_startup_trials=STARTUP_TRIALS, seed=seed, multivariate=True, group=ruled, constant_liar=False
                )
            return mirror.sample(sampler)

        return next_untried(history, self._tried.labels(history), propose)
