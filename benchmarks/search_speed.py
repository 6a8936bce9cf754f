"""Trials an hour, and the time to the score that plain Optuna ends with: 64 trials of 20 epochs on 20,000 rows.

The network is 100-64-32-16-1 with ReLU, batch 32, Adam; rate, decay and dropout are searched. Theirs is Optuna's
default study (TPE) around a plain PyTorch loop, once without and once with its median pruner; ours makes `--together`
trials in one batched step and prunes inside the batch. Ours goes on to `--trials` for the time to the score that theirs
ends with; trials an hour are of the first 64. Both judge every epoch on 4,000 validation rows. Processor
seconds of one thread, both sides in one run after the other, a pair of runs a seed. One JSON line a comparison; ratio
is ours / theirs.

    python benchmarks/search_speed.py [--seeds 3] [--together 16] [--trials 64] [--out FILE]
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from tell import open_parser, tell
from torch import nn

TRIALS, EPOCHS, ROWS, JUDGED, BATCH = 64, 20, 20_000, 4_000, 32
PEERS = {False: "plain optuna", True: "plain optuna that prunes by the median"}
SIZES = (100, 64, 32, 16, 1)
RATE, DECAY, DROPOUT = (1e-4, 1e-1), (1e-6, 1e-2), (0.0, 0.5)


@dataclass(frozen=True)
class Course:
    """What a search came to: (processor seconds, lowest validation error so far) after each trial."""

    path: tuple[tuple[float, float], ...]
    pruned: int  # of the first TRIALS

    @property
    def seconds(self) -> float:
        return self.path[TRIALS - 1][0]

    @property
    def best(self) -> float:
        return self.path[TRIALS - 1][1]

    @property
    def last(self) -> tuple[float, float]:
        return self.path[-1]

    def reaches(self, score: float) -> float:
        """When the score was reached; infinite where it was not."""
        return next((seconds for seconds, best in self.path if best <= score), float("inf"))


def arrays(seed: int) -> tuple[Any, ...]:
    """Features and labels to learn from and to judge by: a smooth function of ten of a hundred features, and noise."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(ROWS + JUDGED, SIZES[0])).astype(np.float32)
    mixed = np.tanh(features[:, :10] @ draw.normal(size=(10, 5)) / 2.0)
    labels = (mixed @ draw.normal(size=5) + 0.5 * draw.normal(size=len(features))).astype(np.float32)[:, None]
    return features[:ROWS], labels[:ROWS], features[ROWS:], labels[ROWS:]


def plain(data: tuple[Any, ...], seed: int, *, prunes: bool) -> Course:
    """Optuna around a PyTorch loop, which reports its epochs where it `prunes`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    features, labels, judged, truth = (torch.from_numpy(part) for part in data)
    started, path = time.process_time(), []
    best = float("inf")

    def objective(trial: Any) -> float:
        nonlocal best
        rate = trial.suggest_float("rate", *RATE, log=True)
        decay = trial.suggest_float("decay", *DECAY, log=True)
        dropout = trial.suggest_float("dropout", *DROPOUT)
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for width, after in pairwise(SIZES[:-1]):
            layers += [nn.Linear(width, after), nn.ReLU(), nn.Dropout(dropout)]
        network = nn.Sequential(*layers, nn.Linear(SIZES[-2], SIZES[-1]))
        optimizer = torch.optim.Adam(network.parameters(), lr=rate, weight_decay=decay)
        lowest = float("inf")
        try:
            for epoch in range(EPOCHS):
                network.train()
                for index in torch.randperm(ROWS).split(BATCH):
                    optimizer.zero_grad()
                    nn.functional.mse_loss(network(features[index]), labels[index]).backward()
                    optimizer.step()
                network.eval()
                with torch.inference_mode():
                    value = float(nn.functional.mse_loss(network(judged), truth))
                lowest = min(lowest, value)
                trial.report(value, epoch)
                if prunes and trial.should_prune():
                    raise optuna.TrialPruned
        finally:
            best = min(best, lowest)
            path.append((time.process_time() - started, best))
        return lowest

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=TRIALS)
    return Course(tuple(path), sum(trial.state.name == "PRUNED" for trial in study.trials))


def ours(data: tuple[Any, ...], seed: int, *, together: int, pruner: str, searcher: str, trials: int) -> Course:
    """The same network and space in one batched step a round."""
    from tidewright.models.classic import ModelConfig
    from tidewright.models.torch.classic import build_classic
    from tidewright.runtime import detect_runtime
    from tidewright.training.events import Event, TrialEnded
    from tidewright.training.fit_arrays import read_labelled
    from tidewright.training.spec import TrainSpec
    from tidewright.tuning.array_objective import ArrayObjective
    from tidewright.tuning.limits import Limits
    from tidewright.tuning.pruners import PRUNERS
    from tidewright.tuning.search import Plan, orders_of, search
    from tidewright.tuning.searchers.catalog import SEARCHERS
    from tidewright.tuning.space import FloatRange, SearchSpace
    from tidewright.tuning.store import TrialStore
    from tidewright.tuning.together import Batch

    def make(dropout_rate: float) -> Any:
        config = ModelConfig(
            "feed_forward", SIZES[0], SIZES[1:-1], dropout_rate=dropout_rate, use_batch_norm=False, activation="relu"
        )
        return build_classic(config, seed=seed)

    started, path = time.process_time(), []
    best = float("inf")

    def hear(event: Event) -> None:
        nonlocal best
        if isinstance(event, TrialEnded):
            best = min(best, float("inf") if event.value is None else event.value)
            path.append((time.process_time() - started, best))

    train = TrainSpec(
        epochs=EPOCHS, patience=EPOCHS, batch_size=BATCH, optimizer="adam", weight_decay=0.0, loss="mse", seed=seed
    )
    pairs = [read_labelled(part, name="arrays") for part in ((data[0], data[1]), (data[2], data[3]))]
    objective = ArrayObjective(make, ((pairs[0], pairs[1]),), train, "loss", 0.0, 1.0, detect_runtime("cpu"))
    ranges = {
        "train.learning_rate": FloatRange(*RATE, log=True),
        "train.weight_decay": FloatRange(*DECAY, log=True),
        "model.dropout_rate": FloatRange(*DROPOUT),
    }
    plan = Plan(
        space=SearchSpace("network", ranges),
        searcher=SEARCHERS.load(searcher)(),
        limits=Limits(0.0, None, trials, time.monotonic),
        seed=seed,
        pruner=PRUNERS.load(pruner)(),
        callbacks=(hear,),
    )
    crew = Batch(objective, orders_of(objective, plan), size=together)
    found = search(objective, plan, store=TrialStore.in_memory(), crew=crew)
    return Course(tuple(path), sum(trial.state == "pruned" for trial in found.trials[:TRIALS]))


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    parser = open_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--together", type=int, default=16)
    parser.add_argument(
        "--trials", type=int, default=TRIALS, help="of ours; more show when it reaches their last score"
    )
    parser.add_argument("--pruner", default="hyperband")
    parser.add_argument("--searcher", default="gp")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pairs: dict[bool, list[tuple[Course, Course]]] = {False: [], True: []}
    for seed in range(options.seeds):
        data = arrays(seed)
        own = ours(
            data,
            seed,
            together=options.together,
            pruner=options.pruner,
            searcher=options.searcher,
            trials=options.trials,
        )
        for prunes, kept in pairs.items():
            kept.append((own, plain(data, seed, prunes=prunes)))
    how = f"{options.searcher}, {options.together} together, {options.pruner}"
    tell((line for prunes, kept in pairs.items() for line in describe(kept, how, PEERS[prunes])), out=options.out)


def describe(pairs: list[tuple[Course, Course]], how: str, peer: str) -> Any:
    """A line for the speed and one for the time to their last score."""
    n = len(pairs)
    hours = [[TRIALS * 3600 / one.seconds for one in pair] for pair in pairs]
    speed = [statistics.median(side) for side in zip(*hours, strict=True)]
    pruned = [statistics.median(one.pruned for one in side) for side in zip(*pairs, strict=True)]
    scores = [statistics.mean(one.best for one in side) for side in zip(*pairs, strict=True)]
    yield {
        "name": f"search 64 trials of 100-64-32-16-1 ({how}) vs {peer}",
        "ours": round(speed[0], 1),
        "theirs": round(speed[1], 1),
        "unit": "trials an hour of processor time",
        "ratio": round(statistics.median(a / b for a, b in hours), 2),
        "n": n,
        "note": f"pruned {pruned[0]:g} of {TRIALS} against {pruned[1]:g}; best error {scores[0]:.4f} against "
        f"{scores[1]:.4f}",
    }
    reach = [[one.reaches(pair[1].best * 1.001) for one in pair] for pair in pairs]
    yield {
        "name": f"time to the last score within 0.1 % ({how}) vs {peer}",
        "ours": round(statistics.median(a for a, _ in reach), 1),
        "theirs": round(statistics.median(b for _, b in reach), 1),
        "unit": "CPU s",
        "ratio": round(statistics.median(a / b for a, b in reach), 3),
        "n": n,
        "note": f"reached in {sum(np.isfinite(a) for a, _ in reach)} of {n} seeds; ours ends with "
        f"{statistics.mean(own.last[1] for own, _ in pairs):.4f} after {len(pairs[0][0].path)} trials in "
        f"{statistics.mean(own.last[0] for own, _ in pairs):.0f} CPU s",
    }


if __name__ == "__main__":
    main()
