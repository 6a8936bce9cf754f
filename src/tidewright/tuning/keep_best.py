"""Which trials keep their files: those that run, and the best."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tidewright.tuning.repeats import originals
from tidewright.tuning.trial import Trial, TrialState

CHECKPOINT = "checkpoint.safetensors"  # of a network, in its trial's folder


def trial_folder(folder: Path, number: int) -> Path:
    """A trial's own place on disk."""
    return folder / f"{number:05d}"


def remove_ended(folder: Path, trials: Sequence[Trial], *, keep: int) -> tuple[int, ...]:
    """Removes the folders of the trials that have ended, but for those of the `keep` best, whose numbers it gives."""
    complete = [trial for trial in originals(trials) if trial.state is TrialState.COMPLETE]
    best = sorted(complete, key=lambda trial: (trial.values[0], trial.number))[:keep]
    numbers = tuple(trial.number for trial in best)
    if not folder.exists():
        return numbers
    stay = {trial.number for trial in (*best, *trials) if trial in best or trial.state is TrialState.RUNNING}
    for place in folder.iterdir():
        number = int(place.name) if place.name.isdigit() else len(trials)
        if number < len(trials) and number not in stay:  # a later number is another worker's, and new
            shutil.rmtree(place, ignore_errors=True)  # another worker may be at it, too
    return numbers
