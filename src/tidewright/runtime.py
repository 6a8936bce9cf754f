"""`Runtime`: what this machine has and what of it is used, each choice with what was passed over and why."""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from tidewright.errors import BackendError, ConfigError, FallbackWarning
from tidewright.optional import has, require

Device = Literal["auto", "cpu", "cuda"]
NVIDIA = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"), Path("/dev/dxg"))  # the last: WSL
NO_DRIVER = "this machine has no NVIDIA driver"
CGROUP = Path("/sys/fs/cgroup")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, in malloc.h


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for, what is used and why; `passed_over`: what could have been and why it wasn't."""

    requested: str
    used: str
    reason: str
    passed_over: tuple[str, ...] = ()

    @property
    def fallback(self) -> bool:
        """Whether something else is used than was asked for by name."""
        return self.requested not in ("auto", self.used)


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and how networks compute."""

    device: Choice
    precision: Choice
    framework: Choice
    threads: Choice

    @property
    def fallbacks(self) -> tuple[Choice, ...]:
        """The choices that are not what was asked for."""
        return tuple(c for c in (self.device, self.precision, self.framework, self.threads) if c.fallback)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain data, for a Run."""
        return asdict(self)


def detect_runtime(
    device: Device = "auto", threads: int | Literal["auto"] = "auto", *, strict: bool = False
) -> Runtime:
    """What to compute with here. torch is imported only when CUDA is asked for and there is a driver.

    A device that was asked for and isn't there is recorded and warned of as `FallbackWarning`, or, when
    `strict`, a `BackendError`. Raises `ConfigError` for an unknown device or a number of threads below 1.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"the device is auto, cpu or cuda; got {device!r}.")
    runtime = Runtime(
        device=_choose_device(device),
        precision=Choice(
            "auto",
            "float32",
            "what weights, graphs and parity are stated in",
            ("bfloat16: 3 digits are too few",),
        ),
        framework=_choose_framework(),
        threads=_choose_threads(threads),
    )
    for choice in runtime.fallbacks:
        text = f"{choice.requested} was asked for, {choice.used} is used: {choice.reason}."
        if strict:
            raise BackendError(f"{text} Ask for {choice.used} or auto, or leave strict out.")
        warnings.warn(text, FallbackWarning, stacklevel=2)
    return runtime


@contextmanager
def apply_threads(runtime: Runtime | int) -> Iterator[None]:
    """torch computes on this many threads inside the block; the caller's own number comes back after it."""
    torch = require("torch", extra="nets", purpose="a network")
    before = torch.get_num_threads()
    torch.set_num_threads(runtime if isinstance(runtime, int) else int(runtime.threads.used))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def keep_memory() -> Iterator[None]:
    """Large blocks that are freed inside the block stay with the process, and go back to the system after it.

    glibc maps every block above 32 MiB anew, and the kernel clears its pages: half of the time of an LSTM's step.
    For the whole process, while it lasts; does nothing where the C library is another.
    """
    libc = _open_glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, 2**30)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:  # the largest values that glibc takes by itself
        libc.mallopt(_MMAP_THRESHOLD, 2**25)
        libc.mallopt(_TRIM_THRESHOLD, 2**26)
        libc.malloc_trim(0)


def count_cores() -> tuple[int, str]:
    """The cores this process may use, and what says so: the machine, its affinity mask or cgroup quota."""
    limits = {"the machine": float(os.cpu_count() or 1)}
    if hasattr(os, "sched_getaffinity"):
        limits["the affinity mask"] = float(len(os.sched_getaffinity(0)))
    quota = read_quota()
    if quota is not None:
        limits["the cgroup quota"] = quota
    source = min(limits, key=lambda name: limits[name])
    return max(1, int(limits[source])), source


def read_quota(root: Path = CGROUP) -> float | None:
    """The cores that the control group grants (version 2, then 1); None without a limit."""
    unified, legacy = root / "cpu.max", root / "cpu" / "cpu.cfs_quota_us"
    try:
        if unified.is_file():
            quota, period = unified.read_text().split()
        elif legacy.is_file():
            quota, period = legacy.read_text(), legacy.with_name("cpu.cfs_period_us").read_text()
        else:
            return None
        return None if quota.strip() in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError):  # a file that is half there says nothing
        return None


def _open_glibc() -> Any:
    """The C library, if it is glibc."""
    try:
        name = os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError, OSError):  # not Linux, or another library
        return None
    return ctypes.CDLL(None) if name else None


def _choose_device(requested: str) -> Choice:
    if requested == "cpu":
        return Choice("cpu", "cpu", "asked for")
    driver = any(path.exists() for path in NVIDIA)
    if requested == "auto":
        other = "its sums are not bit-repeatable; ask for it by name" if driver else NO_DRIVER
        return Choice("auto", "cpu", "equal seeds give equal bits", (f"cuda: {other}",))
    obstacle = _cuda_obstacle() if driver else NO_DRIVER
    if obstacle:
        return Choice("cuda", "cpu", obstacle, (f"cuda: {obstacle}",))
    return Choice("cuda", "cuda", "asked for")


def _cuda_obstacle() -> str:
    """Why CUDA can't be used on a machine that has a driver; empty when it can."""
    if not has("torch"):
        return "torch is not installed"
    torch = require("torch", extra="nets", purpose="a network")
    return "" if torch.cuda.is_available() else f"torch {torch.__version__} finds no usable GPU"


def _choose_framework() -> Choice:
    if has("torch"):
        return Choice("auto", f"torch {version('torch')}", "the one framework of networks here")
    return Choice(
        "auto",
        "none",
        "torch is not installed; floors and trees need none",
        ("torch: install 'tidewright[nets]'",),
    )


def _choose_threads(requested: int | Literal["auto"]) -> Choice:
    cores, source = count_cores()
    if requested == "auto":
        others = (f"{cores}: {source} allows {cores} cores",) if cores > 1 else ()
        return Choice(
            "auto",
            "1",
            "small networks lose more to waiting threads than they gain, and one gives equal bits",
            others,
        )
    if isinstance(requested, bool) or not isinstance(requested, int) or requested < 1:
        raise ConfigError(f"threads is auto or a number, 1 or more; got {requested!r}.")
    if requested > cores:
        return Choice(str(requested), str(cores), f"{source} allows {cores} cores")
    return Choice(str(requested), str(requested), "asked for")
