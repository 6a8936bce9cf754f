"""`serve`: the whole of a server, in this process or over several workers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tidewright.errors import ConfigError, RepairWarning
from tidewright.serving.listen import address, bind
from tidewright.serving.logs import log_to_stderr
from tidewright.serving.options import ServeOptions
from tidewright.serving.rollout import check_rollouts, read_rollouts
from tidewright.serving.roster import check_places, find_stored
from tidewright.serving.supervise import supervise


def serve(places: Sequence[Path], options: ServeOptions, *, tell: Callable[[str], None]) -> None:
    """Serves the bundles of folders until SIGTERM or SIGINT. Raises `ConfigError` and what `tw.open` does.

    This process then logs as lines of JSON on stderr and does nothing else; `tell` hears where the server listens.
    """
    check_places(places)
    stored = find_stored(places)
    check_rollouts(stored, read_rollouts(shadow=options.shadow, split=options.split))
    if options.record is not None:
        _check_record(Path(options.record), stored)
    log_to_stderr()
    warnings.filterwarnings("ignore", category=RepairWarning)  # told in each answer
    with bind(options) as bound:
        url = address(options, bound)

        def say() -> None:
            tell(f"serving at {url}; its paths: {url}/docs")

        if options.workers > 1:
            supervise(places, options, bound, tell=say)
        else:
            from tidewright.serving.server import Serving

            Serving(places, options).run(bound, ready=say)


def _check_record(folder: Path, stored: Mapping[str, Path]) -> None:
    """Makes the folder of a record, where there is something to keep. Raises `ConfigError`."""
    if not stored:
        raise ConfigError("a record is of what models of a store said. Give it as --store FOLDER.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the record's folder '{folder}' can't be made: {error.strerror}. Give another.") from error
