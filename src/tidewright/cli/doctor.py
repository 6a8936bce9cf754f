"""`tidewright doctor`: what this machine has, and what Tidewright will use."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import typer

from tidewright.cli.show import show_table, to_plain

EXTRAS = {
    "nets": ("torch", "onnx", "onnxscript", "safetensors"),
    "serving": ("onnxruntime",),
    "trees": ("lightgbm",),
    "forests": ("scikit-learn",),
    "boosters": ("xgboost-cpu", "catboost"),
    "tuning": ("optuna",),
    "search": ("cmaes", "hyperopt", "scikit-optimize", "numpyro"),
    "tracking": ("mlflow",),
    "holidays": ("holidays",),
    "market": ("skfolio", "exchange_calendars"),
    "report": ("plotly", "jinja2"),
}


def show_doctor(*, as_json: bool) -> None:
    """Prints the examination."""
    found = examine()
    if as_json:
        typer.echo(json.dumps(to_plain(found), indent=2))
        return
    show_table([{"what": key, "here": value} for key, value in found["machine"].items()], title="machine")
    show_table([_package_row(**package) for package in found["packages"]], title="packages")
    show_table(found["choices"], title="what will be used")
    show_table(found["backends"], title="what can answer (tidewright predict --backend)")


def _package_row(*, extra: str, package: str, version: str | None) -> dict[str, str]:
    return {"for": extra, "package": package, "here": version or f"missing: pip install 'tidewright[{extra}]'"}


def examine() -> dict[str, Any]:
    """The machine, the packages and the choices that follow."""
    from tidewright.runtime import detect_runtime

    runtime = detect_runtime()
    disk = shutil.disk_usage(os.getcwd())
    machine = {
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": _memory(),
        "disk free": f"{disk.free / 2**30:.0f} GiB of {disk.total / 2**30:.0f}",
    }
    packages = [
        {"extra": extra, "package": name, "version": _version(name)}
        for extra, names in EXTRAS.items()
        for name in names
    ]
    choices = [
        {
            "choice": key,
            "used": choice.used,
            "reason": choice.reason,
            "passed over": list(choice.passed_over),
        }
        for key, choice in runtime.choices.items()
    ]
    return {"machine": machine, "packages": packages, "choices": choices, "backends": list(_examine_backends())}


def _examine_backends() -> Iterator[dict[str, str]]:
    """Each backend: what it is, and whether it can serve on the processor and on a GPU here."""
    from tidewright.inference.backends.catalog import BACKENDS

    for name, entry in BACKENDS.items():
        backend = entry.load()
        found = {device: backend.explain_missing(device) or "yes" for device in ("cpu", "cuda")}
        yield {"backend": name, "is": entry.summary, "starts": entry.kind, **found}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _memory() -> str:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return f"{pages * size / 2**30:.1f} GiB"
