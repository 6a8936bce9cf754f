"""A run on series that add up: its panel holds the totals too, and its forecast is made to agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tidewright.data.forecast import Forecast
from tidewright.data.hierarchy import LEVEL, Hierarchy, aggregate, build_hierarchy
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError, DataError
from tidewright.optional import require
from tidewright.training.reconcile import fit_reconciler
from tidewright.workflows.contest import Contest
from tidewright.workflows.result import Note
from tidewright.workflows.settings import HierarchySettings


def add_totals(panel: Panel, settings: HierarchySettings) -> tuple[Panel, Hierarchy]:
    """The panel with its totals as series, and what each is the sum of. A bundle learned from it also takes a table
    without totals, so the column "level" is left out. Raises `DataError` where a series ends before others.
    """
    last = panel.positions[panel.ends]
    early = int(np.argmin(last))
    if last[early] < last.max():
        raise DataError(
            f"series {panel.series_ids[early]!r} ends at {panel.time_at(int(last[early]))}, others at "
            f"{panel.time_at(int(last.max()))} ({int((last < last.max()).sum())} such series). A hierarchy is forecast "
            "from one time: leave out series that ended, or fill them."
        )
    tree = build_hierarchy(panel, levels=settings.levels)
    whole = aggregate(panel, tree)
    roles = replace(whole.roles, static=panel.roles.static)
    return replace(whole, table=whole.table.drop(LEVEL), roles=roles), tree


def cohere(
    forecast: Forecast, tree: Hierarchy, contest: Contest, settings: HierarchySettings, *, metric: str
) -> tuple[Forecast, Note]:
    """The coherent forecast, and a note that says how it was made and what that did to the winner's test score."""
    winner = contest.leaderboard.winner
    reconciler = fit_reconciler(
        contest.validations[winner], tree, method=settings.method, nonnegative=settings.nonnegative
    )
    test = contest.tests[winner]
    before, after = (one.scores.get(metric) for one in (test, reconciler.apply(test)))
    told = "" if before is None or after is None else f"{metric} on the test {before:.4g} before, {after:.4g} after; "
    reason = f"{told}the bundle's own forecasts don't add up"
    return reconciler.reconcile(forecast), Note("hierarchy", f"{len(tree.nodes)} nodes", settings.method, reason)


def check_hierarchy(settings: HierarchySettings, *, recipe: str) -> None:
    """Raises `ConfigError` for options of a hierarchy that there isn't."""
    if settings.levels and recipe == "market":
        raise ConfigError("the market's returns don't add up. Leave hierarchy.levels out, or bring a table.")
    if not settings.levels and settings != HierarchySettings():
        raise ConfigError("a hierarchy needs hierarchy.levels, static columns such as State or State/Store. Name them.")
    if settings.levels and settings.method != "bottom_up":
        require("hierarchicalforecast", extra="hierarchy", purpose="reconciliation")
