"""`Schema`: the columns and the grid that something was learned on, and a panel read by them: names, never places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import Frequency
from tidewright.data.panel import Panel, Roles
from tidewright.data.regrid import regrid
from tidewright.data.task import Label
from tidewright.errors import ColumnError, FrequencyError


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns that a forecast needs: their roles and types, and the grid of their times.

    `types` holds the polars type of each column; `local` is true for wall times of a zone. Positions count from the
    frequency's anchor. `kinds` are the covariates (past, known, static) of which all were looked at: a further column
    of these is an error, one of another kind is left out. `classes` are the target's, where it holds classes.
    """

    roles: Roles
    types: Mapping[str, str]
    frequency: Frequency
    local: bool = False
    kinds: tuple[str, ...] = ()
    classes: tuple[Label, ...] = ()


def describe_panel(panel: Panel, roles: Roles, *, kinds: tuple[str, ...] = ()) -> Schema:
    """The schema of some of a panel's columns."""
    types = {column: str(panel.table[column].dtype) for column in roles.columns}
    types[roles.time] = str(panel.time_dtype)
    return Schema(roles, types, panel.frequency, panel.local, kinds, panel.classes)


def align(panel: Panel, schema: Schema) -> Panel:
    """The panel with the schema's columns, by name and in its order; its positions stay.

    A column that is missing, renamed, additional, in another role or of another type raises `ColumnError` with the near
    miss, another frequency `FrequencyError`. Classes count as they did in training, whichever of them the panel holds.
    """
    _check_roles(panel, schema.roles)
    _check_additional(panel, schema)
    _check_types(panel, schema)
    _check_classes(panel, schema)
    if panel.frequency != schema.frequency:
        regrid(panel, schema.frequency)
    if panel.roles == schema.roles and panel.classes == schema.classes:
        return panel
    return replace(panel, roles=schema.roles, classes=schema.classes)


def _check_roles(panel: Panel, wanted: Roles) -> None:
    """Every column is there, in the role that it had."""
    for role in ("series", "time", "target", "past", "known", "static"):
        have, need = _names(panel.roles, role), _names(wanted, role)
        for name in need:
            if name not in panel.table.columns:
                missing = explain_unknown("column", name, panel.table.columns)
                raise ColumnError(f"the {role} column '{name}' of training is not in this panel: {missing}")
            if name not in have:
                raise ColumnError(
                    f"column '{name}' was {role} in training, and is {_role(panel.roles, name)} in this panel. Give it "
                    "that role."
                )
        if role == "series" and have and not need:
            raise ColumnError(
                "the model learned from a table of one series, without a series column; this panel has "
                f"'{have[0]}'. Forecast each series as a table of its own."
            )


def _check_additional(panel: Panel, schema: Schema) -> None:
    """No column has a role that the model would look at, had it been there in training."""
    for kind in schema.kinds:
        had = _names(schema.roles, kind)
        for name in _names(panel.roles, kind):
            if name not in had:
                raise ColumnError(
                    f"the {kind} column '{name}' was not there in training, which had the {kind} columns "
                    f"{', '.join(had) or 'none'}. Leave it without a role, or learn from it."
                )


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
            f"the times in '{schema.roles.time}' were {schema.types.get(schema.roles.time)} in training and are "
            f"{panel.time_dtype} now{' at local clock times' if panel.local else ''}. Bring them in the same form."
        )


def _check_classes(panel: Panel, schema: Schema) -> None:
    """A target of classes stays one, and holds none that training had not."""
    if bool(panel.classes) != bool(schema.classes):
        had, has = ("classes", "numbers") if schema.classes else ("numbers", "classes")
        raise ColumnError(
            f"the target '{schema.roles.target}' held {had} in training and holds {has} in this panel. Read it with "
            f"classes={bool(schema.classes)}."
        )
    strange = [name for name in panel.classes if name not in schema.classes]
    if strange:
        raise ColumnError(
            f"the class {strange[0]!r} of '{schema.roles.target}' was not there in training, which had "
            f"{', '.join(map(repr, schema.classes))}. Put it into one of these, leave it empty, or learn again with it."
        )


def _names(roles: Roles, role: str) -> tuple[str, ...]:
    value = getattr(roles, role)
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _role(roles: Roles, name: str) -> str:
    """A column's role in words."""
    found = [role for role in ("series", "time", "target", "past", "known", "static") if name in _names(roles, role)]
    return found[0] if found else "without a role"
