"""`mirror_store`: a store's versions, champions and challengers in MLflow's registry, for those who look there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tidewright.checks import to_path
from tidewright.errors import ConfigError
from tidewright.registry.store import Store
from tidewright.tracking.mlflow_registry import mirror_models


def mirror_store(store: Store, folder: str | Path) -> None:
    """Brings the registry of a folder's MLflow store (`mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db`) up to
    date: every version with its digest and its folder, and the aliases champion and challenger.

    The store stays what counts: nothing is read back. MLflow counts versions itself; the tag `tidewright.version` has
    the store's number. Raises `ConfigError` where there is no such folder or no model, for a mistyped name would make a
    second registry; `MissingExtraError`, and `OSError` with MLflow's failure.
    """
    place = to_path("folder", folder, of="a folder of runs")
    if not place.is_dir():
        raise ConfigError(f"there is no folder '{place}'. Give a folder of runs, or make it first.")
    names = dict.fromkeys(one.name for one in store.versions())
    if not names:
        raise ConfigError(f"the store '{store.folder}' has no models. Name another one, or register a bundle first.")
    mirror_models({name: describe_model(store, name) for name in names}, place)


def describe_model(store: Store, name: str) -> dict[str, Any]:
    """A model as `mirror_models` takes it."""
    releases = store.versions(name)
    roles = {one.role: one.version for one in releases}
    versions = [
        {"version": one.version, "digest": one.digest, "source": one.folder.resolve().as_uri()} for one in releases
    ]
    return {"versions": versions, "champion": roles.get("champion"), "challenger": roles.get("challenger")}
