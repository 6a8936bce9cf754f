"""The searcher and the pruner of a study, made from their names."""

from __future__ import annotations

from functools import partial

from tidewright.errors import ConfigError
from tidewright.tuning.adaptive import AdaptiveSearchSpace
from tidewright.tuning.pruners import PRUNERS, HyperbandPruner, MedianPruner, Pruner
from tidewright.tuning.searchers.adaptive import AdaptiveSearcher
from tidewright.tuning.searchers.auto import AutoSearcher, pick_searcher
from tidewright.tuning.searchers.catalog import SEARCHERS
from tidewright.tuning.searchers.searcher import Searcher
from tidewright.tuning.space import IntRange, SearchSpace

WARMUP_EPOCHS = 10  # of a trial that may take 50 epochs or more; a fifth of a shorter one


def choose_searcher(
    name: str, *, space: SearchSpace, trials: int | None, adaptive: AdaptiveSearchSpace | bool = False
) -> tuple[Searcher, tuple[str, ...]]:
    """A searcher, and what is to be said of it: which one "auto" takes first, and why. Raises `UnknownNameError`.

    With `adaptive` it searches a space that narrows to where trials were good, adapting as usual (True) or as is given;
    raises `ConfigError` for one of another space.

    >>> from tidewright.tuning.ranges import IntRange
    >>> choose_searcher("auto", space=SearchSpace("lstm", {"model.layers": IntRange(1, 3)}), trials=10)[1]
    ('points are of grid: the space has 3 points, so all can be tried.',)
    """
    notes: tuple[str, ...] = ()
    if name == "auto":
        pick = pick_searcher(space, ended=0, trials=trials)
        notes = (f"points are of {pick.name}: {pick.reason}.",)
    make = partial(AutoSearcher, trials=trials) if name == "auto" else SEARCHERS.load(name)
    if adaptive is False:
        made: Searcher = make()
        return made, notes
    adapting = AdaptiveSearchSpace(space) if adaptive is True else adaptive
    if not isinstance(adapting, AdaptiveSearchSpace):
        raise ConfigError(f"adaptive is True, False or an AdaptiveSearchSpace of the space; got {adaptive!r}.")
    if (adapting.space, adapting.direction) != (space, "minimize"):
        raise ConfigError(
            f"the adaptive space is of {adapting.space.model} and to {adapting.direction}; a study of {space.model} "
            "makes its values small. Give AdaptiveSearchSpace(space), of the same space."
        )
    return AdaptiveSearcher(make, adapting), notes


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
