"""The objective of plain arrays: a network that a factory makes learns from rows and is judged on later ones.

N rows in the order of time, F features, T steps, C outputs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tidewright.errors import ConfigError, FitError
from tidewright.runtime import Runtime
from tidewright.training.events import Callback, EpochEnded, Event
from tidewright.training.spec import TrainSpec
from tidewright.tuning.objective import Assignment, Outcome, Pruned, give_up_short, share_deadline
from tidewright.tuning.records import change_record
from tidewright.tuning.together import Result

if TYPE_CHECKING:
    from tidewright.models.torch.classic import ClassicNet
    from tidewright.training.fit_arrays import History, Labelled

MODEL, TRAIN = "model.", "train."


@dataclass(frozen=True, eq=False)
class ArrayObjective:
    """A metric of the networks that `factory(**options)` makes, to be made small.

    A point's `train.` options change `train`, its `model.` options are the factory's arguments. `folds` are pairs of
    rows to learn from and to judge by, all later than the first; the value is the mean over folds, and the learned
    network the last fold's. `runtime` computes.
    """

    factory: Callable[..., ClassicNet]
    folds: tuple[tuple[Labelled, Labelled], ...]
    train: TrainSpec
    metric: str
    cost_bps: float
    periods_per_year: float
    runtime: Runtime

    def __call__(self, assignment: Assignment) -> Outcome:
        """See `Objective`. With one fold every epoch is reported, else every fold's value."""
        from tidewright.training.fit_arrays import make_network
        from tidewright.training.judge_arrays import badness

        train, options = self.read(assignment.point)
        told: list[Mapping[str, float]] = []
        cut, started = False, time.monotonic()
        for place, fold in enumerate(self.folds, start=1):
            network = make_network(self.factory, options, seed=train.seed)
            left = len(self.folds) - place + 1
            deadline = share_deadline(assignment.deadline, now=time.monotonic(), fits=left)
            shared = replace(assignment, deadline=deadline)
            scores, stopped = self._learn(network, fold, train=train, assignment=shared)
            told.append(scores)
            cut = cut or stopped == "deadline"
            if len(self.folds) > 1:
                assignment.report(place, badness(told[-1], self.metric))
        if cut:
            give_up_short(assignment, time.monotonic() - started)
        scores = {name: sum(one[name] for one in told) / len(told) for name in told[0]}
        values = (badness(scores, self.metric),)
        return Outcome(values=values, scores=scores, learned=network, cut_short=cut)

    def learn(self, point: Mapping[str, Any], *, deadline: float | None = None) -> Outcome:
        """What a point comes to, without a search, learning until a `deadline`, a `time.monotonic()`."""
        report: Callable[[int, float], None] = lambda step, value: None  # noqa: E731
        return self(Assignment(0, point, self.train.seed, deadline=deadline, folder=None, report=report))

    def read(self, point: Mapping[str, Any]) -> tuple[TrainSpec, dict[str, Any]]:
        """How a point's network learns, and the factory's arguments."""
        learning = {name.removeprefix(TRAIN): value for name, value in point.items() if name.startswith(TRAIN)}
        options = {name.removeprefix(MODEL): value for name, value in point.items() if name.startswith(MODEL)}
        return change_record(self.train, learning), options

    def form(self, point: Mapping[str, Any]) -> Hashable:
        """See `Together`: the network but for its dropout, and the options that a population shares."""
        from tidewright.training.fit_arrays import make_network
        from tidewright.training.population_form import SHARED

        train, options = self.read(point)
        config = make_network(self.factory, options, seed=train.seed).config.to_dict()
        shared = tuple((name, getattr(train, name)) for name in SHARED)
        return json.dumps({name: value for name, value in config.items() if name != "dropout_rate"}), shared

    def make(self, assignments: Sequence[Assignment], *, hopeless: Callable[[int], str]) -> list[Result]:
        """See `Together`."""
        from tidewright.training.fit_arrays import make_network
        from tidewright.training.population_arrays import fit_classics

        read = [self.read(one.point) for one in assignments]
        networks = [make_network(self.factory, options, seed=train.seed) for train, options in read]
        (training, judging) = self.folds[0]
        endings = fit_classics(
            networks,
            training=training,
            judging=judging,
            trains=[train for train, _ in read],
            runtime=self.runtime,
            callbacks=[_hear(one) for one in assignments],
            hopeless=hopeless,
            deadline=assignments[0].deadline,
        )
        return [partial(self._conclude, network, ending) for network, ending in zip(networks, endings, strict=True)]

    def obstacle(self, point: Mapping[str, Any]) -> str:
        """Why trials can't be made together, in words; empty where they can."""
        from tidewright.models.torch.grouped import find_obstacle
        from tidewright.training.fit_arrays import make_network
        from tidewright.training.population_form import is_batchable, refuse_runtime

        if len(self.folds) > 1:
            return "each trial is judged on several folds"
        train, options = self.read(point)
        if not is_batchable(train):
            return "a population does not learn so"
        return refuse_runtime(self.runtime) or find_obstacle(make_network(self.factory, options, seed=train.seed))

    def _conclude(self, network: ClassicNet, ending: History | FitError) -> Outcome:
        from tidewright.training.fit_arrays import answer
        from tidewright.training.judge_arrays import badness, judge_arrays
        from tidewright.training.population_loop import GivenUpError

        if isinstance(ending, GivenUpError):
            raise Pruned(str(ending))
        if isinstance(ending, FitError):
            raise ending
        judging = self.folds[0][1]
        scores = judge_arrays(
            judging.labels,
            answer(network, judging.features),
            cost_bps=self.cost_bps,
            periods_per_year=self.periods_per_year,
        )
        return Outcome(values=(badness(scores, self.metric),), scores=scores, learned=network)

    def _learn(
        self, network: ClassicNet, fold: tuple[Labelled, Labelled], *, train: TrainSpec, assignment: Assignment
    ) -> tuple[dict[str, float], str]:
        """The scores of a network on a fold that it has learned from, and why it stopped learning."""
        from tidewright.training.fit_arrays import answer, fit_classic
        from tidewright.training.judge_arrays import judge_arrays

        training, judging = fold
        history = fit_classic(
            network,
            training=training,
            judging=judging,
            train=train,
            runtime=self.runtime,
            callbacks=(_hear(assignment),) if len(self.folds) == 1 else (),
            deadline=assignment.deadline,
        )
        answers = answer(network, judging.features)
        scores = judge_arrays(judging.labels, answers, cost_bps=self.cost_bps, periods_per_year=self.periods_per_year)
        return scores, str(history[-1].get("stopped"))


def _hear(assignment: Assignment) -> Callback:
    """Reports the epochs of a fit."""

    def hear(event: Event) -> None:
        if isinstance(event, EpochEnded):
            assignment.report(event.epoch, event.validation_loss)

    return hear


def cut_folds(rows: Labelled, *, folds: int, gap: int) -> tuple[tuple[Labelled, Labelled], ...]:
    """Expanding folds in time: the rows in `folds` + 1 parts, each part after the first judged once by what was learned
    from all before it but for the last `gap` rows. Raises `ConfigError`."""
    size = len(rows) // (folds + 1)
    if size - gap < 2:
        raise ConfigError(
            f"{len(rows)} rows are too few for {folds} folds with {gap} rows between learning and judging. Take fewer."
        )
    ends = [len(rows) - (folds - place) * size for place in range(folds)]
    return tuple((rows.part(slice(0, end - gap)), rows.part(slice(end, end + size))) for end in ends)
