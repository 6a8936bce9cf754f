"""`mirror_store`: a store's versions, champions and challengers in MLflow's registry, for those who look there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tidewright.registry.store import Store
from tidewright.tracking.mlflow_registry import mirror_models


def mirror_store(store: Store, folder: str | Path) -> None:
    """Brings the registry of a folder's MLflow store (`mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db`) up to
    date: every version with its digest and its folder, and the aliases champion and challenger.

    The store stays what counts: nothing is read back. MLflow counts versions itself; the tag `tidewright.version` has
    the store's number. Raises `MissingExtraError`, and `OSError` with MLflow's failure.
    """
    mirror_models({name: describe_model(store, name) for name in store.names()}, Path(folder))


def describe_model(store: Store, name: str) -> dict[str, Any]:
    """A model as `mirror_models` takes it."""
    releases = store.versions(name)
    roles = {one.role: one.version for one in releases}
    versions = [
        {"version": one.version, "digest": one.digest, "source": one.folder.resolve().as_uri()} for one in releases
    ]
    return {"versions": versions, "champion": roles.get("champion"), "challenger": roles.get("challenger")}
