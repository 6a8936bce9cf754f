"""A preset's run that was interrupted goes on: its plan on the disk, and how it is found again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tidewright.errors import ConfigError, DataError
from tidewright.tracking.files import write_whole
from tidewright.tracking.local import read_run
from tidewright.tracking.run import Run, RunState
from tidewright.workflows.settings import RunSettings

SEARCH, PLAN, PARTS = "search", "plan.json", "parts"
LAST = "last"


def keep_plan(folder: Path, settings: RunSettings, *, digest: str) -> None:
    """Writes what was asked for and of which data, before anything is learned."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / PLAN, json.dumps({"settings": settings.model_dump(mode="json"), "digest": digest}, indent=2))


def drop_parts(folder: Path) -> None:
    """Deletes what a finished search kept of each fit; its journal and plan stay."""
    shutil.rmtree(folder / PARTS, ignore_errors=True)


def find_interrupted(run: str, *, folder: Path) -> tuple[Run, RunSettings, str]:
    """The record, the settings and the data digest of a run that did not end; "last" is the newest of a preset.

    Raises `ConfigError` for one that is done, or that had no preset.
    """
    place = _find_last(folder) if run == LAST else folder / Path(run).name
    if not (place / SEARCH / PLAN).is_file():
        raise ConfigError(
            f"there is no run of a preset in {place}: only such a run goes on. `tidewright runs` lists what there is."
        )
    record = read_run(place)
    if record.state is RunState.DONE:
        raise ConfigError(f"the run {record.id} is done; its report is {place / 'report.html'}. Start a new one.")
    plan = json.loads((place / SEARCH / PLAN).read_text("utf-8"))
    try:
        settings = RunSettings(**plan["settings"])
    except ValidationError as error:
        raise ConfigError(
            f"the plan of the run {record.id} is not one of this version: {error.errors()[0]['msg']}. Start a new run."
        ) from error
    return replace(record, state=RunState.RUNNING, error=""), settings, str(plan["digest"])


def find_same(settings: RunSettings, *, digest: str) -> str | None:
    """The id of the newest run that was asked for the same on the same data and did not end; None where there is
    none."""
    asked = {"settings": json.loads(json.dumps(settings.model_dump(mode="json"))), "digest": digest}
    for plan in _find_plans(Path(settings.folder)):
        place = plan.parents[1]
        if json.loads(plan.read_text("utf-8")) == asked and _is_open(place):
            return place.name
    return None


def check_digest(digest: str, *, wanted: str, run: str) -> None:
    """Raises `DataError` where the table is not what the run began with."""
    if digest != wanted:
        raise DataError(
            f"the table is another one than the run {run} began with, so what it learned does not hold. Bring that "
            "table, or start a new run."
        )


def change_budget(settings: RunSettings, options: Mapping[str, Any]) -> RunSettings:
    """The settings with another budget, where one is given; nothing else of a run can change as it goes on."""
    return settings.model_copy(update={"budget_s": options["budget_s"]}) if "budget_s" in options else settings


def _find_last(folder: Path) -> Path:
    for plan in _find_plans(folder):
        place = plan.parents[1]
        if _is_open(place):
            return place
    raise ConfigError(
        f"no run of a preset in {folder} was interrupted. `tidewright runs {folder}` lists what there is."
    )


def _find_plans(folder: Path) -> list[Path]:
    """The plans of a folder's runs, the newest first."""
    return sorted(folder.glob(f"*/{SEARCH}/{PLAN}"), reverse=True)


def _is_open(place: Path) -> bool:
    """Whether a run did not end; one whose record can't be read did not either, and can't go on."""
    try:
        return read_run(place).state is not RunState.DONE
    except DataError:
        return False
