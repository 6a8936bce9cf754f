"""`EachSession`: a session for each series that has a bundle of its own, and one for all the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidewright.data.forecast import Forecast
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError
from tidewright.inference.session import Session, open_session
from tidewright.registry.each import load_each
from tidewright.training.each import join_forecasts


@dataclass(frozen=True, eq=False, slots=True)
class EachSession:
    """The sessions of series with their `own` model, by id, and the `shared` one, which answers for the rest, also for
    series that are new; None where there is none."""

    own: Mapping[Any, Session]
    shared: Session | None = None

    def session_of(self, series: Any) -> Session:
        """What answers for a series. Raises `ConfigError`."""
        found = self.own.get(series, self.shared)
        if found is None:
            raise ConfigError(
                f"{series!r} has no model, and there is none for all series. The models are of "
                f"{', '.join(map(str, list(self.own)[:5]))}."
            )
        return found

    def read(self, table: Any, /) -> Panel:
        """See `Session.read`; all of the sessions learned from the same columns."""
        first = self.shared or next(iter(self.own.values()))
        return first.read(table)

    def forecast(self, panel: Any, /) -> Forecast:
        """The forecast after each series' last observed value, each by its own model or by the shared one."""
        seen = self.read(panel)
        groups: dict[int, tuple[Session, list[Any]]] = {}
        for series in seen.series_ids:
            session = self.session_of(series)
            groups.setdefault(id(session), (session, []))[1].append(series)
        return join_forecasts([one.forecast(seen.select(ids)) for one, ids in groups.values()], seen)


def open_each(folder: str | Path, **options: Any) -> EachSession:
    """The sessions of a folder that `save_each` wrote, every bundle verified, each opened with the same `options` of
    `open_session` (backend, threads, batch_sizes, ...). Raises as that and `load_each` do."""
    found = load_each(folder)
    own = {series: open_session(one, **options) for series, one in found.own.items()}
    shared = None if found.shared is None else open_session(found.shared, **options)
    return EachSession(own, shared)
