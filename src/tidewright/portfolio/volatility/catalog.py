"""The volatility models that can be asked for, and what each option may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from tidewright.catalog import explain_unknown
from tidewright.checks import check_real, check_whole
from tidewright.errors import ConfigError

ModelName = Literal["garch", "egarch", "gjr", "tarch", "ewma"]
Distribution = Literal["normal", "t", "skewt"]
Mean = Literal["constant", "zero"]
Backcast = Literal["arch", "sample"]
RISKMETRICS = 0.94  # the daily decay of RiskMetrics (1996)


@dataclass(frozen=True, slots=True)
class Model:
    """One model: `power` is that of the volatility which its recursion moves (2 variance, 1 volatility, 0 its log)."""

    name: ModelName
    power: int
    asymmetric: int
    summary: str
    source: str


MODELS: Mapping[str, Model] = MappingProxyType(
    {
        model.name: model
        for model in (
            Model("garch", 2, 0, "variance after squared shocks and itself", "Bollerslev 1986"),
            Model("egarch", 0, 1, "log variance; losses may count more than gains", "Nelson 1991"),
            Model("gjr", 2, 1, "variance; the square of a loss counts more", "Glosten, Jagannathan, Runkle 1993"),
            Model("tarch", 1, 1, "volatility; the size of a loss counts more", "Zakoian 1994"),
            Model("ewma", 2, 0, "exponentially weighted squares", "J.P. Morgan, RiskMetrics 1996"),
        )
    }
)
SHAPES: Mapping[str, tuple[str, ...]] = MappingProxyType({"normal": (), "t": ("nu",), "skewt": ("eta", "lambda")})


@dataclass(frozen=True, slots=True)
class VolatilitySpec:
    """What is fitted to each asset. Raises `ConfigError` for an option that can't be, or that the model has not.

    p, o, q are the numbers of lags of shocks, of negative shocks and of the variance; `o` unset is the model's own (1
    for egarch, gjr and tarch). `mean` unset is zero for ewma and a constant else. `backcast` is the variance before the
    first bar: arch's weights of the first 75 squares, or the mean of all ("sample"). `decay` belongs to ewma alone,
    "fitted" is by Gaussian likelihood.
    """

    model: ModelName = "garch"
    distribution: Distribution = "normal"
    p: int = 1
    o: int | None = None
    q: int = 1
    mean: Mean | None = None
    backcast: Backcast = "arch"
    decay: float | Literal["fitted"] | None = None
    power: int = field(init=False, default=2)

    def __post_init__(self) -> None:
        _check_word("model", self.model, MODELS)
        _check_word("distribution", self.distribution, SHAPES)
        _check_word("backcast", self.backcast, get_args(Backcast))
        own = MODELS[self.model]
        settled = {
            "power": own.power,
            "o": own.asymmetric if self.o is None else self.o,
            "mean": self.mean or ("zero" if self.model == "ewma" else "constant"),
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)
        _check_word("mean", self.mean, get_args(Mean))
        _check_lags(self)
        if self.model == "ewma":
            _settle_ewma(self)
        elif self.decay is not None:
            raise ConfigError(f"decay belongs to the model ewma; {self.model} fits its own. Leave it out.")

    @property
    def lags(self) -> tuple[int, int, int]:
        """p, o, q as they are used."""
        assert self.o is not None, "it is settled"
        return self.p, self.o, self.q

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in the order of the rows of `VolatilityFit.parameters`."""
        mean = ("mu",) if self.mean == "constant" else ()
        if self.model == "ewma":
            return (*mean, "decay")
        p, o, q = self.lags
        counts = (("alpha", p), ("gamma", o), ("beta", q))
        lags = tuple(f"{name}[{lag}]" for name, count in counts for lag in range(1, count + 1))
        return (*mean, "omega", *lags, *SHAPES[self.distribution])

    @property
    def estimated(self) -> int:
        """How many of them were estimated, which AIC and BIC count: a decay that was given was not."""
        return len(self.names) - (self.model == "ewma" and self.decay != "fitted")


def _check_word(name: str, value: object, known: Mapping[str, object] | tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(explain_unknown(name, value, known))


def _check_lags(spec: VolatilitySpec) -> None:
    p, o, q = spec.lags
    check_whole("p", p, most=20)
    check_whole("q", q, least=0, most=20)
    check_whole("o", o, least=0, most=20)
    if spec.model == "garch" and o:
        raise ConfigError(f"garch has no asymmetric lags; got o={o}. Ask for gjr, tarch or egarch.")
    if spec.model in ("gjr", "tarch") and not o:
        raise ConfigError(f"{spec.model} needs asymmetric lags; got o=0. Give o=1 or more, or ask for garch.")


def _settle_ewma(spec: VolatilitySpec) -> None:
    if spec.lags != (1, 0, 1) or spec.distribution != "normal":
        raise ConfigError("ewma has no lags and no distribution to choose. Leave out p, o, q and distribution.")
    decay = RISKMETRICS if spec.decay is None else spec.decay
    if decay != "fitted":
        check_real("decay", decay, words='a number above 0 and below 1, or "fitted"', low=0.0, open_low=True, high=1.0)
        if decay == 1.0:
            raise ConfigError("decay is below 1, or no return would ever count; got 1. RiskMetrics takes 0.94.")
    object.__setattr__(spec, "decay", decay)
