"""Forests over the usual features, from raw windows to quantiles in one compiled call.

What a window's answer costs elsewhere is mostly the making of its features, in dozens of small steps. Here they are
made and walked in one compiled pass, in the same order of sums as the model's, so that the answer has the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tidewright.data.frequency import Ints
from tidewright.features.statistics import read_statistics
from tidewright.features.windows import Singles
from tidewright.models.forest import Forest
from tidewright.models.formula import FOREST, READERS
from tidewright.models.packed_forest import pack
from tidewright.models.specs.tabular import LEVEL_UNITS, SEASON_UNITS, Tabular
from tidewright.models.tree_inputs import plan_groups
from tidewright.models.trees import CELLS, TreesFitted
from tidewright.registry.manifest import Manifest

FORESTS = tuple(name for name, reader in READERS.items() if reader == FOREST)
Call = Callable[[Mapping[str, Singles]], Singles]


def explain_unfit(manifest: Manifest) -> str:
    """Why a bundle's model can't be answered so; nothing where it can, but for intervals put around it later."""
    spec, view = manifest.spec, manifest.view
    if not isinstance(spec, Tabular) or spec.name not in FORESTS:
        return f"{spec.name} is no forest"
    reasons = {
        "tells classes apart": manifest.task.classifies,
        f"has the strategy {spec.strategy}": spec.strategy != "step",
        "sees the season before by ratios, around or align": bool(spec.ratios or spec.around or spec.align),
        "splits by sets of categories": bool(plan_groups(spec, view.static)),
        "sees covariates in units of the window": bool(view.relative),
        "sees logarithms": view.log is not None,
    }
    found = [reason for reason, true in reasons.items() if true]
    return f"{spec.name} {found[0]}, which the compiled walk does not know" if found else ""


def plan_answers(fitted: TreesFitted) -> Call:
    """What answers: checked inputs by name to quantiles [N, H, Q]. `explain_unfit` has nothing to say of the model."""
    from tidewright.inference.tree_rows_kernel import see, tell
    from tidewright.models.forest_kernel import walk_rows

    inputs, task, forest = fitted.inputs, fitted.task, fitted.formula
    assert isinstance(forest, Forest)
    codes, _ = read_statistics(inputs.statistics)
    plan = (_whole(inputs.lags), _whole(inputs.rolling), codes)
    seasons = (inputs.season, _whole(inputs.cycles))
    unit = (inputs.unit in LEVEL_UNITS, inputs.unit in SEASON_UNITS)
    walked, features = pack(forest), len(inputs.names)
    offsets = np.empty((0, 0)) if fitted.offsets is None else fitted.offsets
    horizon, width = task.horizon, task.width
    absent = {"past": (inputs.lookback, 0), "known": (inputs.lookback + horizon, 0), "static": (0,)}

    def fill(feed: tuple[Singles, ...], out: Singles) -> None:
        cells = len(out) * horizon
        seen, starts, scales = np.empty((cells, features), np.float32), np.empty(cells), np.empty(cells)
        see(feed, plan, seasons, unit, seen, starts, scales)
        sums = np.zeros((cells, 1 if len(offsets) else width))
        walk_rows(seen, *walked, sums)
        tell(sums, starts, scales, offsets, out)

    def call(feed: Mapping[str, Singles]) -> Singles:
        count = len(feed["target"])
        given = [feed[n] if n in feed else np.empty((count, *shape), np.float32) for n, shape in absent.items()]
        out = np.empty((count, horizon, width), np.float32)
        most = max(1, CELLS // horizon)
        for low in range(0, count, most):
            part = slice(low, low + most)
            fill((feed["target"][part], *(one[part] for one in given)), out[part])
        return out

    return call


def _whole(numbers: Sequence[int]) -> Ints:
    return np.array(numbers, dtype=np.int64)
