"""Forecasts of the returns of some prices, from a bundle or a table of predictions, and how far they are to be trusted.

Only what was not known when a model was made counts: a bundle is asked at cutoffs from the last value on that it
learned from or was chosen on.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.border import to_polars
from tidewright.data.dated import TIMES, Dated
from tidewright.data.forecast import CUTOFF, MODEL
from tidewright.data.market import to_returns
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.data.wide import Wide, to_wide
from tidewright.errors import AllocationError, BundleError, RepairWarning
from tidewright.inference.session import open_session
from tidewright.models.spec import FLOORS
from tidewright.portfolio import returns_from_prices
from tidewright.portfolio.forecasts.plain_floors import choose_floor, refuse_units
from tidewright.portfolio.forecasts.predictions import Predictions
from tidewright.portfolio.forecasts.read import read_predictions
from tidewright.portfolio.forecasts.skill import Skill, measure_skill
from tidewright.registry.bundle import Bundle, load_bundle
from tidewright.registry.each import is_each
from tidewright.workflows.price_window import name_date

MOST = 250  # cutoffs at which a bundle is asked
CARD_METRICS = ("mase", "mae", "rmse")
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class FileForecast:
    """What was forecast (None: a bundle that holds a floor is not asked) and the skill that was measured of it, None
    where no cutoff's horizon is over. `reason` says in words why it may move weights or may not."""

    name: str
    predictions: Predictions | None
    skill: Skill | None
    reason: str
    notes: tuple[str, ...] = ()

    @property
    def used(self) -> float:
        """The skill that may move weights."""
        return 0.0 if self.skill is None else self.skill.used


def ask_bundle(folder: str | Path, prices: Dated, *, tell: Callable[[str], Any] = lambda _: None) -> FileForecast:
    """A bundle of returns, asked after the last price and at past cutoffs that it knew nothing of, a horizon apart.

    Its floor is the better of no change and the mean so far on the same cutoffs; where its card has a better score of
    one of its own floors, it did not beat them. Raises `BundleError` for a bundle that needs more than prices.
    """
    place = Path(folder)
    place = place / "bundle" if (place / "bundle").is_dir() else place  # the folder of a run
    bundle = _load(place)
    if bundle.manifest.spec.name in FLOORS:
        why = f"The bundle holds the floor '{bundle.name}': no model beat its floor, so no forecast moves the weights."
        return FileForecast(bundle.name, None, None, why)
    tell("forecasting")
    panel = _to_panel(prices, bundle)
    wide = to_wide(panel)
    _refuse_other_units(bundle, wide)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepairWarning)  # a price that is missing is so in the decision too
        session = open_session(bundle)
        read = session.read(panel)
        cutoffs = _choose_cutoffs(read, horizon=bundle.manifest.task.horizon, until=_seen_until(bundle))
        forecast = session.forecast(read, cutoffs=cutoffs)
    said = read_predictions(forecast, assets=prices.names)
    tell("measuring its skill")
    beaten, card = _read_card(bundle)
    found = _measure(said, wide.values, times=wide.times, assets=prices.names, beats_floor=None if beaten else False)
    until = f"it learned from or was chosen on values up to {_seen_until(bundle)}, and was asked from "
    until += f"{name_date(said.cutoffs[0])} on, {len(said.cutoffs)} times"
    notes = (*found.notes, *forecast.notes, until, *card)
    return replace(found, name=bundle.name, notes=notes)


def read_forecasts(
    path: str | Path,
    prices: Dated,
    *,
    model: str | None = None,
    floor: str | None = None,
    series: str | None = None,
    time: str | None = None,
) -> FileForecast:
    """The predictions of a table for these prices, with the skill of its past cutoffs beside a floor.

    `floor` is another model of the table, by default the better of no change and the mean so far. `series` and `time`
    are names that its columns may have besides the usual ones. Raises what `read_predictions` does.
    """
    table, _ = to_polars(path)
    if CUTOFF not in table.columns:
        raise AllocationError(
            f"'{path}' has no column '{CUTOFF}', and so is no table of predictions; it has "
            f"{', '.join(table.columns[:8])}. Forecasts come before the prices: PREDICTIONS PRICES."
        )
    names = _name_columns(table, series=series, time=time)
    said = _cut(read_predictions(table, assets=prices.names, model=model, **names), until=prices.times[-1])
    plain = None if floor is None else read_predictions(table, assets=prices.names, model=floor, **names)
    plain = None if plain is None else _cut(plain, until=prices.times[-1])
    returns = returns_from_prices(prices.values, times=prices.times, assets=prices.names)
    return _measure(said, returns, times=prices.times[1:], assets=prices.names, floor=plain)


def _load(place: Path) -> Bundle:
    if is_each(place):
        raise BundleError(
            f"'{place}' holds a bundle for each series. Make a table with: tidewright predict {place} RETURNS --output "
            "predictions.csv, and give that."
        )
    bundle = load_bundle(place)
    roles = bundle.manifest.schema.roles
    others = (*roles.past, *roles.known, *roles.static)
    if others:
        raise BundleError(
            f"the bundle '{bundle.name}' needs the columns {', '.join(others[:5])} beside returns, which prices don't "
            "have. Make a table of its predictions with tidewright predict, and give that."
        )
    return bundle


def _to_panel(prices: Dated, bundle: Bundle) -> Panel:
    """The returns with the bundle's names, on its grid."""
    schema = bundle.manifest.schema
    roles, grid = schema.roles, schema.frequency
    value = next(name for name in ("price", "close", "price of it") if name not in (roles.series, roles.time))
    wide = pl.DataFrame({roles.time: prices.times, **dict(zip(prices.names, prices.values.T, strict=True))})
    if "time_zone='" in schema.types.get(roles.time, ""):
        wide = wide.with_columns(pl.col(roles.time).dt.replace_time_zone("UTC"))
    long = wide.unpivot(index=roles.time, variable_name=roles.series or "asset", value_name=value)
    long = long.filter(pl.col(value).is_not_nan())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepairWarning)
        panel = Panel.from_table(
            long,
            series=roles.series or ("asset" if len(prices.names) > 1 else None),
            time=roles.time,
            target=value,
            frequency=None if grid.unit == "session" else grid.name,
            calendar=grid.calendar,
        )
        return to_returns(panel, name=roles.target)


def _refuse_other_units(bundle: Bundle, wide: Wide) -> None:
    """A bundle that learned from prices, or from percents, has other units than simple returns."""
    if bundle.reference is not None and bundle.reference.units.scale.size:
        scale = bundle.reference.units.scale[None, :]
        refuse_units(scale, scale, returns=wide.values, steps=1)


def _seen_until(bundle: Bundle) -> str:
    """The last time whose value the model learned from or was chosen on."""
    reference = bundle.reference
    return bundle.manifest.data.last if reference is None else reference.until


def _choose_cutoffs(panel: Panel, *, horizon: int, until: str) -> Cutoffs:
    """The newest position, and those before it a horizon apart, as far as the model knew nothing of what follows."""
    first, last = panel.span
    seen = int(np.searchsorted(to_wide(panel).times, np.datetime64(until.removesuffix(" UTC")), side="right")) - 1
    back = min(max((last - max(first + seen, first)) // horizon, 0), MOST)
    return Cutoffs(last - back * horizon, last, horizon, grid=panel.frequency)


def _read_card(bundle: Bundle) -> tuple[bool, tuple[str, ...]]:
    """Whether the scores in the bundle, where it has some, are better than those of its best floor; and in words."""
    scores = {name: one for name, one in bundle.manifest.metrics.items() if isinstance(one, Mapping)}
    own = next((one for name, one in scores.items() if name.replace(" ", "-") == bundle.name), None)
    floors = {name: one for name, one in scores.items() if name in FLOORS}
    both = (own or {}, *floors.values())
    metric = next((name for name in CARD_METRICS if all(_is_score(one, name) for one in both)), "")
    if own is None or not floors or not metric:
        return True, ("its card has no scores of floors: the plain floors alone were asked",)
    best = min(floors, key=lambda name: float(floors[name][metric]))
    better = float(own[metric]) < float(floors[best][metric])
    told = f"its card has {metric.upper()} {float(own[metric]):.4g} on its test part, its best floor, {best}, "
    return better, (f"{told}{float(floors[best][metric]):.4g}",)


def _is_score(scores: Mapping[str, Any], name: str) -> bool:
    value = scores.get(name)
    return isinstance(value, (int, float)) and math.isfinite(value)


def _measure(
    said: Predictions,
    returns: Doubles,
    *,
    times: npt.NDArray[np.datetime64],
    assets: Sequence[str],
    floor: Predictions | None = None,
    beats_floor: bool | None = None,
) -> FileForecast:
    """The skill beside a floor, of the cutoffs whose whole horizon is over."""
    refuse_units(said.expected(), said.spread(), returns=returns, steps=said.times.shape[1])
    over = said.times[:, -1] <= times[-1]
    if not over.any():
        why = "No forecast's horizon is over, so that its skill can't be measured, and it moves no weight."
        return FileForecast(said.model, said, None, why, said.notes)
    chosen = choose_floor(said, returns, times=times, assets=assets) if floor is None else floor
    skill = measure_skill(said, returns, times=times, assets=assets, floor=chosen, beats_floor=beats_floor)
    verdict = "" if skill.used > 0.0 else " No forecast moves the weights."
    notes = (*said.notes, f"the floor that it was held against: {chosen.model}")
    return FileForecast(said.model, said, skill, f"{skill.explain()}{verdict}", notes)


def _cut(said: Predictions, *, until: np.datetime64) -> Predictions:
    """The predictions that were made at or before the last price."""
    kept = int(np.searchsorted(said.cutoffs, until, side="right"))
    if not kept:
        raise AllocationError(
            f"the forecasts begin at {name_date(said.cutoffs[0])}, and the prices end at {name_date(until)}. Bring "
            "prices up to a cutoff at least."
        )
    if kept == len(said.cutoffs):
        return said
    note = f"{len(said.cutoffs) - kept} cutoffs after the last price are left out"
    return replace(
        said, cutoffs=said.cutoffs[:kept].copy(), times=said.times[:kept].copy(),
        quantiles=said.quantiles[:kept].copy(), notes=(*said.notes, note),
    )  # fmt: skip


def _name_columns(table: pl.DataFrame, *, series: str | None, time: str | None) -> dict[str, Any]:
    """Which columns hold the series and the times: those named, those with a usual name, or what is left."""
    rest = [name for name in table.columns if name not in (CUTOFF, MODEL) and not _is_level(name)]
    found = next((name for name in (time, *(one for one in rest if one.casefold() in TIMES)) if name in rest), None)
    others = [name for name in rest if name != found]
    said = next((name for name in (series, "series", *others) if name in others), None)
    return {name: value for name, value in (("series", said), ("time", found)) if value is not None}


def _is_level(name: str) -> bool:
    try:
        return 0.0 < float(name) < 1.0
    except ValueError:
        return False
