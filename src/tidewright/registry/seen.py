"""Which position of a panel is the last that a bundle's model knows the values of."""

from __future__ import annotations

from bisect import bisect_right

from tidewright.data.panel import Panel
from tidewright.registry.manifest import Manifest


def last_seen(manifest: Manifest, panel: Panel) -> int:
    """The last position, at or before the panel's end, of a value that the model learned from.

    One step before the panel's start where all of it is newer. Times are compared as the manifest wrote them, on the
    same grid: numbers as numbers, dates in their order.
    """
    known = _key(manifest.data.last, panel)
    start, end = panel.span
    return start - 1 + bisect_right(range(start, end + 1), known, key=lambda one: _key(panel.time_at(one), panel))


def _key(text: str, panel: Panel) -> int | str:
    return int(text) if panel.frequency.unit == "step" else text.removesuffix(" UTC")
