"""The command that makes the same run again, from its settings, and the versions it was made with."""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tidewright.workflows.settings import RunSettings, schema

PACKAGES = (
    "tidewright", "numpy", "polars", "scipy", "torch", "lightgbm", "xgboost-cpu", "catboost",
    "optuna", "onnx", "onnxruntime", "mlflow", "skfolio", "exchange-calendars", "plotly",
)  # fmt: skip
_BARE = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")
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
