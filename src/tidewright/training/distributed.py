"""`fit_network`: one network taught by this process, by several that it starts, or by those that torchrun started.

Processes on one machine meet through a file and talk over the loopback interface: gloo on the CPU, NCCL on CUDA, one
process a GPU (NCCL was joined on one; DDP and FSDP have not run on CUDA).
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from tidewright.errors import BackendError, ConfigError, FitError, TidewrightError
from tidewright.models.spec import ModelSpec
from tidewright.optional import require
from tidewright.runtime import Runtime, detect_runtime
from tidewright.training.events import Callback, Event, emit

if TYPE_CHECKING:
    from tidewright.models.torch.fitted import TorchFitted
    from tidewright.models.torch.shape import Shape
    from tidewright.training.team import Team

Strategy = Literal["ddp", "fsdp"]
GRACE_S = 1.0  # how long rank 0 may take to say what the others already know
TIMEOUT = timedelta(minutes=10)  # how long a process waits for the others in one exchange


@dataclass(frozen=True, eq=False, slots=True)
class _Answer:
    """What the leading process gives back: arrays and plain records."""

    shape: Shape
    tensors: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]


def fit_network(
    spec: ModelSpec,
    *,
    devices: int = 1,
    strategy: Strategy = "ddp",
    callbacks: tuple[Callback, ...] = (),
    runtime: Runtime | None = None,
    **asked: Any,
) -> TorchFitted:
    """The learned network, whoever teaches it; `asked` are the other arguments of `fit_torch`.

    Raises `ConfigError` for a number of devices or a strategy that can't be, `BackendError` for more than there are
    GPUs, and `FitError` that names the process when one raises or dies; our own errors are passed on as they are.
    """
    from tidewright.training.fit_torch import fit_torch

    runtime = runtime or detect_runtime()
    _check_devices(devices, strategy, runtime)
    if in_group():
        team = join_group(runtime, strategy=strategy)
        return fit_torch(spec, **asked, runtime=runtime, callbacks=callbacks, team=team)
    if devices == 1:
        return fit_torch(spec, **asked, runtime=runtime, callbacks=callbacks)
    order = {"spec": spec, **asked, "runtime": runtime}
    answer = _start(order, devices=devices, strategy=strategy, callbacks=callbacks)
    from tidewright.models.torch.fitted import from_tensors

    return from_tensors(
        spec,
        task=asked["task"],
        view=asked["view"],
        shape=answer.shape,
        tensors=answer.tensors,
        history=answer.history,
    )


def in_group() -> bool:
    """Whether torchrun, or another launcher that speaks like it, started this process as one of several."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def leads() -> bool:
    """Whether this process is the one that writes and tells: rank 0, or the only one."""
    return not in_group() or os.environ["RANK"] == "0"


def refuse_group(what: str) -> None:
    """Raises `ConfigError` where torchrun started several processes and one is meant to do it all."""
    if in_group():
        raise ConfigError(
            f"torchrun started {os.environ['WORLD_SIZE']} processes, and each would make {what} of its own. "
            "Start one, and let devices=2 teach a network in two."
        )


def join_group(runtime: Runtime, *, strategy: Strategy) -> Team:
    """This process's place in the group that its launcher describes, which it joins once and leaves at its end."""
    from tidewright.training.team import Team

    distributed = require("torch.distributed", extra="nets", purpose="training in several processes")
    if not distributed.is_initialized():
        _join(runtime.device.used, local=int(os.environ.get("LOCAL_RANK", os.environ["RANK"])))
        atexit.register(distributed.destroy_process_group)
    return Team(distributed.get_rank(), distributed.get_world_size(), strategy, runtime.device.used)


def _join(device: str, *, local: int, **place: Any) -> None:
    """Joins torch's default group; `local` is the number of the GPU."""
    torch = require("torch", extra="nets", purpose="training in several processes")
    if device == "cpu":
        torch.distributed.init_process_group("gloo", timeout=TIMEOUT, **place)
        return
    torch.cuda.set_device(local)
    own = torch.device("cuda", local)
    torch.distributed.init_process_group("nccl", timeout=TIMEOUT, device_id=own, **place)


def _check_devices(devices: int, strategy: str, runtime: Runtime) -> None:
    if isinstance(devices, bool) or not isinstance(devices, int) or devices < 1:
        raise ConfigError(f"devices is a number of processes, 1 or more; got {devices!r}.")
    if strategy not in ("ddp", "fsdp"):
        raise ConfigError(f"the strategy is ddp or fsdp; got {strategy!r}.")
    if in_group() and devices not in (1, int(os.environ["WORLD_SIZE"])):
        raise ConfigError(
            f"{os.environ['WORLD_SIZE']} processes were started by torchrun, and devices is {devices}. Leave it out."
        )
    if runtime.device.used == "cuda" and not in_group():
        there = require("torch", extra="nets", purpose="a network").cuda.device_count()
        if devices > there:
            raise BackendError(f"{devices} devices were asked for, and there are {there} GPUs. Ask for {there}.")


def _start(order: Mapping[str, Any], *, devices: int, strategy: Strategy, callbacks: tuple[Callback, ...]) -> _Answer:
    """Starts the processes, listens until the answer is there, and leaves none behind."""
    processes = require("torch.multiprocessing", extra="nets", purpose="training in several processes")
    pipes = [get_context("spawn").Pipe() for _ in range(devices)]
    ours, theirs = [pipe[0] for pipe in pipes], [pipe[1] for pipe in pipes]
    with TemporaryDirectory(prefix="tidewright-") as folder, ExitStack() as stack:
        for end in (*ours, *theirs):
            stack.callback(end.close)
        given = (devices, strategy, order, theirs, str(Path(folder, "meet")))
        team = processes.start_processes(_work, given, devices, join=False, daemon=True)
        for process in team.processes:
            stack.callback(process.join)
            stack.callback(process.kill)  # runs before the join
        for end in theirs:  # or a message that a process did not finish would be waited for
            end.close()
        return _listen(team, ours, callbacks=callbacks)


def _listen(team: Any, lines: list[Connection], *, callbacks: tuple[Callback, ...]) -> _Answer:
    """Passes events on to the callbacks until the answer comes; raises what ended a process."""
    leading = lines[0]
    while True:
        ready = wait([*lines, *team.sentinels])
        heard = [line for line in lines if line in ready]
        if not heard:
            _raise_ended(team)
        for line in heard:
            try:
                message = line.recv()
            except (EOFError, OSError):  # its process is gone, and the next round says how
                lines = [other for other in lines if other is not line]
                continue
            if isinstance(message, TidewrightError):
                raise _first_cause(message, said=line, leading=leading)
            if isinstance(message, _Answer):
                return message
            emit(callbacks, message)
            with suppress(OSError):  # likewise
                line.send(None)  # rank 0 waits for its callbacks, as one process would


def _first_cause(error: TidewrightError, *, said: Connection, leading: Connection) -> TidewrightError:
    """Rank 0's own error where it has one: what the others say of it is less."""
    if said is not leading and leading.poll(GRACE_S):
        with suppress(EOFError, OSError):  # it is gone without a word
            word = leading.recv()
            return word if isinstance(word, TidewrightError) else error
    return error


def _raise_ended(team: Any) -> None:
    """Raises `FitError` when a process ended badly, or all without an answer; torch ends the others."""
    errors = require("torch.multiprocessing", extra="nets", purpose="training in several processes")
    size = len(team.processes)
    try:
        all_ended = team.join(timeout=0.0)
    except errors.ProcessRaisedException as error:
        last = str(error).strip().splitlines()[-1]
        raise FitError(f"process {error.error_index} of {size} failed: {last}") from error
    except errors.ProcessExitedException as error:
        how = f"was ended by {error.signal_name}" if error.signal_name else f"ended with exit code {error.exit_code}"
        raise FitError(
            f"process {error.error_index} of {size} {how} before its work was done; its own words, if any, are on "
            "stderr. A script must make its call under if __name__ == '__main__', and memory must suffice for "
            f"{size} processes."
        ) from error
    if all_ended:
        raise FitError(f"all {size} processes ended without an answer.")


def _work(
    rank: int, size: int, strategy: Strategy, order: Mapping[str, Any], lines: Sequence[Connection], meet: str
) -> None:
    """What each process does. Our own errors go to the one that asked; others end the process, and torch tells."""
    from tidewright.training.fit_torch import fit_torch
    from tidewright.training.team import Team

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt ends it at once, also inside an exchange
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, _loopback())
    line, asked = lines[rank], dict(order)
    spec, device = asked.pop("spec"), asked["runtime"].device.used

    def tell(event: Event) -> None:
        line.send(event)
        line.recv()

    try:
        _join(device, local=rank, init_method=f"file://{meet}", rank=rank, world_size=size)
        team = Team(rank, size, strategy, device)
        fitted = fit_torch(spec, **asked, callbacks=(tell,) if rank == 0 else (), team=team)
    except TidewrightError as error:
        line.send(error)
        return
    if rank == 0:
        line.send(_Answer(fitted.shape, fitted.tensors(), fitted.history))
    require("torch.distributed", extra="nets", purpose="training in several processes").destroy_process_group()


def _loopback() -> str:
    """The name of the interface that leads to this machine only."""
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in names if name.startswith("lo")), names[0])
