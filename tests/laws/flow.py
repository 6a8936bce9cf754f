"""One small world, every model of the catalog fitted on it once, and the same world with another future."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tests.worlds import answers_slowly, quick_options, small_table
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split, split_holdout
from tidewright.data.task import Task
from tidewright.features.windows import Windows, cut_windows
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.training.fit import fit, keep_covariates, view_of
from tidewright.training.spec import TrainSpec

TASK = Task(horizon=3)
NAMES = {"series": "shop", "time": "hour", "target": "sold", "past": "visits", "known": "price", "size": "area"}
SHORT = TrainSpec(epochs=1, steps=4, batch_size=32, seed=5)
QUICK: Mapping[str, Mapping[str, Any]] = {  # by the model
    "lightgbm": {"rounds": 8},
    "random_forest": {"trees": 3},
    "extra_trees": {"trees": 3},
    "svr": {"most_rows": 200},
}


def read(table: pl.DataFrame, names: Mapping[str, str] = NAMES) -> Panel:
    """The panel of a table whose columns are called so."""
    return Panel.from_table(
        table,
        series=names["series"],
        time=names["time"],
        target=names["target"],
        past=[names["past"]],
        known=[names["known"]],
        static=[names["size"]],
    )


@cache
def world() -> tuple[Panel, Split]:
    panel = read(small_table(series=3, rows=200))
    return panel, split_holdout(panel, TASK, stride=1)


def learn(name: str, panel: Panel) -> Fitted:
    """A model of the catalog after a short training on the world's split."""
    spec = build_spec(name, QUICK.get(name) or quick_options(name))
    _, split = world()
    kept = keep_covariates(panel, spec.takes)
    view = view_of(spec, panel=kept, split=split, task=TASK)
    return fit(spec, panel=kept, split=split, task=TASK, view=view, train=SHORT)


@cache
def fitted(name: str) -> Fitted:
    return learn(name, world()[0])


def windows_until(model: Fitted, panel: Panel, *, last: int, newest: int | None = None) -> Windows:
    """The windows of a model whose cutoff is not after `last`; with `newest`, of as many cutoffs only."""
    kept = keep_covariates(panel, model.spec.takes)
    first = panel.span[0]
    cutoffs = Cutoffs(first if newest is None else max(first + 4, last - newest + 1), last)
    return cut_windows(kept, model.view, horizon=TASK.horizon, cutoffs=cutoffs, labelled=False, least=4)


def answer(model: Fitted, panel: Panel, *, last: int) -> npt.NDArray[np.float64]:
    """The forecasts at `last` and at a few cutoffs before it; of earlier ones the windows tell."""
    newest = 1 if answers_slowly(model.spec.name) else 8
    return model.predict(windows_until(model, panel, last=last, newest=newest))


def cuts(name: str = "") -> list[int]:
    """24 random places in time, and 3 at each end of each part; every sixth for a model whose answers are fits."""
    panel, split = world()
    assert split.test is not None
    first, last = panel.span
    places = {int(place) for place in np.random.default_rng(0).choice(np.arange(first + 10, last), 24, replace=False)}
    ends = [end for part in (split.train, split.validation, split.test) for end in (part.first, part.last)]
    borders = {end + step for end in ends for step in (-1, 0, 1)}
    found = sorted(place for place in places | borders if first + 10 <= place < last)
    return found[::6] if answers_slowly(name) else found


@cache
def with_another_future(panel: Panel, *, cut: int, known_from: int | None = None) -> Panel:
    """The same panel with every target and past value after `cut` changed, and known ones after `known_from`."""
    later = panel.positions > cut
    beyond = panel.positions > (cut + TASK.horizon if known_from is None else known_from)
    target = np.where(later, -3.0 * panel.target + np.cos(panel.positions), panel.target)
    return read(
        panel.table.with_columns(
            pl.Series("sold", target).fill_nan(None),
            pl.Series("visits", np.where(later, 1e4 - panel.values("visits"), panel.values("visits"))).fill_nan(None),
            pl.Series("price", np.where(beyond, 99.0, panel.values("price"))),
        )
    )


def numbers(model: Fitted) -> dict[str, bytes]:
    """Every learned number of a model, as bytes."""
    return {name: tensor.tobytes() for name, tensor in model.tensors().items()}
