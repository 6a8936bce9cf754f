"""`MlflowLog`: a run, its fits and its trials in an MLflow store on SQLite; every fit and every trial is a nested run.

It needs MLflow itself (seconds to import, and chatty), so it lives in a process of its own: `mlflow_process`.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from tidewright.tracking.files import locked
from tidewright.tracking.plain import to_number

DATABASE, LOCK, ARTIFACTS = "mlflow.db", ".mlflow.lock", "artifacts"
PARENT = "mlflow.parentRunId"
_ENDS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
_RUN_ENDS = {"done": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
MOST_METRICS, MOST_PARAMS = 800, 100  # a call; MLflow takes 1000 things, of them 100 parameters and 100 tags


def store_uri(folder: Path) -> str:
    """What `mlflow ui --backend-store-uri` takes."""
    return f"sqlite:///{(folder / DATABASE).resolve()}"


class MlflowLog:
    """One run of a folder's MLflow store. Writers of one folder take turns (`flock`)."""

    def __init__(self, folder: Path, *, experiment: str) -> None:
        from mlflow import entities
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        self._entities = entities
        self._lock = folder / LOCK
        folder.mkdir(parents=True, exist_ok=True)
        with locked(self._lock):
            self._store = SqlAlchemyStore(store_uri(folder), (folder / ARTIFACTS).resolve().as_uri())
            found = self._store.get_experiment_by_name(experiment)
            self._experiment = found.experiment_id if found else self._store.create_experiment(experiment, None, [])
        self._run = ""
        self._fit = ""  # the nested run of the fit that is going on outside of a search
        self._trials: dict[int, str] = {}  # those of the trials that are going on, by number
        self._kept: dict[tuple[str, int], Path] = {}  # checkpoints of a study's trials
        self._best: dict[str, float] = {}  # the least value of each study
        self._last = 0  # the greatest number of a trial of the study
        self._target = ""  # the run that the lists below are for
        self._metrics: list[Any] = []
        self._params: list[Any] = []
        self._tags: list[Any] = []

    def start(self, run: Mapping[str, Any]) -> str:
        """Begins the run, from its record as plain data; gives MLflow's id of it."""
        self._run = self._begin(run["name"], tags={"tidewright.run": run["id"], "tidewright.command": run["command"]})
        return self._run

    def hear(self, event: Mapping[str, Any]) -> None:
        """Takes one event, as `listener.describe` gives it; it is in the store after `flush` at the
        latest."""
        kind, moment = event["event"], int(event["time_ms"])
        if kind == "FitStarted":
            self._start_fit(event)
        elif kind == "EpochEnded":
            names = ("train_loss", "validation_loss", "seconds")
            numbers = {("epoch_seconds" if n == "seconds" else n): event[n] for n in names}
            numbers |= event["metrics"]
            self._write(self._place(event), metrics=numbers, step=int(event["epoch"]), moment=moment)
        elif kind == "FitEnded":
            self._end_fit(event, moment)
        elif kind == "TrialStarted":
            self._start_trial(event, moment)
        elif kind == "TrialEnded":
            self._end_trial(event, moment)
        elif kind in ("SearchStarted", "SearchEnded"):
            self._close("FAILED")
            self._keep_found(event, moment)

    def flush(self) -> None:
        """Writes what was heard and not written yet, in as few transactions as can be."""
        metrics, params, tags = self._metrics, self._params, self._tags
        self._metrics, self._params, self._tags = [], [], []
        batches = max(-(-len(metrics) // MOST_METRICS), -(-max(len(params), len(tags)) // MOST_PARAMS))
        with locked(self._lock):
            for batch in range(batches):
                some = slice(batch * MOST_PARAMS, (batch + 1) * MOST_PARAMS)
                numbers = metrics[batch * MOST_METRICS : (batch + 1) * MOST_METRICS]
                self._store.log_batch(self._target, numbers, params[some], tags[some])

    def finish(self, run: Mapping[str, Any]) -> None:
        """Ends the run with its last record: parameters, metrics and tags."""
        end = _RUN_ENDS[run["state"]]
        self._close("FAILED" if end == "FINISHED" else end)
        records = {name: run[name] for name in ("spec", "train", "view", "task", "split", "data")}
        floors = {f"floor.{name}.{k}": v for name, scores in run["floors"].items() for k, v in scores.items()}
        self._write(
            self._run,
            params=flatten(records),
            metrics={**run["metrics"], **floors, "seconds": run["seconds"]},
            tags={
                "tidewright.state": run["state"],
                "tidewright.bundle": run["bundle"],
                "tidewright.bundle_digest": run["bundle_digest"],
                "tidewright.error": run["error"],
                **{f"tidewright.version.{name}": version for name, version in run["versions"].items()},
                **{f"tidewright.machine.{name}": str(fact) for name, fact in run["machine"].items()},
            },
        )
        self._end(self._run, end)

    def abandon(self) -> None:
        """Ends the run as killed: whoever told of it is gone."""
        self._close("KILLED")
        self._end(self._run, "KILLED")

    def _place(self, event: Mapping[str, Any]) -> str:
        """The nested run that an event of a fit belongs to."""
        return self._fit or self._run if event["trial"] is None else self._trials.get(event["trial"], self._run)

    def _start_fit(self, event: Mapping[str, Any]) -> None:
        if event["trial"] is None:
            if self._fit:  # the one before never ended
                self._end(self._fit, "FAILED")
            self._fit = self._begin(event["model"], tags={PARENT: self._run})
        tags, known = {"tidewright.key": event["key"]}, self._place(event)
        self._write(known, params=flatten({"model": event["parameters"]}) if event["key"] else {}, tags=tags)

    def _end_fit(self, event: Mapping[str, Any], moment: int) -> None:
        numbers = {"fit_seconds": event["seconds"], "fit_cpu_seconds": event["cpu_seconds"]}
        self._write(self._place(event), metrics=numbers, tags={"tidewright.stopped": event["reason"]}, moment=moment)
        if event["trial"] is None and self._fit:
            self._end(self._fit, "FINISHED")
            self._fit = ""

    def _start_trial(self, event: Mapping[str, Any], moment: int) -> None:
        number, study = event["number"], event["study"]
        tags = {PARENT: self._run, "tidewright.trial": str(number), "tidewright.study": study}
        tags |= {"tidewright.state": "running"}
        self._trials[number] = self._begin(f"{study} trial {number}", tags=tags)
        self._write(
            self._trials[number],
            params={f"trial.{name}": one for name, one in event["parameters"].items()},
            metrics={} if event["expected_s"] is None else {"expected_seconds": event["expected_s"]},
            moment=moment,
        )

    def _end_trial(self, event: Mapping[str, Any], moment: int) -> None:
        number, study, value = event["number"], event["study"], event["value"]
        if number not in self._trials:
            self._start_trial(event, moment)
        run = self._trials.pop(number)
        self._write(
            run,
            metrics={
                **event["metrics"],
                **({} if value is None else {"value": value}),
                "trial_seconds": event["seconds"],
            },
            tags={"tidewright.state": event["state"], "tidewright.reason": event["error"]},
            moment=moment,
        )
        self._keep_checkpoints(event, run)
        self._end(run, _ENDS[event["state"]])
        self._last = max(self._last, number)
        if value is not None and not event["again"] and value < self._best.get(study, math.inf):
            self._best[study] = value
            self._write(self._run, metrics={f"{study}.best_value": value}, step=number, moment=moment)

    def _keep_found(self, event: Mapping[str, Any], moment: int) -> None:
        """What a search that ended says that its best trial is worth, after all trials; earlier calls' are known."""
        study = event["study"]
        if event["event"] == "SearchStarted":
            known = [one["value"] for one in event["earlier"] if one["value"] is not None and not one["again"]]
            self._last = max((one["number"] for one in event["earlier"]), default=0)
            self._best[study] = min(known, default=math.inf)
        elif event["value"] is not None:
            metrics, tags = {f"{study}.best_value": event["value"]}, {f"{study}.best_trial": str(event["best"])}
            self._write(self._run, metrics=metrics, tags=tags, step=self._last, moment=moment)

    def _keep_checkpoints(self, event: Mapping[str, Any], run: str) -> None:
        """A copy of the trial's checkpoint where it is among the best; those of trials that no longer are go."""
        study, number, kept = event["study"], event["number"], event["kept"]
        if event["checkpoint"] and number in kept:
            place = self._artifacts(run) / Path(event["checkpoint"]).name
            place.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # a better trial has ended since
                shutil.copyfile(event["checkpoint"], place)
                self._kept[study, number] = place
        for key in [key for key in self._kept if key[0] == study and key[1] not in kept]:
            self._kept.pop(key).unlink(missing_ok=True)

    def _artifacts(self, run: str) -> Path:
        return Path(url2pathname(urlparse(self._store.get_run(run).info.artifact_uri).path))

    def _close(self, status: str) -> None:
        """Ends the nested runs that nobody ended."""
        for run in (*([self._fit] if self._fit else []), *self._trials.values()):
            self._end(run, status)
        self._fit, self._trials = "", {}

    def _begin(self, name: str, *, tags: Mapping[str, str]) -> str:
        with locked(self._lock):
            listed = [self._entities.RunTag(key, value) for key, value in tags.items()]
            made = self._store.create_run(self._experiment, "", _now(), listed, name)
        return str(made.info.run_id)

    def _write(
        self,
        run: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        step: int = 0,
        moment: int | None = None,
    ) -> None:
        if run != self._target:
            self.flush()
            self._target = run
        when = _now() if moment is None else moment
        self._metrics += [self._entities.Metric(_name(k), to_number(v), when, step) for k, v in (metrics or {}).items()]
        self._params += [self._entities.Param(_name(k), str(v)) for k, v in (params or {}).items()]
        self._tags += [self._entities.RunTag(_name(k), v) for k, v in (tags or {}).items() if v]

    def _end(self, run: str, status: str) -> None:
        self.flush()
        with locked(self._lock):
            self._store.update_run_info(run, self._entities.RunStatus.from_string(status), _now(), None)


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted names; lists stay whole.

    >>> flatten({"train": {"epochs": 3}, "view": {"calendar": ["hour"]}})
    {'train.epochs': 3, 'view.calendar': ['hour']}
    """
    found: dict[str, Any] = {}
    for name, value in data.items():
        found.update(flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value})
    return found


def _name(text: str) -> str:
    """A name that MLflow takes: letters, digits and _-.:/ and blanks, at most 250."""
    return "".join(c if (c.isascii() and c.isalnum()) or c in "_-.:/ " else "_" for c in text)[:250]


def _now() -> int:
    return int(time.time() * 1000)
