"""`forecast`: what a fitted model says of the true future, without a bundle."""

from __future__ import annotations

from tidewright.data.build import keep_tail
from tidewright.data.forecast import Forecast, tabulate
from tidewright.data.panel import Panel, check_panel
from tidewright.features.future import check_known
from tidewright.features.windows import newest_windows
from tidewright.models.fitted import Fitted
from tidewright.training.fit import read_panel


def forecast(fitted: Fitted, panel: Panel) -> Forecast:
    """The forecast of the steps after each series' last observed value, also of series that the model never saw.

    The future needs no rows of its own, but for known columns: these have their values in rows whose target is empty.
    Raises `DataError` where such a value is missing. Columns are taken by name, as the model learned them: one that is
    missing, renamed, additional or of another type raises `ColumnError`, another frequency `FrequencyError`.
    """
    check_panel(panel, "a forecast")
    seen = keep_tail(read_panel(fitted, panel), rows=fitted.view.lookback)
    horizon = fitted.task.horizon
    windows = newest_windows(seen, fitted.view, horizon=horizon)
    extended = seen.extend(horizon)
    check_known(extended, windows, columns=seen.roles.known)
    values = fitted.predict(windows)
    task, name = fitted.task, fitted.spec.name
    return tabulate(extended, values, rows=windows.rows, levels=task.quantiles, classes=task.classes, model=name)
