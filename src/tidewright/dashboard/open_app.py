"""`open_app`: the page of a folder or storage, served until it is interrupted."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from tidewright.errors import ConfigError
from tidewright.optional import require
from tidewright.tracking.local import list_runs
from tidewright.tuning.kept import list_studies

PLACE, SECONDS = "TIDEWRIGHT_DASH", "TIDEWRIGHT_DASH_SECONDS"  # what the page is told, in its environment
QUIET = ("--server.headless=true", "--browser.gatherUsageStats=false", "--server.fileWatcherType=none")


def open_app(where: str, *, port: int, refresh_s: float) -> NoReturn:
    """Serves the page at http://localhost:PORT, to this machine alone, in place of this process.

    `where` is a folder of runs or studies or the address of a storage; a study that runs is read again every
    `refresh_s` seconds (0: never). Raises `ConfigError` where there is nothing to show, and `MissingExtraError`.
    """
    require("streamlit", extra="dash", purpose="the dashboard")
    if not list_studies(where) and ("://" in where or not list_runs(where).runs):
        raise ConfigError(f"'{where}' has no run and no study. Make one with: tidewright tune, or give another place.")
    page = Path(__file__).with_name("app.py")
    address = ("--server.address=localhost", f"--server.port={port}")
    command = [sys.executable, "-m", "streamlit", "run", str(page), *QUIET, *address]
    os.execve(sys.executable, command, {**os.environ, PLACE: where, SECONDS: str(refresh_s)})
