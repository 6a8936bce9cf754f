"""`Copies`: work on requests that were answered, done by one thread afterwards, or not at all: nobody waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event, Lock, Thread
from time import monotonic, perf_counter, sleep

COPIES = 256  # that wait
BYTES = 64 << 20  # of these
SETTLE_S = 0.005  # after a copy came, for its answer to be sent first
REST, LONGEST_REST_S = 3.0, 0.001  # after each, so many times as long, for who is answered meanwhile
END_S = 1.0  # for what is under way when it is closed

Work = Callable[[], None]


class Copies:
    """Holds work, at most `COPIES` and `BYTES` of it. What is there when it is closed is left undone."""

    def __init__(self, name: str) -> None:
        self._held: deque[tuple[int, float, Work]] = deque()
        self._bytes, self._lock, self._came = 0, Lock(), Event()
        self._thread: Thread | None = None
        self._closed, self._name = False, name

    def put(self, work: Work, *, size: int) -> bool:
        """Has it done later, if there is room for its so many bytes; it must not raise."""
        with self._lock:
            if self._closed or len(self._held) >= COPIES or self._bytes + size > BYTES:
                return False
            self._bytes += size
            self._held.append((size, monotonic(), work))
            if self._thread is None:
                self._thread = Thread(target=self._do, name=self._name, daemon=True)
                self._thread.start()
        if not self._came.is_set():
            self._came.set()
        return True

    @property
    def waiting(self) -> int:
        """How much of it waits."""
        return len(self._held)

    def close(self) -> None:
        """Takes and does no more."""
        self._closed = True
        self._came.set()
        if self._thread is not None:
            self._thread.join(END_S)

    def _do(self) -> None:
        while not self._closed:
            self._came.wait()
            self._came.clear()
            while self._held and not self._closed:
                size, came, work = self._held.popleft()
                sleep(max(came + SETTLE_S - monotonic(), 0.0))
                with self._lock:
                    self._bytes -= size
                started = perf_counter()
                work()
                sleep(min((perf_counter() - started) * REST, LONGEST_REST_S))
