"""`Copies`: requests that were answered, for one thread to look at afterwards, or not at all: nobody waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event, Lock, Thread
from time import monotonic, sleep
from typing import Any, NamedTuple

COPIES = 256  # that wait
BYTES = 64 << 20  # of these
TOGETHER = 16  # that are looked at without a look at who asks meanwhile
SETTLE_S = 0.005  # after a copy came, for its answer to be sent first
QUIET_S = 0.001  # for so long nobody asked: then copies are looked at
LOOK_S, PATIENCE_S = 0.005, 0.05  # between two looks whether it is quiet, and how long they are put off at most
END_S = 1.0  # for what is under way when it is closed

Look = Callable[[list[Any]], None]


class _Copy(NamedTuple):
    """Who looks at what, its bytes, and when it came."""

    look: Look
    what: Any
    size: int
    came: float


class Copies:
    """Holds at most `COPIES` and `BYTES` of them. What is there when it is closed is never looked at."""

    def __init__(self, name: str) -> None:
        self._held: deque[_Copy] = deque()
        self._bytes, self._lock, self._came = 0, Lock(), Event()
        self._last = 0.0  # when somebody asked
        self._thread: Thread | None = None
        self._closed, self._name = False, name

    def put(self, look: Look, what: Any, *, size: int) -> bool:
        """Has `look` called with it, and with others that wait for the same, if there is room for its so many bytes. It
        must not raise.
        """
        now = self._last = monotonic()
        if len(self._held) >= COPIES or self._closed:
            return False
        with self._lock:
            if self._bytes + size > BYTES:
                return False
            self._bytes += size
            self._held.append(_Copy(look, what, size, now))
            if self._thread is None:
                self._thread = Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
        if not self._came.is_set():
            self._came.set()
        return True

    def close(self) -> None:
        """Takes and looks at no more."""
        self._closed = True
        self._came.set()
        if self._thread is not None:
            self._thread.join(END_S)

    def _work(self) -> None:
        while not self._closed:
            self._came.wait()
            self._came.clear()
            while self._held and not self._closed:
                self._await_quiet(self._held[0].came)
                some = self._take()
                some[0].look([one.what for one in some])

    def _await_quiet(self, came: float) -> None:
        """Until a copy's answer was sent and nobody asks, or it was put off for long enough."""
        sleep(max(came + SETTLE_S - monotonic(), 0.0))
        end = monotonic() + PATIENCE_S
        while not self._closed and monotonic() - self._last < QUIET_S and monotonic() < end:
            sleep(LOOK_S)

    def _take(self) -> list[_Copy]:
        """The first copies, as long as they are for the same one and their answers were sent."""
        some = [self._held.popleft()]
        until = monotonic() - SETTLE_S
        while self._held and len(some) < TOGETHER and self._held[0].look == some[0].look and self._held[0].came < until:
            some.append(self._held.popleft())
        with self._lock:
            self._bytes -= sum(one.size for one in some)
        return some
