"""A request's key as a number from 0 to 1: the same everywhere and for ever, and none like its neighbour's."""

from __future__ import annotations

from hashlib import sha256

from tidewright.errors import ConfigError


def draw_share(key: str | bytes, *, salt: str) -> float:
    """Where a key stands among all keys, uniform in [0, 1): the first 53 bits of the sha256 of salt and key.

    >>> draw_share("customer-7", salt="sales/2") == draw_share(b"customer-7", salt="sales/2")
    True
    >>> sum(draw_share(str(number), salt="sales/2") < 0.1 for number in range(10_000))
    957
    """
    if not isinstance(key, str | bytes):
        raise ConfigError(f"a request's key is text or bytes; got {key!r}. Write str(key).")
    raw = key.encode() if isinstance(key, str) else key
    digest = sha256(len(salt).to_bytes(4, "big") + salt.encode() + raw).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)
