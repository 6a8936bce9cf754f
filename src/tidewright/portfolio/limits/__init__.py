"""What a portfolio may not do: the record, its words, its rows for a solver, and which limits bind."""

from __future__ import annotations

from tidewright.portfolio.limits.record import Limits

__all__ = ["Limits"]
