"""New columns of a panel, each with its role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.panel import Panel
from tidewright.errors import ColumnError

Doubles = npt.NDArray[np.float64]


def add_columns(
    panel: Panel, columns: Mapping[str, Doubles], *, role: Literal["past", "known"], reach: int | None = None
) -> Panel:
    """The panel with further columns, each a value a row [T], NaN where it is missing.

    Known columns that are made of the past are so for `reach` steps only (default: for any number). Raises
    `ColumnError` where the panel has a column of such a name.
    """
    for name in columns:
        if name in panel.table.columns:
            raise ColumnError(f"the panel would have two columns '{name}'. Rename the one it has, or name the new one.")
    made = [pl.Series(name, values, nan_to_null=True) for name, values in columns.items()]
    roles = panel.roles
    if role == "past":
        roles = replace(roles, past=(*roles.past, *columns))
    else:
        roles = replace(roles, known=(*roles.known, *columns))
    reaches = panel.reach if reach is None else {**panel.reach, **dict.fromkeys(columns, reach)}
    return replace(panel, table=panel.table.with_columns(made), roles=roles, reach=reaches)


def pair_columns(names: Sequence[str], columns: Iterable[Doubles]) -> dict[str, Doubles]:
    """Each column under its name; raises `ColumnError` where a name comes twice."""
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ColumnError(f"the panel would have two columns '{name}'. Ask for each once.")
    return dict(zip(names, columns, strict=True))


def role_of(panel: Panel, column: str) -> Literal["past", "known"]:
    """The role of what is worked out from a column: known where the column is, else past."""
    return "known" if column in panel.roles.known else "past"
