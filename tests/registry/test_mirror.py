"""MLflow's registry says what the store says, on a local SQLite file."""

import json
import os
import subprocess
import sys

import pytest

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.models.spec import Naive
from tidewright.registry.bundle import save_bundle
from tidewright.registry.mirror import describe_model, mirror_store
from tidewright.registry.store import open_store
from tidewright.tracking.mlflow_process import ENVIRONMENT
from tidewright.training.fit import fit

READ_WRITE_READ = """
import json, sys
from pathlib import Path
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from tidewright.tracking.mlflow_registry import write_models
folder = Path(sys.argv[1])
def read():
    store = SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}")
    found = store.search_model_versions("name = 'sales'")
    numbers = {str(one.version): one.tags["tidewright.version"] for one in found}
    aliases = {name: numbers[str(one)] for name, one in store.get_registered_model("sales").aliases.items()}
    return [aliases, {one.tags["tidewright.version"]: [one.tags["tidewright.digest"], one.source] for one in found}]
before = read()
write_models(json.loads(sys.argv[2]), folder)
print(json.dumps([before, read()]))
"""


def read_write_read(folder, models):
    """What MLflow itself says, before and after models are written, in a process of its own."""
    words = [sys.executable, "-c", READ_WRITE_READ, str(folder), json.dumps(models)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, **ENVIRONMENT})
    return json.loads(done.stdout)


@pytest.fixture
def store(tmp_path):
    panel = small_panel()
    fitted = fit(Naive(), panel=panel, split=split_holdout(panel, Task(4)), task=Task(4))
    bundle = save_bundle(fitted, panel=panel, folder=tmp_path / "naive")
    store = open_store(tmp_path / "store")
    for _ in range(2):
        store.register("sales", bundle)
    return store


def test_versions_and_aliases_are_those_of_the_store_and_follow_it(store, tmp_path):
    (tmp_path / "runs").mkdir()
    mirror_store(store, tmp_path / "runs")
    kept = store.get("sales", 1)
    store.promote("sales", force="a trial")
    before, after = read_write_read(tmp_path / "runs", {"sales": describe_model(store, "sales")})
    assert before[0] == {"champion": "1", "challenger": "2"}
    assert before[1]["1"] == [kept.digest, kept.folder.resolve().as_uri()]
    assert after[0] == {"champion": "2"}
    assert sorted(after[1]) == ["1", "2"]


def test_a_registry_that_can_t_be_written_says_why(store, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").write_text("no database")
    with pytest.raises(OSError, match="MLflow's registry could not be written"):
        mirror_store(store, tmp_path / "runs")
