"""Small simulated panels that tests share."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from tests.tiny_weights import tiny_weights
from tidewright.data.panel import Panel
from tidewright.models.spec import MODELS

# Statistical models whose fits take milliseconds a window.
QUICK_FITS: dict[str, dict[str, object]] = {
    "auto_arima": {"season": 1, "max_p": 1, "max_q": 0, "max_seasonal": 0, "history": 30},
    "auto_ets": {"season": 1, "form": "ANN", "history": 30},
    "auto_ces": {"season": 1, "form": "N", "history": 30},
    "theta": {"season": 1, "form": "standard", "history": 30},
    "mstl": {"seasons": (7,), "trend": "theta", "history": 30},
    "croston": {},
    "tsb": {},
    "adida": {},
    "imapa": {},
}


def quick_options(name: str) -> dict[str, object]:
    """Options with which a model that learns nothing from the panel answers quickly; none for others."""
    if MODELS[name].kind == "foundation":
        return {"weights": tiny_weights(name)}
    return QUICK_FITS.get(name, {})


def answers_slowly(name: str) -> bool:
    """Whether each of a model's answers is a fit, or a pass through another package's network."""
    return name in MODELS and MODELS[name].kind in ("statistical", "foundation")


def small_table(*, series: int = 4, rows: int = 240, seed: int = 0, covariates: bool = True) -> pl.DataFrame:
    """Hourly sales of a few shops: a daily wave, the effect of a known price, noise; some hours are "
    "missing."""
    draw = np.random.default_rng(seed)
    hours = [datetime(2024, 1, 1) + timedelta(hours=h) for h in range(rows)]
    parts = []
    for number in range(series):
        price = draw.choice([1.0, 2.0], rows)
        wave = 10.0 * np.sin(2 * np.pi * np.arange(rows) / 24 + number)
        sold = 50.0 + 20.0 * number + wave - 5.0 * price + draw.normal(size=rows)
        sold[draw.random(rows) < 0.02] = np.nan
        sold[-1] = 50.0
        part = {"shop": [f"s{number}"] * rows, "hour": hours, "sold": sold}
        if covariates:
            part |= {"visits": sold * 2 + draw.normal(size=rows), "price": price}
            part |= {"area": [100.0 * (number + 1)] * rows, "kind": ["old" if number % 2 else "new"] * rows}
        parts.append(pl.DataFrame(part).with_columns(pl.col("sold").fill_nan(None)))
    return pl.concat(parts)


def small_panel(*, series: int = 4, rows: int = 240, seed: int = 0, covariates: bool = True) -> Panel:
    """The same as a Panel; with covariates: `visits` is past, `price` known, `area` and `kind` static."""
    table = small_table(series=series, rows=rows, seed=seed, covariates=covariates)
    roles: dict[str, list[str]] = {}
    if covariates:
        roles = {"past": ["visits"], "known": ["price"], "static": ["area", "kind"]}
    return Panel.from_table(table, series="shop", time="hour", target="sold", **roles)  # type: ignore[arg-type]


def drifting_panel(*, rows: int = 400, seed: int = 0) -> Panel:
    """Prices that fall with what the wind brings above its own level of late, in a park that grows tenfold.

    `wind` and the flag `holiday` are known, `load` is past; some winds and loads are missing.
    """
    draw = np.random.default_rng(seed)
    size = np.linspace(1.0, 10.0, rows)
    gust = draw.normal(size=rows)
    price = 40.0 + 5.0 * np.sin(2 * np.pi * np.arange(rows) / 24) - 8.0 * gust + draw.normal(size=rows)
    seen = draw.random((2, rows)) > 0.03
    table = {
        "hour": [datetime(2024, 1, 1) + timedelta(hours=h) for h in range(rows)],
        "price": price,
        "wind": np.where(seen[0], 100.0 * size * (3.0 + gust), np.nan),
        "holiday": (draw.random(rows) < 0.1).astype(float),
        "load": np.where(seen[1], 500.0 * size + 10.0 * price, np.nan),
    }
    frame = pl.DataFrame(table).with_columns(pl.col("wind", "load").fill_nan(None))
    return Panel.from_table(frame, time="hour", target="price", known=["wind", "holiday"], past=["load"])
