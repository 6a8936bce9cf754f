"""`Desk`: tries of models, each learned and judged on every fold, kept on the disk and never done twice."""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, without_test
from tidewright.errors import FitError, TidewrightError
from tidewright.features.view import View, fit_static
from tidewright.models.fitted import Fitted, was_cut
from tidewright.models.spec import FLOORS, ModelSpec, kind_of, spec_key
from tidewright.registry.draft import load_draft, save_draft
from tidewright.training.compare import rank_value
from tidewright.training.evaluate import Evaluation, evaluate, join_evaluations
from tidewright.training.fit import fit, keep_covariates, usual_view
from tidewright.training.spec import TrainSpec
from tidewright.workflows.field import CUT, Field
from tidewright.workflows.journal import Entry, Journal
from tidewright.workflows.search_record import Attempt
from tidewright.workflows.stakes import Stakes

_LOGGER = logging.getLogger(__name__)
SHORTEST = 2  # rows: what every model sees at least, so that all are judged on the same windows
PROBED_STEPS, PROBED_WINDOWS, USUAL_EPOCHS = 3, 256, 10
WARM_S = 5.0  # CPU seconds of a first measurement at most that is made again
FEW_SERIES, FEW_CUTOFFS = 8, 4  # of which a probe learns, and on which it is judged


@dataclass(frozen=True, slots=True)
class Try:
    """What is tried: the three records, in words `what` they are, and the `options` that differ from the usual. A
    later `turn` of the same has more time."""

    model: str
    what: str
    spec: ModelSpec
    train: TrainSpec
    view: View | None
    options: Mapping[str, Any] = field(default_factory=dict)
    turn: int = 1

    @property
    def key(self) -> str:
        """The twelve digits that name the three records, and the turn."""
        key = spec_key(self.spec, self.train, self.view)
        return key if self.turn == 1 else f"{key}-turn{self.turn}"


@dataclass(frozen=True, eq=False, slots=True)
class Kept:
    """The best try of a model, with what it learned on the last fold and said on all."""

    score: float
    one: Try
    fitted: Fitted
    judged: Evaluation


@dataclass(eq=False)
class Desk:
    """The tries of one run. `started` is a `time.monotonic()`, `before` the seconds that earlier processes took."""

    ring: Field
    folds: tuple[Split, ...]
    journal: Journal
    metric: str
    started: float
    before: float
    attempts: list[Attempt] = field(default_factory=list)
    best: dict[str, Kept] = field(default_factory=dict)
    warm: set[str] = field(default_factory=set)  # libraries that were used
    stakes: Stakes | None = None

    @property
    def now(self) -> float:
        """How many seconds the run has taken, those of earlier processes among them."""
        return self.before + time.monotonic() - self.started

    def attempt(self, one: Try, *, share_s: float = math.inf) -> Attempt:
        """Learns and judges, in about `share_s` seconds at most; what was done before is read."""
        end = time.monotonic() + share_s
        entries: list[Entry] = []
        judged: list[Evaluation] = []
        fitted: Fitted | None = None
        for number in range(len(self.folds)):
            now = time.monotonic()
            deadline = None if math.isinf(end) else now + max(end - now, 0.0) / (len(self.folds) - number)
            entry, fitted, said = self._do_part(one, number, deadline=deadline)
            entries.append(entry)
            if said is None:
                break
            judged.append(said)
        whole = len(judged) == len(self.folds)
        joined = join_evaluations(judged) if whole else None
        score = None if joined is None else self._score(joined)
        told = self._tell(one, entries, score)
        better = one.model not in self.best or (score is not None and score < self.best[one.model].score)
        if self.stakes is not None:
            bet = None if score is None else joined
            self.stakes.add(bet, model=one.model, key=one.key, options=one.options, best=better)
        if score is not None and joined is not None and fitted is not None and better:
            self.best[one.model] = Kept(score, one, fitted, replace(joined, model=one.model))
        self.attempts.append(told)
        return told

    def probe(self, name: str, spec: ModelSpec, *, view: View, train: TrainSpec) -> Entry:
        """About how many `seconds` a fit takes (None: as many as it is given), how many at `least` where it is cut
        short, and how many its `judging`, from a few steps or a few series, and a few cutoffs."""
        found = self.journal.find("probe", name)
        if found is not None:
            return found
        seconds, least, judging, error = None, 0.0, 0.0, ""
        try:
            cpu = time.process_time()
            seconds, least, judging = self._measure(spec, view=view, train=train)
            if time.process_time() - cpu < WARM_S and self._is_first(spec):  # it loaded a library, or compiled a kernel
                seconds, least, judging = self._measure(spec, view=view, train=train)
        except TidewrightError as failure:  # the fit itself will say it again, or does on more series
            error = str(failure)
        return self.journal.add("probe", name, at=self.now, seconds=seconds, least=least, judging=judging, error=error)

    def _is_first(self, spec: ModelSpec) -> bool:
        """Whether nothing of its kind was measured in this process: networks share a library, others have their own."""
        library = "torch" if kind_of(spec) == "torch" else spec.name
        first = library not in self.warm
        self.warm.add(library)
        return first

    def _measure(self, spec: ModelSpec, *, view: View, train: TrainSpec) -> tuple[float | None, float, float]:
        ring, started = self.ring, time.monotonic()
        panel, network = ring.kept_panel(spec), kind_of(spec) == "torch"
        asked: dict[str, Any] = {"split": without_test(ring.split), "task": ring.task, "season": ring.season}
        asked |= {"deadline": started, "runtime": ring.runtime}
        share = 1.0
        if network:
            train = replace(train, epochs=1, least_epochs=1, steps=PROBED_STEPS, judged=PROBED_WINDOWS)
            train = replace(train, cycles=None, schedule="constant", rate_end=None, rate_cut=None, rate_wait=None)
        elif panel.n_series > FEW_SERIES:
            ids = panel.series_ids[:: -(-panel.n_series // FEW_SERIES)]
            share, panel = len(ids) / panel.n_series, panel.select(ids)
            own = usual_view(panel, split=ring.split, task=ring.task, season=ring.season, takes=spec.takes)
            view = replace(own, lookback=view.lookback)
        fitted = fit(spec, panel=panel, view=view, train=train, **asked)
        seconds = time.monotonic() - started
        judging = self._measure_judging(fitted, panel) / share
        if network:
            return *self._plan_epochs(fitted, panel, seconds), judging
        return (None if was_cut(fitted) else seconds / share), seconds / share, judging

    def _measure_judging(self, fitted: Fitted, panel: Panel) -> float:
        """How long validation takes, from its last few cutoffs."""
        scored, started = self.ring.split.validation, time.monotonic()
        first = int(scored.positions[-min(len(scored), FEW_CUTOFFS)])
        few = replace(scored, first=first)
        evaluate(fitted, panel=panel, split=self.ring.split, cutoffs=few, season=self.ring.season, shortest=SHORTEST)
        return (time.monotonic() - started) * len(scored) / len(few)

    def _plan_epochs(self, fitted: Fitted, panel: Panel, seconds: float) -> tuple[float, float]:
        """How long a network takes for its usual epochs and for one, from a few steps of one that took so many seconds
        in all; a network without epochs took what it takes."""
        train, record = self.ring.settings.train, (fitted.history or ({},))[-1]
        if "seconds" not in record:
            return seconds, seconds
        batch = 256 if train.batch_size == "auto" else train.batch_size
        epoch = float(record["seconds"]) / PROBED_STEPS * min(train.steps, max(len(panel.target) // batch, 1))
        rest = seconds - float(record["seconds"])
        return rest + epoch * min(train.epochs, USUAL_EPOCHS), rest + epoch

    def _do_part(
        self, one: Try, number: int, *, deadline: float | None
    ) -> tuple[Entry, Fitted | None, Evaluation | None]:
        """A try on one fold: the entry, and what was learned and said unless it failed."""
        name = f"{one.key}-{number}"
        folder, fold = self.journal.folder / "parts" / name, self.folds[number]
        entry = self.journal.find("part", name)
        if entry is not None and entry["error"]:
            return entry, None, None
        if entry is not None and folder.is_dir():
            fitted, said = load_draft(folder)
            return entry, fitted, self._judge(fitted, one, fold, said=said)
        started, cpu = time.monotonic(), time.process_time()
        judged, judging, error, cut = None, 0.0, "", False
        try:
            fitted = self._learn(one, number, deadline=deadline)
            judging = time.monotonic()
            judged = self._judge(fitted, one, fold)
            judging, cut = time.monotonic() - judging, deadline is not None and was_cut(fitted)
            panel = keep_covariates(self.ring.panel, one.spec.takes)
            save_draft(fitted, said=judged.forecast, panel=panel, folder=folder)
        except Exception as failure:  # a try is a trial of a search: whatever ends it is its result
            if self.ring.settings.strict:
                raise
            _LOGGER.info("the try %s of %s failed", name, one.model, exc_info=True)
            judged, error = None, traceback.format_exception_only(failure)[-1].strip().partition(": ")[2]
            error = error or type(failure).__name__
        spent = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - cpu, "judging": judging}
        entry = self.journal.add("part", name, at=self.now, model=one.model, error=error, cut=cut, **spent)
        return entry, None if judged is None else fitted, judged

    def _learn(self, one: Try, number: int, *, deadline: float | None) -> Fitted:
        fold = self.folds[number]
        view = one.view
        if view is not None and view.static.columns:  # what is known of columns ends with the fold's training
            view = replace(view, static=fit_static(self.ring.panel.until(fold.train.last)))
        floor = one.model in FLOORS
        mine = spec_key(one.spec, one.train, one.view)  # a later turn goes on from the turn before
        path = None if floor else self.journal.folder / "parts" / f"{mine}-{number}.checkpoint"
        return self.ring.learn(
            one.spec, split=fold, view=view, train=None if floor else one.train, deadline=deadline, checkpoint=path
        )

    def _judge(self, fitted: Fitted, one: Try, fold: Split, *, said: Any = None) -> Evaluation:
        panel = keep_covariates(self.ring.panel, one.spec.takes)
        options: dict[str, Any] = {"season": self.ring.season, "model": one.model, "shortest": SHORTEST}
        return evaluate(fitted, panel=panel, split=fold, cutoffs=fold.validation, said=said, **options)

    def _score(self, judged: Evaluation) -> float | None:
        value = rank_value(judged, self.metric)
        return float(value) if math.isfinite(value) else None

    def _tell(self, one: Try, entries: list[Entry], score: float | None) -> Attempt:
        error = next((str(entry["error"]) for entry in entries if entry["error"]), "")
        if score is None and not error:
            error = f"{self.metric} on validation is no finite number"
        return Attempt(
            model=one.model,
            what=one.what,
            key=one.key,
            score=score,
            seconds=sum(entry["seconds"] for entry in entries),
            cpu_seconds=sum(entry["cpu_seconds"] for entry in entries),
            at=float(entries[-1]["at"]),
            floor=one.model in FLOORS,
            note=CUT if any(entry["cut"] for entry in entries) else "",
            error=error,
            options=dict(one.options),
        )


def judging_seconds(desk: Desk) -> float:
    """How long the test takes to score, from how long validation took: once a model."""
    found: dict[str, float] = {}
    for one in desk.attempts:
        entry = desk.journal.find("part", f"{one.key}-{len(desk.folds) - 1}")
        if entry is not None:
            found[one.model] = float(entry["judging"])
    return sum(found.values())


def check_floors(desk: Desk) -> None:
    """Raises `FitError` unless a floor stands."""
    if not desk.best:
        raise FitError(f"no floor could be fitted: {desk.attempts[0].error if desk.attempts else 'none was tried'}")
