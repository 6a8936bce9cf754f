"""What a pruner saves and what it costs: epochs spent and best trial found, beside Optuna's pruners on the same curves.

    python benchmarks/pruning.py            # about 12 CPU minutes the first time; goes on from results/pruning_*.jsonl

128 configurations (the first points of a scrambled Sobol sequence) learn to their end once, and the curves of their
validation losses are kept: "network", 100-64-32-16-1 on 20,000 rows for 20 epochs (see search_speed.py), and
"lstm_etth1", the package's lstm_small space on ETTh1, 24 hours ahead from 24, 18 epochs of 20 batches. Then 64 of them
are met in 40 random orders by each pruner, through the search itself and through Optuna's study, which learn nothing
anew. Ours and theirs are the share of all epochs that was spent; the note has the mean excess of the best finished
trial over the best of the 64, as a share of the spread between their best and their median.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tell import tell

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import torch
from board_ett import open_ett
from board_fit import ROOT
from scipy.stats import qmc
from search_speed import BATCH, DECAY, DROPOUT, RATE, SIZES, arrays
from search_surfaces import SMALL, place

from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.training.evaluate import evaluate
from tidewright.training.events import EpochEnded, Event
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.tuning.choose import choose_pruner
from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Assignment, Outcome
from tidewright.tuning.pruners import Pruner
from tidewright.tuning.ranges import FloatRange, IntRange
from tidewright.tuning.read_space import find_space
from tidewright.tuning.records import Candidate
from tidewright.tuning.search import Plan, search
from tidewright.tuning.searchers.draw import RandomSearcher
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.store import TrialStore

RESULTS = ROOT / "benchmarks" / "results"
CURVES, TRIALS, ORDERS = 128, 64, 40
EPOCHS = {"network": 20, "lstm_etth1": 18}
SPACES = {
    "network": SearchSpace(
        "network",
        {
            "train.learning_rate": FloatRange(*RATE, log=True),
            "train.weight_decay": FloatRange(*DECAY, log=True),
            "model.dropout_rate": FloatRange(*DROPOUT),
        },
    ),
    "lstm_etth1": SearchSpace("lstm", {**find_space("lstm_small").ranges, **SMALL}),
}


def list_points(surface: str) -> list[dict[str, Any]]:
    """The configurations, in order."""
    space = SPACES[surface]
    shares = qmc.Sobol(len(space.ranges), rng=np.random.default_rng(0)).random(CURVES)
    return [
        {key: place(one, share) for (key, one), share in zip(space.ranges.items(), row, strict=True)} for row in shares
    ]


def learn_networks(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The loss of each after every epoch; the value is the least one (one whose loss is no number ends there)."""
    from tidewright.models.classic import ModelConfig
    from tidewright.models.torch.classic import build_classic
    from tidewright.runtime import detect_runtime
    from tidewright.training.fit_arrays import read_labelled
    from tidewright.training.population_arrays import fit_classics

    data = arrays(0)
    training, judging = (read_labelled(part, name="arrays") for part in (data[:2], data[2:]))
    curves: list[list[float]] = [[] for _ in points]
    heard = [[_keep(curve)] for curve in curves]
    fit_classics(
        [
            build_classic(
                ModelConfig(
                    "feed_forward",
                    SIZES[0],
                    SIZES[1:-1],
                    dropout_rate=point["model.dropout_rate"],
                    use_batch_norm=False,
                    activation="relu",
                ),
                seed=0,
            )
            for point in points
        ],
        training=training,
        judging=judging,
        trains=[
            TrainSpec(
                epochs=EPOCHS["network"],
                patience=EPOCHS["network"],
                batch_size=BATCH,
                optimizer="adam",
                learning_rate=point["train.learning_rate"],
                weight_decay=point["train.weight_decay"],
                loss="mse",
            )
            for point in points
        ],
        runtime=detect_runtime("cpu"),
        callbacks=[one[0] for one in heard],
    )
    return [{"losses": curve, "value": min(curve)} for curve in curves]


def learn_lstm(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The loss of each after every epoch; the value is the mean absolute error on validation."""
    part, found = open_ett(24), []
    for point in points:
        train = TrainSpec(epochs=EPOCHS["lstm_etth1"], steps=20, patience=EPOCHS["lstm_etth1"], judged=1024)
        candidate = Candidate(build_spec("lstm"), train, View(24)).change(point)
        losses: list[float] = []
        fitted = fit(
            candidate.spec,
            panel=part.panel,
            split=part.learned,
            task=part.task,
            view=candidate.view,
            train=candidate.train,
            season=24,
            callbacks=[_keep(losses)],
        )
        judged = evaluate(fitted, panel=part.panel, split=part.learned, cutoffs=part.validation, season=24)
        found.append({"losses": losses, "value": float(judged.scores["mae"])})
    return found


def _keep(losses: list[float]) -> Any:
    def hear(event: Event) -> None:
        if isinstance(event, EpochEnded):
            losses.append(event.validation_loss)

    return hear


def open_curves(surface: str) -> list[dict[str, Any]]:
    """The curves, learned where they lack, eight configurations at a time."""
    path = RESULTS / f"pruning_{surface}.jsonl"
    learn = {"network": learn_networks, "lstm_etth1": learn_lstm}[surface]
    done = len(path.read_text().splitlines()) if path.exists() else 0
    points = list_points(surface)
    for at in range(done, CURVES, 8):
        lines = [{"point": p, **c} for p, c in zip(points[at : at + 8], learn(points[at : at + 8]), strict=True)]
        with path.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    return [json.loads(line) for line in path.read_text().splitlines()]


def run_ours(curves: Sequence[Mapping[str, Any]], pruner: Pruner, seed: int) -> tuple[float, float]:
    """Epochs spent and best value, through the package's own search."""
    spent = 0

    def replay(assignment: Assignment) -> Outcome:
        nonlocal spent
        curve = curves[assignment.point["curve"]]
        for step, loss in enumerate(curve["losses"], start=1):
            spent += 1
            assignment.report(step, loss)
        return Outcome((curve["value"],))

    space = SearchSpace("curve", {"curve": IntRange(0, len(curves) - 1)})
    limits = Limits(0.0, None, len(curves), time.monotonic)
    found = search(replay, Plan(space, RandomSearcher(), limits, seed, pruner=pruner), store=TrialStore.in_memory())
    return spent, min(trial.value for trial in found.trials if trial.value is not None)


def run_theirs(curves: Sequence[Mapping[str, Any]], pruner: Any, seed: int) -> tuple[float, float]:
    """The same through Optuna's study."""
    import optuna

    spent, order = 0, np.random.default_rng(seed).permutation(len(curves))

    def replay(trial: Any) -> float:
        nonlocal spent
        curve = curves[order[trial.number]]
        for step, loss in enumerate(curve["losses"], start=1):
            spent += 1
            trial.report(loss, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(curve["value"])

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=seed))
    study.optimize(replay, n_trials=len(curves))
    return spent, study.best_value


def compare(surface: str, curves: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """A line for a pruner of ours beside Optuna's of that name."""
    import optuna

    peers = {
        "median": optuna.pruners.MedianPruner,
        "halving": optuna.pruners.SuccessiveHalvingPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
    }
    ours = choose_pruner(name, space=SPACES[surface], epochs=EPOCHS[surface])
    sides: list[list[tuple[float, float]]] = [[], []]
    for seed in range(ORDERS):
        kept = [curves[at] for at in np.random.default_rng(seed).permutation(len(curves))[:TRIALS]]
        values = [one["value"] for one in kept]
        least, spread = min(values), statistics.median(values) - min(values)
        whole = sum(len(one["losses"]) for one in kept)
        for side, (spent, best) in zip(
            sides, (run_ours(kept, ours, seed), run_theirs(kept, peers[name](), seed)), strict=True
        ):
            side.append((spent / whole, (best - least) / spread))
    share, excess = ([statistics.mean(one[at] for one in side) for side in sides] for at in (0, 1))
    return {
        "name": f"{surface} {name} vs optuna {name}",
        "ours": round(share[0], 3),
        "theirs": round(share[1], 3),
        "unit": "share of all epochs spent",
        "ratio": round(share[0] / share[1], 3),
        "n": ORDERS,
        "note": f"best found is {excess[0]:.1%} and {excess[1]:.1%} of (median - best) above the best there was",
    }


def main() -> None:
    """Prints the lines and keeps them."""
    torch.set_num_threads(1)
    names = ("median", "halving", "hyperband")
    curves = ((surface, open_curves(surface)) for surface in SPACES)
    tell((compare(*one, name) for one in curves for name in names), out=RESULTS / "pruning.jsonl")


if __name__ == "__main__":
    main()
