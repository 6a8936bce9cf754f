"""How many trials of a study are made in one step, and why."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from tidewright.errors import ConfigError, FallbackWarning
from tidewright.models.spec import kind_of
from tidewright.tuning.crew import Crew, hire
from tidewright.tuning.panel_objective import PanelObjective
from tidewright.tuning.panel_together import PanelTogether, explain_obstacle, is_own, measure_step
from tidewright.tuning.search import Plan, orders_of
from tidewright.tuning.searchers.adaptive import AdaptiveSearcher
from tidewright.tuning.searchers.in_steps import StepSearcher
from tidewright.tuning.searchers.searcher import Searcher
from tidewright.tuning.together import Batch

Asked = int | Literal["auto"]
ONE_BY_ONE = "trials were made one by one"  # how the note begins that says why
MANY = 16  # trials at a time that "auto" takes
ROUNDS = 8  # steps that "auto" leaves a search of few trials, so that it learns from some and tries several forms
SMALL = 1_000_000  # weights times windows of a batch, below which a step costs its overhead above all


@dataclass(frozen=True, eq=False, slots=True)
class Steps:
    """`size` trials are made at a time, by `work`; `notes` say why. One at a time they are made as ever."""

    size: int
    work: PanelTogether | None
    notes: tuple[str, ...] = ()

    def change(self, plan: Plan, make: Callable[[], Searcher]) -> Plan:
        """The plan, its points in steps of a form; `make` gives its searcher."""
        if self.size == 1:
            return plan
        limits = replace(plan.limits, in_a_row=max(plan.limits.in_a_row, 2 * self.size))  # a step fails as a whole
        return replace(plan, searcher=StepSearcher(make, self.size, is_own), limits=limits)

    @contextmanager
    def hire(self, work: PanelObjective, plan: Plan, *, workers: int | None, ray: str | None) -> Iterator[Crew]:
        """Who makes the trials."""
        if self.work is not None:
            batch = Batch(self.work, orders_of(self.work, plan), size=self.size)
            yield batch
            batch.forget()
            return
        orders = replace(orders_of(work, plan), gpu=work.gpu, prepare=work.prepare)
        with hire(orders, workers=workers, ray=ray) as crew:
            yield crew


def plan_steps(asked: Asked, work: PanelObjective, plan: Plan, *, busy: bool) -> Steps:
    """The steps of a study; `busy`: its trials have workers of their own.

    Raises `ConfigError` for a number that is none; one that can't be had is warned of.
    """
    if asked != "auto" and (isinstance(asked, bool) or not isinstance(asked, int) or asked < 1):
        raise ConfigError(f'together is how many trials are made at a time, 1 or more, or "auto"; got {asked!r}.')
    network = kind_of(work.default.spec) == "torch"
    if asked == 1 or plan.limits.trials == 1 or (asked == "auto" and (busy or not network)):
        return Steps(1, None)
    size, why = asked, "asked for"
    obstacle = _find_obstacle(work, plan, busy=busy)
    if size == "auto" and not obstacle:
        size, why = _choose_size(work, trials=plan.limits.trials)
        obstacle = "" if size > 1 else why
    if not obstacle and size != "auto":
        return Steps(size, PanelTogether(work), (f"up to {size} trials of a form were made in one step: {why}.",))
    note = f"{ONE_BY_ONE}: {obstacle}."
    if asked != "auto":
        warnings.warn(f"together={asked}: {note}", FallbackWarning, stacklevel=3)
    return Steps(1, None, (note,))


def _find_obstacle(work: PanelObjective, plan: Plan, *, busy: bool) -> str:
    if busy:
        return "workers make one each"
    if plan.repeats:
        return "the last trials make the best ones again"
    if isinstance(plan.searcher, AdaptiveSearcher):
        return "the space adapts to every trial"
    return explain_obstacle(work, plan.space)


def _choose_size(work: PanelObjective, *, trials: int | None) -> tuple[int, str]:
    """What was measured to find more in the same time (benchmarks/search_together.py), and why."""
    load = measure_step(work)
    told = f"{load:,} weights times windows"
    if load > SMALL:
        return 1, f"with {told} a batched step saves less than the search loses by learning of a step's trials at once"
    if trials is not None and trials < 2 * ROUNDS:
        return 1, f"{trials} trials are too few to be learned of several at once"
    size = MANY if trials is None else min(MANY, trials // ROUNDS)
    return size, f"a step of {told} costs its overhead above all"
