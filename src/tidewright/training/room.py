"""What fits into memory: the one place that catches its end, and the batch size that `"auto"` stands for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from tidewright.errors import FitError

START = 32  # windows of the first batch that is tried
MARGIN = 0.8  # of the free memory is used at most
LEAST_FALL = 0.05  # share of a window's time that twice the batch must save
ENDS = (  # of memory, as torch words them where it raises a plain RuntimeError
    "you tried to allocate",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
CLEAR = Path("/proc/self/clear_refs")  # of Linux: a 5 written there puts VmHWM back to VmRSS
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Memory ran out; the first line of the message that said so."""

    reason: str


@dataclass(frozen=True, slots=True)
class Sized:
    """A batch size, why it is no larger, and what was tried: size, seconds a window, peak memory (None: unknown)."""

    batch_size: int
    reason: str
    tried: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a step of some windows took: seconds (of the processor, on a CPU), and the peak in bytes above what was
    held before it (None: unknown)."""

    seconds: float
    peak: int | None = None


def attempt(work: Callable[[], Answer]) -> Answer | Exhausted:
    """What the work gives, or that memory ran out in it, on CUDA or the CPU. Every other error is passed on."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        known = isinstance(error, MemoryError | torch.OutOfMemoryError) or any(end in text for end in ENDS)
        if not known:
            raise
        lines = text.strip().splitlines()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch leaves it so
        torch.cuda.empty_cache()  # pieces that are too small for the next try
    return Exhausted(lines[0] if lines else "no memory")


def find_batch_size(
    take_step: Callable[[int], Taken], *, most: int, free: int | None, deadline: float | None = None
) -> Sized:
    """The largest batch that is worth it, up to `most` windows: sizes double from `START` as long as a window gets
    cheaper, twice the peak stays below `MARGIN` of the `free` bytes (None: unknown, so only errors tell), and twice
    the size would be tried before the `deadline`, a `time.monotonic()`.

    Raises `FitError` when not even one window fits.
    """
    tried: list[dict[str, Any]] = []
    size, best, reason = min(START, most), 0, ""
    while not reason:
        started = time.monotonic()
        taken = attempt(partial(take_step, size))
        if isinstance(taken, Exhausted):
            tried.append({"batch_size": size, "stopped": taken.reason})
            reason = f"memory ran out at {size} windows"
            if not best:
                if size == 1:
                    raise FitError(f"not one window fits into memory: {taken.reason}. Ask for a smaller network.")
                size, reason = size // 2, ""
            continue
        cost = taken.seconds / size
        before = tried[-1].get("seconds_a_window") if best else None
        tried.append({"batch_size": size, "seconds_a_window": cost, "peak_bytes": taken.peak})
        if before is not None and cost > before * (1.0 - LEAST_FALL):
            reason = f"a window is not cheaper in a batch of {size}"
            continue
        best = size
        reason = _end(size, taken, most=most, free=free, failed=any("stopped" in one for one in tried))
        size, now = min(2 * size, most), time.monotonic()
        if not reason and deadline is not None and now + 2 * (now - started) > deadline:
            reason = f"the deadline left no time to try {size} windows"
    return Sized(best, reason, tuple(tried))


def _end(size: int, taken: Taken, *, most: int, free: int | None, failed: bool) -> str:
    """Why no larger batch is tried; empty: one is."""
    if size == most:
        return f"there are {most} training windows"
    if failed:
        return f"memory ran out at {2 * size} windows"
    if taken.peak is not None and free is not None and 2 * taken.peak > MARGIN * free:
        return (
            f"{2 * size} windows would take about {2 * taken.peak / 2**20:.0f} of {free / 2**20:.0f} MiB that are free"
        )
    return ""


def free_memory(device: str) -> int | None:
    """The bytes that this process may still take; None where nothing says so."""
    if device != "cpu":
        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0]) + unused
    found = [_field(Path("/proc/meminfo"), "MemAvailable:"), _group_room(Path("/sys/fs/cgroup"))]
    return min((number for number in found if number is not None), default=None)


def held_memory(device: str, *, peak: bool) -> int | None:
    """The bytes that this process holds, or the most since `reset_peak`; None where nothing says so."""
    if device != "cpu":
        return int(torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated())
    return _field(Path("/proc/self/status"), "VmHWM:" if peak else "VmRSS:")


def reset_peak(device: str) -> None:
    """From here on the peak of `held_memory` is counted. Where Linux doesn't let us, it stays that of all before, and a
    batch is found too small rather than too large."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        CLEAR.write_text("5")


def _field(path: Path, name: str) -> int | None:
    """The bytes of one line of a file that counts in kB."""
    if not path.is_file():
        return None
    lines = path.read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)


def _group_room(root: Path) -> int | None:
    """What the control group's limit (version 2) leaves; None without one."""
    limit, used = root / "memory.max", root / "memory.current"
    if not (limit.is_file() and used.is_file()):
        return None
    most = limit.read_text().strip()
    return None if most == "max" else max(int(most) - int(used.read_text()), 0)
