"""Every picture of the report, to be used alone: from a part of the result to a plotly figure."""

from __future__ import annotations

from tidewright.report.draw_account import draw_account
from tidewright.report.draw_data import draw_missing, draw_split
from tidewright.report.draw_forecasts import draw_forecasts
from tidewright.report.draw_importance import (
    draw_before_and_after,
    draw_change,
    draw_importance,
    draw_tree_importance,
    draw_tree_parts,
)
from tidewright.report.draw_interpretation import (
    draw_attention,
    draw_attention_map,
    draw_variable_weights,
    draw_weights_by_step,
)
from tidewright.report.draw_models import (
    draw_calibration,
    draw_error_by_series,
    draw_error_by_step,
    draw_leaderboard,
)
from tidewright.report.draw_options import draw_option_importance, draw_parallel, draw_slices
from tidewright.report.draw_portfolio import draw_drawdown, draw_equity, draw_weights
from tidewright.report.draw_search import draw_search
from tidewright.report.draw_trials import draw_front, draw_history, draw_reports

__all__ = [
    "draw_account",
    "draw_attention",
    "draw_attention_map",
    "draw_before_and_after",
    "draw_calibration",
    "draw_change",
    "draw_drawdown",
    "draw_equity",
    "draw_error_by_series",
    "draw_error_by_step",
    "draw_forecasts",
    "draw_front",
    "draw_history",
    "draw_importance",
    "draw_leaderboard",
    "draw_missing",
    "draw_option_importance",
    "draw_parallel",
    "draw_reports",
    "draw_search",
    "draw_slices",
    "draw_split",
    "draw_tree_importance",
    "draw_tree_parts",
    "draw_variable_weights",
    "draw_weights",
    "draw_weights_by_step",
]
