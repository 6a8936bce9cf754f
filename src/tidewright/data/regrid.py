"""`regrid`: a panel whose positions are counted as on another panel's grid."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from tidewright.data.frequency import Frequency
from tidewright.data.panel import Panel
from tidewright.errors import FrequencyError


def regrid(panel: Panel, frequency: Frequency) -> Panel:
    """The same panel with its positions counted from the anchor of `frequency`, the grid that something was learned on.

    Raises `FrequencyError` where the panel has another grid.
    """
    now, then = panel.frequency, frequency
    if (now.unit, now.count, now.calendar) != (then.unit, then.count, then.calendar):
        raise FrequencyError(
            f"the model learned from data of the frequency {then.name}; this panel has {now.name}. Bring data of "
            f"{then.name}, or train on {now.name}."
        )
    positions, fits = then.locate(now.times(panel.positions))
    if not fits.all():
        row = int((~fits).argmax())
        raise FrequencyError(
            f"{panel.place(row)} does not lie on the grid that the model learned on: {then.name} through "
            f"{pl.Series(then.times(positions[row : row + 1])).cast(pl.Datetime('us'))[0]}. Shift the times "
            "to that grid."
        )
    return replace(panel, frequency=then, positions=positions)
