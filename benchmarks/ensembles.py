"""Test errors of ensembles by each rule, beside the member that was best on validation; seeds and snapshots beside one.

Three data sets, each with its own holdout: M4 Hourly (100 series, 48 steps), ETTh1 (7 channels, 96 steps) and the
day-ahead prices of Belgium (24 steps). Members are the six floors, LightGBM, DLinear, NLinear and a feed-forward
network, each as usual, fitted once; a rule sees validation alone. MASE on the test part, one seed. One JSON line a
comparison; ratio is ours / theirs, below 1 the ensemble is better.

    python benchmarks/ensembles.py [--out benchmarks/results/ensembles.jsonl]
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from board_ett import open_ett
from board_fit import LEVELS
from board_m4 import open_m4
from board_prices import open_price
from tell import make_line, open_parser, tell

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.models.spec import FLOORS
from tidewright.training.ensemble import fit_ensemble
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.seeds import fit_seeds
from tidewright.training.snapshots import fit_snapshots
from tidewright.training.spec import TrainSpec

MODELS = ("lightgbm", "dlinear", "nlinear", "feedforward")
RULES = ("greedy", "stacking", "stacking by step", "inverse", "mean", "median")
TRAIN = TrainSpec(epochs=10, steps=100, batch_size=128)
MANY = 5  # seeds, or snapshots


@dataclass(frozen=True, eq=False)
class World:
    """A data set with its split."""

    name: str
    panel: Panel
    split: Split
    task: Task
    season: int

    def score(self, fitted: Fitted, part: str) -> float:
        """MASE on a part, every model on the same windows."""
        cutoffs = self.split.validation if part == "validation" else self.split.test
        assert cutoffs is not None
        panel = keep_covariates(self.panel, fitted.spec.takes)
        judged = evaluate(fitted, panel=panel, split=self.split, cutoffs=cutoffs, season=self.season, shortest=2)
        return judged.scores["mase"]


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    options = open_parser(__doc__).parse_args()
    worlds = (open_hourly, open_channels, open_belgium)
    tell((line for world in worlds for line in compare(world())), out=options.out)


def open_hourly() -> World:
    """A hundred series of M4 Hourly; the last week but one validates, the last tests."""
    panel, task = open_m4().panel, Task(horizon=48, quantiles=LEVELS)
    panel = panel.select(panel.series_ids[::4][:100])
    split = split_holdout(panel, task, validation=168, test=168, stride=8)
    return World("m4 hourly", panel, split, task, 24)


def open_channels() -> World:
    """ETTh1 at 96 steps; a test window every 24 hours."""
    panel, task = open_ett(96).panel, Task(horizon=96, quantiles=LEVELS)
    return World("etth1", panel, split_holdout(panel, task, validation=2880, test=2880, stride=24), task, 24)


def open_belgium() -> World:
    """The prices of Belgium: a year validates, the next tests, once a day."""
    panel, task = open_price("BE", days=20, test=False).panel, Task(horizon=24, quantiles=LEVELS)
    return World("prices be", panel, split_holdout(panel, task, validation=8760, test=8760, stride=24), task, 24)


def compare(world: World) -> Iterator[dict[str, Any]]:
    """Every rule beside the best member, then many of a network beside one."""
    members = [learn(world, name) for name in (*FLOORS, *MODELS)]
    best = min(members, key=lambda one: world.score(one, "validation"))
    theirs, count = world.score(best, "test"), len(world.split.test or ())
    for rule in RULES:
        name, _, by_step = rule.partition(" ")
        started = time.process_time()
        options: dict[str, Any] = {"rule": name, "per_step": bool(by_step), "season": world.season}
        fitted = fit_ensemble(members, panel=world.panel, split=world.split, **options)
        cpu = time.process_time() - started
        note = f"{count} test cutoffs; {len(fitted.members)} members; weighed in {cpu:.1f} CPU s"
        what = f"{world.name} {rule} vs {best.spec.name}, best on validation"
        yield line(what, world.score(fitted, "test"), theirs, note)
    one = next(member for member in members if member.spec.name == "feedforward")
    given = asked(world, "feedforward")
    for many in (fit_seeds(seeds=MANY, **given), fit_snapshots(cycles=MANY, **given)):
        told = many.history[0]
        what = "seeds" if "seeds" in told else "snapshots"
        note = f"{count} test cutoffs; {told.get('way', 'one training of 10 epochs')}"
        name = f"{world.name} feedforward, {MANY} {what} vs one"
        yield line(name, world.score(many, "test"), world.score(one, "test"), note)


def learn(world: World, name: str) -> Fitted:
    """A model as usual."""
    return fit(**asked(world, name))


def asked(world: World, name: str) -> dict[str, Any]:
    """What a fit of a model is given."""
    spec = build_spec(name)
    panel = keep_covariates(world.panel, spec.takes)
    return {
        "spec": spec,
        "panel": panel,
        "split": world.split,
        "task": world.task,
        "train": TRAIN,
        "season": world.season,
    }


def line(name: str, ours: float, theirs: float, note: str) -> dict[str, Any]:
    """One comparison."""
    return make_line(name, ours, theirs, unit="MASE", n=1, note=note)


if __name__ == "__main__":
    main()
