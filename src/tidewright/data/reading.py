"""A table or a Panel as the Panel that a model needs: columns by name, times on the grid that it learned on."""

from __future__ import annotations

from typing import Any

from tidewright.data.panel import Panel
from tidewright.data.regrid import regrid
from tidewright.data.schema import Schema, align


def read_panel(table: Any, schema: Schema) -> Panel:
    """The Panel of a table, a path or a Panel, with the schema's roles and grid; other columns are left out.

    What raises is told in `align`; so does a column of a Panel that has a role and was not there in training.
    """
    panel = table if isinstance(table, Panel) else _read_table(table, schema)
    return regrid(align(panel, schema), schema.frequency)


def _read_table(table: Any, schema: Schema) -> Panel:
    roles, grid = schema.roles, schema.frequency
    return Panel.from_table(
        table,
        time=roles.time,
        target=roles.target,
        series=roles.series,
        past=roles.past,
        known=roles.known,
        static=roles.static,
        frequency=None if grid.unit == "session" else grid.name,
        calendar=grid.calendar,
        classes=bool(schema.classes),
    )
