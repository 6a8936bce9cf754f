"""`fit_population`: many networks of one form that learn at once, each as `fit` alone would teach it.

M members, H horizon, Q quantiles.

A member differs from what `fit` gives by the order of float32 sums alone: same first weights, same batches and, on a
CPU, the same dropout masks (a GPU draws its own). Losses agree to 2e-4 after three epochs in the tests; over hundreds
of steps at a high rate rounding may grow to another path, as it does whenever a last digit changes there.

>>> from tidewright.data.simulate import noise_panel
>>> from tidewright.data.splits import split_holdout
>>> from tidewright.models.spec import FeedForward
>>> panel, task = noise_panel(n_series=2, length=80, seed=0), Task(horizon=2)
>>> seeds = [TrainSpec(seed=seed, epochs=1, steps=2) for seed in range(3)]
>>> asked = {"panel": panel, "split": split_holdout(panel, task), "task": task, "view": View(8)}
>>> population = fit_population(FeedForward(hidden=(8,)), trains=seeds, **asked)
>>> len(population.fitted), population.way.used
(3, 'batched')
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Generator

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task, refuse_classes
from tidewright.errors import ConfigError, FitError
from tidewright.features.view import View, keep_schema
from tidewright.features.windows import cut_windows
from tidewright.models.logged import Logged
from tidewright.models.spec import ModelSpec, kind_of, spec_key
from tidewright.models.torch.fitted import TorchFitted
from tidewright.models.torch.grouped import find_obstacle
from tidewright.models.torch.heads import PointHead
from tidewright.models.torch.network import ForecastNet, build
from tidewright.models.torch.shape import shape_of
from tidewright.runtime import Choice, Runtime, apply_threads, detect_runtime, keep_memory
from tidewright.training.checkpoint import Progress
from tidewright.training.epoch import Course
from tidewright.training.events import Callback, FitEnded, FitStarted, emit
from tidewright.training.fit import check_covariates, check_horizon, fit, usual_view
from tidewright.training.fit_torch import Lesson, digest_windows, fit_scalings, lesson_key, measure_spread, prepare
from tidewright.training.gather import open_source
from tidewright.training.logs import OfLogs, log_panel
from tidewright.training.losses import HEADS, check_labels
from tidewright.training.population_form import check_specs, check_trains, refuse_runtime
from tidewright.training.population_keep import keep_member
from tidewright.training.population_loop import Ending, Judge, train_population
from tidewright.training.precision import multiply_in
from tidewright.training.spec import TrainSpec

Way = Literal["auto", "batched", "one_by_one"]


@dataclass(frozen=True, eq=False, slots=True)
class Population:
    """What became of each member, in the order they were asked for: it learned, or its `FitError`.

    `way` says whether they learned "batched" or "one_by_one", and why.
    """

    members: tuple[TorchFitted | Logged | FitError, ...]
    way: Choice

    @property
    def fitted(self) -> tuple[TorchFitted | Logged, ...]:
        """Those that learned, as `fit_ensemble` takes them."""
        return tuple(member for member in self.members if not isinstance(member, FitError))


@dataclass(frozen=True, eq=False, slots=True)
class _Plan:
    """What all members share."""

    specs: tuple[ModelSpec, ...]
    trains: tuple[TrainSpec, ...]
    panel: Panel
    split: Split
    task: Task
    view: View
    season: int | None
    callbacks: tuple[Callback, ...]
    deadline: float | None
    runtime: Runtime
    hopeless: Judge
    heard: tuple[Callback, ...]
    checkpoints: tuple[Path | None, ...]

    def key(self, place: int) -> str:
        """The key of a member's fit."""
        return spec_key(self.specs[place], self.trains[place], self.view)

    def tell(self, place: int) -> tuple[Callback, ...]:
        """Who hears of a member."""
        return (*self.callbacks, *self.heard[place : place + 1])


def fit_population(
    spec: ModelSpec | Sequence[ModelSpec],
    *,
    trains: Sequence[TrainSpec],
    panel: Panel,
    split: Split,
    task: Task,
    view: View | None = None,
    season: int | None = None,
    callbacks: Sequence[Callback] = (),
    deadline: float | None = None,
    runtime: Runtime | None = None,
    way: Way = "auto",
    hopeless: Judge = lambda place: "",
    heard: Sequence[Callback] = (),
    checkpoints: Sequence[Path | None] = (),
) -> Population:
    """One fitted network for each of `trains`, taught in one batched step for all of them.

    The members have one form: `spec` is one for all, or one each that differ in dropout alone; `trains` may differ in
    the options `OWN`. A member ends as `fit` with its spec would, but for rounding (see above), stops by its own
    patience and gives its own best weights. One whose loss is no longer finite is its `FitError` among `members`, and
    the others go on. No epoch of all members is begun that would probably end after `deadline`. A batched member is
    given up (its `GivenUpError`) after the epoch for which `hopeless` says a reason of its place, asked when the
    callbacks have heard of all members. `heard` are callbacks too, one each, which hear of their own member alone;
    one that `wants_scores` is told those of each epoch (`score_epoch`).

    A population that is killed begins anew. Where `checkpoints` are given, one each, a member that learned is kept in
    its file at the end, and `fit` with that file gives it without learning (one that the deadline ended, with a
    deadline of minus infinity).

    `way` "auto" takes "batched" where every layer has a batched form (it costs less in all such networks but the
    transformers, where it costs about as much: see benchmarks/README.md) and else "one_by_one"; `Population.way` says
    which and why. Raises `ConfigError` for options that a population doesn't do or members don't share, and for
    "batched" where a layer has no batched form.
    """
    specs = check_specs(spec, count=len(trains))
    refuse_classes(task, "a population of networks")
    check_horizon(task, split)
    view = view or usual_view(panel, split=split, task=task, season=season, takes=specs[0].takes)
    check_covariates(specs[0], panel, view)
    if view.log is not None:
        given: dict[str, Any] = {"season": season, "callbacks": callbacks, "deadline": deadline, "runtime": runtime}
        given |= {"hopeless": hopeless, "heard": heard, "checkpoints": checkpoints, "way": way, "trains": trains}
        return _fit_logs(specs, panel, split=split, task=task, view=view, options=given)
    plan = _Plan(
        specs, tuple(trains), panel, split, task, keep_schema(view, panel, takes=specs[0].takes), season,
        tuple(callbacks), deadline, runtime or detect_runtime(), hopeless, tuple(heard), tuple(checkpoints),
    )  # fmt: skip
    return _learn(plan, way)


def explain_obstacle(
    spec: ModelSpec, *, panel: Panel, split: Split, task: Task, view: View, runtime: Runtime | None = None
) -> str:
    """Why such networks can't learn in one batched step there, in words; empty where they can."""
    if kind_of(spec) != "torch":
        return f"{spec.name} is no network"
    network = _sketch(spec, panel=panel, split=split, task=task, view=view)
    return refuse_runtime(runtime or detect_runtime()) or find_obstacle(network)


def measure_load(spec: ModelSpec, train: TrainSpec, *, panel: Panel, split: Split, task: Task, view: View) -> int:
    """The weights of such a network times the windows of a batch: what a step costs beside its overhead."""
    network = _sketch(spec, panel=panel, split=split, task=task, view=view)
    return train.windows * sum(weights.numel() for weights in network.parameters())


def _sketch(spec: ModelSpec, *, panel: Panel, split: Split, task: Task, view: View) -> ForecastNet:
    """Such a network without numbers in it."""
    windows = cut_windows(panel, view, horizon=task.horizon, cutoffs=split.validation, least=1)
    with torch.device("meta"):  # no memory, and no draw from anybody's generator
        return build(spec, shape_of(windows, task), relative=view.relative)


def _fit_logs(
    specs: tuple[ModelSpec, ...], panel: Panel, *, split: Split, task: Task, view: View, options: Mapping[str, Any]
) -> Population:
    """The members of the logarithms that a view asks for, on the original scale."""
    logs, own = log_panel(panel, view, split=split)
    assert view.log is not None
    told = {name: [OfLogs(one, view.log) for one in options[name]] for name in ("callbacks", "heard")}
    found = fit_population(specs, panel=logs, split=split, task=task, view=own, **{**options, **told})
    members = (Logged(one, view.log) if isinstance(one, TorchFitted) else one for one in found.members)
    return replace(found, members=tuple(members))


def _learn(plan: _Plan, way: Way) -> Population:
    """In one batched step, where that is asked for and can be."""
    _check_request(plan, way)
    if way == "one_by_one":
        return Population(_learn_each(plan), Choice(way, way, "asked for"))
    check_trains(plan.trains)
    train = plan.trains[0]
    lesson = prepare(plan.panel, plan.split, task=plan.task, view=plan.view, train=train)
    check_labels(train.loss, lesson.training.y[lesson.rows])
    networks, draws = _build_each(plan, lesson)
    choice = _choose(networks[0], plan.specs[0], way=way, runtime=plan.runtime)
    batched = choice.used == "batched"
    return Population(_learn_batched(plan, lesson, networks, draws) if batched else _learn_each(plan), choice)


def _check_request(plan: _Plan, way: Way) -> None:
    for name, one_each in (("heard", plan.heard), ("checkpoints", plan.checkpoints)):
        if one_each and len(one_each) != len(plan.specs):
            raise ConfigError(f"{name} are one a member; got {len(one_each)} for {len(plan.specs)} members.")
    if way not in get_args(Way):
        raise ConfigError(f"way is one of {', '.join(get_args(Way))}; got {way!r}.")


def _choose(network: ForecastNet, spec: ModelSpec, *, way: Way, runtime: Runtime) -> Choice:
    """How they learn, and why."""
    obstacle = refuse_runtime(runtime) or find_obstacle(network)
    if obstacle and way == "batched":
        raise ConfigError(f'{spec.name} can\'t be batched: {obstacle}. Ask for the way "auto" or "one_by_one".')
    if way == "batched":
        return Choice(way, way, "asked for")
    if obstacle:
        return Choice(way, "one_by_one", obstacle, (f"batched: {obstacle}",))
    return Choice(way, "batched", "one product moves all members", ("one_by_one: hardly ever costs less",))


def _learn_each(plan: _Plan) -> tuple[TorchFitted | FitError, ...]:
    """One after the other; of the time until the deadline each gets an even share of what is left."""
    members: list[TorchFitted | FitError] = []
    for place, (spec, train) in enumerate(zip(plan.specs, plan.trains, strict=True)):
        now, end = time.monotonic(), plan.deadline
        try:
            fitted = fit(
                spec,
                panel=plan.panel,
                split=plan.split,
                task=plan.task,
                view=plan.view,
                train=train,
                season=plan.season,
                callbacks=plan.tell(place),
                deadline=None if end is None else now + (end - now) / (len(plan.specs) - place),
                checkpoint=plan.checkpoints[place] if plan.checkpoints else None,
                runtime=plan.runtime,
            )
        except FitError as error:
            members.append(error)
            continue
        assert isinstance(fitted, TorchFitted)
        members.append(fitted)
    return tuple(members)


def _build_each(plan: _Plan, lesson: Lesson) -> tuple[list[ForecastNet], list[Generator]]:
    """Every member's network with its first weights, and the draws that go on where its weights' ended."""
    shape, networks, draws = shape_of(lesson.training, plan.task), [], []
    with torch.random.fork_rng(devices=[]):
        for spec, train in zip(plan.specs, plan.trains, strict=True):
            torch.manual_seed(train.seed)
            network = build(
                spec, shape, head=HEADS[train.loss], components=train.components, relative=plan.view.relative
            )
            networks.append(network)
            draws.append(Generator())
            draws[-1].set_state(torch.get_rng_state())
    fit_scalings(networks[0], lesson, view=plan.view)
    for network in networks[1:]:
        for name, scaling in networks[0].named_buffers(recurse=False):
            network.get_buffer(name).copy_(scaling)
    return networks, draws


def _learn_batched(
    plan: _Plan, lesson: Lesson, networks: list[ForecastNet], draws: list[Generator]
) -> tuple[TorchFitted | FitError, ...]:
    """All of them at once."""
    device, places = plan.runtime.device.used, range(len(networks))
    for place in places:
        parameters: dict[str, Any] = asdict(plan.specs[place])  # type: ignore[call-overload]  # likewise
        emit(
            plan.tell(place), FitStarted(plan.specs[place].name, plan.key(place), parameters, plan.trains[place].epochs)
        )
    started, cpu = time.monotonic(), time.process_time()
    first = Course(
        model=plan.specs[0].name,
        key="",
        training=open_source(lesson.training, device=device),
        judging=open_source(lesson.judging, device=device),
        train=plan.trains[0],
        callbacks=plan.callbacks,
        deadline=plan.deadline,
        device=device,
    )
    courses = [
        replace(first, key=plan.key(place), train=plan.trains[place], callbacks=plan.tell(place)) for place in places
    ]
    devices = [torch.cuda.current_device()] if device != "cpu" else []
    exact = multiply_in("ieee", device=device)
    with apply_threads(plan.runtime), keep_memory(), exact, torch.random.fork_rng(devices):
        torch.manual_seed(plan.trains[0].seed)  # of a GPU's dropout
        endings = train_population(networks, courses, draws=draws, hopeless=plan.hopeless)
    if any(plan.checkpoints):
        _keep_each(plan, lesson, networks, endings)
    spent, share = time.monotonic() - started, (time.process_time() - cpu) / len(networks)
    for place in places:
        ending = endings[place]
        if isinstance(ending, Progress):
            emit(plan.tell(place), FitEnded(first.model, plan.key(place), spent, share, ending.stopped))
    return tuple(_conclude(plan, lesson, place, networks[place], endings[place]) for place in places)


def _keep_each(plan: _Plan, lesson: Lesson, networks: list[ForecastNet], endings: Sequence[Ending]) -> None:
    """Puts every member that learned into its checkpoint."""
    data = digest_windows(lesson.training, lesson.judging)
    for place, ending in enumerate(endings):
        path = plan.checkpoints[place]
        if path is not None and isinstance(ending, Progress):
            spec, train = plan.specs[place], plan.trains[place]
            key = lesson_key(spec, train, view=plan.view, task=plan.task, data=data, runtime=plan.runtime)
            keep_member(networks[place], ending, train, path=path, key=key, device=plan.runtime.device.used)


def _conclude(plan: _Plan, lesson: Lesson, place: int, network: ForecastNet, ending: Ending) -> TorchFitted | FitError:
    if not isinstance(ending, Progress):
        return ending
    network.eval()
    if isinstance(network.head, PointHead):
        with apply_threads(plan.runtime):
            network.head.spread.copy_(torch.from_numpy(measure_spread(network, lesson.training)))
    return TorchFitted(plan.specs[place], plan.task, plan.view, network.shape, network, ending.history)
