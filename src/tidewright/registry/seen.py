"""Which position of a panel is the last that a bundle's model knows the values of."""

from __future__ import annotations

from bisect import bisect_right

from tidewright.data.panel import Panel
from tidewright.errors import ConfigError
from tidewright.registry.bundle import Bundle


def last_seen(bundle: Bundle, panel: Panel, *, since: str | None = None) -> int:
    """The last position, at or before the panel's end, of a value that the model learned from or, where
    the bundle says so (see `Reference`), was chosen on.

    One step before the panel's start where all of it is newer. Times are compared as the manifest wrote them, on the
    same grid: numbers as numbers, dates in their order. `since` is a time to take in its place.
    """
    reference = bundle.reference
    until = bundle.manifest.data.last if reference is None else reference.until
    known = _key(until if since is None else since, panel)
    start, end = panel.span
    return start - 1 + bisect_right(range(start, end + 1), known, key=lambda one: _key(panel.time_at(one), panel))


def _key(text: str, panel: Panel) -> int | str:
    if panel.frequency.unit != "step":
        return text.removesuffix(" UTC")
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"times are step numbers here; got '{text}'.") from error
