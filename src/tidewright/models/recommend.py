"""`recommend`: which models to try on a panel, why, and what speaks against each, in sentences that cite its facts.

The bounds below are rules of thumb. They say where to begin, not what wins: `tidewright run` measures that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tidewright.data.panel import Panel
from tidewright.data.task import Task, refuse_classes
from tidewright.models.facts import PanelFacts, measure_facts
from tidewright.models.spec import MODELS

CLEAR_SEASON, CLEAR_TREND = 0.4, 0.6  # strengths that a plot shows
LOUD = 0.5  # a noise share above it leaves little to learn
WALK = 0.1  # a drift share below it is a random walk's
FEW = 200  # windows for a forest
SOME, MANY, VERY_MANY = 1_000, 10_000, 50_000  # windows for a network, for a recurrent one, for attention
LONG_HORIZON, LONG_LOOKBACK, MANY_SERIES = 48, 96, 20
FEW_SERIES, LONG_SEASON = 50, 24  # above these, fits of single windows are slow
SPARSE = 0.3  # a share of zeros above it is intermittent demand
SEALING = "Seal it with save_bundle, which holds the ONNX graph to the model, and try the bundle where it will serve."
WARMING = f"{SEALING} Warm it up, and ask it in batches."

Sentences = list[str]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A model of the catalog, what speaks for it, what against it, and how to go on with it."""

    model: str
    why: tuple[str, ...]
    against: tuple[str, ...]
    how: str


def recommend(panel: Panel, task: Task) -> tuple[Recommendation, ...]:
    """The models to try, the best founded first: those with more reasons for them than against, and always a floor.

    >>> from tidewright.data.simulate import signal_panel
    >>> best = recommend(signal_panel(n_series=3, length=400, seed=0), Task(horizon=7))[0]
    >>> best.model, best.why[0]
    ('ridge', 'The season of 7 rows is clear (strength 0.85): a linear map of the lookback holds it.')
    """
    refuse_classes(task, "a recommendation")
    facts = measure_facts(panel, task)
    found: list[tuple[int, Recommendation]] = []
    for name, rule in RULES.items():
        if name not in MODELS:
            continue
        why, against = rule(facts)
        against += _unread(facts, takes=MODELS.load(name).takes)
        how = WARMING if MODELS[name].kind == "torch" else SEALING
        if why:
            found.append((len(why) - len(against), Recommendation(name, tuple(why), tuple(against), how)))
    found.sort(key=lambda pair: -pair[0])  # rules stand from the simplest to the largest, and ties keep that order
    kept = [one for balance, one in found if balance > 0]
    if not any(MODELS[one.model].kind == "floor" for one in kept):
        kept.append(next(one for _, one in found if MODELS[one.model].kind == "floor"))
    return tuple(kept)


def _naive(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = ["It needs no training and no history but one value: every other model must beat it."]
    if f.drift_share < WALK:
        why.append(
            f"The steps foretell each other no better than a random walk's (autocorrelation {f.drift_share:.2f})."
        )
    return why, _says_season(f, "which it ignores")


def _seasonal(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = [f"The season of {f.season} rows is clear (strength {f.season_strength:.2f})."] if _clear(f) else []
    trend = (
        [f"The trend is strong ({f.trend_strength:.2f}), which it ignores."] if f.trend_strength > CLEAR_TREND else []
    )
    return why, trend


def _ridge(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if _clear(f):
        why.append(
            f"The season of {f.season} rows is clear (strength {f.season_strength:.2f}): a linear map of the lookback "
            "holds it."
        )
    if f.windows >= 10 * f.lookback:
        why.append(f"{f.windows:,} windows determine the {f.lookback} weights a step, in closed form.")
    return why, []


def _intermittent(f: PanelFacts) -> tuple[Sentences, Sentences]:
    """Demand that is mostly none: closed forms that cost next to nothing."""
    why = [f"{f.zero_share:.0%} of the values are 0: intermittent demand, which it was made for."] if _sparse(f) else []
    return why, _says_season(f, "which it ignores")


def _ending(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why, against = _intermittent(f)
    if why and f.trend_strength > CLEAR_TREND:
        why.append(f"The trend is strong ({f.trend_strength:.2f}): its forecast falls when demand ends.")
    return why, against


def _smoothing(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if f.series <= FEW_SERIES and _clear(f):
        why.append(
            f"{f.series} series with a clear season ({f.season_strength:.2f}): each is smoothed by itself, with "
            "intervals of its own."
        )
    if f.windows < SOME:
        why.append(f"{f.windows:,} windows are few to learn from: it is fitted on a window's own history.")
    return why, [*_slow(f), *_zeros(f)]


def _loess(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if f.series <= FEW_SERIES and f.season > LONG_SEASON and _clear(f):
        why.append(
            f"A season of {f.season} rows is long for smoothing and ARIMA: LOESS takes it apart "
            f"(strength {f.season_strength:.2f})."
        )
    return why, [*_slow(f), *_zeros(f)]


def _orders(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if f.series <= FEW_SERIES and f.drift_share >= WALK and f.windows < SOME:
        why.append(
            f"{f.series} series whose steps foretell each other (autocorrelation {f.drift_share:.2f}): few numbers "
            "hold that."
        )
    long = [f"A season of {f.season} rows takes it seconds a window."] if f.season > LONG_SEASON else []
    return why, [*_slow(f), *long, *_zeros(f)]


def _lightgbm(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if f.covariates:
        why.append(f"{_covariates(f)} are tabular data, which trees read in any unit.")
    if f.series >= MANY_SERIES:
        why.append(f"One model learns from all {f.series} series.")
    return why, _few(f, SOME)


def _random_forest(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if f.covariates:
        why.append(f"{_covariates(f)} are tabular data, which a forest reads in any unit and hardly overfits.")
    many = [f"{f.windows:,} windows are many for it: boosting is cheaper."] if f.windows >= VERY_MANY else []
    return why, [*_few(f, FEW), *many]


def _elastic_net(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if f.covariates and FEW <= f.windows < MANY:
        why.append(f"{f.windows:,} windows and {_covariates(f)}: a penalised line leaves out what does not help.")
    return why, _few(f, FEW)


def _xgboost(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if f.covariates and f.series >= MANY_SERIES and f.windows >= MANY:
        why.append(
            f"{f.windows:,} windows of {f.series} series are enough for a second kind of boosted trees to blend."
        )
    return why, _few(f, MANY)


def _catboost(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if f.static and f.series >= MANY_SERIES:
        count = f"{f.static} static covariate{'s' if f.static > 1 else ''}"
        why.append(f"{count} of {f.series} series: it learns categories by ordered target statistics.")
    return why, _few(f, SOME)


def _feedforward(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = [f"{_covariates(f)} are tabular data: start with the plainest network."] if f.covariates else []
    if f.windows >= SOME:
        why.append(f"{f.windows:,} windows are enough for a small network.")
    return why, [*_few(f, SOME), *_noisy(f)]


def _lstm(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = ["The rows are a sequence, which it reads in order."]
    if f.windows >= MANY:
        why.append(f"{f.windows:,} windows are enough for a recurrent network.")
    slow = [f"It reads {f.lookback} steps one by one: slow."] if f.lookback > LONG_LOOKBACK else []
    return why, [*_few(f, MANY), *slow, *_noisy(f)]


def _tcn(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if f.lookback > LONG_LOOKBACK:
        why.append(f"Two seasons are {f.lookback} steps: dilated convolutions read them at once.")
    if why and f.windows >= MANY:
        why.append(f"{f.windows:,} windows are enough for its layers.")
    return why, [*_few(f, MANY), *_noisy(f)]


def _long(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if f.horizon >= LONG_HORIZON:
        why.append(f"The horizon of {f.horizon} steps is long, which it was made for.")
        if f.windows >= SOME:
            why.append(f"{f.windows:,} windows are enough for it.")
    return why, _few(f, SOME)


def _cnn_lstm(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if f.covariates and _clear(f):
        why.append(f"{_covariates(f)} and a clear season ({f.season_strength:.2f}) make a complex pattern.")
    if why and f.windows >= MANY:
        why.append(f"{f.windows:,} windows are enough for convolutions before an LSTM.")
    return why, [*_few(f, MANY), *_noisy(f)]


def _tft(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = []
    if f.past + f.known and f.static + f.known:
        why.append(f"{_covariates(f)}: it says which of them matter, and when.")
    if why and f.windows >= VERY_MANY:
        why.append(f"{f.windows:,} windows are enough for attention.")
    return why, [*_few(f, VERY_MANY), *_noisy(f)]


def _transformer(f: PanelFacts) -> tuple[Sentences, Sentences]:
    why = [f"{f.windows:,} windows are enough for attention."] if f.windows >= VERY_MANY else []
    return why, [*_noisy(f), *(["Without covariates simpler networks do as well."] if not f.covariates else [])]


def _slow(f: PanelFacts) -> Sentences:
    if f.series > FEW_SERIES:
        return [f"It is fitted anew on each of {f.series:,} series whenever it answers: slow."]
    return []


def _sparse(f: PanelFacts) -> bool:
    return f.zero_share >= SPARSE


def _zeros(f: PanelFacts) -> Sentences:
    return [f"{f.zero_share:.0%} of the values are 0, which smoothing follows badly."] if _sparse(f) else []


def _clear(f: PanelFacts) -> bool:
    return f.season_strength >= CLEAR_SEASON  # False for NaN


def _says_season(f: PanelFacts, end: str) -> Sentences:
    return [f"The season of {f.season} rows is clear (strength {f.season_strength:.2f}), {end}."] if _clear(f) else []


def _unread(f: PanelFacts, *, takes: tuple[str, ...]) -> Sentences:
    """What a model that takes these kinds of covariates would leave out."""
    left = replace(f, **dict.fromkeys(takes, 0))
    return [f"It can't read {_covariates(left)}."] if left.covariates else []


def _few(f: PanelFacts, wanted: int) -> Sentences:
    return [f"{f.windows:,} windows are few; it wants {wanted:,} or so."] if f.windows < wanted else []


def _noisy(f: PanelFacts) -> Sentences:
    if f.noise_share > LOUD:
        return [f"Noise is {f.noise_share:.0%} of the variance: there is little for a large network to learn."]
    return []


def _covariates(f: PanelFacts) -> str:
    counts = ((f.past, "past"), (f.known, "known"), (f.static, "static"))
    return " and ".join(f"{count} {kind} covariate{'s' if count > 1 else ''}" for count, kind in counts if count)


RULES: dict[str, Callable[[PanelFacts], tuple[Sentences, Sentences]]] = {
    "naive": _naive,
    "seasonal": _seasonal,
    "ridge": _ridge,
    "elastic_net": _elastic_net,
    "croston": _intermittent,
    "tsb": _ending,
    "imapa": _intermittent,
    "auto_ets": _smoothing,
    "theta": _smoothing,
    "mstl": _loess,
    "auto_arima": _orders,
    "lightgbm": _lightgbm,
    "random_forest": _random_forest,
    "xgboost": _xgboost,
    "catboost": _catboost,
    "feedforward": _feedforward,
    "dlinear": _long,
    "nhits": _long,
    "lstm": _lstm,
    "tcn": _tcn,
    "patchtst": _long,
    "cnn_lstm": _cnn_lstm,
    "transformer": _transformer,
    "tft": _tft,
}
