"""One server for the tests that change nothing of it, and a store for those of a split and a shadow."""

import pytest

from tests.serving.running import running, save_ridge
from tests.worlds import small_table
from tidewright.registry.store import open_store


@pytest.fixture(scope="package")
def ridge(tmp_path_factory):
    return save_ridge(tmp_path_factory.mktemp("served") / "sales")


@pytest.fixture(scope="package")
def server(ridge):
    with running([ridge.folder]) as one:
        yield one


@pytest.fixture
def rows(ridge):
    return ridge.example()[0].target


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A champion, a rival that answers other numbers, and others that look back less and more."""
    folder = tmp_path_factory.mktemp("rollout")
    made = {"champion": {}, "rival": {"seed": 1}, "short": {"lookback": 12}, "long": {"lookback": 36}}
    return {name: save_ridge(folder / name, **options) for name, options in made.items()}


@pytest.fixture
def store(tmp_path, bundles):
    store = open_store(tmp_path / "store")
    for name in ("champion", "rival"):
        store.register("sales", bundles[name])
    return store


@pytest.fixture(scope="module")
def history():
    table = small_table(rows=60).select("shop", "hour", "sold")
    return {**table.to_dict(as_series=False), "hour": [time.isoformat() for time in table["hour"]]}, table
