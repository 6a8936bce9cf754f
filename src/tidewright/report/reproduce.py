"""The command that makes the same run again, from its settings, and the versions it was made with."""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tidewright.tuning.open_store import hide_password
from tidewright.tuning.study import Study
from tidewright.workflows.settings import TRAINED, RunSettings, schema
from tidewright.workflows.tune_table import TuneWords

PACKAGES = (
    "tidewright", "numpy", "polars", "scipy", "torch", "lightgbm", "xgboost-cpu", "catboost",
    "optuna", "onnx", "onnxruntime", "mlflow", "skfolio", "exchange-calendars", "plotly",
)  # fmt: skip
_BARE = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")
_FLAGS = {  # of the verb `tune`, by their field of TuneWords
    "trials": "trials", "budget_s": "budget", "metric": "metric", "searcher": "search", "pruner": "pruner",
    "space": "space", "wide": "wide", "storage": "storage", "workers": "workers", "ray": "ray", "folds": "folds",
    "seeds": "seeds", "adaptive": "adaptive", "together": "together", "warm_start": "warm-start",
}  # fmt: skip
_WORDS = {"null", "true", "false", "nan", "inf"}


def write_command(settings: RunSettings) -> str | None:
    """The shell command of a run; None when its table came from memory, so that no command can name it."""
    if settings.recipe == "table" and settings.data.path is None:
        return None
    overrides = list_overrides(settings)
    path = settings.data.path
    if path is None:  # without a table the recipe is market
        return shlex.join(["tidewright", "run", *(item for item in overrides if item != "recipe=market")])
    return shlex.join(["tidewright", "run", path, *(i for i in overrides if not i.startswith("data.path="))])


def write_tune_command(settings: RunSettings, words: TuneWords) -> str | None:
    """The shell command of a search, a password of its storage left out; None when its table came from memory."""
    if settings.recipe == "table" and settings.data.path is None:
        return None
    path = [] if settings.data.path is None else [settings.data.path]
    skipped = ("data.path=", "model=", "recipe=")
    overrides = [item for item in list_overrides(settings) if not item.startswith(skipped)]
    usual = TuneWords()
    flags = [f"--models={','.join(words.models)}"]
    for name, flag in _FLAGS.items():
        value = getattr(words, name)
        if value != getattr(usual, name):
            flags.append(f"--{flag}" if value is True else f"--{flag}={hide_password(str(value))}")
    return shlex.join(["tidewright", "tune", *path, *overrides, *flags])


def write_winner_command(settings: RunSettings, study: Study) -> str | None:
    """The command that runs the best options of a search to a sealed model; None where no run can be told them: the
    table came from memory, positions were learned, the steps that the model learns at once are searched, or the model
    is none that a run can be asked for.
    """
    if study.spec.name not in TRAINED:
        return None
    if study.train.loss == "sharpe" or any(name.endswith("task.horizon") for name in study.best.parameters):
        return None
    options = asdict(study.spec)  # type: ignore[call-overload]  # every spec is a dataclass
    options.pop("name", None)
    looked = any(name.endswith("view.lookback") for name in study.best.parameters)
    changes = {
        "models": {study.spec.name: options},
        "train": study.train,
        "lookback": study.view.lookback if looked else settings.lookback,
        "tune": settings.tune.model_copy(update={"enabled": False}),
    }
    return write_command(settings.model_copy(update=changes))


def list_overrides(settings: RunSettings) -> list[str]:
    """Every setting that is not the default, in Hydra's grammar: `read_settings` reads them back.

    >>> list_overrides(RunSettings(horizon=8, models={"lstm": {}}))
    ['model=lstm', 'horizon=8']
    """
    group = schema().groups["model"]
    given = settings.model_dump(mode="json")
    models: Mapping[str, Mapping[str, Any]] = given.pop("models")
    plain = RunSettings().model_dump(mode="json")
    chosen = [] if tuple(models) == tuple(group.default) or not models else [f"model={','.join(models)}"]
    options = [
        f"models.{name}.{key}={_literal(value)}"
        for name, values in models.items()
        for key, value in values.items()
        if _plain(group.options[name].get(key)) != _plain(value)
    ]
    return [*chosen, *_differences(given, plain, ""), *options]


def list_versions() -> Mapping[str, str]:
    """The versions of Python and of the packages that a run may use; those that are not installed say so."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def flatten(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested settings by their dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{path}{key}.") if isinstance(value, Mapping) and value else {f"{path}{key}": value}
    return flat


def _differences(given: Mapping[str, Any], plain: Mapping[str, Any], path: str) -> list[str]:
    usual = flatten(plain, path)
    return [f"{key}={_literal(value)}" for key, value in flatten(given, path).items() if usual.get(key) != value]


def _literal(value: Any) -> str:
    """A value as Hydra's grammar writes it; text that could be read as anything else is quoted."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, list | tuple):
        return "[" + ",".join(_literal(item) for item in value) + "]"
    if isinstance(value, str) and (not _BARE.fullmatch(value) or value.lower() in _WORDS):
        escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
        return f"'{escaped}'"
    return str(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
