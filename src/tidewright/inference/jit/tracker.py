"""Which functions are called so often, and take so long, that compiling them would pay."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock

from tidewright.checks import check_real, check_whole
from tidewright.errors import ConfigError

COMPILE_S = 0.5  # what a compilation is taken to cost before one was measured
PATHS = 1024  # paths that are kept; of more, those that took least are forgotten
SECONDS = "a number of seconds, 0 or more"


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
        check_whole("min_calls", min_calls)
        words = "the share of a compilation's cost that must have been spent, 0 or more"
        check_real("payback", payback, words=words, low=0.0)
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
        if type(seconds) is not float or type(calls) is not int or seconds < 0.0 or calls < 1 or type(least) is not int:
            _check_noted(seconds, calls=calls, least=least)
        with self._lock:
            spent = self._find(path)
            if spent is None:
                spent = self._enter(path)
            spent.calls += calls
            spent.seconds += seconds
            return spent.calls >= least and spent.seconds >= self.threshold_s

    def note_compiled(self, *, seconds: float, paid: bool) -> None:
        """Learns from a compilation: what it cost, and whether its result was taken."""
        check_real("seconds", seconds, words=SECONDS, low=0.0)
        with self._lock:
            self._compile_seconds += seconds
            self._paid += paid

    def spent(self, path: Hashable, /) -> Spent:
        """What a path took so far; nothing, where it is not known."""
        with self._lock:
            spent = self._find(path) or Spent()
            return Spent(spent.calls, spent.seconds)

    def hottest(self, count: int = 10, /) -> list[tuple[Hashable, Spent]]:
        """The paths that took longest, the first one first."""
        check_whole("count", count, least=0)
        with self._lock:
            ordered = sorted(self._paths.items(), key=lambda item: -item[1].seconds)
            return [(path, Spent(spent.calls, spent.seconds)) for path, spent in ordered[:count]]

    def forget(self, path: Hashable, /) -> None:
        """A path that was compiled, or is no more, is not counted on."""
        with self._lock:
            if self._find(path) is not None:
                del self._paths[path]

    def _find(self, path: Hashable) -> Spent | None:
        try:
            return self._paths.get(path)
        except TypeError as error:
            raise ConfigError(f"a path is what can be a key, such as text; got {path!r}.") from error

    def _enter(self, path: Hashable) -> Spent:
        if len(self._paths) >= PATHS:
            del self._paths[min(self._paths, key=lambda known: self._paths[known].seconds)]
        spent = self._paths[path] = Spent()
        return spent


def _check_noted(seconds: object, *, calls: object, least: object) -> None:
    """Raises `ConfigError` for what can't be counted."""
    check_real("seconds", seconds, words=SECONDS, low=0.0)
    check_whole("calls", calls)
    check_whole("min_calls", least)
