"""`hearing`: the signals that a process is sent, for a loop that waits for them beside other things.

They have handlers, for a mask would keep them from the main thread alone: libraries' threads have masks of their own,
and a signal that nothing handles ends the process whichever thread it comes to.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from select import select
from typing import Any, Protocol

STOP = frozenset({signal.SIGTERM, signal.SIGINT})
SIGNALS = STOP | {signal.SIGHUP, signal.SIGCHLD}


class Readable(Protocol):
    """Anything with a file descriptor."""

    def fileno(self) -> int:
        """The descriptor."""


class Heard:
    """What was heard since it was last taken, each signal once."""

    def __init__(self, bell: socket.socket) -> None:
        self._bell = bell
        self._numbers: set[int] = set()

    def add(self, number: int, _: Any) -> None:
        """For `signal.signal`."""
        self._numbers.add(number)

    @property
    def stop(self) -> bool:
        """Whether it was told to stop, now or before."""
        return bool(STOP & self._numbers)

    def wait(self, *others: Readable, timeout_s: float | None = None) -> bool:
        """Until a signal comes, or something can be read from one of the others: whether that is so."""
        ready = select([self._bell, *others], [], [], timeout_s)[0]
        if self._bell in ready:
            self._bell.recv(4096)
        return any(one in ready for one in others)

    def take(self, number: signal.Signals) -> bool:
        """Whether a signal was heard since the last time."""
        heard = number in self._numbers
        self._numbers.discard(number)
        return heard


@contextmanager
def hearing() -> Iterator[Heard]:
    """Handles the signals until the block ends, in the main thread; they wake it whichever thread gets them."""
    bell, rope = socket.socketpair()
    with bell, rope:
        bell.setblocking(False)
        rope.setblocking(False)
        heard = Heard(bell)
        woken = signal.set_wakeup_fd(rope.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, heard.add) for number in SIGNALS}
        try:
            yield heard
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(woken)


@contextmanager
def held_back() -> Iterator[None]:
    """Keeps the signals from what is started in the block, until it lets them in: its threads have its mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
