"""How a panel's study begins with points of earlier ones, and is kept for later ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tidewright.errors import ConfigError, FallbackWarning
from tidewright.tuning.account import Earlier
from tidewright.tuning.panel_objective import PanelObjective
from tidewright.tuning.repeats import originals
from tidewright.tuning.search import Plan
from tidewright.tuning.store import Noted, TrialStore
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.warm import (
    FIRST,
    PastStudy,
    WarmStart,
    choose_first,
    keep_study,
    measure_traits,
    name_series,
    pick_best,
    read_studies,
)


def begin_warm(work: PanelObjective, plan: Plan, *, store: TrialStore, asked: bool | int) -> tuple[Plan, WarmStart]:
    """The plan with the first points that earlier studies give, `asked` of them (True: as many as usual), and what is
    to be said and counted. A study that goes on has those that it began with, whose trials count even where it isn't
    asked for them again. Raises `ConfigError` and `DataError`."""
    if asked is False:
        begun = store.begun()
        return plan, WarmStart((), (), () if begun is None else WarmStart.from_dict(begun).earlier)
    count = FIRST if asked is True else asked
    if not isinstance(count, int) or count < 1:
        raise ConfigError(f"warm_start is True, False or a number of points, 1 or more; got {asked!r}.")
    folder = _folder(work)
    if folder is None:
        raise ConfigError("warm_start asks the studies that are kept in a ledger, and ledger is False. Give a folder.")

    def make() -> WarmStart:
        if store.trials():
            return WarmStart((), ("warm start: none, for the study had begun without it.",))
        known = [one.point if isinstance(one, Noted) else one for one in plan.first]
        own = describe_past(work, plan, (), earlier=())
        return choose_first(read_studies(folder), own, space=plan.space, known=known, count=count)

    warm = WarmStart.from_dict(store.begin_with(lambda: make().to_dict()))
    return replace(plan, first=(*plan.first, *warm.points)), warm


def describe_past(
    work: PanelObjective, plan: Plan, trials: Sequence[Trial], *, earlier: Sequence[Earlier]
) -> PastStudy:
    """The study as later ones will know it; `earlier` trials found what it began with."""
    assert work.ledger is not None, "asked where there is a ledger"
    assert work.ledger.traits is not None, "which is kept"
    subject, split = work.ledger.ledger.subject, work.split
    first = min(int(part.split.validation.positions[0]) for part in work.parts) + 1
    judged = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
    return PastStudy(
        study=work.ledger.study,
        model=plan.space.model,
        data=subject.data,
        metric=subject.metric,
        until=work.panel.time_at(int(split.validation.positions[-1]) + split.horizon),
        traits=work.ledger.traits,
        best=pick_best(originals(trials), plan.space),
        since=work.panel.time_at(first),
        series=name_series(work.panel),
        trials={one.study: one.trials for one in earlier} | {work.ledger.study: judged},
    )


def measure_panel(work: PanelObjective) -> dict[str, float | None]:
    """What a study's data are like, as later ones compare them."""
    split = work.split
    return measure_traits(work.panel, horizon=work.task.horizon, until=split.train.last + split.horizon)


def end_warm(
    work: PanelObjective, plan: Plan, trials: Sequence[Trial], *, earlier: Sequence[Earlier]
) -> tuple[str, ...]:
    """Keeps a study that ended beside its ledger; what is to be said where the disk refuses."""
    folder = _folder(work)
    if folder is None:
        return ()
    try:
        keep_study(folder, describe_past(work, plan, trials, earlier=earlier))
    except OSError as error:
        note = f"the study could not be kept for later ones: {error}"
        warnings.warn(note, FallbackWarning, stacklevel=2)
        return (note,)
    return ()


def _folder(work: PanelObjective) -> Path | None:
    """Where studies are kept; None where they are not."""
    ledger = work.ledger
    return None if ledger is None or ledger.traits is None else ledger.ledger.folder
