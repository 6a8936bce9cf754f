"""`Recipe`: which columns to add to a panel, step by step, as plain data with a name of its own.

The name (a digest) covers every option of every step and the code that follows them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from inspect import Parameter, signature
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from tidewright.catalog import Catalog, Entry, explain_unknown
from tidewright.data.border import to_polars
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError, UnknownNameError

FEATURES = Catalog(
    "feature",
    [
        Entry("lags", "tidewright.features.lags:add_lags", "lags, rolling and expanding statistics"),
        Entry("weighted", "tidewright.features.history:add_weighted", "exponentially weighted means and deviations"),
        Entry("seasonal", "tidewright.features.history:add_seasonal", "statistics of the same season before"),
        Entry("since", "tidewright.features.history:add_since", "rows since an event"),
        Entry("groups", "tidewright.features.groups:add_groups", "totals, shares and ranks of groups of series"),
        Entry("technical", "tidewright.features.technical:add_technical", "technical indicators of prices"),
        Entry("holidays", "tidewright.features.holidays:add_holidays", "public holidays"),
        Entry("season_shift", "tidewright.features.season_shift:add_season_shift", "how far holidays move the season"),
        Entry("events", "tidewright.features.events:add_events", "promotions and other events"),
    ],
)
_TABLES = ("events",)  # options that hold a table, or the path of one: read once, when the recipe is made
_PACKAGES = ("numpy", "polars", "numba", "scipy", "holidays", "exchange_calendars")


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """Steps, each a feature's name and its options; made by `build_recipe`."""

    steps: tuple[tuple[str, Mapping[str, Any]], ...]

    def apply(self, panel: Panel) -> Panel:
        """The panel with the columns of every step, one after the other."""
        for name, options in self.steps:
            panel = FEATURES.load(name)(panel, **options)
        return panel

    @property
    def digest(self) -> str:
        """Thirty-two hexadecimal digits of every step with its options, and of the code and the packages behind it."""
        state = blake2b(code_digest().encode(), digest_size=16)
        for name, options in self.steps:
            plain = {key: value for key, value in options.items() if key not in _TABLES}
            state.update(json.dumps([name, plain], sort_keys=True).encode())
            for key in sorted(set(options) & set(_TABLES)):
                state.update(_table_bytes(options[key]))
        return state.hexdigest()


def build_recipe(*steps: tuple[str, Mapping[str, Any]]) -> Recipe:
    """The recipe of steps such as ("lags", {"lags": [1, 7]}), ("holidays", {"country": "US"}).

    Options are those of `add_NAME`, plain values (an events table is read here, and never again). Raises
    `UnknownNameError` for an unknown feature or option, `ConfigError` for a value that is not plain or one that lacks.

    >>> recipe = build_recipe(("lags", {"lags": [1, 7]}), ("holidays", {"country": "US"}))
    >>> [name for name, _ in recipe.steps], len(recipe.digest)
    (['lags', 'holidays'], 32)
    """
    if not steps:
        raise ConfigError("a recipe has one step at least, such as ('lags', {'lags': [1, 7]}); got none.")
    for step in steps:
        if not isinstance(step, (tuple, list)) or len(step) != 2 or not isinstance(step[1], Mapping):
            raise ConfigError(
                f"a step is a feature's name and its options, ('lags', {{'lags': [1, 7]}}); got {step!r}."
            )
    return Recipe(tuple((name, _check(name, options)) for name, options in steps))


@lru_cache(maxsize=1)
def code_digest() -> str:
    """What the sources of the stages that make features are, and the versions of the packages that they use."""
    state = blake2b(digest_size=16)
    root = Path(__file__).parents[1]
    for path in sorted((*(root / "features").glob("*.py"), *(root / "data").glob("*.py"))):
        state.update(f"{path.name} {path.stat().st_size} ".encode())
        state.update(path.read_bytes())
    for package in _PACKAGES:
        state.update(f"{package} {_version(package)} ".encode())
    return state.hexdigest()


def _check(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, each known to the feature and plain."""
    known = {key: one for key, one in signature(FEATURES.load(name)).parameters.items() if key != "panel"}
    checked: dict[str, Any] = {}
    for key, value in options.items():
        if key not in known:
            raise UnknownNameError(explain_unknown(f"option of the feature {name}", key, known))
        checked[key] = to_polars(value)[0] if key in _TABLES else _plain(name, key, value)
    lost = [key for key, one in known.items() if one.default is Parameter.empty and key not in checked]
    if lost:
        raise ConfigError(f"the feature {name} needs the option '{lost[0]}'. Give it in the step.")
    return checked


def _plain(name: str, key: str, value: Any) -> Any:
    """A value that JSON keeps as it is; sequences become tuples."""
    if isinstance(value, (list, tuple, range)):
        return tuple(_plain(name, key, one) for one in value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise ConfigError(
        f"the option '{key}' of the feature {name} is text, a number or a list of these; got {type(value).__name__}."
    )


def _table_bytes(table: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    table.write_ipc(buffer, compression="uncompressed")
    return buffer.getvalue()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # an optional one
        return "none"
