"""What do the answers of 200 boosted trees cost: this library's walk beside LightGBM's own predict?

200 trees of 31 leaves on 30 float32 features, one thread, other rows in every call. CPU time of the thread, the least
of many rounds of calls in turn. usage: forest_rows.py [--out FILE]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import lightgbm
import numpy as np
from tell import Line, make_line, open_parser, round_line, tell

from tidewright.models.forest import Forest
from tidewright.training.read_lightgbm import read_lightgbm

TREES, FEATURES, ROUNDS = 200, 30, 30
SIZES = {1: 200, 32: 20, 1024: 2}  # rows of a call: calls of a round


def learn() -> tuple[lightgbm.Booster, Forest]:
    draw = np.random.default_rng(0)
    rows = draw.standard_normal((20_000, FEATURES)).astype(np.float32)
    labels = rows[:, 0] * rows[:, 1] + np.sin(3 * rows[:, 2]) + 0.3 * draw.standard_normal(len(rows))
    options = {"num_leaves": 31, "verbose": -1, "num_threads": 1, "learning_rate": 0.05}
    model = lightgbm.train(options, lightgbm.Dataset(rows, labels), TREES)
    return model, read_lightgbm([model.model_to_string()])


def cost(call: Callable[[Any], Any], given: list[Any]) -> float:
    """Microseconds of a call."""
    started = time.thread_time_ns()
    for one in given:
        call(one)
    return (time.thread_time_ns() - started) / len(given) / 1e3


def measure() -> Iterator[Line]:
    model, forest = learn()
    draw = np.random.default_rng(1)
    calls = {
        "ours": lambda rows: forest.predict(rows, width=1),
        "theirs": lambda rows: model.predict(rows, num_threads=1),
    }
    for size, count in SIZES.items():
        given = list(draw.standard_normal((count, size, FEATURES)).astype(np.float32))
        apart = max(float(np.abs(calls["ours"](one)[:, 0] - calls["theirs"](one)).max()) for one in given)
        assert apart < 1e-12
        taken = {name: min(cost(call, given) for _ in range(ROUNDS)) for name, call in calls.items()}
        line = make_line(f"200 trees, batch {size} vs lightgbm predict", **taken, unit="us CPU", n=ROUNDS)
        yield round_line(line, digits=3)


if __name__ == "__main__":
    arguments = open_parser(__doc__).parse_args()
    tell(measure(), out=arguments.out)
