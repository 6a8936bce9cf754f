"""Public holidays of countries, their parts and exchanges, as columns that are known for every time to come.

The days come from the package holidays. Rules change and days are proclaimed late: a bundle uses the package that is
installed where it answers. D days.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tidewright.catalog import explain_unknown
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, UnknownNameError
from tidewright.features.columns import add_columns
from tidewright.features.periods import Dated, Days, Doubles, find_dating, steps_from_days, years_of
from tidewright.optional import require

Named = tuple[str, Days]
ENGLISH = "en_US"
_OBSERVED = re.compile(r"\s*\([^()]*\)$")  # "Christmas Day (observed)" is Christmas Day


def add_holidays(
    panel: Panel,
    *,
    country: str | None = None,
    by: str | None = None,
    names: Sequence[str] = (),
    each: bool = False,
    dated: Dated | None = None,
    observed: bool = True,
    ahead: int = 0,
    prefix: str = "holiday",
) -> Panel:
    """The panel with the holidays of a country as further `known` columns, also in the rows of its known future.

    `country` is a code with or without a part of it (US, US-CA, DE-BY) or an exchange (XNYS); or `by` names a static
    column that holds each series' code. The columns are `holiday` (1 where the row's period holds one, else 0),
    `holiday_next` and `holiday_last` (rows to the next one and since the last one, 0 within one), and a flag for each
    of `names`, or with `each` for every holiday of the panel's years, such as `holiday_christmas_day`. `names` does not
    narrow the first three. `dated` says whether a row's time is the start or the end of its period (weeks must say it),
    `observed` counts the days off in lieu too, and `ahead` extends the panel by so many rows after each series' last
    target. Raises `UnknownNameError`, `ConfigError`, or `ColumnError` where the panel has such a column.

    >>> import polars as pl
    >>> days = pl.date_range(pl.date(2024, 12, 23), pl.date(2024, 12, 27), eager=True)
    >>> panel = Panel.from_table(pl.DataFrame({"day": days, "sold": [1, 2, 0, 3, 4]}), time="day", target="sold")
    >>> add_holidays(panel, country="US").matrix(["holiday", "holiday_next"]).T
    array([[0., 0., 1., 0., 0.],
           [2., 1., 0., 6., 5.]])
    """
    if isinstance(names, str):
        raise ConfigError(f"names are a sequence of holidays; got the text {names!r}. Write [{names!r}].")
    extended = panel.extend(ahead)
    codes = series_codes(extended, country, by)
    dating = find_dating(extended.frequency, dated)
    wanted = list(dict.fromkeys(names if not each else _all_names(extended, codes, observed)))
    labels = [prefix, f"{prefix}_next", f"{prefix}_last", *(f"{prefix}_{_slug(name)}" for name in wanted)]
    if len(set(labels)) < len(labels):
        raise ColumnError(f"two of the holidays would have one column: {', '.join(sorted(labels))}. Leave one out.")
    made = np.empty((len(extended.table), len(labels)))
    for code in dict.fromkeys(codes):
        rows = np.isin(extended.codes, [s for s, own in enumerate(codes) if own == code])
        made[rows] = _columns(extended, code, wanted, dating, observed, strict=by is None)[rows]
    return add_columns(extended, dict(zip(labels, made.T, strict=True)), role="known")


def find_days(panel: Panel, code: str, *, name: str | None = None, observed: bool = True) -> Days:
    """The holidays [D] of a code over the panel's years and a year more on both sides. Raises `UnknownNameError`."""
    first, last = years_of(panel)
    found = list_holidays(code, first - 1, last + 1, observed=observed)
    days = [own for title, own in found if name is None or title == name]
    if name is not None and not days:
        raise UnknownNameError(explain_unknown(f"holiday of {code}", name, [title for title, _ in found]))
    return np.unique(np.concatenate(days)) if days else np.empty(0, dtype="datetime64[D]")


@lru_cache(maxsize=64)
def list_holidays(code: str, first: int, last: int, *, observed: bool = True) -> tuple[Named, ...]:
    """Each holiday's name and its days (datetime64[D], ascending) from the year `first` to the year `last`.

    Names are English where the package has them so, else the country's own, and days in lieu bear the name of their
    holiday. Raises `UnknownNameError` for a code that there isn't.
    """
    calendar = _open(code, first, last, observed)
    days: dict[str, list[Any]] = {}
    for day in sorted(calendar):
        for title in calendar.get_list(day):
            days.setdefault(_OBSERVED.sub("", title), []).append(day)
    return tuple((title, np.unique(np.array(own, dtype="datetime64[D]"))) for title, own in days.items())


def check_code(code: str) -> None:
    """Raises `UnknownNameError` for a country, part or exchange that the package does not know."""
    package = require("holidays", extra="holidays", purpose=f"the holidays of {code}")
    country, dash, part = code.partition("-")
    countries = package.list_supported_countries(include_aliases=True)
    markets = package.list_supported_financial(include_aliases=True)
    if country not in countries and country not in markets:
        raise UnknownNameError(explain_unknown("country or exchange with holidays", country, [*countries, *markets]))
    parts = countries.get(country) or markets.get(country) or ()
    if dash and part not in parts:
        raise UnknownNameError(explain_unknown(f"part of {country} with its own holidays", part, parts))


def _open(code: str, first: int, last: int, observed: bool) -> Any:
    check_code(code)
    package = require("holidays", extra="holidays", purpose=f"the holidays of {code}")
    country, _, part = code.partition("-")
    known = package.list_supported_countries(include_aliases=True)
    make = package.country_holidays if country in known else package.financial_holidays
    asked: dict[str, Any] = {"subdiv": part or None, "observed": observed}
    entity = make(country, **asked)  # left to itself it would speak the language of the machine
    language = ENGLISH if ENGLISH in entity.supported_languages else entity.default_language
    return make(country, **asked, years=range(first, last + 1), language=language)


def series_codes(panel: Panel, country: str | None, by: str | None) -> list[str]:
    """The code of each series."""
    if (country is None) == (by is None):
        raise ColumnError("give either a country, such as country='US', or the static column `by` that holds it.")
    if country is not None:
        if not isinstance(country, str):
            raise ConfigError(f"a country is one code, such as 'US' or 'DE-BY'; got {country!r}.")
        return [country] * panel.n_series
    if by not in panel.roles.static:
        raise ColumnError(explain_unknown("static column", by, panel.roles.static))
    found = panel.table[by][panel.offsets[:-1]].to_list()
    if None in found:
        series = panel.series_ids[found.index(None)]
        raise ColumnError(f"series {series!r} has no country in the static column '{by}'. Fill it.")
    return [str(code) for code in found]


def _all_names(panel: Panel, codes: Sequence[str], observed: bool) -> list[str]:
    first, last = years_of(panel)
    every = (list_holidays(code, first, last, observed=observed) for code in dict.fromkeys(codes))
    return [title for found in every for title, _ in found]


def _columns(panel: Panel, code: str, names: Sequence[str], dated: Dated, observed: bool, *, strict: bool) -> Doubles:
    """The columns of one code [T, 3 + names]. A name that the code lacks is an error when `strict`, else never."""
    ahead, back = steps_from_days(panel, find_days(panel, code, observed=observed), dated=dated)
    parts = [(ahead == 0).astype(np.float64), ahead, back]
    first, last = years_of(panel)
    has = {title for title, _ in list_holidays(code, first - 1, last + 1, observed=observed)}
    for name in names:
        known = strict or name in has
        days = find_days(panel, code, name=name, observed=observed) if known else np.empty(0, dtype="datetime64[D]")
        parts.append((steps_from_days(panel, days, dated=dated)[0] == 0).astype(np.float64))
    return np.column_stack(parts)[np.unique(panel.positions, return_inverse=True)[1]]


def _slug(name: str) -> str:
    """A holiday's name as the end of a column's.

    >>> _slug("New Year's Day")
    'new_years_day'
    """
    return re.sub(r"\W+", "_", name.replace("'", "").replace("\u2019", "").casefold()).strip("_")
