"""Statistical models: each is fitted anew on the lookback of the window that it answers.

`season` is its season in steps (None: the grid's, or, where several are worth a try, the best on validation); a season
that a window does not hold twice is left out of that window. `history` is how many past steps it is given at most
(None: as `usual_history` says). Missing values are bridged by straight lines, what is missing before the first
observed value is cut, and after the last one it forecasts from there on; models of intermittent demand leave missing
steps out instead. A window that does not move is answered by its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.errors import ConfigError
from tidewright.models.specs.limits import refuse_small

LEAST_HISTORY, SEASONS, LONG_HISTORY = 200, 10, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoARIMA:
    """ARIMA of the order with the least AICc (Hyndman, Khandakar 2008), with its own intervals.

    `max_p`, `max_q` and `max_seasonal` bound the orders. `approximate` compares orders by conditional sums of squares
    where a window has more than 150 values or a season of more than 12, as R's auto.arima does.
    """

    season: int | None = None
    history: int | None = None
    max_p: int = 5
    max_q: int = 5
    max_seasonal: int = 2
    approximate: bool = True
    name: Literal["auto_arima"] = "auto_arima"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _refuse(self)
        for option in ("max_p", "max_q", "max_seasonal"):
            if getattr(self, option) < 0:
                raise ConfigError(f"{self.name}.{option} is an order, 0 or more; got {getattr(self, option)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoETS:
    """Exponential smoothing of the form with the least AICc (Hyndman, Koehler, Snyder, Grose 2002), with its own
    intervals; a season of more than 24 steps is left out.

    `form` is error, trend and season, each of N (none), A (additive), M (multiplicative) or Z (chosen); `damped` says
    whether the trend is (None: chosen).
    """

    season: int | None = None
    history: int | None = None
    form: str = "ZZZ"
    damped: bool | None = None
    name: Literal["auto_ets"] = "auto_ets"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _refuse(self)
        letters = ("AMZ", "NAMZ", "NAMZ")
        if len(self.form) != 3 or any(one not in known for one, known in zip(self.form, letters, strict=True)):
            raise ConfigError(
                f"{self.name}.form is error (A, M, Z), trend and season (N, A, M, Z), such as ZZZ or AAN; "
                f"got {self.form!r}."
            )
        if (self.form[0] == "A" and "M" in self.form[1:]) or self.form == "MMA":
            raise ConfigError(f"{self.name}.form {self.form} is unstable. Give M or Z as the error, or ZZZ.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoCES:
    """Complex exponential smoothing (Svetunkov, Kourentzes, Ord 2022), with its own intervals.

    `form` is its season: N (none), S (simple), P (partial), F (full) or Z (the one with the least AICc).
    """

    season: int | None = None
    history: int | None = None
    form: Literal["Z", "N", "S", "P", "F"] = "Z"
    name: Literal["auto_ces"] = "auto_ces"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _refuse(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Theta:
    """The theta method (Assimakopoulos, Nikolopoulos 2000) and its optimised and dynamic forms (Fiorucci, Pellegrini,
    Louzada, Petropoulos, Koehler 2016), with its own intervals.

    `form` "auto" takes the one with the least squared error. A season that passes a test is taken out first, by
    ratios or differences (`decomposition`; differences where a window is not above 0).
    """

    season: int | None = None
    history: int | None = None
    form: Literal["auto", "standard", "optimised", "dynamic", "dynamic_optimised"] = "auto"
    decomposition: Literal["multiplicative", "additive"] = "multiplicative"
    name: Literal["theta"] = "theta"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _refuse(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MSTL:
    """Seasons taken apart by LOESS (Bandara, Hyndman, Bergmeir 2021), each repeated, and the rest forecast by
    non-seasonal smoothing (`trend`) with its own intervals.

    Empty `seasons`: the grid's, alone or with its next longer cycle, as is best on validation.
    """

    seasons: tuple[int, ...] = ()
    history: int | None = None
    trend: Literal["ets", "theta"] = "ets"
    name: Literal["mstl"] = "mstl"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        refuse_small(self.name, history=self.history)
        if any(season < 2 for season in self.seasons) or len(set(self.seasons)) < len(self.seasons):
            raise ConfigError(f"{self.name}.seasons are different numbers of steps, 2 or more; got {self.seasons}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Croston:
    """Demand over the interval between demands, each smoothed (Croston 1972): intermittent demand.

    `form` "sba" takes 5 % off its bias (Syntetos, Boylan 2005); "optimised" chooses the smoothing, from 0.1 to 0.3.
    """

    history: int | None = None
    form: Literal["classic", "optimised", "sba"] = "sba"
    name: Literal["croston"] = "croston"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        refuse_small(self.name, history=self.history)


@dataclass(frozen=True, slots=True, kw_only=True)
class TSB:
    """Demand times its probability, each smoothed (Teunter, Syntetos, Babai 2011): demand that may end."""

    history: int | None = None
    alpha_demand: float = 0.1
    alpha_probability: float = 0.1
    name: Literal["tsb"] = "tsb"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        refuse_small(self.name, history=self.history)
        for option in ("alpha_demand", "alpha_probability"):
            if not 0.0 < getattr(self, option) <= 1.0:
                raise ConfigError(f"{self.name}.{option} is above 0 and at most 1; got {getattr(self, option)!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ADIDA:
    """Smoothed sums over as many steps as lie between demands (Nikolopoulos et al. 2011): intermittent demand."""

    history: int | None = None
    name: Literal["adida"] = "adida"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        refuse_small(self.name, history=self.history)


@dataclass(frozen=True, slots=True, kw_only=True)
class IMAPA:
    """The mean of smoothed sums over one step up to as many as lie between demands (Petropoulos, Kourentzes 2015)."""

    history: int | None = None
    name: Literal["imapa"] = "imapa"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        refuse_small(self.name, history=self.history)


SeasonalSpec = AutoARIMA | AutoETS | AutoCES | Theta | MSTL  # through statsforecast
IntermittentSpec = Croston | TSB | ADIDA | IMAPA  # in closed form here
StatisticalSpec = SeasonalSpec | IntermittentSpec
INTERMITTENT = ("croston", "tsb", "adida", "imapa")


def usual_history(spec: StatisticalSpec, season: int) -> int:
    """How many past steps a model is given at most: its own option, or 200 and 10 seasons at least.

    Models of intermittent demand cost next to nothing: 1,000.

    >>> usual_history(AutoETS(), 24), usual_history(MSTL(seasons=(24, 168)), 24), usual_history(Croston(), 7)
    (240, 1680, 1000)
    """
    if spec.history is not None:
        return spec.history
    if spec.name in INTERMITTENT:
        return LONG_HISTORY
    seasons = spec.seasons if isinstance(spec, MSTL) else ()
    return max(LEAST_HISTORY, SEASONS * max(season, *seasons, 1))


def _refuse(spec: AutoARIMA | AutoETS | AutoCES | Theta) -> None:
    refuse_small(spec.name, season=spec.season, history=spec.history)


def _entry(name: str, record: str, what: str) -> Entry:
    return Entry(name, f"{__name__}:{record}", what, "statistical")


ENTRIES = (
    _entry("auto_arima", "AutoARIMA", "ARIMA, its order chosen: few series, short memory; slow where seasons are long"),
    _entry("auto_ets", "AutoETS", "exponential smoothing, its form chosen: few series, level, trend and season"),
    _entry("auto_ces", "AutoCES", "complex exponential smoothing: few series, levels that drift"),
    _entry("theta", "Theta", "half the trend and a smoothed level: many short series, quick"),
    _entry("mstl", "MSTL", "seasons taken apart by LOESS: several or long seasons"),
    _entry("croston", "Croston", "demand over its interval: intermittent demand, next to no cost"),
    _entry("tsb", "TSB", "demand times its probability: intermittent demand that may end"),
    _entry("adida", "ADIDA", "sums over the interval between demands: intermittent demand"),
    _entry("imapa", "IMAPA", "the mean of sums over several intervals: intermittent demand"),
)
