"""The claim of 1.5 to 3 times faster training by an adaptive search, on live fits: LightGBM on Walmart.

    python benchmarks/adaptive_live.py          # what is missing of five seeds; goes on where it was stopped
    python benchmarks/adaptive_live.py write    # results/adaptive_live.jsonl from the runs that there are

Every trial learns two folds of 26 of Walmart's series (`judge_walmart`, over the package's own space), on one thread.
Random search makes 60 trials; random search in an adaptive space, and `auto`, go on until they are as good, or for 60.
What is compared are CPU seconds of learning, judging and the searcher until then: of random search until it has found
what it ends with. A search that does not come so far counts all that it spent. Runs are kept in
results/adaptive_live_runs.jsonl.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from adaptive import FOLDER, Way, make_searcher  # first: it sets the number of threads
from search import TRIALS
from search_surfaces import SPACES, judge_walmart
from tell import tell

from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.trial import Trial, TrialState

RUNS, RESULTS = FOLDER / "adaptive_live_runs.jsonl", FOLDER / "adaptive_live.jsonl"
SEEDS = range(200, 205)
RANDOM: Way = ("random", False)
WAYS: tuple[Way, ...] = (RANDOM, ("random", True), ("auto", False))
Runs = Mapping[tuple[str, bool, int], list[list[float]]]


def follow(way: Way, *, seed: int, aim: float) -> list[list[float]]:
    """The CPU seconds spent and the best value, after each trial until one is as good as `aim`."""
    space = SPACES["lightgbm_walmart"]
    searcher, made, path, started = make_searcher(way, space), list[Trial](), list[list[float]](), time.process_time()
    for number in range(TRIALS):
        point = searcher.suggest(History(space, tuple(made), number, seed))
        assert point is not None
        value = judge_walmart(point)
        best = min([value, *(one[1] for one in path[-1:])])
        path.append([round(time.process_time() - started, 2), best])
        made.append(Trial(number, TrialState.COMPLETE, (value,), dict(point)))
        if best <= aim:
            break
    return path


def read_runs() -> Runs:
    """What was measured, by searcher, whether it adapted, and seed."""
    lines = [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []
    return {(line["searcher"], line["adaptive"], line["seed"]): line["path"] for line in lines}


def run() -> None:
    """The searches that are missing, seed by seed, random search first."""
    judge_walmart({})  # loads and warms up
    for seed in SEEDS:
        for way in WAYS:
            runs = read_runs()
            if (*way, seed) in runs:
                continue
            aim = -math.inf if way == RANDOM else runs[*RANDOM, seed][-1][1]
            line = {"searcher": way[0], "adaptive": way[1], "seed": seed, "path": follow(way, seed=seed, aim=aim)}
            print(json.dumps({**line, "path": line["path"][-1]}), flush=True)
            with RUNS.open("a") as file:
                file.write(json.dumps(line) + "\n")


def compare(runs: Runs) -> Iterator[dict[str, Any]]:
    """CPU seconds and trials until random search's last score."""
    for way in WAYS[1:]:
        seeds = [seed for seed in SEEDS if (*way, seed) in runs]
        if not seeds:
            continue
        aims = [runs[*RANDOM, seed][-1][1] for seed in seeds]
        sides = [
            [_reach(runs[*one, seed], aim) for seed, aim in zip(seeds, aims, strict=True)] for one in (way, RANDOM)
        ]
        means = [statistics.mean(seconds for seconds, _, _ in side) for side in sides]
        trials = [statistics.mean(count for _, count, _ in side) for side in sides]
        faster = [theirs[0] / ours[0] for ours, theirs in zip(*sides, strict=True)]
        missed = sum(not reached for _, _, reached in sides[0])
        name = f"lightgbm on walmart, live: {way[0]}{' adaptive' if way[1] else ''} vs random, time to its last score"
        note = (
            f"{missed} of {len(seeds)} did not come so far; trials {trials[0]:.1f} and {trials[1]:.1f}; times faster "
        )
        note += ", ".join(f"{one:.2f}" for one in faster)
        yield {
            "name": name, "ours": round(means[0], 1), "theirs": round(means[1], 1), "unit": "CPU s",
            "ratio": round(means[0] / means[1], 3), "n": len(seeds), "note": note,
        }  # fmt: skip


def _reach(path: list[list[float]], aim: float) -> tuple[float, int, bool]:
    """The seconds and trials until a value as good as `aim`, all of them where none is, and whether one is."""
    for count, (seconds, best) in enumerate(path, start=1):
        if best <= aim:
            return seconds, count, True
    return path[-1][0], len(path), False


if __name__ == "__main__":
    if sys.argv[1:] != ["write"]:
        run()
    tell(compare(read_runs()), out=RESULTS)
