"""`MlflowLog`: a run, its fits and its trials in an MLflow store on SQLite; every fit is a nested run.

It needs MLflow itself (seconds to import, and chatty), so it lives in a process of its own: `mlflow_process`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidewright.tracking.files import locked
from tidewright.tracking.plain import to_number

DATABASE, LOCK, ARTIFACTS = "mlflow.db", ".mlflow.lock", "artifacts"
PARENT = "mlflow.parentRunId"
_ENDS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
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
        self._fit = ""  # the nested run of the fit that is going on, or that ended last
        self._fit_open = False
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
            self._write(self._fit or self._run, metrics=numbers, step=int(event["epoch"]), moment=moment)
        elif kind == "FitEnded":
            numbers = {"fit_seconds": event["seconds"], "fit_cpu_seconds": event["cpu_seconds"]}
            self._write(self._fit, metrics=numbers, tags={"tidewright.reason": event["reason"]}, moment=moment)
            self._end_fit("FINISHED")
        elif kind == "TrialEnded":
            self._end_trial(event, moment)

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
        if self._fit_open:
            self._end_fit("FAILED")
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
        self._end(self._run, "FINISHED" if run["state"] == "done" else "FAILED")

    def abandon(self) -> None:
        """Ends the run as killed: whoever told of it is gone."""
        if self._fit_open:
            self._end_fit("KILLED")
        self._end(self._run, "KILLED")

    def _start_fit(self, event: Mapping[str, Any]) -> None:
        if self._fit_open:  # the one before never ended
            self._end_fit("FAILED")
        self._fit = self._begin(event["model"], tags={PARENT: self._run, "tidewright.key": event["key"]})
        self._fit_open = True
        self._write(self._fit, params=flatten({"model": event["parameters"]}))

    def _end_trial(self, event: Mapping[str, Any], moment: int) -> None:
        value = {} if event["value"] is None else {"value": event["value"]}
        tags = {"tidewright.trial": str(event["number"]), "tidewright.state": event["state"]}
        self._write(
            self._fit,
            params={f"trial.{name}": one for name, one in event["parameters"].items()},
            metrics={**event["metrics"], **value, "trial_seconds": event["seconds"]},
            tags={**tags, "tidewright.study": event["study"], "tidewright.error": event["error"]},
            moment=moment,
        )
        self._end_fit(_ENDS[event["state"]], name=f"{event['study']} trial {event['number']}")

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

    def _end_fit(self, status: str, *, name: str | None = None) -> None:
        self._fit_open = False
        self._end(self._fit, status, name=name)

    def _end(self, run: str, status: str, *, name: str | None = None) -> None:
        self.flush()
        with locked(self._lock):
            self._store.update_run_info(run, self._entities.RunStatus.from_string(status), _now(), name)


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
