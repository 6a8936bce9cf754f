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
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, check_grid
from tidewright.errors import DataError
from tidewright.features.future import check_known
from tidewright.features.windows import Singles, Windows, cut_windows, make_windows
from tidewright.inference.session import Prediction
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
    session: Answers, table: Any, *, manifest: Manifest, cutoffs: Cutoffs | None, numbers: int = 1
) -> Forecast:
    """The forecast of a table or a Panel; see `Session.forecast`. `cutoffs` are positions of the Panel that
    was given, `numbers` are those that the model's graph computes for a window, at most.
    """
    horizon = manifest.task.horizon
    panel = session.read(table)
    extended = panel.extend(horizon)
    if cutoffs is None:
        windows = make_windows(extended, manifest.view, horizon=horizon, rows=None)
    else:
        moved = _move(cutoffs, given=table, panel=panel)
        windows = cut_windows(extended, manifest.view, horizon=horizon, cutoffs=moved, labelled=False, least=1)
    check_known(extended, windows, columns=manifest.schema.roles.known)
    values = answer_windows(session, windows, names=manifest.widths.inputs, numbers=numbers)
    task, name = manifest.task, manifest.name
    return tabulate(extended, values, rows=windows.rows, levels=task.quantiles, classes=task.classes, model=name)


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
