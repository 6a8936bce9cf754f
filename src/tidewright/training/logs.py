"""A view that asks for logarithms, put into practice: the panel of logarithms, and the view without the wish."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.errors import DataError
from tidewright.features.scaling import replace_target
from tidewright.features.view import View
from tidewright.models.logged import take_logs
from tidewright.training.events import Callback, Event, wants_scores


@dataclass(frozen=True, eq=False, slots=True)
class OfLogs:
    """A callback of a fit on log(y + offset), so that what it is told of scores is of y."""

    callback: Callback
    offset: float

    def __call__(self, event: Event) -> None:
        """Passes it on."""
        self.callback(event)

    @property
    def wants_scores(self) -> bool:
        """See `training.events.wants_scores`."""
        return wants_scores((self.callback,))


def log_panel(panel: Panel, view: View, *, split: Split) -> tuple[Panel, View]:
    """The panel whose target is log(y + view.log), and the view of it.

    Raises `DataError` where the training or the validation part has a value that has no logarithm.
    """
    assert view.log is not None
    known = panel.positions <= split.validation.last + split.horizon
    least = float(np.nanmin(panel.target[known], initial=np.inf))
    if not least + view.log > 0.0:
        place = int(np.nanargmin(np.where(known, panel.target, np.nan)))
        raise DataError(
            f"the view takes log(y + {view.log:g}), and series {panel.series_ids[int(panel.codes[place])]!r} has the "
            f"value {least:g}. Ask for a view with a larger log (1 takes zeros), or without one."
        )
    return replace_target(panel, take_logs(panel.target, view.log)), replace(view, log=None)
