"""The searcher and the pruner of a study, made from their names."""

from __future__ import annotations

from tidewright.tuning.pruners import PRUNERS, HyperbandPruner, MedianPruner, Pruner
from tidewright.tuning.searchers.auto import AutoSearcher, pick_searcher
from tidewright.tuning.searchers.catalog import SEARCHERS
from tidewright.tuning.searchers.searcher import Searcher
from tidewright.tuning.space import IntRange, SearchSpace

WARMUP_EPOCHS = 10  # of a trial that may take 50 epochs or more; a fifth of a shorter one


def choose_searcher(name: str, *, space: SearchSpace, trials: int | None) -> tuple[Searcher, tuple[str, ...]]:
    """A searcher, and what is to be said of it: which one "auto" takes first, and why. Raises `UnknownNameError`.

    >>> from tidewright.tuning.ranges import IntRange
    >>> choose_searcher("auto", space=SearchSpace("lstm", {"model.layers": IntRange(1, 3)}), trials=10)[1]
    ('points are of grid: the space has 3 points, so all can be tried.',)
    """
    if name != "auto":
        made: Searcher = SEARCHERS.load(name)()
        return made, ()
    pick = pick_searcher(space, ended=0, trials=trials)
    return AutoSearcher(trials=trials), (f"points are of {pick.name}: {pick.reason}.",)


def choose_pruner(name: str, *, space: SearchSpace, epochs: int) -> Pruner:
    """A pruner of trials of so many epochs, more where the space has more. Raises `UnknownNameError`."""
    searched = space.ranges.get("train.epochs")
    most = int(searched.high) if isinstance(searched, IntRange) else epochs
    if name == "median":
        return MedianPruner(min(WARMUP_EPOCHS, max(1, most // 5)))
    made: Pruner = HyperbandPruner(most=most) if name == "hyperband" else PRUNERS.load(name)()
    return made
