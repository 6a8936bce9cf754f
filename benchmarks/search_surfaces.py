"""Two real surfaces for search.py: 128 configurations each, learned and judged once and kept in results/.

    python benchmarks/search_surfaces.py lightgbm_walmart     # about 3 CPU minutes; goes on where it was stopped
    python benchmarks/search_surfaces.py lstm_etth1           # about 2

The configurations are the first points of one scrambled Sobol sequence (seed 0) over a space. "lightgbm_walmart": every
hundredth series of Walmart's weekly sales with 79 weeks or more, 4 weeks ahead from 52, the median alone, learned anew
for each of two folds of 13 weeks; the mean MASE (lag 1) of both, over the package's own space. "lstm_etth1": ETTh1's
seven channels, 24 hours ahead from 24, 2 epochs of 40 batches, the mean absolute error on the validation part, over the
package's space with 8 to 64 hidden units and batches of 32 to 128. A search meets the table by `Interpolated`: 100
extremely randomised trees of one leaf a configuration (Geurts, Ernst and Wehenkel, 2006), whose mean goes through every
point of the table and is, as their number grows, continuous and piecewise multilinear. It is of no searcher's own kind.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import Any

from tell import add

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import polars as pl
from board_ett import open_ett
from board_fit import DATA, ROOT
from scipy.stats import qmc

from tidewright.data.panel import Panel
from tidewright.data.splits import split_rolling
from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.tuning.read_space import find_space
from tidewright.tuning.records import Candidate
from tidewright.tuning.space import Choice, IntRange, Range, SearchSpace

RESULTS = ROOT / "benchmarks" / "results"
SIZE = 128  # configurations of a table


@cache
def open_walmart() -> Panel:
    """Every hundredth series of 79 weeks or more."""
    raw = pl.read_parquet(DATA / "walmart" / "train.parquet").filter(pl.len().over("Store", "Dept") >= 79)
    raw = raw.select(
        pl.format("{} {}", "Store", "Dept").alias("series"), pl.col("Date").str.to_date(), pl.col("Weekly_Sales")
    )
    kept = raw["series"].unique().sort().gather_every(100)
    return Panel.from_table(
        raw.filter(pl.col("series").is_in(kept.implode())),
        series="series",
        time="Date",
        target="Weekly_Sales",
        frequency="1w",
    )


def judge_walmart(point: Mapping[str, Any]) -> float:
    """Mean MASE of two folds, 13 weeks of validation each."""
    panel, task = open_walmart(), Task(horizon=4, quantiles=(0.5,))
    candidate = Candidate(build_spec("lightgbm"), TrainSpec(), View(52)).change(point)
    scores = []
    for split in split_rolling(panel, task, folds=2, validation=13):
        fitted = fit(candidate.spec, panel=panel, split=split, task=task, view=candidate.view, season=52)
        judged = evaluate(fitted, panel=panel, split=split, cutoffs=split.validation, season=1)
        scores.append(judged.scores["mase"])
    return float(np.mean(scores))


def judge_ett(point: Mapping[str, Any]) -> float:
    """Mean absolute error on every seventh cutoff of validation."""
    part = open_ett(24)
    train = TrainSpec(epochs=2, steps=40, patience=2, judged=1024)
    candidate = Candidate(build_spec("lstm"), train, View(24)).change(point)
    fitted = fit(
        candidate.spec,
        panel=part.panel,
        split=part.learned,
        task=part.task,
        view=candidate.view,
        train=candidate.train,
        season=24,
    )
    judged = evaluate(fitted, panel=part.panel, split=part.learned, cutoffs=part.validation, season=24)
    return float(judged.scores["mae"])


SMALL = {  # cheaper than the package's own ranges
    "model.hidden": IntRange(8, 64, step=8),
    "train.batch_size": Choice((32, 64, 128)),
}
SPACES = {
    "lightgbm_walmart": find_space("lightgbm"),
    "lstm_etth1": SearchSpace("lstm", {**find_space("lstm_small").ranges, **SMALL}),
}
JUDGES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "lightgbm_walmart": judge_walmart,
    "lstm_etth1": judge_ett,
}


def place(one: Range, share: float) -> Any:
    """The value that stands at a share, in [0, 1), of a range."""
    if isinstance(one, Choice):
        return one.choices[min(int(share * len(one.choices)), len(one.choices) - 1)]
    low, high = float(one.low), float(one.high)
    value = float(np.exp(np.log(low) + share * np.log(high / low)) if one.log else low + share * (high - low))
    if isinstance(one, IntRange):
        return int(one.low + round((value - one.low) / one.step) * one.step)
    return value


def encode(space: SearchSpace, point: Mapping[str, Any]) -> list[float]:
    """A point as numbers: ranges as shares of their (logarithmic) width, choices one column a value."""
    found: list[float] = []
    for name, one in space.ranges.items():
        if isinstance(one, Choice):
            found += [float(label == json.dumps(point[name])) for label in one.labels]
        else:
            low, high, at = float(one.low), float(one.high), float(point[name])
            found.append(np.log(at / low) / np.log(high / low) if one.log else (at - low) / (high - low))
    return found


def fill(name: str) -> None:
    """Judges every configuration of a table that it lacks."""
    judge, space, path = JUDGES[name], SPACES[name], RESULTS / f"search_{name}.jsonl"
    done = len(path.read_text().splitlines()) if path.exists() else 0
    shares = qmc.Sobol(len(space.ranges), rng=np.random.default_rng(0)).random(SIZE)
    for row in shares[done:]:
        point = {key: place(one, share) for (key, one), share in zip(space.ranges.items(), row, strict=True)}
        started = time.process_time()
        line = {"point": point, "value": judge(point), "cpu_s": round(time.process_time() - started, 2)}
        add(line, out=path)


class Interpolated:
    """A table as a function of a point."""

    def __init__(self, name: str) -> None:
        self.space = SPACES[name]
        self.lines = [json.loads(line) for line in (RESULTS / f"search_{name}.jsonl").read_text().splitlines()]

    @cached_property
    def trees(self) -> Any:
        """The trees, learned from the table."""
        from sklearn.ensemble import ExtraTreesRegressor

        inputs = [encode(self.space, line["point"]) for line in self.lines]
        return ExtraTreesRegressor(100, random_state=0).fit(inputs, [line["value"] for line in self.lines])

    def __call__(self, point: Mapping[str, Any]) -> float:
        return float(self.trees.predict([encode(self.space, point)])[0])


if __name__ == "__main__":
    fill(sys.argv[1])
