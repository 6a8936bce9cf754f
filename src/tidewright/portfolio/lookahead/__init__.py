"""Does a function look ahead? Change the future, compare the past."""

from __future__ import annotations

from tidewright.portfolio.lookahead.check import check_lookahead
from tidewright.portfolio.lookahead.verdict import Lookahead

__all__ = ["Lookahead", "check_lookahead"]
