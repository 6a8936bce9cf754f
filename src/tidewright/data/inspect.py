"""The verdict on a panel before anything is learnt from it: what is wrong, where, and what to do about it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tidewright.data.findings import Finding, Severity, Verdict, rank_findings
from tidewright.data.leaks import find_leaks
from tidewright.data.panel import Panel, Repair
from tidewright.data.shape import find_extent, find_ids, find_times
from tidewright.data.suspects import find_prices, find_values
from tidewright.data.view import View, view_panel
from tidewright.errors import DataError, RepairWarning, UnknownNameError

_SEVERITY: dict[str, Severity] = {
    "filled gaps": "warning",
    "dropped repeats": "warning",
    "filled static": "warning",
}


def inspect(panel: Panel, *, lookback: int = 0, horizon: int = 0, prices: bool = False) -> Verdict:
    """Everything that is odd about a panel; `prices=True` adds what only prices must not do.

    Series shorter than `lookback` + `horizon` are found when these are given; a covariate that holds the
    future of the target is sought up to `horizon` steps ahead (else one season).
    """
    view = view_panel(panel)
    findings = [_repaired(repair) for repair in panel.repairs]
    findings += find_ids(view)
    findings += find_times(view)
    findings += find_extent(view, lookback=lookback, horizon=horizon)
    findings += find_values(view)
    findings += find_leaks(view, ahead=horizon or max(panel.frequency.season, 1))
    if prices:
        findings += find_prices(view)
    return _verdict(view, findings)


def inspect_table(
    data: Any,
    *,
    time: str,
    target: str,
    series: str | None = None,
    past: Sequence[str] = (),
    known: Sequence[str] = (),
    static: Sequence[str] = (),
    frequency: str | None = None,
    calendar: str | None = None,
    lookback: int = 0,
    horizon: int = 0,
    prices: bool = False,
) -> Verdict:
    """The verdict on a table; one that can't become a panel gives its error as the one finding."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RepairWarning)  # repairs are findings here
            panel = Panel.from_table(
                data,
                time=time,
                target=target,
                series=series,
                past=past,
                known=known,
                static=static,
                frequency=frequency,
                calendar=calendar,
            )
    except (DataError, UnknownNameError) as error:
        return Verdict((Finding("error", type(error).__name__, str(error)),))
    return inspect(panel, lookback=lookback, horizon=horizon, prices=prices)


def _repaired(repair: Repair) -> Finding:
    return Finding(
        _SEVERITY.get(repair.kind, "info"),
        repair.kind.replace(" ", "_"),
        f"{repair.detail}.",
        rows=repair.rows,
        remedy="Look at what was mended." if repair.kind in _SEVERITY else "",
    )


def _verdict(view: View, findings: list[Finding]) -> Verdict:
    panel = view.panel
    first, last = panel.span
    lengths = view.lengths
    return Verdict(
        findings=rank_findings(findings),
        series=panel.n_series,
        rows=len(panel.table),
        first=panel.time_at(first),
        last=panel.time_at(last),
        frequency=panel.frequency.name,
        missing_share=float(view.missing.sum() / lengths.sum()),
        shortest=int(lengths.min()),
        median_length=float(np.median(lengths)),
        longest=int(lengths.max()),
    )
