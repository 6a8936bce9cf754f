"""Which functions are called so often, and take so long, that compiling them would pay."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock

from tidewright.errors import ConfigError

COMPILE_S = 0.5  # what a compilation is taken to cost before one was measured
PATHS = 1024  # paths that are kept; of more, those that took least are forgotten


@dataclass(slots=True)
class Spent:
    """What one path took so far, interpreted: calls, and seconds in them."""

    calls: int = 0
    seconds: float = 0.0


class HotPathTracker:
    """Counts calls and seconds by path, and says when a path is hot. Any thread may note calls.

    A path is hot after `min_calls` calls, once it took `payback` times the seconds that a compilation which pays is
    expected to cost. That is the rule of whoever hires skis: whatever the future brings, the cost is at most twice that
    of having known it (Karlin et al. 1988). The expected cost is learned from `note_compiled`: where many compilations
    come to nothing, each one that pays costs more. `payback=0` leaves the calls alone to decide.

    >>> tracker = HotPathTracker(min_calls=2)
    >>> tracker.note("rule", seconds=0.2), tracker.note("rule", seconds=0.2), tracker.note("rule", seconds=0.2)
    (False, False, True)
    """

    def __init__(self, *, min_calls: int = 10, payback: float = 1.0) -> None:
        if isinstance(min_calls, bool) or not isinstance(min_calls, int) or min_calls < 1:
            raise ConfigError(f"min_calls is the least number of calls before compiling, 1 or more; got {min_calls!r}.")
        if not 0.0 <= payback < float("inf"):
            raise ConfigError(
                f"payback is the share of a compilation's cost that must have been spent, 0 or more; got {payback!r}."
            )
        self.min_calls, self.payback = min_calls, payback
        self._lock = Lock()
        self._paths: dict[Hashable, Spent] = {}
        self._compile_seconds, self._paid = COMPILE_S, 1

    @property
    def threshold_s(self) -> float:
        """The seconds that a path must have taken."""
        return self.payback * self._compile_seconds / self._paid

    def note(self, path: Hashable, *, seconds: float, calls: int = 1, min_calls: int | None = None) -> bool:
        """Counts calls that took these seconds together, and says whether the path is hot now. `min_calls` stands for
        the tracker's own.
        """
        least = self.min_calls if min_calls is None else min_calls
        with self._lock:
            spent = self._paths.get(path)
            if spent is None:
                spent = self._enter(path)
            spent.calls += calls
            spent.seconds += seconds
            return spent.calls >= least and spent.seconds >= self.threshold_s

    def note_compiled(self, *, seconds: float, paid: bool) -> None:
        """Learns from a compilation: what it cost, and whether its result was taken."""
        with self._lock:
            self._compile_seconds += seconds
            self._paid += paid

    def spent(self, path: Hashable, /) -> Spent:
        """What a path took so far; nothing, where it is not known."""
        with self._lock:
            spent = self._paths.get(path, Spent())
            return Spent(spent.calls, spent.seconds)

    def hottest(self, count: int = 10, /) -> list[tuple[Hashable, Spent]]:
        """The paths that took longest, the first one first."""
        with self._lock:
            ordered = sorted(self._paths.items(), key=lambda item: -item[1].seconds)
            return [(path, Spent(spent.calls, spent.seconds)) for path, spent in ordered[:count]]

    def forget(self, path: Hashable, /) -> None:
        """A path that was compiled, or is no more, is not counted on."""
        with self._lock:
            self._paths.pop(path, None)

    def _enter(self, path: Hashable) -> Spent:
        if len(self._paths) >= PATHS:
            del self._paths[min(self._paths, key=lambda known: self._paths[known].seconds)]
        spent = self._paths[path] = Spent()
        return spent
