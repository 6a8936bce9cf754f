"""How the learning rate moves: the rate of every step, from the spec and the losses so far alone.

Nothing of it is state, so a run that is killed goes on with the same rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tidewright.training.spec import TrainSpec

CUT, WAIT = 0.5, 2  # of plateau, unless told otherwise
CYCLES = 5  # of cyclic
RISE, START, END = 0.3, 1.0 / 25.0, 1.0 / 25.0 / 1e4  # of onecycle, as torch and fastai have them


def plan_rates(train: TrainSpec, history: Sequence[Mapping[str, Any]], *, steps: int) -> list[float]:
    """The rates of the steps of the epoch that comes after `history`; every epoch has `steps` of them.

    >>> plan_rates(TrainSpec(learning_rate=0.1, schedule="cosine", epochs=2), [], steps=2)
    [0.1, 0.08535533905932738]
    """
    losses = [record["validation_loss"] for record in history]
    level = cut_rate(train, losses) if train.schedule == "plateau" else train.learning_rate
    first, total = len(history) * steps, train.epochs * steps
    return [rate_at(train, step, total=total, level=level) for step in range(first, first + steps)]


def rate_at(train: TrainSpec, step: int, *, total: int, level: float) -> float:
    """The rate of a step, counted from 0, of `total`; `level` is what a plateau has left of the rate.

    The formulas are those of torch's `CosineAnnealingLR` (Loshchilov, Hutter 2017, without restarts), of its
    `OneCycleLR` (Smith, Topin 2019, momentum left alone) and, for the warm-up, of its `LinearLR` from 1 / n to 1.
    "cyclic" is that of snapshot ensembles (Huang and others 2017): cosines of equal length.
    """
    rate = train.learning_rate
    if train.schedule == "onecycle":
        top = max((RISE if train.warmup is None else train.warmup) * total - 1.0, 0.0)
        if step < top:
            return _swing(rate * START, rate, step / top)
        end = rate * (END if train.rate_end is None else train.rate_end)
        return _swing(rate, end, (step - top) / max(total - 1.0 - top, 1.0))
    rising = round((train.warmup or 0.0) * total)
    if step < rising:
        return level * (step + 1) / rising
    if train.schedule == "cosine":
        return _swing(rate, rate * (train.rate_end or 0.0), (step - rising) / (total - rising))
    if train.schedule == "cyclic":
        length = -(-(total - rising) // (train.cycles or CYCLES))
        return _swing(rate, rate * (train.rate_end or 0.0), (step - rising) % length / length)
    return level


def cut_rate(train: TrainSpec, losses: Sequence[float]) -> float:
    """What is left of the rate after some validation losses: a cut after every `rate_wait` epochs without a gain.

    The rule of torch's `ReduceLROnPlateau` with a patience of `rate_wait` - 1 and a threshold of `least_gain`.
    """
    cut = CUT if train.rate_cut is None else train.rate_cut
    wait = WAIT if train.rate_wait is None else train.rate_wait
    lowest = train.learning_rate * (train.rate_end or 0.0)
    rate, best, waited = train.learning_rate, math.inf, 0
    for loss in losses:
        gained = is_gain(loss, best=best, least=train.least_gain)
        best, waited = (loss, 0) if gained else (best, waited + 1)
        if waited >= wait:
            rate, waited = max(rate * cut, lowest), 0
    return rate


def is_gain(loss: float, *, best: float, least: float) -> bool:
    """Whether a loss is below the best one by a share `least` of its size; a loss may be below 0.

    >>> is_gain(0.9, best=1.0, least=0.2), is_gain(-1.1, best=-1.0, least=0.2), is_gain(5.0, best=math.inf, least=0.2)
    (False, False, True)
    """
    return loss < best if best == math.inf else loss < best - least * abs(best)


def _swing(start: float, end: float, share: float) -> float:
    """Half a cosine from `start` (share 0) to `end` (share 1)."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))
