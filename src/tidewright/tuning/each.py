"""`search_each`: a study for each series, from the usual options or from the best that a study of all of them found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, without_test
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError, FitError
from tidewright.metrics.comparison import diebold_mariano
from tidewright.models.fitted import Fitted
from tidewright.models.spec import ModelSpec, spec_key
from tidewright.training.compare import LEVEL, LOSSES, mean_losses
from tidewright.training.each import EachFitted
from tidewright.training.evaluate import Evaluation, evaluate
from tidewright.training.fit import read_panel
from tidewright.tuning.check_asked import check_places
from tidewright.tuning.repeats import originals
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.study import Study
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tune import tune

BEGINNINGS = 3  # of the shared study's best points, that each series' study begins with
SHARED = "all"  # the name of the study of all series
SHARE = 0.5  # of a budget, for the study of all series together


@dataclass(frozen=True, slots=True)
class Compared:
    """A series' own model beside the shared one on its validation cutoffs: both scores, the one-sided p-value of a
    Diebold-Mariano test times the number of its own trials (`tried`; Bonferroni), and whether the own one is `kept`:
    where that is below 5 %. The `reason` says why not."""

    own: float
    shared: float
    p_value: float
    tried: int
    kept: bool
    reason: str = ""


@dataclass(frozen=True, eq=False)
class EachStudy:
    """What a study for each series found.

    `shared` is the study of all series together, None where each was searched alone; `studies` those of the series by
    id, `compared` how their models stand to the shared one. `failed` says why a series has none. `fitted` forecasts all
    series, each by its own model where that was kept.
    """

    metric: str
    shared: Study | None
    studies: Mapping[Any, Study]
    compared: Mapping[Any, Compared]
    failed: Mapping[Any, str]
    fitted: EachFitted
    seconds: float
    notes: tuple[str, ...] = field(default=())

    @property
    def kept(self) -> tuple[Any, ...]:
        """The series that have a model of their own."""
        return tuple(self.fitted.own)

    def to_dict(self) -> dict[str, Any]:
        """The account as plain data, without the learned models."""
        return {
            "metric": self.metric,
            "shared": None if self.shared is None else self.shared.to_dict(),
            "studies": {str(series): study.to_dict() for series, study in self.studies.items()},
            "compared": {
                str(series): {name: getattr(one, name) for name in Compared.__slots__}
                for series, one in self.compared.items()
            },
            "failed": {str(series): reason for series, reason in self.failed.items()},
            "kept": [str(series) for series in self.kept],
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        count = len(self.studies) + len(self.failed)
        lines = [f"{len(self.kept)} of {count} series keep a model of their own, in {self.seconds:.1f} s"]
        if self.shared is not None:
            lines = [str(self.shared), *lines]
        lines += [f"  {series} has none: {reason}" for series, reason in self.failed.items()]
        return "\n".join([*lines, *self.notes])


@dataclass(frozen=True, eq=False, slots=True)
class _Round:
    """What the studies of one call share."""

    space: SearchSpace
    panel: Panel
    split: Split
    task: Task
    metric: str
    season: int | None
    storage: str | Path | None
    budget_s: float | None
    name: str
    more: Mapping[str, Any]

    def tune(self, model: ModelSpec | str, *, panel: Panel, name: str, **own: Any) -> Study:
        """A study of some of the series."""
        storage = self.storage
        if storage is not None and "://" not in str(storage):
            storage = Path(storage) / name
        return tune(
            self.space, panel=panel, split=self.split, task=self.task, model=model, metric=self.metric,
            season=self.season, storage=storage, name=f"{self.name}{name}", **{**self.more, **own},
        )  # fmt: skip


def search_each(
    space: SearchSpace,
    *,
    panel: Panel,
    split: Split,
    task: Task,
    model: ModelSpec | str,
    trials: int | None = 10,
    shared: bool = True,
    shared_trials: int | None = 30,
    budget_s: float | None = None,
    metric: str = "mase",
    season: int | None = None,
    storage: str | Path | None = None,
    name: str = "",
    tell: Callable[[str], None] = lambda _: None,
    **more: Any,
) -> EachStudy:
    """The best options for each series, on train and validation only.

    With `shared` one study of `shared_trials` searches the options of a model of all series. Its best three points are
    the first trials of each series' own study, of `trials` trials, whose model learns from that series alone. A series
    keeps its own model only where that beats the shared one on the series' validation cutoffs by more than chance
    (`Compared`). Without `shared` each study begins with the options as they are given, and all models are kept.

    `budget_s` is for everything: half of it goes to the shared study, and each series has an equal part of what is
    left. `storage` keeps a study of each in a folder of its own, or by its own name, which begins with `name`, in a
    database; the same call goes on. A series that can't be learned is answered by the shared model, and `failed` says
    why. `more` is what else `tune` takes (searcher, pruner, folds, workers, ledger, ...). Raises `ConfigError`, and
    `FitError` when no series could be learned.
    """
    _check_metric(metric, shared)
    check_places(storage=storage, name=name)
    split = without_test(split)
    panel = panel.until(int(split.validation.positions[-1]) + split.horizon)
    work = _Round(space, panel, split, task, metric, season, storage, budget_s, name, more)
    whole = _search_shared(work, model, trials=shared_trials, tell=tell) if shared else None
    spent = 0.0 if whole is None else whole.seconds
    studies, failed = _search_all(work, model, whole, trials=trials, spent=spent, tell=tell)
    compared = {} if whole is None else {one: _compare(work, study, whole, one) for one, study in studies.items()}
    own = {one: study.fitted for one, study in studies.items() if whole is None or compared[one].kept}
    if not own and whole is None:
        raise FitError(f"no series could be learned; {next(iter(failed.values()), 'there is none')}")
    return EachStudy(
        metric=metric, shared=whole, studies=studies, compared=compared, failed=failed,
        fitted=EachFitted(own, None if whole is None else whole.fitted),
        seconds=spent + sum(study.seconds for study in studies.values()),
    )  # fmt: skip


def _search_shared(work: _Round, model: ModelSpec | str, *, trials: int | None, tell: Callable[[str], None]) -> Study:
    """The study of a model of all series."""
    tell(f"tuning {work.space.model} on all {work.panel.n_series} series")
    share = None if work.budget_s is None else SHARE * work.budget_s
    return work.tune(model, panel=work.panel, name=SHARED, trials=trials, budget_s=share)


def _search_all(
    work: _Round,
    model: ModelSpec | str,
    whole: Study | None,
    *,
    trials: int | None,
    spent: float,
    tell: Callable[[str], None],
) -> tuple[dict[Any, Study], dict[Any, str]]:
    studies: dict[Any, Study] = {}
    failed: dict[Any, str] = {}
    start: dict[str, Any] = {}
    if whole is not None:
        start = {"view": whole.view, "train": whole.train, "first": _best_points(whole.trials)}
    ids = list(work.panel.series_ids)
    for place, series in enumerate(ids):
        tell(f"tuning {work.space.model} on {series}, {place + 1} of {len(ids)} series")
        part = None if work.budget_s is None else max(work.budget_s - spent, 1e-3) / (len(ids) - place)
        try:
            study = work.tune(
                model if whole is None else whole.spec, panel=work.panel.select([series]), name=name_series(series),
                trials=trials, budget_s=part, **start,
            )  # fmt: skip
        except (FitError, DataError) as error:
            failed[series] = str(error)
            continue
        studies[series] = study
        spent += study.seconds
    return studies, failed


def _best_points(trials: Sequence[Trial]) -> tuple[Mapping[str, Any], ...]:
    complete = [trial for trial in originals(trials) if trial.state is TrialState.COMPLETE]
    ranked = sorted(complete, key=lambda trial: (trial.values[0], trial.number))
    return tuple(trial.parameters for trial in ranked[:BEGINNINGS])


def _compare(work: _Round, study: Study, whole: Study, series: Any) -> Compared:
    """How a series' own model stands to the shared one, on the cutoffs of the split's validation part."""
    panel = work.panel.select([series])
    shortest = min(study.fitted.view.lookback, whole.fitted.view.lookback)
    ours, theirs = (_judge(work, one.fitted, panel, shortest) for one in (study, whole))
    own, shared = (float(one.scores.get(work.metric, np.nan)) for one in (ours, theirs))
    losses = [mean_losses(one.scored, work.metric, one.windows.cutoffs) for one in (ours, theirs)]
    found = diebold_mariano(*losses, horizon=work.split.horizon, stride=work.split.validation.stride)
    tried = len({trial.key or trial.number for trial in study.trials if trial.state is not TrialState.FAILED})
    p_value = min(1.0, found.p_value * tried) if np.isfinite(found.p_value) else float("nan")
    reason = found.reason
    if not reason and not p_value < LEVEL:
        reason = f"p {p_value:.2g} after {tried} trials" if own < shared else "it is no better than the shared one"
    return Compared(own, shared, p_value, tried, kept=bool(p_value < LEVEL and own < shared), reason=reason)


def _judge(work: _Round, fitted: Fitted, panel: Panel, shortest: int) -> Evaluation:
    return evaluate(
        fitted,
        panel=read_panel(fitted, panel),
        split=work.split,
        cutoffs=work.split.validation,
        season=work.season,
        shortest=shortest,
    )


def _check_metric(metric: str, shared: bool) -> None:
    """Raises `ConfigError` for a metric that has no loss at each cutoff to compare."""
    if shared and metric not in LOSSES:
        raise ConfigError(
            f"whether a series' own model is better than the shared one is tested on losses at each cutoff, and "
            f"{metric} is none. Ask for one of {', '.join(LOSSES)}, or for shared=False, a study of each series alone."
        )


def name_series(series: Any) -> str:
    """A name that no other series has, fit for a folder."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', str(series))[:40]}-{spec_key({'series': str(series)})[:6]}"
