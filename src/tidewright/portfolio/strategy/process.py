"""`StrategyProcess`: a strategy file in a process of its own, without a network; it is asked, and answers with data."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray

CHILD = Path(__file__).with_name("child.py")
KINDS = ("polars", "pandas", "numpy")
GIB = 1 << 30
_LENGTH = struct.Struct("<Q")
_MOST_ANSWER = 8 * GIB
_START_S = 60.0  # for imports, at least
_TAIL, _WIDE = 12, 300  # lines of what it wrote that are shown, and characters of each
_END = 1 << 16  # bytes of it that are read


@dataclass(frozen=True, slots=True)
class Isolation:
    """What a strategy ran under. `network` is "own empty network" where the kernel gave it one, else "refused by the
    interpreter", which native code could go around, with `reason`. `files` is "read only but for a folder of its own"
    where the kernel saw to that, else "may be changed" and why; limits are those that were set."""

    network: str
    reason: str
    files: str
    cpu_s: int
    memory_bytes: int
    file_bytes: int
    timeout_s: float

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"in a process of its own: network: {self.network}{why}; files: {self.files}; no other programs; at most "
            f"{self.cpu_s} CPU s, {self.memory_bytes / GIB:.3g} GiB of memory, {self.file_bytes / (1 << 20):.3g} MiB a "
            f"file, {self.timeout_s:g} s an answer"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Weights as they came: `values` [rows, columns], the columns' `names` and the rows' `times`, None where the
    strategy gave none."""

    values: FloatArray
    names: tuple[str, ...] | None
    times: NDArray[np.datetime64] | None


class StrategyProcess:
    """A running strategy, told what it runs under by `isolation`; a context manager that ends it. Made by
    `open_strategy`."""

    def __init__(
        self,
        file: Path,
        process: subprocess.Popen[bytes],
        *,
        log: IO[bytes],
        ends: ExitStack,
        timeout_s: float,
        file_bytes: int,
    ) -> None:
        self.file, self.timeout_s, self._file_bytes = file, timeout_s, file_bytes
        self._process, self._log, self._ends = process, log, ends
        told = json.loads(self._read(max(timeout_s, _START_S)))
        if not told["decides"]:
            raise AllocationError(f"'{file}' defines no function decide(prices). See: tidewright backtest --template")
        if told["table"] not in KINDS:
            raise AllocationError(f"TABLE in '{file}' is {told['table']!r}; it is one of {', '.join(KINDS)}.")
        network = "refused by the interpreter" if told["network"] else "own empty network"
        files = f"may be changed ({told['files']})" if told["files"] else "read only but for a folder of its own"
        self.isolation = Isolation(network, told["network"], files, timeout_s=timeout_s, **told["limits"])

    def decide(self, prices: pl.DataFrame) -> Answer:
        """What it decides on a table of "time" and a column an asset. Raises `AllocationError` where it fails."""
        body = io.BytesIO()
        prices.write_ipc_stream(body)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(_LENGTH.pack(body.getbuffer().nbytes))
            self._process.stdin.write(body.getbuffer())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._explain() from None
        head, _, rest = self._read(self.timeout_s).partition(b"\n")
        told = json.loads(head)
        rows, columns = int(told["rows"]), int(told["columns"])
        values = np.frombuffer(rest, dtype="<f8", count=rows * columns).reshape(rows, columns)
        times = np.frombuffer(rest, dtype="<i8", offset=8 * rows * columns) if told["times"] else None
        names = None if told["names"] is None else tuple(str(name) for name in told["names"])
        return Answer(values.astype(np.float64), names, None if times is None else times.astype("datetime64[us]"))

    def close(self) -> None:
        """Ends the process and all that it may have started."""
        self._ends.close()

    def __enter__(self) -> StrategyProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, limit_s: float) -> bytes:
        """The next message."""
        end = time.monotonic() + limit_s
        (size,) = _LENGTH.unpack(self._take(_LENGTH.size, end=end, limit_s=limit_s))
        if size > _MOST_ANSWER:
            raise AllocationError(f"'{self.file}' gave {size:,} bytes, more than weights can be.")
        return self._take(size, end=end, limit_s=limit_s)

    def _take(self, size: int, *, end: float, limit_s: float) -> bytes:
        assert self._process.stdout is not None
        pipe, parts, missing = self._process.stdout.fileno(), [], size
        while missing:
            ready, _, _ = select.select([pipe], [], [], max(end - time.monotonic(), 0.0))
            if not ready:
                raise AllocationError(
                    f"'{self.file}' gave no answer within {limit_s:g} s. Make it faster, or allow more with --timeout."
                )
            part = os.read(pipe, min(missing, 1 << 20))
            if not part:
                raise self._explain()
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _explain(self) -> AllocationError:
        """Why it ended, from its exit status and what it wrote last."""
        code, size = self._process.wait(), self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _END))
        lines = [line[:_WIDE] for line in self._log.read().decode(errors="replace").strip().splitlines()[-_TAIL:]]
        if code < 0:
            why = f"was ended by {signal.Signals(-code).name}"
            why += " (it used up its CPU seconds)" if -code in (signal.SIGXCPU, signal.SIGKILL) else ""
        elif size >= self._file_bytes:
            why = f"printed more than the {self._file_bytes / (1 << 20):.3g} MiB that are kept. Print less."
            lines = []
        elif code == 0 or not lines:
            why = f"ended itself, with status {code}, before it answered. Let decide return its weights."
        else:
            why = f"failed: {lines.pop()}"
        return AllocationError("\n  ".join([f"'{self.file}' {why}", *lines]))


def open_strategy(
    file: str | Path, *, timeout_s: float = 60.0, cpu_s: int = 600, memory_gib: float = 8.0, file_mib: float = 64.0
) -> StrategyProcess:
    """Starts a strategy file in a fresh interpreter (`-I`) with an empty folder, a bare environment, no network, no
    other programs, and limits.

    The kernel gives it an empty network of its own, and lets it change no file outside of its folder, where it may;
    else sockets are refused by the interpreter alone and files can be changed, and `isolation` says so. It may read
    files: run strategies of strangers elsewhere. `timeout_s` is for each answer, the
    other limits for the whole. Raises `AllocationError`.
    """
    path = Path(file).absolute()
    if not path.is_file():
        raise AllocationError(f"there is no strategy '{file}'. Make one with: tidewright backtest --template")
    for name, value in (("timeout_s", timeout_s), ("cpu_s", cpu_s), ("memory_gib", memory_gib), ("file_mib", file_mib)):
        if not value > 0:
            raise AllocationError(f"{name} is {value}; a limit is above zero.")
    limits = {"cpu_s": int(cpu_s), "memory_bytes": int(memory_gib * GIB), "file_bytes": int(file_mib * (1 << 20))}
    kept = ExitStack()
    with ExitStack() as ends:  # whatever ends it before the strategy is open, nothing is left running
        folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="tidewright-strategy-"))
        log = ends.enter_context(tempfile.TemporaryFile())  # the stack closes it
        process = _start(path, limits=limits, folder=folder, log=log)
        ends.callback(_end, process)
        opened = StrategyProcess(
            path, process, log=log, timeout_s=timeout_s, ends=kept, file_bytes=limits["file_bytes"]
        )
        kept.enter_context(ends.pop_all())
    return opened


def _start(path: Path, *, limits: dict[str, int], folder: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-B", str(CHILD), json.dumps({"file": str(path), "limits": limits})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=folder,
        env=_bare_environment(folder),
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            _close(pipe)


def _bare_environment(folder: str) -> dict[str, str]:
    """No keys or proxies of the user; threads as they are set, or few, since each takes of the address space."""
    few = str(min(8, os.cpu_count() or 1))
    threads = {f"{name}_THREADS": few for name in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMBA_NUM", "POLARS_MAX")}
    usual = {"PATH": os.defpath, "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "4", **threads}
    return {**{name: os.environ.get(name, value) for name, value in usual.items()}, "HOME": folder, "TMPDIR": folder}


def _close(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:  # what was not yet read by a process that is gone
        return
