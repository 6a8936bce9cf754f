"""Who may ask: the Host that a request calls, where its page comes from, and its key."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from socket import gethostname
from urllib.parse import urlsplit

from tidewright.errors import RequestError
from tidewright.serving.options import ServeOptions, is_loopback

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ONCE = (
    b"host",
    b"content-length",
    b"content-encoding",
    b"authorization",
    b"x-api-key",
    b"inference-header-content-length",
)
KEPT = 64  # hosts that were looked at and are remembered

Headers = Mapping[bytes, bytes]


class Gate:
    """Refuses requests that are not for this server, or not from one who may ask."""

    def __init__(self, options: ServeOptions) -> None:
        own = (options.host, *options.hosts, *LOOPBACK)
        self._names = {name.lower() for name in (own if is_loopback(options.host) else (*own, gethostname()))}
        self._open = not is_loopback(options.host)  # then an address in figures is one of this machine's
        self._keys = [sha256(key.encode()).digest() for key in options.keys]
        self._known: set[bytes] = set()

    def check(self, headers: Headers, *, free: bool = False) -> None:
        """Raises `RequestError` (400, 401, 403). What is `free` needs no key."""
        host = headers.get(b"host", b"")
        if host not in self._known:
            self._check_host(host)
        if b"origin" in headers:
            _check_origin(headers[b"origin"], host=host)
        if self._keys and not free:
            self._check_key(headers)

    def _check_host(self, host: bytes) -> None:
        name = _name_of(host)
        if "*" not in self._names and name not in self._names and not (self._open and _is_address(name)):
            raise RequestError(
                f"the Host '{name[:80]}' is not one of this server's. Call it by its address, or start it with that "
                "name (--allow-host).",
            )
        if len(self._known) < KEPT:
            self._known.add(host)

    def _check_key(self, headers: Headers) -> None:
        """Every key is compared, each in the same time: what differs tells nothing."""
        given = headers.get(b"x-api-key")
        if given is None:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            given = given.strip() if scheme.lower() == b"bearer" else b""
        digest = sha256(given).digest()
        if not any([compare_digest(digest, key) for key in self._keys]):
            what = "is not one of this server's" if given else "is missing"
            raise RequestError(
                f"the key {what}. Send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.", status=401
            )


def check_once(raw: list[tuple[bytes, bytes]]) -> None:
    """Raises `RequestError` where a header that is read here stands twice."""
    names = [name for name, _ in raw if name in _ONCE]
    for name in set(names):
        if names.count(name) > 1:
            raise RequestError(f"the header '{name.decode()}' is there twice. Send it once.")


def _check_origin(origin: bytes, *, host: bytes) -> None:
    """A page of another server does not ask this one through its reader's browser."""
    try:
        own = urlsplit(origin.decode("latin-1")).netloc.encode("latin-1") == host
    except ValueError:
        own = False
    if not own:
        raise RequestError("pages of other origins are not answered. Ask from the page's own server.", status=403)


def _name_of(host: bytes) -> str:
    """The name or address in a Host, without the port."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if text.count(":") == 1 else text


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
