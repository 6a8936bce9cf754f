"""Names that come with the caller's own tables: columns of a frame, labels of a series or a mapping. A assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import AllocationError


def name_assets(table: object, assets: Sequence[str] | None, *, noun: str = "returns") -> tuple[str, ...]:
    """The assets' names: those given, or the columns of a pandas or polars table, which may not say otherwise.

    A column that is called like an asset must stand where that asset does, or the figures of one would go by the name
    of another; columns with names of no asset are taken in their order.

    >>> name_assets([[0.1, 0.2]], ["A", "B"])
    ('A', 'B')
    """
    columns = _columns_of(table)
    if assets is None:
        if columns is None:
            raise AllocationError(
                f"{noun} came without names. Pass assets=, one name a column in the columns' order, or a pandas or "
                "polars table whose columns are the assets."
            )
        return columns
    names = check_names(assets)
    places = {name: place for place, name in enumerate(columns or ())}
    for place, name in enumerate(names):
        if places.get(name, place) != place:
            raise AllocationError(
                f"the table of {noun} has {name!r} as column {places[name]}, and assets name it as column {place}: "
                "figures would go by another's name. Select the columns first (table[list(assets)]), or leave assets "
                "out."
            )
    return names


def check_dates(table: object, *, times: NDArray[np.datetime64], noun: str) -> None:
    """Refuses a pandas table that is indexed by other dates than the times its rows are taken for."""
    index = getattr(table, "index", None)
    if getattr(getattr(index, "dtype", None), "kind", "") != "M":
        return
    own = np.asarray(index, dtype="datetime64[ns]")
    if own.shape != times.shape:  # whoever reads the numbers tells of that
        return
    other = np.flatnonzero(own != times.astype("datetime64[ns]"))
    if other.size:
        row = int(other[0])
        raise AllocationError(
            f"row {row} of the {noun} is indexed by {own[row].astype('datetime64[s]')} and its time is "
            f"{times[row].astype('datetime64[s]')} ({other.size} such rows). Bring rows and times of the same dates."
        )


def check_names(assets: Sequence[str]) -> tuple[str, ...]:
    """Names as a tuple; a single text, which is a row of letters, and what is no text are refused."""
    if isinstance(assets, str):
        raise AllocationError(
            f"assets is one text, {assets!r}; it is a list of names. Pass [{assets!r}] for one asset."
        )
    names = tuple(assets)
    for place, name in enumerate(names):
        if not isinstance(name, str):
            raise AllocationError(
                f"asset {place} is named {name!r}, of type {type(name).__name__}; names are text. Pass "
                "[str(name) for name in assets]."
            )
    return names


def align(values: object, *, assets: Sequence[str], noun: str, missing: float | None = None) -> ArrayLike:
    """Numbers in the assets' order, of a mapping or a series with names; anything else comes back as it is.

    An asset without a number has `missing`, or is an AllocationError where that is None; a name that is no asset's is
    one always.

    >>> align({"B": 2.0, "A": 1.0}, assets=("A", "B"), noun="weights").tolist()
    [1.0, 2.0]
    """
    table = as_mapping(values)
    if not isinstance(table, Mapping):
        return table  # type: ignore[return-value]  # whoever reads it checks what it is
    strange = [name for name in table if name not in assets]
    if strange:
        raise AllocationError(f"{noun} name {strange[0]!r}, which is not among the assets. Leave it out, or add it.")
    lacking = [name for name in assets if name not in table]
    if lacking and missing is None:
        raise AllocationError(f"{noun} have nothing for {lacking[0]!r} ({len(lacking)} such). Give one an asset.")
    try:
        found: NDArray[np.float64] = np.array([table.get(name, missing) for name in assets], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise AllocationError(f"{noun} hold something that is no number ({error}). Bring numbers only.") from error
    return found


def as_mapping(values: object) -> object:
    """A pandas series whose labels are text as a mapping; anything else as it is."""
    labels = getattr(values, "index", None)
    if labels is None or callable(labels) or np.ndim(values) != 1:  # type: ignore[arg-type]  # a list has the method
        return values
    names = tuple(labels)
    if not names or not all(isinstance(name, str) for name in names):
        return values
    if len(set(names)) < len(names):
        doubled = next(name for name in names if names.count(name) > 1)
        raise AllocationError(f"{doubled!r} has more than one number. Keep one an asset.")
    return dict(zip(names, np.asarray(values).tolist(), strict=True))


def _columns_of(table: object) -> tuple[str, ...] | None:
    """The columns' names where all are text: numbers are what a table has that was given none."""
    columns = getattr(table, "columns", None)
    if columns is None or callable(columns):
        return None
    names = tuple(columns)
    return names if names and all(isinstance(name, str) for name in names) else None
