"""What-ifs: moves of assets, groups or factors, and all assets down together. A assets, F factors, T bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from tidewright.catalog import explain_unknown
from tidewright.checks import check_real
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio.inputs import FloatArray, read_assets, read_matrix
from tidewright.portfolio.labels import align

Of = Literal["assets", "groups", "factors", "correlation one"]


@dataclass(frozen=True, slots=True)
class Shock:
    """One what-if: `moves` are simple returns (-0.3: a fall by 30 %) of assets, of groups, or of factors.

    Assets and groups that it does not name stay. A factor's move reaches each asset by its beta. Of "correlation one"
    has no moves: all assets fall at once by `deviations` of their own standard deviations, over `bars` bars.

    >>> Shock("oil", {"Energy": -0.3}, of="groups").moves["Energy"]
    -0.3
    """

    name: str
    moves: Mapping[str, float] = field(default_factory=dict)
    of: Of = "assets"
    deviations: float = 3.0
    bars: int = 1

    def __post_init__(self) -> None:
        if self.of not in get_args(Of):
            raise ConfigError(explain_unknown("kind of shock", self.of, get_args(Of)))
        together = self.of == "correlation one"
        if together == bool(self.moves):
            words = "has no moves: give deviations" if together else "needs moves, such as {'name': -0.3}"
            raise ConfigError(f"the shock {self.name!r} of {self.of} {words}.")
        check_real("deviations", self.deviations, words="a number above 0", low=0.0, open_low=True)
        check_real("bars", self.bars, words="a number of bars, 1 or more", low=1.0)
        if not isinstance(self.moves, Mapping):
            raise ConfigError(f"moves are a mapping of names to returns, such as {{'XOM': -0.3}}; got {self.moves!r}.")
        for name, move in self.moves.items():
            check_real(f"the move of {name!r}", move, words="a finite return of at least -1", low=-1.0)
        object.__setattr__(self, "moves", MappingProxyType(dict(self.moves)))


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What shocks reach assets by: `groups` asset to group, `betas` [A, F] of `factors`, past `returns`."""

    assets: tuple[str, ...]
    groups: Mapping[str, str]
    factors: tuple[str, ...]
    betas: FloatArray | None
    returns: FloatArray | None

    def move(self, shock: Shock) -> FloatArray:
        """The simple return [A] of each asset."""
        if shock.of == "correlation one":
            return np.maximum(-shock.deviations * math.sqrt(shock.bars) * self._deviations(shock), -1.0)
        if shock.of == "factors":
            return self._by_betas(shock)
        own = self.assets if shock.of == "assets" else tuple(self._group_of(name) for name in self.assets)
        _refuse_unknown(shock, known=own, noun=shock.of[:-1])
        return np.array([shock.moves.get(name, 0.0) for name in own])

    def _deviations(self, shock: Shock) -> FloatArray:
        if self.returns is None:
            raise AllocationError(f"the shock {shock.name!r} needs the assets' deviations. Pass returns.")
        few = np.flatnonzero(np.isfinite(self.returns).sum(axis=0) < 2)
        if few.size:
            raise AllocationError(
                f"{self.assets[int(few[0])]!r} has fewer than 2 returns, so no deviation. Bring more."
            )
        return np.asarray(np.nanstd(self.returns, axis=0, ddof=1))

    def _by_betas(self, shock: Shock) -> FloatArray:
        if self.betas is None:
            raise AllocationError(
                f"the shock {shock.name!r} of factors needs betas. Pass betas={{factor: [A]}}, or returns and "
                "factor_returns={factor: [T]} to estimate them."
            )
        _refuse_unknown(shock, known=self.factors, noun="factor")
        moves = np.array([shock.moves.get(name, 0.0) for name in self.factors])
        return np.asarray(np.maximum(self.betas @ moves, -1.0))

    def _group_of(self, asset: str) -> str:
        if asset not in self.groups:
            raise AllocationError(f"the asset {asset!r} has no group. Pass groups={{asset: group}} for every asset.")
        return self.groups[asset]


def read_betas(betas: Mapping[str, ArrayLike], *, assets: tuple[str, ...]) -> tuple[tuple[str, ...], FloatArray]:
    """Factor names and betas [A, F] from one array [A] a factor."""
    columns = {
        name: np.asarray(align(values, assets=assets, noun=f"betas of {name!r}"), dtype=np.float64)
        for name, values in betas.items()
    }
    for name, values in columns.items():
        if values.shape != (len(assets),) or not np.isfinite(values).all():
            raise AllocationError(f"the betas of {name!r} are no {len(assets)} finite numbers. Give one an asset.")
    return tuple(columns), np.column_stack(list(columns.values()))


def fit_betas(factor_returns: Mapping[str, ArrayLike], returns: FloatArray) -> tuple[tuple[str, ...], FloatArray]:
    """Betas [A, F] of returns [T, A] by least squares with a constant, on the bars that have all of them."""
    names: Sequence[str] = tuple(factor_returns)
    columns = [np.asarray(values, dtype=np.float64) for values in factor_returns.values()]
    for name, values in zip(names, columns, strict=True):
        if values.shape != (len(returns),):
            raise AllocationError(
                f"the factor {name!r} has returns of shape {values.shape}, the assets {len(returns)} rows. Align them."
            )
    factors = read_matrix(np.column_stack(columns), noun="factor returns")
    read_assets(names, columns=factors.shape[1])
    whole = np.isfinite(factors).all(axis=1) & np.isfinite(returns).all(axis=1)
    if whole.sum() < 3 * (factors.shape[1] + 1):
        raise AllocationError(
            f"{int(whole.sum())} bars have the returns of all assets and factors: too few for betas. Pass "
            "betas instead."
        )
    design = np.column_stack([np.ones(int(whole.sum())), factors[whole]])
    found, _, rank, _ = np.linalg.lstsq(design, returns[whole], rcond=None)
    if rank < design.shape[1]:
        raise AllocationError(f"the factors {', '.join(names)} are copies of one another. Leave some out.")
    return tuple(names), np.ascontiguousarray(found[1:].T)


def _refuse_unknown(shock: Shock, *, known: Sequence[str], noun: str) -> None:
    for name in shock.moves:
        if name not in known:
            said = explain_unknown(noun, name, set(known))
            raise AllocationError(f"the shock {shock.name!r}: {said}")
