"""Findings about ids, times and the extent of the series: what is there, and what is missing."""

from __future__ import annotations

import numpy as np

from tidewright.data.findings import Finding
from tidewright.data.frequency import DAY, Ints
from tidewright.data.view import View

_HOUR = DAY // 24
_YEAR = 365 * DAY


def find_ids(view: View) -> list[Finding]:
    """Ids that differ only by case or spaces, and columns that no role was given to."""
    found = []
    seen: dict[str, object] = {}
    twins = []
    for name in view.panel.series_ids:
        key = "".join(str(name).split()).casefold()
        if key in seen:
            twins.append((seen[key], name))
        seen.setdefault(key, name)
    if twins:
        found.append(
            Finding(
                "warning",
                "similar_ids",
                f"{len(twins)} series ids differ from another only by case or spaces: {twins[0][0]!r} and "
                f"{twins[0][1]!r}.",
                series=twins[0][1],
                rows=len(twins),
                remedy="If they are one series, write its id in one way.",
            )
        )
    if view.panel.unused:
        shown = ", ".join(view.panel.unused[:8]) + (", ..." if len(view.panel.unused) > 8 else "")
        verb = "columns have" if len(view.panel.unused) > 1 else "column has"
        message = f"{len(view.panel.unused)} {verb} no role and no use here: {shown}."
        found.append(Finding("info", "unused_columns", message, remedy="Name them as past, known or static."))
    return found


def find_extent(view: View, *, lookback: int, horizon: int) -> list[Finding]:
    """Missing targets, series that are too short, start late or end early, and a small common span."""
    return [*_find_missing(view), *_find_short(view, lookback, horizon), *_find_ragged(view)]


def _find_missing(view: View) -> list[Finding]:
    total = int(view.missing.sum())
    if not total:
        return []
    shares = view.missing / view.lengths
    worst = int(np.argmax(shares))
    rows = np.arange(view.first[worst], view.last[worst] + 1)
    row = int(rows[np.isnan(view.panel.target[rows])][0])
    share = total / view.lengths.sum()
    return [
        Finding(
            "warning" if max(share, 0.2 * shares[worst]) > 0.05 else "info",
            "missing_target",
            f"{total} targets are missing ({share:.2%}) in {int((view.missing > 0).sum())} of {len(shares)} series; "
            f"the worst is {view.name(worst)!r} with {shares[worst]:.1%}, first at {view.time(row)}.",
            series=view.name(worst),
            time=view.time(row),
            rows=total,
            remedy="Missing targets are masked, not invented; fill them yourself where you know better.",
        )
    ]


def _find_short(view: View, lookback: int, horizon: int) -> list[Finding]:
    needed = lookback + horizon
    short = np.flatnonzero(view.lengths < needed)
    if not short.size:
        return []
    worst = int(short[np.argmin(view.lengths[short])])
    why = f"lookback {lookback} + horizon {horizon}" if lookback else f"the horizon is {horizon}"
    return [
        Finding(
            "error" if short.size == len(view.lengths) else "warning",
            "short_series",
            f"{short.size} of {len(view.lengths)} series have fewer than {needed} rows ({why}); the shortest is "
            f"{view.name(worst)!r} with {int(view.lengths[worst])}.",
            series=view.name(worst),
            rows=int(short.size),
            remedy="Ask for a shorter lookback or horizon, or bring longer series.",
        )
    ]


def _find_ragged(view: View) -> list[Finding]:
    begins, ends = view.panel.positions[view.first], view.panel.positions[view.last]
    first, last = int(begins.min()), int(ends.max())
    found = []
    late = np.flatnonzero(begins > first)
    early = np.flatnonzero(ends < last)
    if late.size:
        worst = int(late[np.argmax(begins[late])])
        at = view.time(int(view.first[worst]))
        message = f"{late.size} of {len(begins)} series start after {view.panel.time_at(first)}; "
        message += f"the last to start is {view.name(worst)!r} at {at}."
        found.append(Finding("info", "starts_late", message, view.name(worst), at, int(late.size)))
    if early.size:
        worst = int(early[np.argmin(ends[early])])
        at = view.time(int(view.last[worst]))
        message = f"{early.size} of {len(ends)} series end before {view.panel.time_at(last)}; the first to end is "
        message += f"{view.name(worst)!r} at {at}."
        remedy = "Each is forecast from its own end; drop the ones that are over."
        found.append(Finding("warning", "ends_early", message, view.name(worst), at, int(early.size), remedy))
    common = int(ends.min() - begins.max()) + 1
    if len(begins) > 1 and common < 0.1 * (last - first + 1):
        told = f"only {common} positions" if common > 0 else "no position"
        message = f"{told} of {last - first + 1} lie within every series."
        remedy = "Splits by date will hold other series on each side: drop the shortest, or split the table."
        found.append(Finding("warning", "short_overlap", message, rows=max(common, 0), remedy=remedy))
    return found


def find_times(view: View) -> list[Finding]:
    """Dates of 1970 that stand for missing ones, and hours that clocks jump over."""
    panel = view.panel
    if panel.frequency.unit == "step":
        return []
    return [*_find_epoch(view), *_find_clock_change(view)]


def _find_epoch(view: View) -> list[Finding]:
    panel = view.panel
    times = panel.frequency.times(panel.positions)
    if times.min() >= 0 and times.max() < 31 * DAY:
        message = f"all times lie in January 1970 ({view.time(0)} to {view.time(len(times) - 1)})."
        remedy = "Epoch numbers were read in a wrong unit (seconds as nanoseconds?): convert them again."
        return [Finding("error", "epoch_times", message, view.name(0), view.time(0), len(times), remedy)]
    zero = np.flatnonzero((times >= 0) & (times < DAY) & (panel.positions == panel.positions[view.first][panel.codes]))
    alone = zero[np.isin(zero, view.first)]
    following = np.array([_next_observed(view, int(row)) for row in alone[:100]])
    far = alone[:100][(following > 0) & (times[following] - times[alone[:100]] > _YEAR)] if alone.size else alone
    if not far.size:
        return []
    row = int(far[0])
    name = view.name(int(panel.codes[row]))
    message = f"series {name!r} has a value on {view.time(row)} and none for more than a year after it."
    remedy = "A date of 1970 usually is a missing time read as zero: drop that row."
    return [Finding("error", "epoch_times", message, name, view.time(row), int(far.size), remedy)]


def _next_observed(view: View, row: int) -> int:
    place = int(np.searchsorted(view.rows, row)) + 1
    inside = place < len(view.rows) and view.codes[place] == view.panel.codes[row]
    return int(view.rows[place]) if inside else 0


def _find_clock_change(view: View) -> list[Finding]:
    """Naive hourly times without the hour that the clocks jump over, on the nights when they do."""
    panel, grid = view.panel, view.panel.frequency
    if grid.unit != "fixed" or grid.count > _HOUR or getattr(panel.time_dtype, "time_zone", None) is not None:
        return []
    inside = np.isnan(panel.target)
    inside &= np.arange(len(inside)) > view.first[panel.codes]
    inside &= np.arange(len(inside)) < view.last[panel.codes]
    holes = np.unique(grid.times(panel.positions[inside]))
    first, last = (int(t) for t in grid.times(np.array(panel.span)))
    for region, hour, nights in _spring_nights(first, last):
        jumped = nights * DAY + hour * _HOUR
        covered = jumped[(jumped > first) & (jumped < last)]
        lost = np.isin(covered, holes)
        whole = not np.isin(np.concatenate([covered - _HOUR, covered + _HOUR]), holes).all()
        if covered.size and lost.mean() > 0.5 and whole:
            at = panel.time_at(int(grid.positions(covered[lost][:1])[0]))
            message = f"{int(lost.sum())} of {covered.size} spring nights of {region} lack the hour from "
            message += f"{hour:02d}:00, first at {at}: these are local times with daylight saving (DST)."
            remedy = "Give the times with their time zone, or in UTC; else every summer is an hour off."
            return [Finding("warning", "daylight_saving", message, None, at, int(lost.sum()), remedy)]
    return []


def _spring_nights(first: int, last: int) -> list[tuple[str, int, Ints]]:
    """The days since 1970 on which clocks jump, and the first hour that is not there, by region."""
    years = np.arange(first // _YEAR + 1969, last // _YEAR + 1972)
    months = (years - 1970) * 12

    def sunday(month: int, nth: int) -> Ints:
        start = (months + month - 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        return start + (6 - (start + 3) % 7) % 7 + 7 * nth

    april = (months + 3).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    last_of_march = april - 1 - (april - 1 + 4) % 7
    return [
        ("Europe", 2, last_of_march),
        ("Britain", 1, last_of_march),
        ("North America", 2, sunday(3, 1)),
        ("Australia", 2, sunday(10, 0)),
    ]
