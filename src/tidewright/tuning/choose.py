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


def names_option(address: str, option: str) -> bool:
    """Whether an address is an option, of all models or of one in a space of several.

    >>> names_option("lstm.train.loss", "train.loss"), names_option("train.loss_x", "train.loss")
    (True, False)
    """
    return address == option or address.endswith(f".{option}")


def choose_pruner(name: str, *, space: SearchSpace, epochs: int) -> Pruner:
    """A pruner of trials of so many epochs, more where the space has more. Raises `UnknownNameError`."""
    searched = [one for option, one in space.ranges.items() if names_option(option, "train.epochs")]
    most = max([int(one.high) for one in searched if isinstance(one, IntRange)], default=epochs)
    if name == "median":
        return MedianPruner(min(WARMUP_EPOCHS, max(1, most // 5)))
    made: Pruner = HyperbandPruner(most=most) if name == "hyperband" else PRUNERS.load(name)()
    return made
