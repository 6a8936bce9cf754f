"""`Runtime`: what this machine has and what of it is used, each choice with what was passed over and why."""

from __future__ import annotations

import ctypes
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from tidewright.errors import BackendError, ConfigError, FallbackWarning
from tidewright.optional import has, require

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "tf32", "bfloat16", "float16", "fastest"]
Compile = Literal["never", "measured"]
NVIDIA = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"), Path("/dev/dxg"))  # the last: WSL
NO_DRIVER = "this machine has no NVIDIA driver"
CGROUP = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # flags of x86 and ARM
CAPABILITY = {"tf32": 8, "bfloat16": 8, "float16": 7}  # the first compute capability whose tensor cores have it
CPU_LACKS = {
    "tf32": "only NVIDIA's tensor cores have it",
    "float16": "torch has no LSTM in it on a CPU, and products took 90 times as long where that was measured",
}
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
    """Where and how networks compute. `strict`: a fallback is an error, also one that is made while they learn."""

    device: Choice
    precision: Choice
    framework: Choice
    threads: Choice
    compile: Choice
    strict: bool = False

    @property
    def choices(self) -> dict[str, Choice]:
        """Every choice by its name."""
        return {f.name: choice for f in fields(self) if isinstance(choice := getattr(self, f.name), Choice)}

    @property
    def fallbacks(self) -> tuple[Choice, ...]:
        """The choices that are not what was asked for."""
        return tuple(choice for choice in self.choices.values() if choice.fallback)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain data, for a Run."""
        return asdict(self)


def detect_runtime(
    device: Device = "auto",
    threads: int | Literal["auto"] = "auto",
    *,
    precision: Precision = "auto",
    compile: Compile = "never",
    strict: bool = False,
) -> Runtime:
    """What to compute with here. torch is imported only when CUDA is asked for and there is a driver.

    `precision` is what a network's products are computed in while it learns: `auto` is float32, so that equal seeds
    give equal bits; one by name is used where the device has it; `fastest` times a few steps of each network first.
    `compile` measured tries torch.compile on each network and keeps what wins. What was asked for and isn't there is
    recorded and warned of as `FallbackWarning`, or, when `strict`, a `BackendError`. Raises `ConfigError` for an
    unknown word or a number of threads below 1.
    """
    _check_word("device", device, Device)
    _check_word("precision", precision, Precision)
    _check_word("compile", compile, Compile)
    where = _choose_device(device)
    runtime = Runtime(
        device=where,
        precision=_choose_precision(precision, device=where.used),
        framework=_choose_framework(),
        threads=_choose_threads(threads),
        compile=_choose_compile(compile, device=where.used),
        strict=strict,
    )
    for choice in runtime.fallbacks:
        text = f"{choice.requested} was asked for, {choice.used} is used: {choice.reason}."
        if strict:
            spare = choice.used if choice is runtime.compile else f"{choice.used} or auto"
            raise BackendError(f"{text} Ask for {spare}, or leave strict out.")
        warnings.warn(text, FallbackWarning, stacklevel=2)
    return runtime


def find_obstacle(precision: str, *, device: str) -> str:
    """Why a device (cpu, cuda) gains nothing from a precision; empty where it has it, or nothing is known."""
    if precision == "float32":
        return ""
    if device == "cuda":
        torch = require("torch", extra="nets", purpose="a network")
        major, minor = torch.cuda.get_device_capability()
        least = CAPABILITY[precision]
        return "" if major >= least else f"this GPU has compute capability {major}.{minor}, {least}.0 is the least"
    if precision in CPU_LACKS:
        return CPU_LACKS[precision]
    flags = read_cpu_flags()
    return "" if not flags or flags & BFLOAT16 else "this processor has no instructions for it, so it would be slower"


def explain_no_driver() -> str:
    """Why there can be no CUDA here: the driver is missing; empty where there is one."""
    return "" if any(path.exists() for path in NVIDIA) else NO_DRIVER


def explain_no_compiler() -> str:
    """Why torch can compile nothing for the CPU: there is no C++ compiler; empty where there is one."""
    compiler = os.environ.get("CXX", "g++")
    return "" if shutil.which(compiler) else f"there is no C++ compiler ({compiler})"


def explain_no_cuda() -> str:
    """Why torch can't use CUDA here; empty where it can. Imports torch only where there is a driver."""
    return explain_no_driver() or _cuda_obstacle()


def read_cpu_flags(path: Path = CPUINFO) -> frozenset[str]:
    """What the processor can do, in the words of Linux; empty elsewhere."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return frozenset()
    found = [line.partition(":")[2] for line in lines if line.split(":")[0].strip() in ("flags", "Features")]
    return frozenset(found[0].split()) if found else frozenset()


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
    if requested == "auto":
        other = explain_no_driver() or "its sums are not bit-repeatable; ask for it by name"
        return Choice("auto", "cpu", "equal seeds give equal bits", (f"cuda: {other}",))
    obstacle = explain_no_cuda()
    if obstacle:
        return Choice("cuda", "cpu", obstacle, (f"cuda: {obstacle}",))
    return Choice("cuda", "cuda", "asked for")


def _choose_precision(requested: str, *, device: str) -> Choice:
    if requested == "auto":
        other = "3 digits; ask for it by name, or for fastest, which measures"
        return Choice("auto", "float32", "what weights, graphs and parity are stated in", (f"bfloat16: {other}",))
    if requested == "fastest":
        lacking = [(name, find_obstacle(name, device=device)) for name in ("tf32", "bfloat16")]
        reason = "each network's own steps are timed before it learns, and its history says what was taken"
        return Choice("fastest", "fastest", reason, tuple(f"{name}: {why}" for name, why in lacking if why))
    obstacle = find_obstacle(requested, device=device)
    if obstacle:
        return Choice(requested, "float32", obstacle, (f"{requested}: {obstacle}",))
    return Choice(requested, requested, "asked for")


def _choose_compile(requested: str, *, device: str) -> Choice:
    if requested == "never":
        return Choice("never", "never", "measured is to be asked for: compiling takes long, and may not pay")
    if not has("torch"):
        obstacle = "torch is not installed"
    elif device == "cuda":
        obstacle = "" if has("triton") else "triton is not installed"
    else:
        obstacle = explain_no_compiler()
    if obstacle:
        return Choice(requested, "never", obstacle, (f"{requested}: {obstacle}",))
    return Choice(requested, requested, "each network is compiled once its steps are known, and kept so if that wins")


def _check_word(name: str, word: object, words: Any) -> None:
    known = get_args(words)
    if word not in known:
        raise ConfigError(f"the {name} is {', '.join(known[:-1])} or {known[-1]}; got {word!r}.")


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


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Other variables for a while: a new process takes them on before it imports anything."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
