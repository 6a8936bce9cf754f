"""What came of a step of trials, kept at once before the first of them is told: a kill leaves all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tidewright.tuning.trial import Trial

NAME = "step-{:05d}.json"


def keep_step(folder: Path | None, trials: Sequence[Trial]) -> Path | None:
    """The file that keeps how the trials of a step ended, beside the first one's `folder`; None where there is none."""
    if folder is None:
        return None
    from tidewright.training.checkpoint import write_whole

    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / NAME.format(min(trial.number for trial in trials))
    write_whole(path, json.dumps([trial.to_dict() for trial in trials]).encode())
    return path


def find_step(folder: Path | None, number: int) -> tuple[Path, tuple[Trial, ...]] | None:
    """The file of the step that a trial ended in, and how its trials ended; None where it was not kept."""
    if folder is None:
        return None
    for path in sorted(folder.parent.glob(NAME.format(0).replace("00000", "*"))):
        trials = tuple(Trial.from_dict(told) for told in json.loads(path.read_text()))
        if any(trial.number == number for trial in trials):
            return path, trials
    return None
