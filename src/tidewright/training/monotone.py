"""Which features a spec's `monotone` holds to rise or to fall, by the names of the panel's columns."""

from __future__ import annotations

from tidewright.catalog import explain_unknown
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError
from tidewright.features.view import View
from tidewright.models.specs.tabular import Tabular
from tidewright.models.tree_inputs import TreeInputs


def place_monotone(spec: Tabular, inputs: TreeInputs, *, panel: Panel, view: View) -> dict[int, int]:
    """The places of features and their directions (1 or -1).

    A known column means its value at the step, whatever it is counted in; a past one its newest value; a static one its
    number. A feature's own name (lag1, season1, step) means that feature alone. Raises `ConfigError` for a column of
    text, and for a name that is none of these.
    """
    found: dict[int, int] = {}
    names = inputs.names
    sources = {name: [name] for name in names} | _find_sources(names, panel=panel, view=view)
    for column, direction in spec.monotone.items():
        if column not in sources:
            raise ConfigError(explain_unknown(f"column or feature of {spec.name}.monotone", column, sources))
        if not sources[column]:
            raise ConfigError(f"{spec.name}.monotone: '{column}' is text, which neither rises nor falls. Leave it out.")
        found |= {names.index(name): direction for name in sources[column]}
    return found


def _find_sources(names: tuple[str, ...], *, panel: Panel, view: View) -> dict[str, list[str]]:
    """The features that rise with each column."""
    roles, found = panel.roles, {}
    for place, column in enumerate(roles.known):
        own = (f"known{place}", f"known{place}_relative")
        found[column] = [name for name in names if name in own or name.startswith(f"known{place}_over_season")]
    for place, column in enumerate(roles.past):
        found[column] = [name for name in names if name in (f"past{place}", f"past{place}_relative")]
    place = 0
    for column, levels in view.static.columns:
        found[column] = [] if levels else [f"static{place}"]
        place += len(levels) or 1
    return found
