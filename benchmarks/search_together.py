"""Searches whose trials learn together beside the same search one trial at a time: trials an hour, and the best score.

Theirs makes 32 trials one at a time; ours begins trials as long as it has taken less processor time than that, 4 or 16
at a time. The same space, seed, searcher (auto), pruner (median) and epochs; the mean absolute error on the validation
part is made small. ETTh1: its seven channels, 24 hours ahead; Walmart: every fortieth series, 4 weeks ahead from 52.
"as it is" is the package's own space (on Walmart without the lookback), "rates" has its rate, decay and dropout alone,
so that all trials are of one form. An LSTM has no batched form: its line says what "auto" does. Sides run one after the
other in one process of one thread. One JSON line a comparison; ratio is ours / theirs.

    python benchmarks/search_together.py [--seeds 2] [--only nlinear_etth1] [--out benchmarks/results/NAME.jsonl]
"""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from tell import add, open_parser

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

import polars as pl
from board_ett import open_ett
from board_fit import DATA

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.training.events import TrialEnded
from tidewright.training.spec import TrainSpec
from tidewright.tuning.panel_together import is_own
from tidewright.tuning.read_space import usual_space
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.tune import tune

TRIALS, MOST = 32, 400  # of theirs, and that ours may have
TOGETHER = (4, 16)
TRAIN = TrainSpec(epochs=6, steps=25, patience=6, judged=1024, batch_size=128)


@dataclass(frozen=True)
class World:
    """Data, and how much of them a model sees."""

    panel: Panel
    split: Split
    task: Task
    lookback: int
    season: int


@dataclass(frozen=True)
class Course:
    """A search: (processor seconds, best score so far) after each trial."""

    path: tuple[tuple[float, float], ...]
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return self.path[-1][0]

    def best(self, seconds: float) -> float:
        """The best score of the trials that had ended by then."""
        return min((score for when, score in self.path if when <= seconds), default=float("inf"))


@cache
def open_etth1() -> World:
    """The standard split, every 24th cutoff of validation."""
    panel, task = open_ett(24).panel, Task(horizon=24)
    return World(panel, split_holdout(panel, task, validation=2880, test=2880, stride=24), task, 96, 24)


@cache
def open_walmart() -> World:
    """Every fortieth series of 100 weeks or more, 26 weeks of validation."""
    raw = pl.read_parquet(DATA / "walmart" / "train.parquet").filter(pl.len().over("Store", "Dept") >= 100)
    raw = raw.select(
        pl.format("{} {}", "Store", "Dept").alias("series"), pl.col("Date").str.to_date(), pl.col("Weekly_Sales")
    )
    kept = raw["series"].unique().sort().gather_every(40)
    rows = raw.filter(pl.col("series").is_in(kept.implode()))
    panel = Panel.from_table(rows, series="series", time="Date", target="Weekly_Sales", frequency="1w")
    task = Task(horizon=4)
    return World(panel, split_holdout(panel, task, validation=26, test=13), task, 52, 52)


WORLDS = {"etth1": open_etth1, "walmart": open_walmart}
CASES = (
    ("nlinear", "etth1", "as it is"),
    ("nlinear", "etth1", "rates"),
    ("feedforward", "etth1", "as it is"),
    ("feedforward", "walmart", "rates"),
    ("dlinear", "walmart", "as it is"),
    ("lstm", "etth1", "as it is"),
)


def space_of(model: str, world: str, kind: str) -> SearchSpace:
    """What is searched."""
    usual = usual_space(model)
    assert usual is not None
    kept = {name: one for name, one in usual.ranges.items() if kind == "as it is" or is_own(name)}
    if world == "walmart":
        kept.pop("view.lookback", None)
    return SearchSpace(model, kept)


def run(model: str, world: World, space: SearchSpace, *, seed: int, together: Any, limit: float, trials: int) -> Course:
    """One search, which begins no trial after so many processor seconds."""
    started, path = time.process_time(), list[tuple[float, float]]()
    best = float("inf")

    def hear(event: Any) -> None:
        nonlocal best
        if isinstance(event, TrialEnded):
            best = min(best, float("inf") if event.value is None else event.value)
            path.append((time.process_time() - started, best))

    def late(_: Any) -> str:
        return "the time is over" if time.process_time() - started >= limit else ""

    study = tune(
        space, panel=world.panel, split=world.split, task=world.task, model=model, view=View(world.lookback),
        train=TRAIN, season=world.season, seed=seed, metric="mae", trials=trials, stops=(late,), ledger=False,
        callbacks=(hear,), together=together,
    )  # fmt: skip
    return Course(tuple(path), study.notes)


def compare(model: str, world: str, kind: str, *, seeds: int) -> Iterator[dict[str, Any]]:
    """Two lines for every number of trials at a time, or one that says why there is none."""
    opened, space = WORLDS[world](), space_of(model, world, kind)
    name = f"{model} on {world}, space {kind}"
    if model == "lstm":
        said = run(model, opened, space, seed=0, together="auto", limit=float("inf"), trials=2).notes
        yield {
            "name": f"search together: {name}", "ours": 1, "theirs": 1, "unit": "trials at a time", "ratio": 1.0,
            "n": 1, "note": next(note for note in said if "one by one" in note),
        }  # fmt: skip
        return
    run(model, opened, space, seed=0, together=1, limit=float("inf"), trials=2)  # imports
    alone = [run(model, opened, space, seed=s, together=1, limit=float("inf"), trials=TRIALS) for s in range(seeds)]
    for size in TOGETHER:
        many = [
            run(model, opened, space, seed=seed, together=size, limit=one.seconds, trials=MOST)
            for seed, one in enumerate(alone)
        ]
        yield from describe(f"search together: {name}, {size} at a time", list(zip(many, alone, strict=True)))


def describe(name: str, pairs: list[tuple[Course, Course]]) -> Iterator[dict[str, Any]]:
    """The speed, and the best score in the processor seconds of theirs."""
    hours = [[len(one.path) * 3600 / one.seconds for one in pair] for pair in pairs]
    scores = [[one.best(theirs.seconds) for one in (ours, theirs)] for ours, theirs in pairs]
    note = f"theirs {TRIALS} trials in {statistics.median(theirs.seconds for _, theirs in pairs):.1f} CPU s"
    for what, unit, values, digits in (
        ("speed", "trials an hour of processor time", hours, 0),
        ("best score in the same time", "mae", scores, 5),
    ):
        ours, theirs = (statistics.mean(side) for side in zip(*values, strict=True))
        each = ", ".join(f"{a / b:.4g}" for a, b in values)
        yield {
            "name": f"{name}: {what}", "ours": round(ours, digits), "theirs": round(theirs, digits), "unit": unit,
            "ratio": round(ours / theirs, 4), "n": len(pairs), "note": f"{note}; by seed {each}",
        }  # fmt: skip


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    parser = open_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", default="", help="cases whose name begins so, such as nlinear_etth1")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="parsed times")
    for model, world, kind in CASES:
        if f"{model}_{world}_{kind}".startswith(options.only):
            for line in compare(model, world, kind, seeds=options.seeds):
                add(line, out=options.out)


if __name__ == "__main__":
    main()
