"""A store's versions and aliases in MLflow's registry on SQLite, written by a process of its own.

`python -m tidewright.tracking.mlflow_registry` reads one line of JSON from stdin; it needs MLflow itself, which takes
seconds to import and is chatty.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidewright.errors import MissingExtraError
from tidewright.optional import has
from tidewright.tracking.files import locked
from tidewright.tracking.mlflow_log import LOCK, store_uri
from tidewright.tracking.mlflow_process import ENVIRONMENT

VERSION, DIGEST = "tidewright.version", "tidewright.digest"
ALIASES = ("champion", "challenger")
PATIENCE_S = 120.0


def mirror_models(models: Mapping[str, Any], folder: Path) -> None:
    """Puts models into the registry of a folder's MLflow store (`mlflow.db`); it is brought up to date, and what is
    there already stays.

    A model is `{"versions": [{"version", "digest", "source"}], "champion": 2, "challenger": None}`. Raises
    `MissingExtraError`, and `OSError` with the failure.
    """
    if not has("mlflow"):
        raise MissingExtraError(
            "MLflow's registry needs the package 'mlflow'. Install it with: pip install 'tidewright[tracking]'"
        )
    told = json.dumps({"folder": str(folder.resolve()), "models": models})
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tidewright.tracking.mlflow_registry"],
        input=told,
        text=True,
        capture_output=True,
        env={**os.environ, **ENVIRONMENT},
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise OSError(f"MLflow's registry could not be written: {lines[-1]}")


def write_models(models: Mapping[str, Any], folder: Path) -> None:
    """The same, in this process."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK):
        store = SqlAlchemyStore(store_uri(folder))
        for name, model in models.items():
            _write(store, name, model)


def _write(store: Any, name: str, model: Mapping[str, Any]) -> None:
    from mlflow.entities.model_registry import ModelVersionTag

    if name not in {one.name for one in store.search_registered_models(f"name = '{name}'")}:
        store.create_registered_model(name)
    found = store.search_model_versions(f"name = '{name}'")
    there = {one.tags.get(VERSION): one.version for one in found}
    for one in model["versions"]:
        number = str(one["version"])
        if number not in there:
            tags = [ModelVersionTag(VERSION, number), ModelVersionTag(DIGEST, one["digest"])]
            there[number] = store.create_model_version(name, one["source"], tags=tags).version
    now = store.get_registered_model(name).aliases
    for alias in ALIASES:
        if model[alias] is not None:
            store.set_registered_model_alias(name, alias, there[str(model[alias])])
        elif alias in now:
            store.delete_registered_model_alias(name, alias)


def main() -> None:
    """The process."""
    told = json.loads(sys.stdin.read())
    write_models(told["models"], Path(told["folder"]))


if __name__ == "__main__":
    main()
