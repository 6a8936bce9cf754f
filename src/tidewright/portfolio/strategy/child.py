"""The program of the process that a strategy runs in. It is run by its path, and imports nothing of Tidewright.

It gives up what it can of the machine, reads tables from its standard input (a length, then an Arrow stream) and writes
weights to its standard output (a length, a line of JSON, then float64 numbers and int64 times). What the strategy
prints goes to standard error.
"""

from __future__ import annotations

import ctypes
import functools
import io
import json
import os
import resource
import runpy
import struct
import sys
import traceback
from types import TracebackType
from typing import Any, NoReturn

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # linux/sched.h
NO_NEW_PRIVILEGES = 38  # linux/prctl.h
REFUSED = (
    "os.system",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.kill",
    "os.killpg",
    "pty.",
)
LENGTH = struct.Struct("<Q")
MAKE_RULES, ADD_RULE, OBEY_RULES = 444, 445, 446  # the system calls of Landlock, the same on all of Linux's machines
BENEATH, ASK_VERSION = 1, 1
WRITE_FILE, TRUNCATE = 1 << 1, 1 << 14  # linux/landlock.h
CHANGES = WRITE_FILE | sum(1 << bit for bit in range(4, 13))  # and to remove or make anything
LATER = ((2, 1 << 13), (3, TRUNCATE))  # to move between folders and to truncate, since these versions of it


def leave_network() -> str:
    """Moves into an empty network of its own; empty where that was done, else why not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        return f"{sys.platform} has none"
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if libc.unshare(NEW_USER | NEW_NETWORK) == 0:
        return ""
    return os.strerror(ctypes.get_errno())


def lock_files(folder: str) -> str:
    """Lets nothing be written, made, moved or removed outside of a folder; empty where that was done, else why not."""
    if sys.platform != "linux":
        return f"{sys.platform} has no Landlock"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    version = libc.syscall(MAKE_RULES, None, ctypes.c_size_t(0), ASK_VERSION)
    if version < 1:
        return f"no Landlock: {os.strerror(ctypes.get_errno())}"
    handled = CHANGES | sum(right for since, right in LATER if version >= since)
    asked = struct.pack("<Q", handled)
    rules = libc.syscall(MAKE_RULES, asked, ctypes.c_size_t(len(asked)), 0)
    for path, rights in ((folder, handled), (os.devnull, handled & (WRITE_FILE | TRUNCATE))):
        place = os.open(path, os.O_PATH)
        libc.syscall(ADD_RULE, rules, BENEATH, struct.pack("<Qi", rights, place), 0)
        os.close(place)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    done = libc.syscall(OBEY_RULES, rules, 0)
    return "" if done == 0 else f"no Landlock: {os.strerror(ctypes.get_errno())}"


def set_limits(limits: dict[str, int]) -> dict[str, int]:
    """The limits that could be set: CPU seconds, bytes of address space, bytes of a file."""
    kinds = {"cpu_s": resource.RLIMIT_CPU, "memory_bytes": resource.RLIMIT_AS, "file_bytes": resource.RLIMIT_FSIZE}
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, kind in kinds.items():
        _, most = resource.getrlimit(kind)
        wanted = limits[name] if most == resource.RLIM_INFINITY else min(limits[name], most)
        resource.setrlimit(kind, (wanted, most))
    return {name: resource.getrlimit(kind)[0] for name, kind in kinds.items()}


def refuse(event: str, arguments: object) -> None:
    """An audit hook: no sockets, no other programs."""
    if event.startswith("socket."):
        raise PermissionError(
            f"a strategy has no network ({event}). Read what it needs before, and put it in the prices."
        )
    if event.startswith("subprocess.") or event.startswith(REFUSED):
        raise PermissionError(f"a strategy starts and ends no processes ({event}).")


def read_table(feed: io.BufferedReader, kind: str) -> Any:
    """The next table, in the kind that the strategy asks for; None where there is none."""
    import polars as pl

    head = feed.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    table = pl.read_ipc_stream(io.BytesIO(feed.read(LENGTH.unpack(head)[0])))
    if kind == "pandas":
        return table.to_pandas().set_index("time")
    if kind == "numpy":
        return table.drop("time").fill_null(float("nan")).to_numpy()
    return table


def write_answer(wire: io.BufferedWriter, answer: Any) -> None:
    """Weights as data."""
    import numpy as np

    names, times, values = split_answer(answer)
    values = np.ascontiguousarray(values, dtype="<f8")
    if values.ndim != 2:
        raise TypeError(f"decide gave the shape {values.shape}; weights are a table [rows, assets].")
    stamps = b"" if times is None else np.asarray(times, dtype="datetime64[us]").astype("<i8").tobytes()
    head = json.dumps({"names": names, "rows": values.shape[0], "columns": values.shape[1], "times": times is not None})
    body = head.encode() + b"\n" + values.tobytes() + stamps
    wire.write(LENGTH.pack(len(body)) + body)
    wire.flush()


def split_answer(answer: Any) -> tuple[list[str] | None, Any, Any]:
    """The names of its columns, the times of its rows, and its numbers; None for what it has not."""
    import numpy as np
    import polars as pl

    if isinstance(answer, np.ndarray):
        return None, None, answer
    if isinstance(answer, pl.DataFrame):
        times = answer["time"].cast(pl.Datetime("us")).to_numpy() if "time" in answer.columns else None
        weights = answer.drop("time", strict=False).cast(pl.Float64).fill_null(float("nan"))
        return weights.columns, times, weights.to_numpy()
    if hasattr(answer, "columns") and hasattr(answer, "index"):  # pandas
        dated = answer.index.dtype.kind == "M"
        return [str(one) for one in answer.columns], answer.index.to_numpy() if dated else None, answer.to_numpy()
    raise TypeError(f"decide gave {type(answer).__name__}; it gives an array, or a polars or pandas table of weights.")


def load(file: str) -> dict[str, Any]:
    """The names that the strategy defines, as at its first line: nothing that it kept is left."""
    folder = os.path.dirname(file) + os.sep
    beside = [name for name, one in sys.modules.items() if (getattr(one, "__file__", None) or "").startswith(folder)]
    for name in beside:
        del sys.modules[name]
    return runpy.run_path(file)


def serve(asked: dict[str, Any]) -> None:
    """Isolates itself, loads the strategy, and answers until there is no more.

    Each answer is by a strategy loaded anew, so that none has seen the prices of another."""
    without = leave_network()
    open_files = lock_files(os.getcwd())
    limits = set_limits(asked["limits"])
    wire, feed = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    import polars as pl  # noqa: F401  # before files and memory are short

    sys.addaudithook(refuse)
    sys.path.insert(0, os.path.dirname(asked["file"]))
    names = load(asked["file"])
    decides, kind = callable(names.get("decide")), str(names.get("TABLE", "polars"))
    told = json.dumps(
        {"network": without, "files": open_files, "limits": limits, "decides": decides, "table": kind}
    ).encode()
    wire.write(LENGTH.pack(len(told)) + told)
    wire.flush()
    while decides and (table := read_table(feed, kind)) is not None:
        names = names or load(asked["file"])
        write_answer(wire, names["decide"](table))
        names = {}


def tell(file: str, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Writes the traceback of an error from the strategy's own line on, none where it has no part in it."""
    own = trace
    while own is not None and own.tb_frame.f_code.co_filename != file:
        own = own.tb_next
    traceback.print_exception(kind, error, own)


def main() -> NoReturn:
    asked = json.loads(sys.argv[1])
    sys.excepthook = functools.partial(tell, asked["file"])
    serve(asked)
    os._exit(0)  # without what the strategy registered for its end


if __name__ == "__main__":
    main()
