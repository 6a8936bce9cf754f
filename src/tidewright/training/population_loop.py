"""The epoch loop of many networks of one form at once: one step moves them all, each by its own rate.

M members that still learn, N windows a batch, R = M N rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Generator, Tensor

from tidewright.errors import FitError
from tidewright.models.torch.grouped import Group, put_row
from tidewright.models.torch.network import ForecastNet
from tidewright.training.batches import check_batches
from tidewright.training.checkpoint import Progress
from tidewright.training.epoch import JUDGE_CHUNK, Course, History, draw_batches
from tidewright.training.epoch_scores import score_members
from tidewright.training.events import EpochEnded, emit
from tidewright.training.losses import Cells, open_cells
from tidewright.training.population_step import Steps
from tidewright.training.precision import Means
from tidewright.training.schedule import plan_rates
from tidewright.training.torch_loop import advance, check_finite, note, time_left

JUDGE_ROWS = 8192  # of all members at once: bounds the memory


class GivenUpError(FitError):
    """A member that was not taught to its end; the message says why."""


Ending = Progress | FitError
Judge = Callable[[int], str]  # a member's place to why it is not worth going on with, empty where it is


def train_population(
    networks: Sequence[ForecastNet],
    courses: Sequence[Course],
    *,
    draws: Sequence[Generator],
    hopeless: Judge = lambda place: "",
) -> tuple[Ending, ...]:
    """Teaches the networks in place, as `train_network` does one, and leaves the weights of its best epoch in each.

    The courses share sources, callbacks, deadline and device, and their training options as far as a population shares
    them; `draws` are the streams of each one's dropout. An epoch's `seconds` are those of all members together. The
    ending of a member whose loss is no longer finite is its `FitError`, and the others go on. A member that has ended
    is taken out of the products; so is one for which `hopeless` says a reason: it is asked after each epoch, when all
    callbacks have heard of all members. A callback's exception ends all of them. Raises `FitError` where none could
    learn.
    """
    check_batches(networks[0], courses[0])
    crew = Crew(networks, courses, draws=draws)
    progress = [Progress() for _ in networks]
    failed: dict[int, FitError] = {}
    while crew.places:
        started = time.monotonic()
        rates = crew.plan_rates([progress[place].history for place in crew.places])
        trained, judged = crew.run_epoch(rates), crew.judge()
        scores = dict(zip(crew.places, crew.score([courses[place] for place in crew.places]), strict=True))
        seconds, late = time_left(started, courses[0].deadline)
        gained = []
        for row, place in enumerate(crew.places):
            before, course = progress[place], courses[place]
            losses: dict[str, Any] = {"trained": trained[row], "judged": judged[row]}
            try:
                check_finite(**losses, epoch=before.epoch + 1, train=course.train)
            except FitError as error:
                failed[place] = error
                continue
            later = advance(before, course.train, **losses, seconds=seconds, rate=rates[row][-1], late=late)
            progress[place] = note(later, Means().describe())  # float32, not compiled
            if progress[place].best < before.best:
                gained.append(row)
        crew.remember(gained)
        epoch = [place for place in crew.places if place not in failed]
        crew.leave([place for place in crew.places if place in failed or progress[place].stopped])
        for place in epoch:
            _tell(courses[place], progress[place], scores[place])
        failed |= {place: GivenUpError(reason) for place in crew.places if (reason := hopeless(place))}
        crew.leave([place for place in crew.places if place in failed])
    return tuple(failed.get(place, progress[place]) for place in range(len(networks)))


class Crew:
    """The members that still learn, at `places` among all: side by side in one network, whose rows they are."""

    def __init__(
        self, networks: Sequence[ForecastNet], courses: Sequence[Course], *, draws: Sequence[Generator]
    ) -> None:
        self.places = list(range(len(networks)))
        self.networks, self.course = networks, courses[0]
        self.group = Group(networks, draws=draws)
        self.network = cast(ForecastNet, self.group.network.to(self.course.device))
        self.best = {name: held.clone() for name, held in self.group.rows().items()}
        self.steps = Steps(list(self.network.parameters()), [course.train for course in courses])
        self.shuffles = [Generator().manual_seed(course.train.seed) for course in courses]
        train, quantiles = self.course.train, networks[0].shape.quantiles
        cells = partial(
            open_cells, train.loss, quantiles, delta=train.delta, unit=train.unit, device=self.course.device
        )
        self.learned = cells(complete=self.course.training.complete)
        self.judged = cells(complete=self.course.judging.complete)

    def plan_rates(self, histories: Sequence[History]) -> list[list[float]]:
        """The rates of every member's next steps, after what it has behind it."""
        steps = len(self._draw(Generator()))
        return [
            plan_rates(train, history, steps=steps) for train, history in zip(self.steps.trains, histories, strict=True)
        ]

    def run_epoch(self, rates: Sequence[Sequence[float]]) -> list[float]:
        """One epoch of steps of every member at its rates; their mean training losses [M]."""
        source, device = self.course.training, self.course.device
        each = [self._draw(shuffle) for shuffle in self.shuffles]
        total = torch.zeros(len(self.places), device=device)
        columns = torch.tensor(rates, dtype=torch.float32, device=device).T.unsqueeze(2)  # [steps, M, 1]
        self.network.train()
        for batches, rate in zip(zip(*each, strict=True), columns, strict=True):
            index = torch.cat(batches).to(device)
            sums, counts = self._measure(self.learned, source.batch(index))
            losses = sums / counts
            self.steps.take(torch.autograd.grad(losses.sum(), self.steps.parameters), rate)
            total += losses.detach()
        return [float(loss) / len(each[0]) for loss in total.tolist()]

    def judge(self) -> list[float]:
        """The mean losses [M] over all windows that are judged on, in evaluation mode."""
        source, members = self.course.judging, len(self.places)
        self.network.eval()
        total, seen = [0.0] * members, [0] * members
        size = max(1, min(JUDGE_CHUNK, JUDGE_ROWS // members))
        with torch.inference_mode():
            for index in torch.split(torch.arange(len(source), device=source.begins.device), size):
                sums, counts = self._measure(self.judged, source.batch(index.repeat(members)))
                total = [before + more for before, more in zip(total, sums.tolist(), strict=True)]
                seen = [before + more for before, more in zip(seen, counts.tolist(), strict=True)]
        return [loss / max(count, 1) for loss, count in zip(total, seen, strict=True)]

    def score(self, courses: Sequence[Course]) -> list[dict[str, float]]:
        """What each member's callbacks want to know of it on the original scale; see `score_epoch`."""
        return score_members(self.network, courses)

    def remember(self, rows: Sequence[int]) -> None:
        """Keeps the weights of these members, which are the best that they have had."""
        index = torch.tensor(rows, dtype=torch.int64, device=self.course.device)
        for name, held in self.group.rows().items():
            self.best[name].index_copy_(0, index, held.index_select(0, index))

    def leave(self, places: Sequence[int]) -> None:
        """Takes members out, with their best weights in their own networks."""
        if not places:
            return
        for place in places:
            put_row(self.networks[place], self.best, self.places.index(place))
        stay = [row for row, place in enumerate(self.places) if place not in places]
        self.places = [self.places[row] for row in stay]
        self.shuffles = [self.shuffles[row] for row in stay]
        if stay:
            rows = torch.tensor(stay, device=self.course.device)
            self.group.keep(rows)
            self.best = {name: held.index_select(0, rows) for name, held in self.best.items()}
            self.steps = self.steps.keep(rows, list(self.network.parameters()))

    def _draw(self, shuffle: Generator) -> tuple[Tensor, ...]:
        return draw_batches(len(self.course.training), self.course.train, shuffle=shuffle)

    def _measure(self, cells: Cells, batch: tuple[dict[str, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """The sums of each member's losses [M], and of how many cells."""
        losses, seen = cells(self.network, *batch)
        members = len(self.places)
        sums = losses.view(members, -1).sum(dim=1)
        if seen is None:
            return sums, torch.full_like(sums, losses.numel() // members, dtype=torch.int64)
        return sums, seen.view(members, -1).sum(dim=1) * losses.shape[2]


def _tell(course: Course, progress: Progress, metrics: Mapping[str, float]) -> None:
    last = progress.history[-1]
    losses = (last["train_loss"], last["validation_loss"])
    emit(course.callbacks, EpochEnded(course.model, course.key, progress.epoch, *losses, last["seconds"], metrics))
