"""What the parts of gpu.py share: networks on windows that are drawn, the library's own step, its time and its size.

Not a claim of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import tell
import torch
from torch import Tensor

QUANTILES = (0.1, 0.5, 0.9)
ROWS, SERIES = 200_000, 64
Sizes = tuple[int, int, int, int, int]  # lookback, horizon, past, known, static


@dataclass(frozen=True, slots=True)
class Case:
    """A network by its name and options, the sizes of its windows, and how many a batch has."""

    model: str
    options: dict[str, Any]
    sizes: Sizes
    batch: int

    @property
    def words(self) -> str:
        """What a note says of it."""
        return f"{self.model} {self.options or 'as it is by default'}, batches of {self.batch}, windows of {self.sizes}"


@dataclass(frozen=True, eq=False, slots=True)
class Lesson:
    """A network that is about to learn, and what it learns from."""

    learner: Any
    course: Any
    loss: Any

    def learn(self, steps: int) -> float:
        """Some steps of the library's own loop; their mean loss."""
        from tidewright.training.epoch import run_epoch

        course = replace(self.course, train=replace(self.course.train, steps=steps))
        means = self.learner.means
        with means.applied():
            return float(run_epoch(self.learner, course, measure=means.change(self.loss)))

    def rate(self, steps: int) -> float:
        """Windows a second of some steps, by the clock."""
        wait(self.course.device)
        started = time.perf_counter()
        self.learn(steps)
        wait(self.course.device)
        return steps * self.course.train.batch_size / (time.perf_counter() - started)


def open_case(case: Case, *, device: str, precision: str = "float32", source: Any = None) -> Lesson:
    """The case's network with its first weights, on a device."""
    from tidewright.models.build import build_spec
    from tidewright.models.torch.network import build
    from tidewright.models.torch.shape import Shape
    from tidewright.training.epoch import Course, open_losses
    from tidewright.training.learner import open_learner
    from tidewright.training.precision import open_means
    from tidewright.training.spec import TrainSpec

    torch.manual_seed(0)
    network = build(build_spec(case.model, case.options), Shape(*case.sizes, QUANTILES)).to(device)
    train = TrainSpec(batch_size=case.batch, learning_rate=3e-4)
    source = source or open_data(case.sizes, device=device)
    learner = open_learner(network, train, means=open_means(precision, device))
    course = Course(case.model, "", source, source, train, device=device)
    return Lesson(learner, course, open_losses(course, QUANTILES)[0])


def open_data(sizes: Sizes, *, device: str) -> Any:
    """Waves with noise, and covariates of noise, as the loop takes windows."""
    from tidewright.training.gather import Source

    lookback, horizon, past, known, static = sizes
    draw = torch.Generator().manual_seed(0)
    hours = torch.arange(ROWS, dtype=torch.float32)
    target = torch.sin(hours * (2 * torch.pi / 24)) + 0.3 * torch.randn(ROWS, generator=draw)
    begins = torch.arange(ROWS - lookback - horizon + 1)

    def slide(width: int, length: int) -> Tensor | None:
        table = torch.randn(ROWS * width, generator=draw).to(device)
        return table.as_strided((len(begins), length * width), (width, 1)) if width else None

    return Source(
        target=target.to(device).as_strided((len(begins), lookback + horizon), (1, 1)),
        past=slide(past, lookback),
        known=slide(known, lookback + horizon),
        static=torch.randn(SERIES, static, generator=draw).to(device) if static else None,
        begins=begins.to(device),
        series=(begins % SERIES).to(device),
        lookback=lookback,
        complete=True,
    )


def count_weights(lesson: Lesson) -> int:
    """All of them."""
    return sum(weight.numel() for weight in lesson.learner.network.parameters())


def count_operations(case: Case) -> float:
    """Floating-point operations of the forward and backward pass of a batch, counted by torch on the meta device, where
    a recurrent layer is its single products. Products of weights alone are made once a batch, whatever its size."""
    two, four = (_count_batch(case, rows) for rows in (2, 4))
    return two + (four - two) / 2 * (case.batch - 2)


def _count_batch(case: Case, rows: int) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    from tidewright.models.build import build_spec
    from tidewright.models.torch.network import build
    from tidewright.models.torch.shape import Shape

    shape = Shape(*case.sizes, QUANTILES)
    with torch.device("meta"):
        network = build(build_spec(case.model, case.options), shape).train()
        sizes = {
            "target": (rows, shape.lookback),
            "past": (rows, shape.lookback, shape.past),
            "known": (rows, shape.lookback + shape.horizon, shape.known),
            "static": (rows, shape.static),
        }
        inputs = {name: torch.empty(*sizes[name]) for name in shape.inputs}
    with FlopCounterMode(display=False) as counter:
        network.score(**inputs)[0].sum().backward()
    return float(counter.get_total_flops())


def measure_product(device: str, *, size: int = 8192, repeats: int = 20) -> float:
    """Operations a second of one large bfloat16 product of matrices: the best of some."""
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(repeats + 3):
        wait(device)
        started = time.perf_counter()
        left @ right
        wait(device)
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times[3:])


@contextmanager
def peak_of(device: str) -> Iterator[list[float]]:
    """Appends the MiB that the block held at most above what was held before it; nothing on a CPU."""
    found: list[float] = []
    if device != "cuda":
        yield found
        return
    wait(device)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    yield found
    found.append((torch.cuda.max_memory_allocated() - before) / 2**20)


def wait(device: str) -> None:
    """Until the card has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


def free(device: str) -> None:
    """Leaves the card's memory to the next case."""
    import gc

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


def make_line(name: str, ours: float, theirs: float, *, unit: str, n: int, note: str) -> dict[str, Any]:
    """One comparison."""
    return tell.make_line(f"gpu: {name}", ours, theirs, unit=unit, n=n, note=f"{note}; {name_card()}")


def name_card() -> str:
    """The card that gave a figure, and torch."""
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{card}, torch {torch.__version__}"
