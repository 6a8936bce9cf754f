"""`Split`: one of several versions for a request, by the request's key: the same key, the same version, everywhere."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from itertools import accumulate

from tidewright.registry.share import draw_share
from tidewright.serving.gate import Headers
from tidewright.serving.served import Served

KEY, REQUEST = b"x-split-key", b"x-request-id"
VERSION = b"x-model-version"


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """The arms with their percent; the first one has what the others leave. `salt` tells splits apart: with a champion
    and a challenger it draws as `Store.split` does. `windows` says whether all arms take the same ones; where not,
    the champion alone answers inferences, and forecasts are split.
    """

    arms: tuple[tuple[Served, float], ...]
    windows: bool

    @property
    def salt(self) -> str:
        """What is drawn with: the name, and the versions of all arms but the first."""
        first, *others = (one for one, _ in self.arms)
        return f"{first.name}/{','.join(one.version for one in others)}"

    def draw(self, key: str | bytes | None) -> Served:
        """Who answers a key; without one anybody, by the shares."""
        drawn = draw_share(secrets.token_bytes(16) if key is None else key, salt=self.salt) * 100
        ends = accumulate(percent for _, percent in self.arms[1:])
        return next((one for (one, _), end in zip(self.arms[1:], ends, strict=True) if drawn < end), self.arms[0][0])


def find_key(headers: Headers) -> bytes | None:
    """The key that an inference's headers say: X-Split-Key, of who asks, or the request's id."""
    key = headers.get(KEY)
    return headers.get(REQUEST) if key is None else key


def tell_version(*versions: str) -> list[tuple[bytes, bytes]]:
    """The header that says which version answered."""
    return [(VERSION, ",".join(versions).encode())]
