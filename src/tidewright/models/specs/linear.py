"""Linear networks, and what is made of few matrices."""

from __future__ import annotations

from tidewright.catalog import Entry

ENTRIES: tuple[Entry, ...] = ()
CORES: tuple[Entry, ...] = ()
