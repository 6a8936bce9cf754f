"""New columns of a panel, each with its role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.panel import Panel
from tidewright.errors import ColumnError

Doubles = npt.NDArray[np.float64]


def add_columns(panel: Panel, columns: Mapping[str, Doubles], *, role: Literal["past", "known"]) -> Panel:
    """The panel with further columns, each a value a row [T], NaN where it is missing.

    Raises `ColumnError` where the panel has a column of such a name.
    """
    for name in columns:
        if name in panel.table.columns:
            raise ColumnError(f"the panel would have two columns '{name}'. Rename the one it has, or name the new one.")
    made = [pl.Series(name, values).fill_nan(None) for name, values in columns.items()]
    roles = panel.roles
    if role == "past":
        roles = replace(roles, past=(*roles.past, *columns))
    else:
        roles = replace(roles, known=(*roles.known, *columns))
    return replace(panel, table=panel.table.with_columns(made), roles=roles)
