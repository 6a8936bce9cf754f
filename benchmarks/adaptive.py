"""What an adaptive space brings: each searcher with it and without, and the claim of 1.5 to 3 times faster training.

    python benchmarks/adaptive.py               # what is missing of random, tpe and auto; goes on where it was stopped
    python benchmarks/adaptive.py tpe           # of these alone
    python benchmarks/adaptive.py write         # results/adaptive.jsonl from the runs that there are

Simple regret after 60 trials on the five surfaces of search.py. How a space adapts was chosen on seeds 0 to 29 of
Branin, Hartmann6 and Ackley8; these seeds are others. The claim is asked of the two tables of real trained models
(LightGBM on Walmart, an LSTM on ETTh1): after how many trials is a search as good as plain random search after 60, and
what do these cost in CPU seconds, the mean of a configuration of the table each and the searcher's own. A search that
does not come so far counts as all 60. Runs are kept in
results/adaptive_runs.jsonl by task, searcher, whether it adapted, and seed.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from search import TRIALS, Surface, make_surfaces  # first: it sets the number of threads
from search_surfaces import ROOT, SPACES
from tell import tell

from tidewright.tuning.adaptive import AdaptiveSearchSpace
from tidewright.tuning.searchers.adaptive import AdaptiveSearcher
from tidewright.tuning.searchers.auto import AutoSearcher
from tidewright.tuning.searchers.catalog import SEARCHERS
from tidewright.tuning.searchers.searcher import History, Searcher
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState

FOLDER = ROOT / "benchmarks" / "results"
RUNS, RESULTS = FOLDER / "adaptive_runs.jsonl", FOLDER / "adaptive.jsonl"
NAMES = ("random", "tpe", "auto")
SEEDS = range(100, 110)
Way = tuple[str, bool]  # a searcher, and whether its space adapts
Runs = Mapping[tuple[str, str, bool, int], Mapping[str, Any]]


def make_searcher(way: Way, space: SearchSpace) -> Searcher:
    """A searcher, in an adaptive space where that is asked for."""
    name, adaptive = way

    def make() -> Searcher:
        return AutoSearcher(trials=TRIALS) if name == "auto" else SEARCHERS.load(name)()

    return AdaptiveSearcher(make, AdaptiveSearchSpace(space)) if adaptive else make()


def follow(
    way: Way, space: SearchSpace, evaluate: Callable[[Mapping[str, Any]], float], *, seed: int
) -> tuple[list[float], float]:
    """The best value after each trial, and the CPU seconds of the searcher alone."""
    searcher, made, path, spent = make_searcher(way, space), [], [], 0.0
    for number in range(TRIALS):
        started = time.process_time()
        point = searcher.suggest(History(space, tuple(made), number, seed))
        spent += time.process_time() - started
        assert point is not None
        value = evaluate(point)
        path.append(min([value, *path[-1:]]))
        made.append(Trial(number, TrialState.COMPLETE, (value,), dict(point)))
    return path, spent


def read_runs() -> Runs:
    """What was measured, by task, searcher, whether it adapted, and seed."""
    lines = [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []
    return {(line["task"], line["searcher"], line["adaptive"], line["seed"]): line for line in lines}


def run(names: Sequence[str]) -> None:
    """Searchers with and without, on every surface."""
    surfaces: dict[str, Surface] = make_surfaces()
    ways = [
        (name, seed, task, adaptive) for name in names for seed in SEEDS for task in surfaces for adaptive in (0, 1)
    ]
    for name, seed, task, adaptive in ways:
        if (task, name, bool(adaptive), seed) in read_runs():
            continue
        surface = surfaces[task]
        path, cpu_s = follow((name, bool(adaptive)), surface.space, surface.evaluate, seed=seed)
        line = {"task": task, "searcher": name, "adaptive": bool(adaptive), "seed": seed, "cpu_s": round(cpu_s, 3)}
        print(line, flush=True)
        with RUNS.open("a") as file:
            file.write(json.dumps({**line, "path": [float(f"{best - surface.least:.6g}") for best in path]}) + "\n")


def write() -> None:
    """The comparisons, from the runs that there are."""
    runs = read_runs()
    tell([*compare_regret(runs), *compare_speed(runs)], out=RESULTS)


def compare_regret(runs: Runs) -> Iterator[dict[str, Any]]:
    """Each searcher in an adaptive space beside itself in the whole one."""
    for task in dict.fromkeys(key[0] for key in runs):
        for name in NAMES:
            seeds = _both(runs, task, (name, True), (name, False))
            if not seeds:
                continue
            parts = [[runs[task, name, adaptive, seed] for seed in seeds] for adaptive in (True, False)]
            ends = [[one["path"][-1] for one in part] for part in parts]
            better = sum(a < b for a, b in zip(*ends, strict=True))
            middles = [statistics.median(part) for part in ends]
            cpu = [statistics.mean(one["cpu_s"] for one in part) for part in parts]
            note = f"medians {middles[0]:.3g} and {middles[1]:.3g}; better in {better} of {len(seeds)} seeds; "
            note += f"CPU s a search {cpu[0]:.2f} and {cpu[1]:.2f}"
            unit = f"mean simple regret after {TRIALS} trials"
            means = [statistics.mean(part) for part in ends]
            yield _line(f"{task} {name} adaptive vs {name}", means, unit=unit, n=len(seeds), note=note)


def compare_speed(runs: Runs) -> Iterator[dict[str, Any]]:
    """Trials and CPU seconds until plain random search's last score is reached, on the tables of real models."""
    for task in SPACES:
        lines = (FOLDER / f"search_{task}.jsonl").read_text().splitlines()
        trial_s = statistics.mean(json.loads(line)["cpu_s"] for line in lines)
        for way in [
            (name, adaptive) for name in NAMES for adaptive in (False, True) if (name, adaptive) != ("random", False)
        ]:
            seeds = _both(runs, task, way, ("random", False))
            if not seeds:
                continue
            ours = [_reach(runs, task, way, seed) for seed in seeds]
            theirs = [_reach(runs, task, ("random", False), seed) for seed in seeds]
            missed = sum(count is None for count in ours)
            means = [statistics.mean(count or TRIALS for count in part) for part in (ours, theirs)]
            asking = [statistics.mean(runs[task, *one, s]["cpu_s"] for s in seeds) for one in (way, ("random", False))]
            cpu = [mean * (trial_s + own / TRIALS) for mean, own in zip(means, asking, strict=True)]
            note = f"{missed} of {len(seeds)} did not come so far; CPU s {cpu[0]:.0f} and {cpu[1]:.0f}"
            told = f"{task} {way[0]}{' adaptive' if way[1] else ''} vs random, trials to its last score"
            yield _line(told, means, unit="trials", n=len(seeds), note=note)


def _both(runs: Runs, task: str, one: Way, other: Way) -> list[int]:
    """The seeds that two ways have on a task."""
    return [seed for seed in SEEDS if (task, *one, seed) in runs and (task, *other, seed) in runs]


def _reach(runs: Runs, task: str, way: Way, seed: int) -> int | None:
    """After how many trials a search is as good as plain random search is at its end."""
    aim = runs[task, "random", False, seed]["path"][-1]
    return next((count for count, best in enumerate(runs[task, *way, seed]["path"], start=1) if best <= aim), None)


def _line(name: str, means: list[float], *, unit: str, n: int, note: str) -> dict[str, Any]:
    ratio = means[0] / means[1] if means[1] > math.ulp(1.0) else None
    return {"name": name, "ours": means[0], "theirs": means[1], "unit": unit, "ratio": ratio, "n": n, "note": note}


if __name__ == "__main__":
    asked = sys.argv[1:]
    if asked != ["write"]:
        run(asked or NAMES)
    write()
