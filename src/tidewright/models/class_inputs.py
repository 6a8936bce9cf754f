"""What trees see of a target of classes: which class a row had, and the share of each among the newest rows.

Classes are counted from 0 to K - 1; NaN is none. A class is told by a column of ones and zeros, NaN where the row has
none, so that their order says nothing; of two classes one column tells both. N windows, C cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidewright.features.lags import lag_columns, rolling_columns
from tidewright.features.windows import Windows

Doubles = npt.NDArray[np.float64]


def told_classes(count: int) -> tuple[int, ...]:
    """The classes that have a column; of a number (0 classes) there is one, the number itself.

    >>> told_classes(3), told_classes(2), told_classes(0)
    ((0, 1, 2), (1,), (0,))
    """
    return tuple(range(count)) if count > 2 else (1,) if count else (0,)


def class_names(names: Sequence[str], count: int) -> list[str]:
    """The names of columns that are each told by classes; as they are for a number.

    >>> class_names(["lag1", "lag2"], 2), class_names(["lag1"], 3)
    (['lag1_is1', 'lag2_is1'], ['lag1_is0', 'lag1_is1', 'lag1_is2'])
    """
    return [f"{name}_is{label}" for name in names for label in told_classes(count)] if count else list(names)


def seen_classes(values: Doubles, count: int) -> Doubles:
    """Columns [C, A] of classes as columns [C, A * k] of ones and zeros, those of a column side by side."""
    told = np.array(told_classes(count), dtype=np.float64)
    found = np.where(np.isnan(values)[:, :, None], np.nan, values[:, :, None] == told)
    return np.asarray(found.reshape(len(values), -1))


def window_classes(
    flat: Doubles, windows: Windows, lags: Sequence[int], rolling: Sequence[int], *, count: int
) -> list[Doubles]:
    """Of each window the classes at the lags, and their shares among the newest rows of the rolling lengths [N, .]."""
    rows, offsets = windows.rows, windows.offsets
    found = lag_columns(flat, offsets, [lag - 1 for lag in lags], rows=rows)
    parts = [
        rolling_columns(np.where(np.isnan(flat), np.nan, flat == label), offsets, rolling, ["mean"], rows=rows)
        for label in told_classes(count)
    ]
    return [seen_classes(found, count), np.stack(parts, axis=2).reshape(len(rows), -1)]
