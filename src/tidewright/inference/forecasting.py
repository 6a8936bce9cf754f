"""From a panel to a forecast: the windows cut, the known future checked, the answers put beside their times.

N windows, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tidewright.checks import check_kind
from tidewright.data.forecast import Forecast, tabulate
from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, check_grid
from tidewright.errors import ConfigError, DataError
from tidewright.features.future import check_known
from tidewright.features.windows import Singles, Windows, cut_windows, make_windows
from tidewright.inference.session import Own, Prediction
from tidewright.registry.manifest import Manifest

CELLS = 1 << 20  # input numbers of one answer: bounds its memory
ROOM = 1 << 27  # numbers that its graph computes meanwhile: likewise
FEWEST = 64  # windows of one answer, for those numbers are an upper bound


class Answers(Protocol):
    """What gives the answers to windows."""

    def predict(self, x: Mapping[str, npt.NDArray[Any]], /) -> Prediction:
        """See `Session.predict`."""
        ...

    def read(self, table: Any, /) -> Panel:
        """See `Session.read`."""
        ...


def forecast_panel(
    session: Answers,
    table: Any,
    *,
    manifest: Manifest,
    cutoffs: Cutoffs | None,
    lookback: int | Own | None = None,
    numbers: int = 1,
) -> Forecast:
    """The forecast of a table or a Panel; see `Session.forecast`. `cutoffs` are positions of the Panel that
    was given, `numbers` are those that the model's graph computes for a window, at most.
    """
    check_lookback(lookback, manifest)
    horizon = manifest.task.horizon
    panel = session.read(table)
    extended = panel.extend(horizon)
    if cutoffs is None:
        windows = make_windows(extended, manifest.view, horizon=horizon, rows=None)
    else:
        moved = _move(cutoffs, given=table, panel=panel)
        windows = cut_windows(extended, manifest.view, horizon=horizon, cutoffs=moved, labelled=False, least=1)
    check_known(extended, windows, columns=manifest.schema.roles.known)
    steps = find_steps(windows, lookback, manifest=manifest)
    values = _answer_by_length(session, windows, steps, names=manifest.widths.inputs, numbers=numbers)
    task, name = manifest.task, manifest.name
    told = tabulate(extended, values, rows=windows.rows, levels=task.quantiles, classes=task.classes, model=name)
    return replace(told, notes=_note(steps, manifest))


def check_lookback(lookback: Any, manifest: Manifest) -> None:
    """Raises `ConfigError` for a number of steps that the bundle's windows can't have."""
    own = manifest.view.lookback
    if lookback in (None, own) or (manifest.lengths and (lookback == "own" or _is_length(lookback, manifest))):
        return
    if manifest.lengths is None:
        raise ConfigError(
            f"lookback={lookback!r}: '{manifest.name}' answers windows of the {own} steps that it learned from alone. "
            "Leave it out; a shorter history is padded. Networks without weights that belong to a step allow other "
            "lengths, if they are saved so: tw.save_bundle(model, ..., lengths=(shortest, longest))."
        )
    shortest, longest = manifest.lengths
    raise ConfigError(
        f"lookback is 'own' or a number of steps from {shortest} to {longest} for '{manifest.name}'; got {lookback!r}."
    )


def _is_length(lookback: Any, manifest: Manifest) -> bool:
    return type(lookback) is int and manifest.takes(lookback)


def find_steps(windows: Windows, lookback: int | Own | None, *, manifest: Manifest) -> Ints:
    """How many steps each window has [N]: those asked for, or of its series' own history."""
    learned = manifest.view.lookback
    if lookback != "own":
        return np.full(len(windows), lookback or learned, dtype=np.int64)
    shortest = learned if manifest.lengths is None else manifest.lengths[0]
    seen = windows.rows + 1 - windows.offsets[windows.series]
    found: Ints = np.clip(seen, shortest, learned)
    return found


def _answer_by_length(
    session: Answers, windows: Windows, steps: Ints, *, names: tuple[str, ...], numbers: int
) -> Singles:
    lengths = np.unique(steps)
    if len(lengths) == 1:
        return answer_windows(session, replace(windows, lookback=int(lengths[0])), names=names, numbers=numbers)
    values: Any = None
    for length in lengths:
        places = np.flatnonzero(steps == length)
        part = replace(windows.subset(places), lookback=int(length))
        said = answer_windows(session, part, names=names, numbers=numbers)
        values = np.empty((len(windows), *said.shape[1:]), np.float32) if values is None else values
        values[places] = said
    return np.asarray(values)


def _note(steps: Ints, manifest: Manifest) -> tuple[str, ...]:
    """What is to be said of windows of other lengths than the model learned from."""
    learned = manifest.view.lookback
    other = steps[steps != learned]
    if not len(other):
        return ()
    low, high = int(other.min()), int(other.max())
    told = f"{low}" if low == high else f"{low} to {high}"
    return (
        f"{len(other)} of {len(steps)} windows have {told} steps; the model learned from {learned}, and how good it is "
        "was measured at these alone",
    )


def _move(cutoffs: Cutoffs, *, given: Any, panel: Panel) -> Cutoffs:
    """The same cutoffs, counted from the anchor of the model's grid. Raises `FrequencyError` as `check_grid` does."""
    if not isinstance(given, Panel):
        raise DataError("cutoffs are positions of a Panel. Make one with session.read(table) and give that.")
    check_kind("cutoffs", cutoffs, kind=Cutoffs, advice="Take a part of a split, such as split.test.")
    check_grid(cutoffs, given)
    shift = int(panel.positions[0] - given.positions[0])
    return replace(cutoffs, first=cutoffs.first + shift, last=cutoffs.last + shift, grid=panel.frequency)


def answer_windows(session: Answers, windows: Windows, *, names: tuple[str, ...], numbers: int) -> Singles:
    """The quantiles [N, H, Q] of every window, some at a time."""
    widths = 1 + windows.past.shape[1] + windows.known.shape[1]
    most = CELLS // ((windows.lookback + windows.horizon) * widths)
    size = max(1, min(most, max(FEWEST, ROOM // numbers)))
    parts = []
    for start in range(0, len(windows), size):
        batch = windows.batch(slice(start, start + size))
        parts.append(session.predict({name: getattr(batch, name) for name in names}).quantiles)
    return np.concatenate(parts)
