"""The local record: a folder a run, with `run.json` and `events.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from tidewright.errors import ConfigError, DataError
from tidewright.tracking.files import write_whole
from tidewright.tracking.plain import dump
from tidewright.tracking.run import Run

FOLDER = Path("tidewright-runs")
NO_RUNS = ("artifacts", "ledger", "studies")  # of MLflow, of all trials, and of the searches of `tidewright tune`
RECORD, EVENTS = "run.json", "events.jsonl"


class LocalRecord:
    """Keeps one run in its own folder. Every verb raises `OSError` when the disk refuses."""

    name = "the local record"

    def __init__(self, folder: Path, *, again: bool = False) -> None:
        """`again`: a run that was interrupted goes on in its own folder."""
        self._folder, self._again = folder, again
        self._events: TextIO | None = None

    def start(self, run: Run) -> Run:
        """Makes the run's folder; a run of the same second and key gets the next free id."""
        run, place = (run, self._folder / run.id) if self._again else _claim(self._folder, run)
        write_whole(place / RECORD, run.to_json())
        self._events = (place / EVENTS).open("a", encoding="utf-8")
        return run

    def hear(self, event: Mapping[str, Any]) -> None:
        """Adds a line to the events."""
        if self._events is not None:
            self._events.write(dump(event) + "\n")
            self._events.flush()

    def finish(self, run: Run) -> None:
        """Writes the run's last state."""
        if self._events is not None:
            self._events.close()
            self._events = None
        write_whole(self._folder / run.id / RECORD, run.to_json())


@dataclass(frozen=True, slots=True)
class Listed:
    """The runs of a folder, newest first, and a note on each entry that could not be read."""

    runs: tuple[Run, ...]
    notes: tuple[str, ...]


def list_runs(folder: Path | str = FOLDER) -> Listed:
    """The runs of a folder, newest first. A folder that is not there has no runs; a half-written run is a
    note."""
    runs, notes = [], []
    place = Path(folder)
    for path in sorted(place.iterdir() if place.is_dir() else (), reverse=True):
        if not path.is_dir() or path.name in NO_RUNS:
            continue
        try:
            runs.append(read_run(path))
        except DataError as error:
            notes.append(f"skipped {path.name}: {error}")
    return Listed(tuple(runs), tuple(notes))


def read_run(path: Path) -> Run:
    """The run of one folder. Raises `DataError`."""
    try:
        text = (path / RECORD).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}/{RECORD} can't be read: {error}. The run was killed as it began.") from error
    run = Run.from_json(text, source=f"{path.name}/{RECORD}")
    if run.id != path.name:
        raise DataError(f"{path.name}/{RECORD} is the record of {run.id}. A folder has the name of its run.")
    return run


def _claim(folder: Path, run: Run) -> tuple[Run, Path]:
    """The run with an id that nobody else has, and its folder: whoever makes the folder owns the id."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        claimed = run if number == 1 else replace(run, id=f"{run.id}-{number}")
        try:
            (folder / claimed.id).mkdir()
        except FileExistsError:
            continue
        return claimed, folder / claimed.id
    raise ConfigError(f"{folder} holds 10,000 runs of the id {run.id}. Name another folder.")
