"""Which model gets the next seconds of a search: the one whose next try promises most for its time.

The rule: of a model that was tried, the next try is hoped to lower its best error by as much as the last gain, or by a
twentieth (a fifth where its first other features are to be tried), halved for every try since that brought nothing.
What counts is how far that would come below the best error of all, a second of its usual cost. A model that the time
ended is hoped to come that twentieth below the best of all, for half as long again. Where nothing is hoped for any
more, or nothing fits in the time, it ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

HOPE = 0.05  # of a model's best error, that another try is hoped to gain before any did
LEAST_HOPE = 0.002  # of the best error of all, below which no try is worth its time


@dataclass(frozen=True, slots=True)
class Arm:
    """A model: the error (None: it failed) and the seconds of each of its tries, whether there is `more` to try, and
    whether it was `cut` short and goes on where it was. The next try is hoped to take the share `hoped` off its error.
    """

    model: str
    errors: tuple[float | None, ...]
    seconds: tuple[float, ...]
    more: bool
    cut: bool = False
    hoped: float = HOPE

    @property
    def best(self) -> float:
        """The lowest error; infinite where every try failed."""
        return min((one for one in self.errors if one is not None), default=math.inf)

    @property
    def cost(self) -> float:
        """How long a try usually takes."""
        return 0.5 * self.seconds[-1] if self.cut else median(self.seconds)

    def hope(self) -> float:
        """How much lower than its best the next try may come."""
        best, gain, idle = math.inf, 0.0, 0
        for error in self.errors:
            if error is not None and error < best:
                gain, best, idle = (0.0 if best == math.inf else best - error), error, 0
            else:
                idle += 1
        return max(gain, self.hoped * abs(best)) * 0.5**idle if best < math.inf else 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that is tried next, or None and why there is none."""

    model: str | None
    reason: str = ""


def choose_next(arms: Sequence[Arm], *, left_s: float) -> Choice:
    """Which model to try again.

    >>> near, far = Arm("near", (1.0,), (2.0,), True), Arm("far", (2.0,), (1.0,), True)
    >>> choose_next([near, far], left_s=10.0).model, choose_next([near, far], left_s=1.0).reason
    ('near', '1 s are left, and a try of near takes 2 s')
    """
    tried = [arm for arm in arms if arm.best < math.inf]
    best = min((arm.best for arm in tried), default=math.inf)
    open_arms = [arm for arm in tried if arm.more]
    if not open_arms:
        return Choice(None, "there was nothing more to try")
    hopeful = [arm for arm in open_arms if _promise(arm, best) > LEAST_HOPE * abs(best)]
    if not hopeful:
        return Choice(None, "the validation error no longer fell: no model promised to gain by another try")
    fitting = [arm for arm in hopeful if arm.cost <= left_s]
    if not fitting:
        cheapest = min(hopeful, key=lambda arm: arm.cost)
        spare = max(left_s, 0.0)
        return Choice(None, f"{spare:.0f} s are left, and a try of {cheapest.model} takes {cheapest.cost:.0f} s")
    return Choice(max(fitting, key=lambda arm: _promise(arm, best) / max(arm.cost, 1e-3)).model)


def _promise(arm: Arm, best: float) -> float:
    """How far below the best error of all its next try may come."""
    if arm.cut:
        return HOPE * abs(best)
    return best - (arm.best - arm.hope())
