"""`ServeOptions` and `Limits`: where a server listens, whom it answers, and what it takes at most."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.checks import check_text, check_whole
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.serving.rollout import read_rollouts

KEYS = "TIDEWRIGHT_API_KEYS"  # in the environment: keys, with commas
PASSWORD = "TIDEWRIGHT_TLS_PASSWORD"  # the name of a variable of the environment
LEAST_KEY = 16  # characters
LEAST_RECORD = 1 << 20  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a server takes at most. Each is finite.

    `body` bytes of a request (also after decompression), `rows` windows of one inference or rows of one table, `depth`
    of nested JSON, `queue` requests that wait or run beside the loop, `runs` of these at a time, `connections`,
    `header_s`, `body_s` and `run_s` seconds for a request's head, its body and its answer, `drain_s` seconds for what
    is in flight when the server stops.
    """

    body: int = 16 << 20
    rows: int = 65_536
    depth: int = 32
    queue: int = 64
    runs: int = 2
    connections: int = 1024
    header_s: float = 10.0
    body_s: float = 30.0
    run_s: float = 30.0
    drain_s: float = 20.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value, whole = getattr(self, item.name), item.type == "int"
            fits = isinstance(value, int) if whole else isinstance(value, (int, float))
            if isinstance(value, bool) or not fits or not 0 < value < 1e12:
                kind = "a whole number" if whole else "a number of seconds"
                raise ConfigError(f"the limit {item.name} is {kind} above 0; got {value!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where a server listens (`port` 0: a free one), with how many processes, and whom it answers.

    `hosts` are further names that a request may call it by, `*` any. `keys` come from the environment. `watch_s` is the
    time between two looks at the bundles' folders (0: none). `batch` is the most windows that several requests share a
    run with (0: each has its own). `log_requests` logs each request, else those that failed. `shadow` and `split` are
    what models of a store are served with beside their champions (see `read_rollouts`). `record` is a folder for the
    forecasts that they gave, at most `record_bytes` of them, the newest.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    hosts: tuple[str, ...] = ()
    backend: str = "auto"
    strict: bool = False
    watch_s: float = 1.0
    batch: int = 64
    log_requests: bool = False
    shadow: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    record: str | None = None
    record_bytes: int = 1 << 30
    tls_cert: str | None = None
    tls_key: str | None = None
    keys: tuple[str, ...] = field(default=(), repr=False)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_whole("port", self.port, least=0, most=65_535)
        check_whole("workers", self.workers, least=1, most=256)
        check_whole("batch", self.batch, least=0, most=65_536)
        if self.record is not None:
            check_text("record", self.record)
        check_whole("record_bytes", self.record_bytes, least=LEAST_RECORD)
        read_rollouts(shadow=self.shadow, split=self.split)
        if not 0 <= self.watch_s < 1e6:
            raise ConfigError(f"watch_s is a number of seconds, 0 or more; got {self.watch_s!r}.")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ConfigError("TLS needs a certificate and its key. Give both, or none.")
        if self.tls_cert and self.tls_key:
            _check_tls(self.tls_cert, self.tls_key)
        if not all(isinstance(name, str) and name for name in self.hosts):
            raise ConfigError(f"hosts are names, or * for any; got {self.hosts!r}. Leave out what is none.")
        if any(len(key) < LEAST_KEY or not key.isascii() or not key.isprintable() for key in self.keys):
            raise ConfigError(f"a key of {KEYS} is {LEAST_KEY} or more plain characters. Make a longer one.")
        if not self.keys and not is_loopback(self.host):
            raise ConfigError(
                f"'{self.host}' can be reached from other machines, and no key is set. Put one or more into {KEYS}, or "
                "listen on 127.0.0.1."
            )

    @property
    def scheme(self) -> str:
        """http, or https with a certificate."""
        return "https" if self.tls_cert else "http"


def _check_tls(cert: str, key: str) -> None:
    """Raises `ConfigError` for files that a server could not show; a key's password is never asked for."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key, password=lambda: os.environ.get(PASSWORD, ""))
    except (OSError, ValueError) as error:  # SSLError is an OSError; a password can be too long
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"'{cert}' and '{key}' are no certificate and its key: {why}. Give both in PEM, and a key's password in "
            f"{PASSWORD}."
        ) from error


def read_keys(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that the environment holds.

    >>> read_keys({"TIDEWRIGHT_API_KEYS": "first-key, second-key,"})
    ('first-key', 'second-key')
    """
    return tuple(key for part in environment.get(KEYS, "").split(",") if (key := part.strip()))


def read_limits(words: Iterable[str]) -> Limits:
    """Limits of words such as `rows=100`. Raises `ConfigError` and `UnknownNameError`.

    >>> read_limits(["rows=100", "run_s=2.5"]).rows
    100
    """
    known = {item.name: int if item.type == "int" else float for item in fields(Limits)}
    given: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in known:
            raise UnknownNameError(explain_unknown("limit", name, known))
        try:
            given[name] = known[name](text)
        except ValueError as error:
            raise ConfigError(f"the limit {name} is a number, as in {name}=100; got '{text}'.") from error
    return Limits(**given)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return False
