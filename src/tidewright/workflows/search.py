"""`hold_search`: a preset's run. It picks models, windows and options for the data at hand, spends its time where the
validation error still falls, and hands the best try of each model to the contest, beside every floor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_rolling
from tidewright.data.task import Task
from tidewright.errors import ShortSeriesError
from tidewright.models.build import build_spec
from tidewright.models.recommend import recommend
from tidewright.models.spec import FLOORS, MODELS, kind_of
from tidewright.training.compare import usable_metric
from tidewright.training.events import Callback
from tidewright.workflows.allot import Arm, choose_next
from tidewright.workflows.attempts import SHORTEST, Desk, Try, check_floors, judging_seconds
from tidewright.workflows.contest import Contest, conclude
from tidewright.workflows.field import Field, choose_runtime
from tidewright.workflows.journal import Entry, Journal
from tidewright.workflows.moves import Moves
from tidewright.workflows.presets import PRESETS, Preset
from tidewright.workflows.scoring_cost import SLOW_KINDS
from tidewright.workflows.search_record import Attempt, Search
from tidewright.workflows.settings import RunSettings
from tidewright.workflows.stakes import Stakes

Tell = Callable[[str], None]
END_S, END_SHARE, MOST_END_SHARE = 8.0, 0.12, 0.35  # of the budget: for all that comes after the search
EXPORT_S = 3.0  # a network's way into the bundle
MOST_PROBES = 2  # for each model that is tried: others are not even measured


@dataclass(eq=False)
class _Hunt:
    """The search while it goes on."""

    desk: Desk
    preset: Preset
    tell: Tell
    moves: dict[str, Moves] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    tries: int | None = None

    @property
    def left_s(self) -> float:
        """The seconds for further tries. They count from the last deed's end, so that a run that was killed comes to
        the same decisions again."""
        settings = self.desk.ring.settings
        networks = sum(kind_of(kept.one.spec) == "torch" for kept in self.desk.best.values())
        end = min(END_S, END_SHARE * settings.budget_s) + 1.5 * judging_seconds(self.desk) + EXPORT_S * networks
        return settings.budget_s - min(end, MOST_END_SHARE * settings.budget_s) - self.desk.journal.at

    def attempt(self, one: Try, *, share_s: float = float("inf")) -> Attempt:
        best = min(self.desk.best.values(), key=lambda kept: kept.score, default=None)
        so_far = "" if best is None else f"; best so far {self.desk.metric} {best.score:.4g} by {best.one.model}"
        self.tell(f"{one.model}, {one.what}{so_far}")
        told = self.desk.attempt(one, share_s=share_s)
        if one.model in self.moves:
            self.moves[one.model].tell(one, told)
        return told


def hold_search(
    panel: Panel,
    *,
    split: Split,
    task: Task,
    season: int,
    settings: RunSettings,
    journal: Journal,
    started: float,
    callbacks: tuple[Callback, ...] = (),
    tell: Tell = lambda _: None,
) -> Contest:
    """A preset's contest, within `settings.budget_s` seconds from `started`, a `time.monotonic()`, those that earlier
    processes took counted too. What the journal holds is read and not done again."""
    assert settings.preset is not None
    preset, resumed = PRESETS[settings.preset], len(journal)
    ring = Field(panel, split, task, season, settings, callbacks, choose_runtime(settings), shortest=SHORTEST)
    passed_over: dict[str, str] = {}
    folds = _cut_folds(panel, split, task, preset, passed_over)
    desk = Desk(ring, folds, journal, settings.metric, started, journal.at)
    hunt = _Hunt(desk, preset, tell, passed_over=passed_over, tries=_count_tries(settings, preset))
    _fit_floors(hunt)
    _try_each(hunt, _choose_models(hunt))
    reason = _try_again(hunt)
    _hand_over(desk, [*FLOORS, *hunt.moves])
    tell(f"stopped: {reason}")
    account = Search(
        preset=settings.preset,
        metric=desk.metric,
        folds=len(folds),
        budget_s=settings.budget_s,
        attempts=tuple(desk.attempts),
        passed_over=dict(hunt.passed_over),
        reason=reason,
        resumed=resumed,
    )
    return conclude(ring, ring.score_all(test=False), tell=tell, search=account, stakes=desk.stakes)


def _cut_folds(
    panel: Panel, split: Split, task: Task, preset: Preset, passed_over: dict[str, str]
) -> tuple[Split, ...]:
    """Walk-forward folds that end with the split's own training and validation; fewer where the panel is short."""
    last = int(split.validation.last) + task.horizon
    size = last - split.validation.first
    for folds in range(preset.folds, 1, -1):
        try:
            found = split_rolling(
                panel, task, folds=folds, validation=size, purge=split.purge, embargo=split.embargo, until=last
            )
        except ShortSeriesError as error:
            passed_over[f"{folds} folds"] = str(error)
            continue
        if found[0].train.last - found[0].train.first >= size:  # else the first would learn from next to nothing
            return (*found[:-1], split)
        passed_over[f"{folds} folds"] = "the first would learn from less than it is judged on"
    return (split,)


def _count_tries(settings: RunSettings, preset: Preset) -> int | None:
    """How often a model is tried at most."""
    given = [one for one in (preset.tries, settings.tune.trials) if one is not None]
    return min(given, default=None)


def _fit_floors(hunt: _Hunt) -> None:
    """Every floor; the metric is the one that is defined for all of them."""
    desk, train = hunt.desk, hunt.desk.ring.settings.train
    for name in FLOORS:
        hunt.attempt(Try(name, "a floor", build_spec(name), train, None))
    check_floors(desk)
    desk.metric, _ = usable_metric(desk.ring.settings.metric, [kept.judged for kept in desk.best.values()])
    desk.stakes = Stakes(desk.ring, metric=desk.metric, run=desk.journal.folder.parent.name)
    for name, kept in desk.best.items():
        desk.stakes.add(kept.judged, model=name, key=kept.one.key, options={})


def _choose_models(hunt: _Hunt) -> list[str]:
    """The models in the order that they are tried: those that the user named or, the best founded first, those that
    speak for themselves on this panel and then others, one of each family before a second."""
    ring = hunt.desk.ring
    if ring.settings.models:
        return list(ring.settings.models)
    known = ring.panel.until(ring.split.validation.first)
    founded = [one.model for one in recommend(known, ring.task) if one.model not in FLOORS]
    others = [name for name in MODELS if name not in FLOORS and name not in founded]
    slow = {name for name in others if MODELS[name].kind in SLOW_KINDS}
    for name in slow:
        hunt.passed_over[name] = "its answers are slow, and nothing here speaks for it; name it to have it tried"
    names = [*founded, *(name for name in others if name not in slow)]
    seen: dict[str, int] = {}
    turn = {}
    for name in names:
        kind = MODELS[name].kind
        turn[name] = seen[kind] = seen.get(kind, -1) + 1
    names.sort(key=lambda name: (turn[name] > 0, name not in founded))  # stable: else as they stood
    return names


def _try_each(hunt: _Hunt, names: list[str]) -> None:
    """Models once as usual, in this order, until there are as many as the preset tries; one that has no time to learn
    anything is passed over, and the next takes its place."""
    ring = hunt.desk.ring
    train = ring.settings.learning
    most = len(names) if ring.settings.models else hunt.preset.models
    more = 0 if hunt.tries == 1 else 2  # shares of the time for further tries
    done = 0
    for place, name in enumerate(names):
        if done == most or place >= MOST_PROBES * most:
            hunt.passed_over[name] = f"the preset {ring.settings.preset} tries {most} models; others came before it"
            continue
        spec = build_spec(name, ring.settings.models.get(name))
        moves = Moves(ring, name, spec, train=train)
        cost = _ask_cost(hunt, moves)
        if cost is None:
            continue
        hunt.moves[name] = moves
        left = hunt.left_s
        share = max(left / (min(most - done, len(names) - place) + more), min(1.5 * cost.usual, left / 2), cost.least)
        hunt.attempt(moves.usual, share_s=share - cost.judging)
        done += 1


def _ask_cost(hunt: _Hunt, moves: Moves) -> _Cost | None:
    """What the usual try of a model costs; None where there is no time for it."""
    usual, desk = moves.usual, hunt.desk
    assert usual.view is not None
    if hunt.left_s <= 0:
        hunt.passed_over[usual.model] = "the budget was spent before it was tried"
        return None
    hunt.tell(f"how long {usual.model} takes")
    found = desk.probe(usual.model, usual.spec, view=usual.view, train=usual.train)
    cost, left = _Cost.read(found, folds=len(desk.folds)), hunt.left_s
    if cost.least <= left:
        return cost
    spare = max(left, 0.0)
    hunt.passed_over[usual.model] = f"a try takes {cost.least:.0f} s or more, and {spare:.0f} s were left"
    return None


@dataclass(frozen=True, slots=True)
class _Cost:
    """The seconds of a try on all folds, as a probe has it: as `usual` (infinite where it takes what it is given), at
    `least` where a deadline ends its learning, and its `judging`, a part of both."""

    usual: float
    least: float
    judging: float

    @classmethod
    def read(cls, found: Entry, *, folds: int) -> _Cost:
        seconds = float("inf") if found["seconds"] is None else found["seconds"]
        judging = found["judging"]
        return cls((seconds + judging) * folds, (found["least"] + judging) * folds, judging * folds)


def _try_again(hunt: _Hunt) -> str:
    """Further tries, each of the model that promises most for its time; why there was no further one."""
    if hunt.tries == 1:
        return f"the preset {hunt.desk.ring.settings.preset} tries each model once"
    while True:
        if hunt.left_s <= 0:
            return f"the budget of {hunt.desk.ring.settings.budget_s:g} s is spent"
        choice = choose_next(_list_arms(hunt), left_s=hunt.left_s)
        if choice.model is None:
            return choice.reason
        one = hunt.moves[choice.model].next()
        if one is None:
            continue
        same = next((told for told in hunt.desk.attempts if told.key == one.key), None)
        if same is None:
            hunt.attempt(one, share_s=hunt.left_s)
        else:  # a point may be another try again
            hunt.moves[choice.model].tell(one, same)


def _list_arms(hunt: _Hunt) -> list[Arm]:
    arms = []
    for name, moves in hunt.moves.items():
        told = [one for one in hunt.desk.attempts if one.model == name]
        more = not moves.over and (hunt.tries is None or len(told) < hunt.tries)
        if told:
            errors, seconds = tuple(one.score for one in told), tuple(one.seconds for one in told)
            arms.append(Arm(name, errors, seconds, more, moves.cut, moves.hope))
    return arms


def _hand_over(desk: Desk, names: list[str]) -> None:
    """The best try of each model enters the contest, with what all its tries cost, in an order that no time decides;
    one that never learned is named."""
    ring = desk.ring
    for name in names:
        told = [one for one in desk.attempts if one.model == name]
        if not told:
            continue
        kept = desk.best.get(name)
        if kept is None:
            ring.failed[name] = told[0].error
            continue
        ring.fitted[name], ring.specs[name] = kept.fitted, kept.one.spec
        ring.panels[name] = ring.kept_panel(kept.one.spec)
        ring.seconds[name] = (sum(one.seconds for one in told), sum(one.cpu_seconds for one in told))
        ring.tried[name] = sum(one.score is not None for one in told)
        ring.scored[name, False, SHORTEST] = kept.judged
        best = next(one for one in told if one.key == kept.one.key)
        words = [f"{kept.one.what}, the best of {len(told)} tries" if len(told) > 1 else "", best.note]
        ring.notes[name] = "; ".join(filter(None, words))
