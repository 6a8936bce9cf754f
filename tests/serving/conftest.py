"""One server for the tests that change nothing of it."""

import pytest

from tests.serving.running import running, save_ridge


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
