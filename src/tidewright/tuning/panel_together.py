"""The objective of a panel whose trials are made together: networks of one form learn in one batched step."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tidewright.data.splits import widen_purge
from tidewright.errors import ConfigError, DataError, FitError
from tidewright.models.blockwise import answer_task
from tidewright.models.spec import kind_of
from tidewright.training.fit import fit
from tidewright.tuning.choose import names_option
from tidewright.tuning.objective import Assignment, Outcome, Pruned
from tidewright.tuning.panel_objective import PanelObjective
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.together import Result
from tidewright.tuning.watch import Watch

if TYPE_CHECKING:
    from tidewright.models.logged import Logged
    from tidewright.models.torch.fitted import TorchFitted


@dataclass(frozen=True, eq=False)
class PanelTogether:
    """Trials of the panel's objective `alone`, taught by `fit_population`. Each is judged, and kept in the ledger, as
    one that is made alone; a checkpoint is kept at its end and not of its epochs.
    """

    alone: PanelObjective

    def __call__(self, assignment: Assignment) -> Outcome:
        """See `Objective`."""
        return self.alone(assignment)

    def form(self, point: Mapping[str, Any]) -> Hashable:
        """See `Together`: all that a candidate is but for its rate, decay, dropout, seed, and whatever else a member
        of a population has of its own."""
        from tidewright.training.population_form import describe_form, refuse_train

        candidate = self.alone.default.change(point)
        obstacle = refuse_train(candidate.train)
        own = "" if not obstacle else candidate.key  # it learns alone
        return (*describe_form(candidate.spec, candidate.train), str(candidate.view), str(candidate.task), own)

    def make(self, assignments: Sequence[Assignment], *, hopeless: Callable[[int], str]) -> list[Result]:
        """See `Together`."""
        from tidewright.training.population import fit_population

        alone = self.alone
        candidates = [alone.default.change(one.point) for one in assignments]
        watches = [
            Watch(one, model=alone.default.spec.name, fits=1, wants_scores=alone.followed) for one in assignments
        ]
        first = candidates[0]
        task = first.task or alone.task
        try:
            population = fit_population(
                [candidate.spec for candidate in candidates],
                trains=[candidate.train for candidate in candidates],
                panel=alone.panel,
                split=widen_purge(alone.split, task.horizon),
                task=task,
                view=first.view,
                season=alone.season,
                deadline=assignments[0].deadline,
                runtime=None if alone.runtime is None else alone.runtime(),
                heard=watches,
                hopeless=hopeless,
                checkpoints=[
                    alone.checkpoint(one, place.folder, alone.parts[0])
                    for one, place in zip(candidates, assignments, strict=True)
                ],
                way="batched",
            )
        finally:
            for watch in watches:
                watch.announce()
        pairs = zip(assignments, population.members, strict=True)
        return [partial(self._conclude, assignment, member) for assignment, member in pairs]

    def _conclude(self, assignment: Assignment, member: TorchFitted | Logged | FitError) -> Outcome:
        from tidewright.training.population_loop import GivenUpError

        if isinstance(member, GivenUpError):
            self.alone.give_up(assignment)
            raise Pruned(str(member))
        if isinstance(member, FitError):
            raise member
        cut_short = member.history[-1]["stopped"] == "deadline"
        return replace(self.alone.conclude(assignment, answer_task(member, self.alone.task)), cut_short=cut_short)


def is_own(name: str) -> bool:
    """Whether trials of one form may differ in an option of a space.

    >>> [is_own(name) for name in ("train.learning_rate", "model.dropout", "model.hidden", "train.batch_size")]
    [True, True, False, False]
    """
    from tidewright.training.population_form import OWN

    return names_option(name, "model.dropout") or any(names_option(name, f"train.{option}") for option in OWN)


def measure_step(work: PanelObjective) -> int:
    """The weights of the default's network times the windows of its batches."""
    from tidewright.training.population import measure_load

    default = work.default
    asked: dict[str, Any] = {"panel": work.panel, "split": work.split, "view": default.view}
    return measure_load(default.spec, default.train, task=default.task or work.task, **asked)


def explain_obstacle(work: PanelObjective, space: SearchSpace) -> str:
    """Why trials of a space can't be made together, in words; empty where they can."""
    from tidewright.training.population import explain_obstacle as explain_network
    from tidewright.training.population_form import refuse_train

    default = work.default
    free = any(is_own(name) and space.ranges[name].size > 1 for name in space.names)
    reasons = {
        f"{default.spec.name} is no network": kind_of(default.spec) != "torch",
        "the function that learns teaches one model at a time": work.learn is not fit,
        "the model itself is searched": len(space.models) > 1,
        "each trial learns several times, on folds or from seeds": len(work.parts) > 1,
        "networks that learn positions have no batched form": default.positions,
        "nothing is searched that networks of one form may differ in, such as the learning rate": not free,
    }
    if any(reasons.values()):
        return next(reason for reason, holds in reasons.items() if holds)
    asked: dict[str, Any] = {"panel": work.panel, "split": work.split, "task": default.task or work.task}
    asked |= {"view": default.view, "runtime": None if work.runtime is None else work.runtime()}
    try:
        return explain_network(default.spec, **asked) or refuse_train(default.train)
    except (ConfigError, DataError) as error:  # the first trial fails by it; others may not
        return f"the default can't learn ({error})"
