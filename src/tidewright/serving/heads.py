"""`Heads`: the heads of small inferences as they came. A client sends the same one again and again over its kept
connection; a head that is the same to the byte says the same, so it isn't parsed once more.
"""

from __future__ import annotations

from tidewright.serving.desk import Desk
from tidewright.serving.quick import Small
from tidewright.serving.roster import Roster

MOST, LONGEST = 256, 1024  # heads, and bytes of one; those of JSON differ by their Content-Length
_END = b"\r\n\r\n"


class Heads:
    """Used by the loop's thread alone. A roster that changes makes it forget: other models may be asked then."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._known: dict[bytes, Small] = {}
        self._roster: Roster | None = None

    def recall(self, data: bytes) -> tuple[Small, bytes] | None:
        """The small inference that `data` is from its first byte to its last, and its body; None where it is another,
        more or less than one, or unknown. `data` begins where a request may.
        """
        if self._roster is not self._desk.roster:
            self._known.clear()
            self._roster = self._desk.roster
        start = data.find(_END) + len(_END)
        small = self._known.get(data[:start])
        return (small, data[start:]) if small is not None and len(data) == start + small.length else None

    def remember(self, data: bytes, small: Small) -> None:
        """What the parser found in `data` since it was asked for: `small` was the last request that ended in it."""
        start = data.find(_END) + len(_END)
        if len(data) != start + small.length or start > LONGEST:  # several requests, or a part of another
            return
        if len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[data[:start]] = small
