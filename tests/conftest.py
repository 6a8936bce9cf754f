"""Hypothesis draws the same examples in every CI run, and new ones at a desk."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

os.environ.setdefault("NIXTLA_NUMBA_CACHE", "1")  # statsforecast's compiled loops stay on disk: 25 s once, then 2
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(autouse=True, scope="session")
def _no_ledger_of_ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trials of tests are kept away from those of whoever runs them, and so is what is measured of backends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("tidewright.tuning.ledger.FOLDER", tmp_path_factory.mktemp("ledger"))
        yield
