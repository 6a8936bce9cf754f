"""`serve`: the whole of a server, in this process."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from tidewright.errors import RepairWarning
from tidewright.serving.logs import log_to_stderr
from tidewright.serving.options import ServeOptions
from tidewright.serving.server import Serving, address, bind


def serve(places: Sequence[Path], options: ServeOptions, *, tell: Callable[[str], None]) -> None:
    """Serves the bundles of folders until SIGTERM or SIGINT. Raises `ConfigError` and what `tw.open` does.

    This process then logs as lines of JSON on stderr and does nothing else; `tell` hears where the server listens.
    """
    log_to_stderr()
    warnings.filterwarnings("ignore", category=RepairWarning)  # told in each answer
    serving = Serving(places, options)
    with bind(options) as bound:
        tell(f"serving at {address(options, bound)}; its paths: {address(options, bound)}/docs")
        serving.run(bound)
