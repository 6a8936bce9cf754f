"""`TrainSpec`: how a network learns, and nothing of what it is or sees."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError

OptimizerName = Literal["adam", "adamw", "sgd", "rmsprop"]
ScheduleName = Literal["constant", "cosine", "cyclic", "onecycle", "plateau"]
LossName = Literal[
    "quantile", "mse", "mae", "huber", "gaussian", "student", "mixture", "negative_binomial", "crps", "sharpe"
]
UnitName = Literal["window", "target"]
LEAST_RUN = 8  # cutoffs of which a Sharpe ratio is taken


NAMES = {"optimizer": OptimizerName, "schedule": ScheduleName, "loss": LossName, "unit": UnitName}
OWNERS = {  # the options that only some losses or schedules heed
    "delta": ("loss", ("huber",)),
    "components": ("loss", ("mixture",)),
    "cost_bps": ("loss", ("sharpe",)),
    "unit": ("loss", ("quantile", "mse", "mae", "huber")),
    "rate_end": ("schedule", ("cosine", "cyclic", "onecycle", "plateau")),
    "cycles": ("schedule", ("cyclic",)),
    "rate_cut": ("schedule", ("plateau",)),
    "rate_wait": ("schedule", ("plateau",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """How a network learns. Raises `ConfigError` for a number outside its range.

    An epoch is at most `steps` batches of at most `batch_size` windows, drawn without replacement from a
    seeded shuffle of all training windows. "auto" doubles the batch from 32 as long as a window gets cheaper and memory
    lasts; the history says which it was and why. Where memory ends in mid-training, `accumulate` doubles, the epoch
    begins anew and a `FallbackWarning` says so. After each epoch the loss is taken on at most `judged` validation
    windows. `patience` epochs without a gain of `least_gain` (a share of the loss) end the training, after
    `least_epochs` at the earliest and `epochs` at the latest; the weights of the best epoch are given back. `clip` is
    the largest gradient norm (`inf`: none). `weight_decay` is decoupled for adamw, an L2 penalty for the others.
    `accumulate` takes each batch in so many parts, one after the other: the same step in less memory (batch
    normalisation sees the parts). `recompute` keeps only what enters a network's blocks, and computes the rest again in
    the backward pass: the same numbers in less memory, for about a third more computing (an error for a network without
    repeated blocks). `ema` is how much of their running mean the weights keep at each step (0.999, say;
    0: there is none): then the mean is judged and given back.

    `schedule` moves the rate from step to step. "constant" leaves it. "cosine" falls along half a cosine over all
    `epochs` to `rate_end`; "cyclic" does so `cycles` times (default 5), each from the whole rate. "onecycle" rises from
    1/25 and falls to `rate_end` (default 4e-6), half a cosine each. "plateau" multiplies it by `rate_cut` (default 0.5)
    after `rate_wait` epochs without a gain (default 2), down to `rate_end`. `rate_end` is a share of `learning_rate`
    (default 0, but for onecycle). `warmup` is the share of the steps of all `epochs` in which the rate rises: from near
    0 in a line (default 0), in onecycle to its top (0.3).

    `loss` is taken on standardised windows, missing labels left out. "quantile" learns all quantiles by their
    pinball loss. "mse", "mae" and "huber" (squared up to `delta` standard deviations of the window, absolute beyond;
    default 1) learn the point alone, and its residual quantiles on training windows make the others. "gaussian",
    "student" (its degrees of freedom are learned, a number a step) and "mixture" (of `components` normal
    distributions, default 3) learn the distribution of the likelihood, "negative_binomial" that of counts on their own
    scale; "crps" learns a normal distribution by its ranked probability score, which outliers pull less. The quantiles
    are then those of the distribution. "sharpe" learns positions (`fit_positions`): minus the Sharpe ratio, per period,
    of a portfolio that pays `cost_bps` basis points (default 10) of what it trades. Its `batch_size` (8 at least) and
    `judged` count cutoffs, each with the windows of all series there; `accumulate` is 1. `unit` is what the errors of
    the first four are counted in: "window" (the default), each window's own standard deviation, so that all windows
    weigh alike; "target", the target's unit, in which lively windows weigh more, as they do in scores that are not
    scaled. An option of one loss or schedule is an error with another.
    """

    learning_rate: float = 1e-3
    batch_size: int | Literal["auto"] = 256
    epochs: int = 30
    steps: int = 200
    patience: int = 4
    least_gain: float = 1e-4
    judged: int = 4096
    weight_decay: float = 1e-4
    optimizer: OptimizerName = "adamw"
    clip: float = 1.0
    accumulate: int = 1
    recompute: bool = False
    ema: float = 0.0
    least_epochs: int = 1
    schedule: ScheduleName = "constant"
    warmup: float | None = None
    rate_end: float | None = None
    rate_cut: float | None = None
    rate_wait: int | None = None
    cycles: int | None = None
    loss: LossName = "quantile"
    delta: float | None = None
    components: int | None = None
    cost_bps: float | None = None
    unit: UnitName | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_words()
        for name in ("epochs", "steps", "patience", "judged", "accumulate"):
            _check(name, getattr(self, name), low=1, words="1 or more")
        if self.batch_size != "auto":
            _check("batch_size", self.windows, low=1, words="1 or more (or auto)")
        _check("least_epochs", self.least_epochs, low=1, words="from 1 to train.epochs", high=self.epochs)
        _check("learning_rate", self.learning_rate, low=0.0, words="above 0 and finite", open_low=True, high=1e30)
        _check("clip", self.clip, low=0.0, words="above 0 (inf: no clipping)", open_low=True)
        _check("weight_decay", self.weight_decay, low=0.0, words="0 or more and finite", high=1e30)
        _check("least_gain", self.least_gain, low=0.0, words="from 0 to 1", high=1.0)
        _check("ema", self.ema, low=0.0, words="from 0 (none) to below 1", high=1.0 - 1e-9)
        _check("seed", self.seed, low=0, words="from 0 to 2**63 - 1", high=2**63 - 1)
        _check("delta", self.delta, low=0.0, words="above 0 and finite", open_low=True, high=1e30)
        _check("components", self.components, low=2, words="from 2 to 16", high=16)
        _check("cost_bps", self.cost_bps, low=0.0, words="from 0 to 1000", high=1000.0)
        if self.loss == "sharpe":
            _check("batch_size", self.windows, low=LEAST_RUN, words=f"of cutoffs, {LEAST_RUN} or more, with sharpe")
            _check("accumulate", self.accumulate, low=1, words="1 with sharpe, a ratio of its whole batch", high=1)
        _check("warmup", self.warmup, low=0.0, words="from 0 to 0.9, a share of all steps", high=0.9)
        _check("rate_end", self.rate_end, low=0.0, words="from 0 to 1, a share of learning_rate", high=1.0)
        _check("rate_cut", self.rate_cut, low=0.0, words="above 0 and below 1", open_low=True, high=1.0 - 1e-9)
        _check("rate_wait", self.rate_wait, low=1, words="1 or more")
        _check("cycles", self.cycles, low=1, words="from 1 to train.epochs", high=self.epochs)
        for name, (chooser, owners) in OWNERS.items():
            if getattr(self, name) is not None and getattr(self, chooser) not in owners:
                raise ConfigError(
                    f"train.{name} is for the {chooser} {' or '.join(owners)}; got it with {getattr(self, chooser)}. "
                    "Leave it out."
                )

    def _check_words(self) -> None:
        for name, known in NAMES.items():
            given = getattr(self, name)
            if given not in get_args(known) and not (name == "unit" and given is None):
                raise ConfigError(explain_unknown(f"train.{name}", given, get_args(known)))
        if not isinstance(self.recompute, bool):
            raise ConfigError(f"train.recompute is True or False; got {self.recompute!r}.")

    @property
    def windows(self) -> int:
        """`batch_size` as a number. Raises `ConfigError` where it is still to be found, or is no number."""
        if isinstance(self.batch_size, str):
            raise ConfigError(
                f"train.batch_size is a number here (auto is found for forecasts that one process learns); got "
                f"{self.batch_size!r}. Give a number, such as 256."
            )
        return self.batch_size


def _check(
    name: str, value: float | None, *, low: float, words: str, open_low: bool = False, high: float = inf
) -> None:
    """None, an option that was left out, is always well; where `low` is whole, the option is."""
    right = type(value) is int or (isinstance(value, float) and not isinstance(low, int))
    if value is not None and not (right and (low < value <= high if open_low else low <= value <= high)):
        kind = "number" if right or not isinstance(low, int) else "whole number"
        raise ConfigError(f"train.{name} is a {kind} {words}; got {value!r}.")
