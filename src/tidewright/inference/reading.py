"""A table or a Panel as the Panel that a model needs: columns by name, times on the grid that it learned "
"on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.data.panel import Panel, Roles
from tidewright.data.regrid import regrid
from tidewright.errors import ColumnError, FrequencyError
from tidewright.registry.manifest import Schema


def read_panel(table: Any, schema: Schema) -> Panel:
    """The Panel of a table, a path or a Panel, with the schema's roles and grid; other columns are left out.

    A missing or renamed column raises `ColumnError` with the near miss, another frequency `FrequencyError`.
    """
    panel = table if isinstance(table, Panel) else _read_table(table, schema)
    _check_roles(panel, schema.roles)
    _check_types(panel, schema)
    return regrid(replace(panel, roles=schema.roles), schema.frequency)


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
    )


def _check_roles(panel: Panel, wanted: Roles) -> None:
    """Every column that the model needs is there, in the role that it had."""
    for role in ("series", "time", "target", "past", "known", "static"):
        have, need = _names(panel.roles, role), _names(wanted, role)
        for name in need:
            if name not in panel.table.columns:
                raise ColumnError(explain_unknown("column", name, panel.table.columns))
            if name not in have:
                raise ColumnError(
                    f"column '{name}' was {role} in training, and has another role in this panel. Give it that role."
                )
        if role == "series" and have and not need:
            raise ColumnError(
                f"the model learned from a table of one series, without a series column; this panel has "
                f"'{have[0]}'. "
                "Forecast each series as a table of its own."
            )


def _names(roles: Roles, role: str) -> tuple[str, ...]:
    value = getattr(roles, role)
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _check_types(panel: Panel, schema: Schema) -> None:
    """Text stays text and numbers numbers; times have a zone where they had one."""
    for name in schema.roles.static:
        now, then = str(panel.table[name].dtype), schema.types.get(name, "")
        if (now == "String") != (then == "String"):
            raise ColumnError(f"static column '{name}' was {then} in training and is {now} now. Convert it.")
    zone = getattr(panel.time_dtype, "time_zone", None)
    zoned = "time_zone='" in schema.types.get(schema.roles.time, "")
    if (zone is not None) != zoned or panel.local != schema.local:
        raise FrequencyError(
            f"the times in '{schema.roles.time}' were {schema.types.get(schema.roles.time)} in training and "
            "are "
            f"{panel.time_dtype} now{' at local clock times' if panel.local else ''}. Bring them in the "
            "same form."
        )
