"""`Run`: the record of one run, to JSON and back."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from importlib import metadata
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError, DataError
from tidewright.tracking.plain import to_number, to_plain

SCHEMA = 1
PACKAGES = (
    "tidewright",
    "numpy",
    "polars",
    "numba",
    "torch",
    "lightgbm",
    "xgboost-cpu",
    "catboost",
    "optuna",
    "mlflow",
    "onnx",
    "onnxruntime",
)


class RunState(StrEnum):
    """Where a run stands. A run that was killed stays `running` in its local record."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Fallback:
    """Something else was used than was asked for."""

    asked: str
    used: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was run, on what, with what result. Frozen: `dataclasses.replace` gives the next state of it.

    `started` and `ended` are ISO times in UTC. `spec`, `view`, `train`, `task` and `split` are the records
    as plain data. `data` says which (digest, series, rows, frequency). `metrics` are the winner's, by name
    ("test.mase"); `floors` those of each floor. `choices` are what was chosen, what was passed over and why;
    `repairs` what was mended in the data.
    """

    id: str
    name: str
    command: str
    state: RunState
    started: str
    ended: str = ""
    seconds: float = 0.0
    spec: Mapping[str, Any] = field(default_factory=dict)
    view: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    floors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[Mapping[str, Any], ...] = ()
    repairs: tuple[Mapping[str, Any], ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    bundle: str = ""
    bundle_digest: str = ""
    mlflow_run: str = ""
    error: str = ""

    def to_json(self) -> str:
        """Strict JSON, for people to read too."""
        return json.dumps({"schema": SCHEMA, **to_plain(self)}, indent=2, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, *, source: str = "the run's record") -> Run:
        """The run that `to_json` wrote. Raises `DataError`."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise DataError(f"{source} is not whole: {error}. The run was perhaps killed as it began.") from error
        schema = data.pop("schema", None) if isinstance(data, dict) else None
        if schema != SCHEMA:
            raise DataError(f"{source} has schema {schema!r}, and this version reads {SCHEMA}. Update tidewright.")
        return cls(**_decode(data, source))


def begin_run(name: str, *, command: str, key: str, now: datetime | None = None) -> Run:
    """A run that starts now, with the versions and facts of what computes it.

    Its id is the UTC time and six digits of `key`.

    >>> begin_run("market", command="run", key="0123456789ab", now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)).id
    '20260102T030405Z-012345'
    """
    if not key.isalnum():
        raise ConfigError(f"a run's key is made of letters and digits; got {key!r}. Bring the records' key.")
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return Run(
        id=f"{moment:%Y%m%dT%H%M%SZ}-{key[:6]}",
        name=name,
        command=command,
        state=RunState.RUNNING,
        started=moment.isoformat(timespec="milliseconds"),
        versions=find_versions(),
        machine=find_machine(),
    )


def find_versions() -> dict[str, str]:
    """The versions of Python and of the packages that are installed, of those that make a difference."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def find_machine() -> dict[str, Any]:
    """What computes: system, kind of processor and the number of cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "cores": cores,
    }


def _decode(data: dict[str, Any], source: str) -> dict[str, Any]:
    known = [one.name for one in fields(Run)]
    for key in data:
        if key not in known:
            raise DataError(f"{source}: {explain_unknown('field of a run', key, known)}")
    missing = [name for name in ("id", "name", "command", "state", "started") if name not in data]
    if missing:
        raise DataError(f"{source} has no {missing[0]!r}. It was not written by tidewright.")
    try:
        data["state"] = RunState(data["state"])
        data["metrics"] = {k: to_number(v) for k, v in data.get("metrics", {}).items()}
        data["floors"] = {
            name: {k: to_number(v) for k, v in scores.items()} for name, scores in data.get("floors", {}).items()
        }
        data["choices"], data["repairs"] = tuple(data.get("choices", ())), tuple(data.get("repairs", ()))
        data["fallbacks"] = tuple(Fallback(**one) for one in data.get("fallbacks", ()))
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{source} holds a value of the wrong kind: {error}. It was changed by hand.") from error
    return data
