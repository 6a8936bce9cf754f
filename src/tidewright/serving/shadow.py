"""`Shadow`: a version that answers copies of its champion's requests after them, for its figures alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Any

import numpy as np
import polars as pl
from polars.exceptions import PanicException

from tidewright.data.forecast import Forecast, level_names
from tidewright.errors import TidewrightError
from tidewright.serving.copies import Copies
from tidewright.serving.difference import Floats, measure_difference
from tidewright.serving.rollout import explain_windows
from tidewright.serving.served import Served
from tidewright.serving.shadow_tally import ShadowTally

Record = Callable[[Served, Forecast], None]
Answer = Callable[[Any], Floats]

log = logging.getLogger(__name__)


class Shadow:
    """See the file. `show` and `show_forecast` take copies, and wait for nothing; `record` is told its forecasts."""

    def __init__(
        self, champion: Served, rival: Served, *, copies: Copies, tally: ShadowTally, record: Record | None
    ) -> None:
        self.champion, self.rival, self.tally = champion, rival, tally
        self._copies, self._record = copies, record
        self.unfit = explain_windows(champion.bundle, rival.bundle)  # why it gets tables alone, where it does
        self._shortest, self._longest = rival.bundle.manifest.reach

    def show(self, x: Any, values: Floats) -> None:
        """Windows, and the champion's answers to them."""
        named = isinstance(x, Mapping)
        if self.unfit or (x["target"] if named else x).shape[-1] < self._shortest:
            self.tally.count("unfit")
            return
        arrays = x.values() if named else (x,)
        size = values.nbytes + sum(array.nbytes for array in arrays)
        if not self._copies.put(self._look, (self._answer, x, values), size=size):
            self.tally.count("dropped")

    def show_forecast(self, frame: pl.DataFrame, forecast: Forecast) -> None:
        """A table, and the champion's forecast from it."""
        size = int(frame.estimated_size() + forecast.table.estimated_size())
        horizon = self.champion.bundle.manifest.task.horizon
        copy = (self._answer_table, frame, _to_values(forecast, horizon=horizon))
        if not self._copies.put(self._look, copy, size=size):
            self.tally.count("dropped")

    def _look(self, copies: list[tuple[Answer, Any, Floats]]) -> None:
        """Answers copies one by one, each timed, and compares all of it with what the champion said."""
        said = [(values, found) for answer, x, values in copies if (found := self._try(answer, x)) is not None]
        alike = [pair for pair in said if len(pair[0]) == len(pair[1])]
        for _ in range(len(said) - len(alike)):
            self._fail("other rows")
        if alike:
            ours, theirs = (np.concatenate(side) for side in zip(*alike, strict=True))
            task, other = self.champion.bundle.manifest.task, self.rival.bundle.manifest.task
            self.tally.compare(*measure_difference(ours, theirs, task=task, other=other))

    def _try(self, answer: Answer, x: Any) -> Floats | None:
        """The shadow's answer; whatever goes wrong is counted, and told once of each kind, without what was asked."""
        started = perf_counter_ns()
        try:
            found = answer(x)
        except TidewrightError as error:
            self._fail(error)
        except (Exception, PanicException) as error:  # a defect in what nobody waits for ends nobody's request
            if self._fail(error):
                log.exception("a defect of Tidewright in a shadow")
        else:
            self.tally.time(perf_counter_ns() - started)
            return found
        return None

    def _fail(self, error: BaseException | str) -> bool:
        kind = error if isinstance(error, str) else type(error).__name__
        first = self.tally.fail(kind)
        if first:
            log.warning("a shadow fails", extra={"fields": {**self.rival.labels, "why": kind}})
        return first

    def _answer(self, x: Any) -> Floats:
        return self.rival.session.predict(self._cut(x)).quantiles

    def _answer_table(self, frame: pl.DataFrame) -> Floats:
        session = self.rival.session
        theirs = session.forecast(session.read(frame))
        if self._record is not None:
            self._record(self.rival, theirs)
        return _to_values(theirs, horizon=self.rival.bundle.manifest.task.horizon)

    def _cut(self, x: Any) -> Any:
        """The champion's windows as the shadow takes them: their newest steps, and the inputs that it has."""
        names = self.rival.inputs
        given = x if isinstance(x, Mapping) else {"target": x}
        first = max(given["target"].shape[-1] - self._longest, 0)
        if not first and names == self.champion.inputs:
            return x
        cut = {name: _cut(given[name], name, first=first) for name in names}
        return cut if len(names) > 1 else cut["target"]


def _cut(array: Any, name: str, *, first: int) -> Any:
    """The steps of an input from `first` on."""
    if name == "static":
        return array
    array = np.asarray(array)
    return array[..., first:] if name == "target" else array[..., first:, :]


def _to_values(forecast: Forecast, *, horizon: int) -> Floats:
    """A forecast's quantiles [N, H, Q], or probabilities."""
    names = level_names(forecast.levels) or [str(one) for one in forecast.classes]
    return forecast.table.select(names).to_numpy().reshape(-1, horizon, len(names))
