"""A function at one kind of arguments: what is known of it, and the compiled form that answers, if one does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import Any, Literal

from tidewright.inference.jit.kinds import Marks
from tidewright.inference.jit.source import Outside

State = Literal["cold", "compiling", "compiled", "refused", "dropped", "evicted"]
NEVER = 1 << 62
TOGETHER = 16  # calls that are noted at once: noting costs more than a call


class Ticker:
    """Counts calls of any thread exactly, without a lock: `tick` is one step of a C iterator."""

    __slots__ = ("_lock", "_reads", "tick")

    def __init__(self) -> None:
        self.tick = count(1).__next__
        self._reads = 0
        self._lock = Lock()

    def read(self) -> int:
        """How often it ticked; reading is a tick too, which is taken off."""
        with self._lock:
            self._reads += 1
            return self.tick() - self._reads


@dataclass(frozen=True, eq=False)
class Made:
    """What a compilation gave: the entry, Numba's type of its answer, what it holds from outside, and what owns the
    machine code, which must live as long as the entry.
    """

    entry: Callable[..., Any]
    native: Any
    outside: tuple[Outside, ...]
    code: Any


@dataclass(slots=True, eq=False)
class Form:
    """Changed under `lock`; `entry`, `restore` and `check_at` are read without, `entry` first."""

    kind: str
    types: tuple[type, ...] = ()
    marks: Marks = ()
    state: State = "cold"
    reason: str = ""
    entry: Callable[..., Any] | None = None
    restore: Callable[[Any], Any] | None = None
    check_at: int = NEVER  # from this compiled call on `careful` looks first: 0 where it holds values from outside
    due_at: int = NEVER  # the compiled call that is measured again
    interpreted: Ticker = field(default_factory=Ticker)
    compiled: Ticker = field(default_factory=Ticker)
    cold: bool = True  # calls are still timed and counted towards a compilation
    tick: Callable[[], int] = field(init=False)
    tick_interpreted: Callable[[], int] = field(init=False)
    lock: Lock = field(default_factory=Lock)
    made: Made | None = None
    pending: list[float] = field(default_factory=list)  # seconds of interpreted calls that were not noted yet
    noted: int = 0
    note_at: int = 1  # of so many pending calls the owner is told
    samples: list[tuple[Any, ...]] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)  # interpreted time by compiled time, newest last
    doubts: int = 0  # compiled calls that were answered again, interpreted
    checks: int = 0  # compiled calls that were also answered interpreted, to measure
    compile_seconds: float = 0.0
    interpreted_us: float = float("nan")
    compiled_us: float = float("nan")
    speed_up: float = float("nan")
    seen: int = 0  # compiled calls when evictions last looked

    def __post_init__(self) -> None:
        self.tick, self.tick_interpreted = self.compiled.tick, self.interpreted.tick
        self.cold = self.state == "cold"

    def end(self, state: State, reason: str) -> None:
        """No compiled form answers from now on."""
        self.entry, self.cold, self.state, self.reason = None, False, state, reason
        self.samples.clear()

    def take_pending(self, *, min_calls: int) -> list[float]:
        """The pending seconds, which are no longer pending; then none are late for the call that makes it hot."""
        times, self.pending = self.pending, []
        self.noted += len(times)
        left = min_calls - self.noted
        self.note_at = min(left, TOGETHER) if left > 0 else TOGETHER
        return times

    def counts(self) -> tuple[int, int]:
        """All calls, and those that the compiled form answered."""
        fast = self.compiled.read()
        return self.interpreted.read() + fast, fast - self.doubts - self.checks
