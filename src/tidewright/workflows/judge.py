"""A bundle scored on the newest part of a table, beside the floors that need no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidewright.data.splits import split_holdout
from tidewright.inference.session import open_session
from tidewright.models.build import build_spec
from tidewright.models.spec import CLASS_FLOORS
from tidewright.registry.bundle import load_bundle
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import fit


@dataclass(frozen=True, slots=True)
class Judged:
    """Scores by model, over `windows` windows whose labels lie from `first` to `last`."""

    scores: Mapping[str, Mapping[str, float]]
    windows: int
    first: str
    last: str


def judge(bundle: str | Path, table: Any, *, last: int | None = None) -> Judged:
    """The bundle's scores on the last `last` steps (default: four horizons), and those of naive and seasonal naive,
    or of the floors of classes.

    Nothing is learned but the floors' intervals and shares, which come from the steps before.
    """
    session = open_session(bundle)
    season = load_bundle(bundle).manifest.season
    panel = session.read(table)
    task = session.task
    size = 4 * task.horizon if last is None else last
    split = split_holdout(panel, task, validation=task.horizon, test=size)
    assert split.test is not None
    floors = {
        name: fit(build_spec(name), panel=panel, split=split, task=task, season=season)
        for name in (CLASS_FLOORS if task.classifies else ("naive", "seasonal"))
    }
    contestants = {session.model: session.fitted, **floors}
    scored = {
        name: evaluate(model, panel=panel, split=split, cutoffs=split.test, season=season)
        for name, model in contestants.items()
    }
    windows = next(iter(scored.values())).windows
    return Judged(
        {name: evaluation.scores for name, evaluation in scored.items()},
        len(windows),
        panel.time_at(split.test.first + 1),
        panel.time_at(int(split.test.positions[-1]) + task.horizon),
    )
