"""Choices that are made by timing a network's own steps: its precision, and whether it is compiled."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tidewright.models.torch.network import ForecastNet, copy_network
from tidewright.runtime import Runtime, find_obstacle
from tidewright.training.gather import Source
from tidewright.training.gradients import find_gradients
from tidewright.training.losses import Loss
from tidewright.training.optimizers import open_optimizer
from tidewright.training.precision import Means, Score, fall_back, open_means
from tidewright.training.runs import Runs
from tidewright.training.spec import TrainSpec

History = Sequence[Mapping[str, Any]]
CANDIDATES = ("float32", "tf32", "bfloat16")  # of fastest; float16 is for those who ask: its range overflows
CLEAR = 0.9  # the share of the time from which on a gain is more than noise
REPEATS = 7
COMPILING_S = 60.0  # with less learning than this ahead, compiling is not tried
BACKEND = "inductor"


@dataclass(frozen=True, eq=False, slots=True)
class Trial:
    """Steps that are timed on the first batch of `draw`. The network learns nothing and draws nothing for them.

    Processes that teach one network together (not `alone`) would choose apart: then nothing is timed.
    """

    network: ForecastNet
    train: TrainSpec
    source: Source | Runs
    measure: Loss
    draw: Callable[[], Sequence[Tensor]]
    runtime: Runtime
    device: str = "cpu"
    deadline: float | None = None
    alone: bool = True

    def time(self, steps: Mapping[str, Callable[[], object]]) -> dict[str, float]:
        """The least milliseconds of each, in turns, after one that warms up: of processor time on a CPU, for other
        programs take of the wall's time what they like."""
        times: dict[str, list[float]] = {name: [] for name in steps}
        with self.forked():
            for _ in range(REPEATS + 1):
                for name, step in steps.items():
                    started = self._read_clock()
                    step()
                    times[name].append(1e3 * (self._read_clock() - started))
        return {name: min(taken[1:]) for name, taken in times.items()}

    def forked(self) -> AbstractContextManager[None]:
        """Draws inside the block leave torch's generators as they were."""
        return torch.random.fork_rng([] if self.device == "cpu" else [torch.cuda.current_device()])

    def open_step(self, network: ForecastNet, means: Means) -> Callable[[], None]:
        """The part of a step that its means change: the gradients of one batch."""
        index = self.draw()[0].to(self.device)

        def step() -> None:
            with means.applied():
                find_gradients(
                    network,
                    index,
                    source=self.source,
                    measure=means.change(self.measure),
                    parts=self.train.accumulate,
                    scale=means.scale,
                )

        return step

    def _read_clock(self) -> float:
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


def settle(means: Means, trial: Trial, history: History) -> dict[str, str]:
    """Chooses what is for a network's own times to choose; what to note of the next epoch.

    The precision is chosen before the first epoch. Compiling is tried before the second, when it is known how long
    an epoch takes.
    """
    fastest = trial.runtime.precision.used == "fastest" and not history
    compiling = trial.runtime.compile.used == "measured"
    if not trial.alone and not history and (fastest or compiling):
        text = "nothing is timed where several processes teach a network: it learns in float32, and is not compiled."
        fall_back(text, strict=trial.runtime.strict)
        return {"fallback": text}
    if fastest:
        name, words = find_fastest(trial)
        means.take(name)
        return {"measured": words}
    if compiling and trial.alone and len(history) == 1:
        left_s = history[0]["seconds"] * (trial.train.epochs - 1)
        if trial.deadline is not None:
            left_s = min(left_s, trial.deadline - time.monotonic())
        means.compiled, words = try_compiled(trial, means, left_s=left_s)
        return {"measured": words}
    return {}


def resume(means: Means, history: History, *, network: ForecastNet) -> None:
    """Goes on as the last epoch was computed: nothing is timed again."""
    last = history[-1]
    means.take(last["precision"])
    means.compiled = compile_scores(network) if last["compiled"] else None


def find_fastest(trial: Trial) -> tuple[str, str]:
    """The precision whose whole steps take least, float32 unless the gain is clear, and the times in words."""
    names = [name for name in CANDIDATES if not find_obstacle(name, device=trial.device)]
    taken = trial.time({name: _whole_step(trial, open_means(name, trial.device)) for name in names})
    best = min(taken, key=lambda name: taken[name])
    chosen = best if taken[best] <= CLEAR * taken["float32"] else "float32"
    return chosen, f"{_tell(taken)}: {chosen} is used"


def try_compiled(trial: Trial, means: Means, *, left_s: float) -> tuple[Score | None, str]:
    """The network's scores as torch.compile makes them, when their steps are clearly faster; why, in words.

    `left_s` is how long the network will learn at most. The weights stay the network's own, under their names.
    """
    if left_s < COMPILING_S:
        return (
            None,
            f"not compiled: {max(left_s, 0.0):.0f} s of learning are left, and compiling may take {COMPILING_S:.0f}",
        )
    network, started = trial.network, time.monotonic()
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    compiled = compile_scores(network)
    steps = {
        "eager": trial.open_step(network, Means(means.precision, means.device)),
        "compiled": trial.open_step(network, Means(means.precision, means.device, compiled=compiled)),
    }
    network.train()
    try:
        with trial.forked():
            steps["compiled"]()
        spent = time.monotonic() - started
        taken = trial.time(steps)
    except RuntimeError as error:  # the compiler's own, or of wrong code that it made
        text = f"the network can't be compiled and learns as it is: {str(error).splitlines()[0]}."
        fall_back(text, strict=trial.runtime.strict)
        return None, text
    finally:
        network.load_state_dict(kept)
        network.zero_grad()
    wins = taken["compiled"] <= CLEAR * taken["eager"]
    words = f"{_tell(taken)}, after {spent:.0f} s of compiling: {'compiled' if wins else 'eager'} is used"
    return (compiled if wins else None), words


def compile_scores(network: ForecastNet) -> Score:
    """`ForecastNet.score`, compiled at its first call; the network and the names of its weights are untouched."""
    with _quiet():
        compiled: Score = torch.compile(network.score, backend=BACKEND)

    def score(*inputs: Tensor, **named: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with _quiet():  # another shape of batch is compiled anew
            return compiled(*inputs, **named)

    return score


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the compiler warns itself of while it traces."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _whole_step(trial: Trial, means: Means) -> Callable[[], object]:
    network = copy_network(trial.network).train()
    optimizer = open_optimizer(trial.train, network.parameters())
    find = trial.open_step(network, means)

    def step() -> None:
        optimizer.zero_grad()
        find()
        means.descend(optimizer, list(network.parameters()), clip=trial.train.clip)

    return step


def _tell(taken: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {taken[name]:.3g} ms a step" for name in taken)
