"""What a crisis would cost: past episodes, the worst windows of the data, and shocks. T bars, A assets, S scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from tidewright.catalog import explain_unknown
from tidewright.checks import check_whole
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio.inputs import FloatArray, TimeArray, name_time, read_assets, read_matrix, read_times
from tidewright.portfolio.labels import align, name_assets
from tidewright.portfolio.risk.episodes import EPISODES, Episode
from tidewright.portfolio.risk.history import Window, play_window, worst_window
from tidewright.portfolio.risk.measure import read_weights
from tidewright.portfolio.risk.read import read_column, refuse_returns
from tidewright.portfolio.risk.record import freeze_arrays
from tidewright.portfolio.risk.shocks import Shock, World, fit_betas, read_betas
from tidewright.portfolio.show import show
from tidewright.portfolio.weights import Weights

if TYPE_CHECKING:
    import polars as pl

WORST = (1, 5, 21)  # bars: a day, a week and a month of daily returns
Kind = Literal["episode", "worst window", "shock"]


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """What one scenario costs: `loss` in all, `by_asset` [A] its parts, positive losses.

    As fractions of the wealth for weights, in money for positions. `deepest` is the largest loss on the way. `first`
    and `last` are the closes that it runs between, `covered` the share of it that the returns have, by days and by the
    size of the holdings. None where there is no such thing.
    """

    name: str
    kind: Kind
    loss: float
    by_asset: FloatArray
    deepest: float | None = None
    first: str | None = None
    last: str | None = None
    covered: float | None = None

    def __post_init__(self) -> None:
        freeze_arrays(self)

    def __repr__(self) -> str:
        return show(self)


@dataclass(frozen=True, slots=True, eq=False)
class Stress:
    """Scenarios of a portfolio: episodes by date, then worst windows, then shocks; `notes` tell what is not in them."""

    assets: tuple[str, ...]
    holdings: FloatArray
    unit: Literal["fraction", "money"]
    scenarios: tuple[Scenario, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        freeze_arrays(self)

    def __repr__(self) -> str:
        return show(self, by_asset=("holdings",))

    def __getitem__(self, name: str) -> Scenario:
        found = {one.name: one for one in self.scenarios}
        if name not in found:
            raise ConfigError(explain_unknown("scenario", name, found))
        return found[name]

    def to_table(self) -> pl.DataFrame:
        """A polars table: a row a scenario, with a column of losses an asset."""
        import polars as pl

        plain = ("name", "kind", "loss", "deepest", "first", "last", "covered")
        rows = {name: [getattr(one, name) for one in self.scenarios] for name in plain}
        parts = {name: [one.by_asset[place] for one in self.scenarios] for place, name in enumerate(self.assets)}
        texts = ("name", "kind", "first", "last")
        columns = rows | {f"loss of {asset}": values for asset, values in parts.items()}
        kinds = {name: pl.String if name in texts else pl.Float64 for name in columns}
        return pl.DataFrame(columns, schema_overrides=kinds)


def stress(
    weights: Weights | ArrayLike | None = None,
    *,
    positions: ArrayLike | None = None,
    assets: Sequence[str] | None = None,
    returns: ArrayLike | None = None,
    times: ArrayLike | None = None,
    episodes: Sequence[str | Episode] | None = None,
    worst: Sequence[int] | None = None,
    shocks: Sequence[Shock] = (),
    groups: Mapping[str, str] | None = None,
    betas: Mapping[str, ArrayLike] | None = None,
    factor_returns: Mapping[str, ArrayLike] | None = None,
) -> Stress:
    """What weights [A], or positions [A] in money (below zero: short), would lose in episodes, windows and shocks.

    From simple returns [T, A] with their times come the named `episodes` (all of `EPISODES` where none are named) and,
    for each length of `worst` (1, 5 and 21 where none is given), the worst so many bars in a row. What is held is not
    traded on the way. A missing return (NaN) counts as none, and lowers the covered share; an episode that the returns
    do not reach is in the notes alone. `shocks` reach assets by name, by `groups` (asset to group), or by the `betas`
    [A] of each factor, which are estimated from `factor_returns` [T] where these are given instead. `assets` may be
    left out with a `Weights`, or a table of returns that names them.

    >>> found = stress([0.6, 0.4], assets=("A", "B"), shocks=[Shock("fall of A", {"A": -0.5})])
    >>> found["fall of A"].loss, found["fall of A"].by_asset.tolist()
    (0.3, [0.3, 0.0])
    """
    names, holdings, unit = _read_holdings(weights, positions=positions, assets=assets, returns=returns)
    values, stamps = _read_history(returns, times=times, assets=names)
    scenarios: list[Scenario] = []
    notes: list[str] = []
    if values is not None:
        scenarios += _play_episodes(episodes, values, times=stamps, holdings=holdings, notes=notes)
        scenarios += _find_worst(worst, values, times=stamps, holdings=holdings)
        if np.isnan(values).any():
            notes.append(f"{int(np.isnan(values).sum())} missing returns count as zero")
    elif episodes:
        raise ConfigError("episodes are played on returns. Pass returns and their times.")
    world = _make_world(values, assets=names, groups=groups, betas=betas, factor_returns=factor_returns)
    for shock in shocks:
        parts = _lose(holdings, world.move(shock))
        scenarios.append(Scenario(shock.name, "shock", float(parts.sum()), parts))
    _refuse_twice([one.name for one in scenarios])
    if not scenarios:
        raise ConfigError("there is no scenario to play. Pass returns with their times, or shocks.")
    return Stress(names, holdings, unit, tuple(scenarios), tuple(notes))


def _read_holdings(
    weights: Weights | ArrayLike | None,
    *,
    positions: ArrayLike | None,
    assets: Sequence[str] | None,
    returns: ArrayLike | None,
) -> tuple[tuple[str, ...], FloatArray, Literal["fraction", "money"]]:
    if (weights is None) == (positions is None):
        raise ConfigError("pass weights or positions, one of them.")
    if assets is None:
        assets = weights.assets if isinstance(weights, Weights) else name_assets(returns, None)
    names = read_assets(assets, columns=len(assets))
    if weights is not None:
        return names, read_weights(weights, assets=names), "fraction"
    assert positions is not None, "one of them came"
    positions = align(positions, assets=names, noun="positions", missing=0.0)
    money = read_column(positions, noun="positions", advice="Give one amount an asset.")
    if money.shape != (len(names),) or not np.isfinite(money).all():
        raise AllocationError(f"positions are no {len(names)} finite amounts of money. Give one an asset.")
    return names, money, "money"


def _read_history(
    returns: ArrayLike | None, *, times: ArrayLike | None, assets: tuple[str, ...]
) -> tuple[FloatArray | None, TimeArray | None]:
    if returns is None:
        return None, None
    values = read_matrix(returns, noun="returns")
    read_assets(name_assets(returns, assets), columns=values.shape[1])
    stamps = None if times is None else read_times(times, rows=len(values))
    refuse_returns(values, assets=assets, times=stamps)
    return values, stamps


def _play_episodes(
    asked: Sequence[str | Episode] | None,
    values: FloatArray,
    *,
    times: TimeArray | None,
    holdings: FloatArray,
    notes: list[str],
) -> Iterator[Scenario]:
    if times is None:
        if asked:
            raise ConfigError("episodes are found by date. Pass the times of the returns.")
        notes.append("no episodes: the returns have no times")
        return
    out = []
    for one in sorted(_read_episodes(asked), key=lambda one: one.first):
        found = play_window(values, times, holdings=holdings, first=one.first, last=one.last)
        if found is None:
            out.append(one.name)
        else:
            yield _tell_window(one.name, found, kind="episode", times=times, covered=found.covered)
    if out:
        notes.append(f"the returns do not reach: {', '.join(out)}")


def _read_episodes(asked: Sequence[str | Episode] | None) -> list[Episode]:
    if asked is None:
        return list(EPISODES.values())
    found = []
    for one in asked:
        if isinstance(one, str) and one not in EPISODES:
            raise ConfigError(explain_unknown("episode", one, EPISODES))
        found.append(EPISODES[one] if isinstance(one, str) else one)
    return found


def _find_worst(
    lengths: Sequence[int] | None, values: FloatArray, *, times: TimeArray | None, holdings: FloatArray
) -> Iterator[Scenario]:
    for bars in [own for own in WORST if own <= len(values)] if lengths is None else lengths:
        check_whole("a length of worst", bars, most=len(values))
        found = worst_window(values, holdings=holdings, bars=bars)
        yield _tell_window(f"worst {bars} bars", found, kind="worst window", times=times, covered=None)


def _tell_window(name: str, found: Window, *, kind: Kind, times: TimeArray | None, covered: float | None) -> Scenario:
    first = name_time(times, row=found.start - 1) if found.start else "before the first row"
    return Scenario(
        name,
        kind,
        loss=float(found.losses.sum()),
        by_asset=found.losses,
        deepest=found.deepest,
        first=first,
        last=name_time(times, row=found.stop - 1),
        covered=covered,
    )


def _make_world(
    values: FloatArray | None,
    *,
    assets: tuple[str, ...],
    groups: Mapping[str, str] | None,
    betas: Mapping[str, ArrayLike] | None,
    factor_returns: Mapping[str, ArrayLike] | None,
) -> World:
    factors: tuple[str, ...] = ()
    found = None
    if betas is not None and factor_returns is not None:
        raise ConfigError("betas are given or estimated from factor_returns: pass one of them.")
    if betas is not None:
        factors, found = read_betas(betas, assets=assets)
    elif factor_returns is not None:
        if values is None:
            raise ConfigError("betas are estimated on returns. Pass returns beside factor_returns.")
        factors, found = fit_betas(factor_returns, values)
    return World(assets, groups or {}, factors, found, values)


def _lose(holdings: FloatArray, moves: FloatArray) -> FloatArray:
    return -holdings * moves + 0.0  # no minus zero


def _refuse_twice(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two scenarios are called {name!r}. Give each a name of its own.")
