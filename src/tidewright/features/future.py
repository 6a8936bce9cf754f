"""Whether what must be known of the future is there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tidewright.data.panel import Panel
from tidewright.errors import DataError
from tidewright.features.windows import Windows


def check_known(panel: Panel, windows: Windows, *, columns: Sequence[str]) -> None:
    """Raises `DataError` unless every known column has a value at every step of every horizon."""
    steps = np.arange(1, windows.horizon + 1)
    rows = windows.rows[:, None] + steps
    inside = rows < windows.offsets[windows.series + 1][:, None]
    for name in columns:
        values = panel.values(name)[np.minimum(rows, len(panel.table) - 1)]
        missing = np.isnan(values) | ~inside
        if missing.any():
            window, step = (int(place[0]) for place in np.nonzero(missing))
            series = panel.series_ids[int(windows.series[window])]
            time = panel.time_at(int(windows.cutoffs[window] + steps[step]))
            raise DataError(
                f"the known column '{name}' has no value for series {series!r} at {time} "
                f"({int(missing.sum())} such steps): the model needs it over all {windows.horizon} steps ahead. Add "
                "rows with its future values; their target stays empty."
            )
