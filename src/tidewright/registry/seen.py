"""Which position of a panel is the last that a bundle's model knows the values of."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime

from tidewright.data.panel import Panel
from tidewright.errors import ConfigError
from tidewright.registry.bundle import Bundle


def last_seen(bundle: Bundle, panel: Panel, *, since: str | None = None) -> int:
    """The last position, at or before the panel's end, of a value that the model learned from or, where
    the bundle says so (see `Reference`), was chosen on.

    One step before the panel's start where all of it is newer. Times are compared as the manifest wrote them, on the
    same grid: numbers as numbers, dates in their order. `since` is a time to take in its place, read as ISO 8601.
    """
    reference = bundle.reference
    until = bundle.manifest.data.last if reference is None else reference.until
    known = _key(until if since is None else _read_time(since, panel), panel)
    start, end = panel.span
    return start - 1 + bisect_right(range(start, end + 1), known, key=lambda one: _key(panel.time_at(one), panel))


def _read_time(since: str, panel: Panel) -> str:
    """A user's time as `Panel.time_at` writes it: '2026-11-01T10:00' and '2026-11-01 10:00:00' are one."""
    text = str(since)
    if panel.frequency.unit == "step":
        return text
    try:
        found = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError as error:
        raise ConfigError(f"since is no time: {text[:40]!r}. Write 2024-12-31, or 2024-12-31T23:00.") from error
    if found.tzinfo is not None and not panel.local:
        found = found.astimezone(UTC)
    return str(found.replace(tzinfo=None)).removesuffix(" 00:00:00")


def _key(text: str, panel: Panel) -> int | str:
    if panel.frequency.unit != "step":
        return text.removesuffix(" UTC")
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"times are step numbers here; got '{text}'.") from error
