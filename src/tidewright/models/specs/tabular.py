"""What models of cells share. A cell is a window and a step; its features are lags, rolling statistics, the values of
the season before, covariates and the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from math import inf
from typing import ClassVar, Literal, get_args

from tidewright.catalog import explain_unknown
from tidewright.checks import check_whole
from tidewright.errors import ConfigError

Unit = Literal["window", "level", "season", "growth"]
Loss = Literal["quantile", "median", "mean"]
Weigh = Literal["window", "target"]
Categories = Literal["one_hot", "native"]
Strategy = Literal["step", "direct", "recursive", "multi"]
Rolled = Literal["mean", "std", "min", "max"]
LEVEL_UNITS: tuple[Unit, ...] = ("level", "growth")
SEASON_UNITS: tuple[Unit, ...] = ("season", "growth")
ROLLED: tuple[Rolled, ...] = get_args(Rolled)
LOSSES: tuple[Loss, ...] = get_args(Loss)
MULTI: dict[str, tuple[Loss, ...]] = {  # models whose leaves can hold a horizon, and what these then learn
    "random_forest": LOSSES,
    "extra_trees": LOSSES,
    "catboost": ("mean",),
}
CLASSIFIERS = (  # tell classes apart
    "lightgbm",
    "xgboost",
    "catboost",
    "random_forest",
    "extra_trees",
    "svr",
    "elastic_net",
    "ridge",  # which is no model of cells
)
SHARES = ("random_forest", "extra_trees")  # of these, those whose leaves hold probabilities, and not scores
MARGINS = ("svr", "ridge")  # and those whose scores are margins, which say nothing of how often a class comes
OF_NUMBERS = (  # no say with classes
    "statistics",
    "ratios",
    "around",
    "align",
    "unit",
    "loss",
    "tube",
    "scalings",
    "weigh",
    "monotone",
)
HELD = ("lightgbm", "xgboost")  # models whose quantiles can be held to rise or to fall
WORDS: dict[str, tuple[str, ...]] = {
    "unit": get_args(Unit),
    "weigh": get_args(Weigh),
    "categories": get_args(Categories),
    "strategy": get_args(Strategy),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabular:
    """The options of every model of cells; each model's own record adds to them.

    `lags` count back from the first step, `rolling` are lengths at the window's end (both: the usual ones where empty),
    each with its `statistics`. `most_rows` cells are learned from, spread evenly over windows and steps.

    `unit` is what labels and features are counted in: "window", less the window's mean and over its deviation; "level",
    over the mean of the window's absolute values (a ratio); "season", features as with "window" and labels less the
    newest value of the same season, over the window's deviation; "growth", features as with "level" and labels less the
    newest value of the same season, over that level.

    `ratios` are lengths: the sum of the newest rows over that of the same rows a season before. `around` are offsets
    from the step's place a season before, 0 that place itself: the values there, over their mean size in the lookback.
    Both look at the target and at every past covariate, such as totals of a group; with `around` the known covariates
    of the season before are seen too, so that events that move can be told from those that stay.

    `align` names a known column that says by how many rows more than a season a row lies after its like of the season
    before (see `add_season_shift`): the season before is then read there, by the unit, by `around` and by the feature
    of the newest season.

    `loss` is what is learned: "quantile", every quantile; "median" or "mean", that alone, and its residual quantiles on
    validation cells make the others. `weigh` "window" lets windows weigh alike, "target" by their size, as in scores in
    units of the target. `weight` names a numeric column whose values at the labels' rows are further weights.

    `categories` says how a static column of text is seen: "one_hot", as one feature a level; "native", as one feature
    whose levels the library splits into sets. An unseen level goes where the library sends it.

    `strategy` is how one model answers every step: "step", it is told which step is asked for; "direct", there is a
    model a step; "recursive", a model of one step is fed its own point (the median, or the mean with that loss), and
    its residual quantiles on validation windows, a step at a time, in units of the window at the cutoff, make the
    others. A recursive model takes no past covariates, for it has none after the cutoff. "multi", a row is a window
    (`most_rows` counts windows, whose labels are all there), with the features of each step side by side, and a leaf
    holds the point of every step; residual quantiles by step make the others, and a window weighs as its steps do on
    average. Only models of `MULTI` have such leaves.

    `monotone` holds the forecast to rise (1) or to fall (-1) with a column, as {"price": -1}, all else alike (boosted
    trees only; see training/monotone for names). Models of `HELD` learn quantiles so held, by steps along the loss's
    slope (training/quantile_steps); each rises or falls, and so do they sorted. The others need the loss "mean", whose
    quantiles are the point and a constant a step: with another they set leaves anew once a tree has grown.
    """

    name: str
    lags: tuple[int, ...] = ()
    rolling: tuple[int, ...] = ()
    statistics: tuple[Rolled, ...] = ROLLED
    ratios: tuple[int, ...] = ()
    around: tuple[int, ...] = ()
    align: str = ""
    unit: Unit = "window"
    loss: Loss = "quantile"
    weigh: Weigh = "window"
    weight: str = ""
    categories: Categories = "one_hot"
    strategy: Strategy = "step"
    monotone: Mapping[str, int] = field(default_factory=dict, hash=False)
    most_rows: int = 200_000
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    @property
    def points(self) -> bool:
        """Whether only a point is learned, and residual quantiles make the others."""
        return self.loss != "quantile" or self.strategy in ("recursive", "multi")

    @property
    def shares(self) -> bool:
        """Whether it answers the probabilities of classes, and not their scores."""
        return self.name in SHARES


def check_tabular(spec: Tabular, *, losses: tuple[Loss, ...] = LOSSES, boosted: bool = False) -> None:
    """Raises `ConfigError` for shared options that have no meaning, a loss that the model can't learn, or what only
    boosted trees can do.
    """
    refuse_below(spec, most_rows=1)
    if spec.categories == "native" and not boosted:
        raise ConfigError(f"{spec.name} has no way of its own with categories. Ask for categories=one_hot.")
    for option, known in {**WORDS, "loss": losses}.items():
        if getattr(spec, option) not in known:
            raise ConfigError(explain_unknown(f"{spec.name}.{option}", getattr(spec, option), known))
    _check_monotone(spec, boosted=boosted)
    _check_multi(spec)
    for name in spec.statistics:
        if name not in ROLLED:
            raise ConfigError(explain_unknown(f"rolling statistic of {spec.name}", name, ROLLED))
    if len(set(spec.statistics)) != len(spec.statistics):
        raise ConfigError(f"{spec.name}: each rolling statistic is asked for once; got {spec.statistics}.")


def _check_monotone(spec: Tabular, *, boosted: bool) -> None:
    if spec.monotone and not boosted:
        raise ConfigError(f"{spec.name} can't be held to rise or to fall. Leave monotone out, or take boosted trees.")
    wrong = [f"{name}: {way!r}" for name, way in spec.monotone.items() if way not in (-1, 1) or isinstance(way, bool)]
    if wrong:
        raise ConfigError(f"{spec.name}.monotone gives each column 1 (rises) or -1 (falls); got {', '.join(wrong)}.")
    if spec.monotone and spec.loss != "mean" and spec.name not in HELD:
        raise ConfigError(
            f"{spec.name}.monotone needs loss=mean: with {spec.loss} it sets leaves anew once a tree has grown, which "
            f"breaks it. Ask for loss=mean, whose residuals make the quantiles, or take {' or '.join(HELD)}."
        )


def _check_multi(spec: Tabular) -> None:
    if spec.strategy != "multi":
        return
    if spec.name not in MULTI:
        raise ConfigError(
            f"{spec.name} has no leaves that hold a whole horizon. Take {', '.join(MULTI)}, or the strategy step, "
            "direct or recursive."
        )
    if spec.loss not in MULTI[spec.name]:
        raise ConfigError(
            f"{spec.name} learns a whole horizon with the loss {' or '.join(MULTI[spec.name])}; got {spec.loss}. Ask "
            "for that, whose residuals make the quantiles."
        )
    if spec.monotone:
        raise ConfigError(f"{spec.name}: monotone holds one step; with the strategy multi leave it out.")


def refuse_below(spec: Tabular, **least: int) -> None:
    """Raises `ConfigError` for an option that is not a whole number of at least so much."""
    for option, low in least.items():
        check_whole(f"{spec.name}: {option}", getattr(spec, option), least=low)


def refuse_part(spec: Tabular, *options: str) -> None:
    """Raises `ConfigError` for an option that is not above 0 and at most 1."""
    for option in options:
        if not 0.0 < getattr(spec, option) <= 1.0:
            raise ConfigError(f"{spec.name}: {option} lies above 0 and is at most 1; got {getattr(spec, option)!r}.")


def refuse_negative(spec: Tabular, *options: str) -> None:
    """Raises `ConfigError` for an option that is not a finite number of 0 or more."""
    for option in options:
        if not 0.0 <= getattr(spec, option) < inf:
            raise ConfigError(f"{spec.name}: {option} is 0 or more and finite; got {getattr(spec, option)!r}.")


def check_classifier(spec: Tabular) -> None:
    """Raises `ConfigError` for a model that tells no classes apart, and for options of a target of numbers."""
    if spec.name not in CLASSIFIERS:
        raise ConfigError(f"{spec.name} tells no classes apart. Take {', '.join(CLASSIFIERS)}.")
    usual = {one.name: one.default if one.default is not MISSING else {} for one in fields(spec)}
    for option in OF_NUMBERS:
        if option in usual and getattr(spec, option) != usual[option]:
            raise ConfigError(
                f"{spec.name}.{option} counts the target as a number, and it holds classes; got "
                f"{getattr(spec, option)!r}. Leave it out."
            )
    if spec.strategy not in ("step", "direct"):
        raise ConfigError(
            f"{spec.name} tells classes apart with the strategy step or direct; got {spec.strategy}. Ask for one of "
            "them."
        )
