"""A column of classes: read at the border, and as the numbers 0 to K - 1 that models compute with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.columns import ABSENT
from tidewright.data.panel import Repair
from tidewright.data.task import Label
from tidewright.data.times import Announce
from tidewright.errors import ColumnError, DataError

MOST_CLASSES = 32  # more are names of things, or numbers, and no model here tells them apart


def clean_classes(table: pl.DataFrame, name: str, *, announce: Announce) -> pl.Series:
    """One column as classes: text, whole numbers or booleans; null where none is named."""
    values = table[name].rechunk()
    if isinstance(values.dtype, (pl.Categorical, pl.Enum)):
        values = values.cast(pl.String)
    if values.dtype.is_float():
        values = values.fill_nan(None)
        if not bool((values.drop_nulls() % 1 == 0).all()):
            raise ColumnError(
                f"column '{name}' holds fractions, and classes are text, whole numbers or booleans. Forecast it as a "
                "number (leave classes out), or cut it into classes."
            )
    if values.dtype.is_numeric():
        return values.cast(pl.Int64)
    if values.dtype == pl.String:
        return _drop_absent(values, name, announce)
    if values.dtype in (pl.Boolean, pl.Null):
        return values
    raise ColumnError(f"column '{name}' holds {values.dtype}; classes are text, whole numbers or booleans. Cast it.")


def find_classes(column: pl.Series) -> tuple[Label, ...]:
    """The classes of a clean column, ascending. Raises `DataError` where there are more than 32."""
    found = column.drop_nulls().unique().sort().to_list()
    if len(found) > MOST_CLASSES:
        shown = ", ".join(str(one) for one in found[:5])
        raise DataError(
            f"'{column.name}' holds {len(found)} classes ({shown} ...), and {MOST_CLASSES} are the most. Put rare ones "
            "together, or, where it is a number, forecast it (leave classes out)."
        )
    return tuple(found)


def number_classes(column: pl.Series, classes: Sequence[Label]) -> npt.NDArray[np.float64]:
    """The place of each value among the classes; NaN where it is missing."""
    places = column.replace_strict(list(classes), range(len(classes)), return_dtype=pl.Float64)
    return places.fill_null(float("nan")).to_numpy(writable=True)


def _drop_absent(values: pl.Series, name: str, announce: Announce) -> pl.Series:
    """Text that names no class made null; where that is more than an empty cell, it is told."""
    text = values.str.strip_chars()
    absent = text.is_in(ABSENT).fill_null(value=False)
    words = sorted(set(text.filter(absent).to_list()) - {""})
    if words:
        announce(Repair("missing classes", int(absent.sum()), f"{', '.join(words)} in '{name}' was read as no class"))
    return text.set(absent, None)
