"""`EachFitted`: a model for each series that has one of its own, and one for all the others.

N windows, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tidewright.data.forecast import Forecast
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.errors import ConfigError
from tidewright.features.view import View
from tidewright.features.windows import cut_windows
from tidewright.models.fitted import Fitted
from tidewright.training.evaluate import Evaluation, evaluate
from tidewright.training.fit import read_panel
from tidewright.training.forecast import forecast


@dataclass(frozen=True, eq=False, slots=True)
class EachFitted:
    """The models that series have of their `own`, by the series' id, and the `shared` one that answers for the rest,
    also for series that are new; None where there is no such model.

    It is asked with panels, whose series have names, and not with windows, whose series have numbers: it is no `Fitted`
    and has no bundle of its own: each of its models has one (`save_each`). Raises `ConfigError` where there is no
    model at all.
    """

    own: Mapping[Any, Fitted]
    shared: Fitted | None = None

    def __post_init__(self) -> None:
        if not self.own and self.shared is None:
            raise ConfigError("there is neither a model of a series nor one for all. Bring one.")

    @property
    def models(self) -> tuple[Fitted, ...]:
        """All of them, the shared one first."""
        return (*(() if self.shared is None else (self.shared,)), *self.own.values())

    def model_of(self, series: Any) -> Fitted:
        """The model that answers for a series. Raises `ConfigError`."""
        found = self.own.get(series, self.shared)
        if found is None:
            raise ConfigError(
                f"{series!r} has no model, and there is none for all series. The models are of "
                f"{', '.join(map(str, list(self.own)[:5]))}."
            )
        return found

    def forecast(self, panel: Panel) -> Forecast:
        """See `training.forecast.forecast`: what the model of each series says of its future, in the panel's order."""
        parts = [forecast(fitted, panel.select(ids)) for fitted, ids in self._groups(panel)]
        return join_forecasts(parts, panel)

    def evaluate(
        self,
        *,
        panel: Panel,
        split: Split,
        cutoffs: Cutoffs,
        season: int | None = None,
        shortest: int | None = None,
        name: str = "each",
    ) -> Evaluation:
        """See `training.evaluate.evaluate`: the scores over all series, each asked of its own model."""
        least = min([one.view.lookback for one in self.models] + ([] if shortest is None else [shortest]))
        asked: dict[str, Any] = {"split": split, "cutoffs": cutoffs, "season": season, "shortest": least}
        first = self.models[0]
        seen = read_panel(first, panel)
        windows = cut_windows(seen, View(least), horizon=first.task.horizon, cutoffs=cutoffs, least=1)
        said = np.full((len(windows), first.task.horizon, len(first.task.quantiles)), np.nan)
        code = {one: place for place, one in enumerate(panel.series_ids)}
        for fitted, ids in self._groups(panel):
            rows = np.flatnonzero(np.isin(windows.series, [code[one] for one in ids]))
            if len(rows):
                said[rows] = evaluate(fitted, panel=read_panel(fitted, panel.select(ids)), **asked).forecast
        return evaluate(first, panel=seen, model=name, said=said, **asked)

    def _groups(self, panel: Panel) -> Iterator[tuple[Fitted, list[Any]]]:
        """Each model with the series of a panel that it answers for, in the panel's order."""
        groups: dict[int, tuple[Fitted, list[Any]]] = {}
        for series in panel.series_ids:
            fitted = self.model_of(series)
            groups.setdefault(id(fitted), (fitted, []))[1].append(series)
        yield from groups.values()


def join_forecasts(parts: Sequence[Forecast], panel: Panel) -> Forecast:
    """The forecasts of a panel's series, made apart, in the panel's order."""
    table = pl.concat([part.table for part in parts])
    order, name = {one: place for place, one in enumerate(panel.series_ids)}, panel.roles.series
    if name is not None:
        place = pl.col(name).replace_strict(order, return_dtype=pl.Int64)
        table = table.sort(place, panel.roles.time, maintain_order=True)
    return Forecast(table, parts[0].roles, parts[0].levels, panel.native)
