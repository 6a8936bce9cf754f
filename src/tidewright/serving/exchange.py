"""`Exchange`: HTTP requests with one deadline each, over a kept connection a thread; no redirect is followed."""

from __future__ import annotations

import io
import json
import os
import socket
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from threading import local
from time import monotonic, sleep
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from weakref import finalize

from tidewright.checks import check_seconds, check_text, to_path
from tidewright.errors import ConfigError, RequestError

KEY = "TIDEWRIGHT_API_KEY"
LARGEST = 1 << 30  # bytes of an answer


class Answer(NamedTuple):
    """An HTTP answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """Requests to one server. The key travels in a header only."""

    def __init__(self, url: str, *, key: str | None, timeout_s: float, ca_file: str | Path | None) -> None:
        scheme, self._host, self._port = _split(url)
        self._tls = _trust(scheme, ca_file)
        check_seconds("timeout_s", timeout_s, endless=False)
        self._key, self._timeout_s = _check_key(os.environ.get(KEY) if key is None else key), timeout_s
        self._local = local()
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"{scheme}://{shown}:{self._port}"

    def ask(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A request; one that a busy server refuses is made again when it says so, within the time of the call."""
        end = monotonic() + self._timeout_s
        keyed = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        while True:
            answer = self._exchange(method, path, body=body, headers={**(headers or {}), **keyed}, end=end)
            if answer.status == 200:
                return answer
            refusal = _to_error(answer, f"{self.url}{path}")
            wait = refusal.retry_after_s
            if wait is None or monotonic() + wait > end:
                raise refusal
            sleep(wait)

    def _exchange(
        self, method: str, path: str, *, body: bytes | None, headers: Mapping[str, str], end: float
    ) -> Answer:
        """One exchange; where a kept connection turns out to be closed, once more over a new one."""
        while True:
            kept = getattr(self._local, "kept", None)
            try:
                connection = self._connect(end) if kept is None else kept.connection
                connection.response_class = _timed(end)
                if connection.sock is not None:
                    connection.sock.settimeout(_left(end))
                connection.request(method, path, body=body, headers=dict(headers))
                return _read_whole(connection.getresponse())
            except (ConnectionError, HTTPException) as error:
                self.drop()
                if kept is None or not isinstance(error, ConnectionError):
                    raise RequestError(f"{self.url}{path} did not answer whole: {error!r}.", status=0) from error
            except OSError as error:
                self.drop()
                why = f"no answer within {self._timeout_s:g} s" if isinstance(error, TimeoutError) else str(error)
                raise RequestError(f"{self.url}{path}: {why}.", status=0) from error

    def _connect(self, end: float) -> HTTPConnection:
        """A connection of this thread, which is kept."""
        left = _left(end)
        if self._tls:
            made: HTTPConnection = HTTPSConnection(self._host, self._port, timeout=left, context=self._tls)
        else:
            made = HTTPConnection(self._host, self._port, timeout=left)
        self._local.kept = _Kept(made)
        return made

    def drop(self) -> None:
        """Ends this thread's connection."""
        kept = getattr(self._local, "kept", None)
        if kept is not None:
            kept.connection.close()
            self._local.kept = None


class _Kept:
    """A thread's connection, which is closed when nobody holds this any more: the thread or the exchange has ended."""

    def __init__(self, connection: HTTPConnection) -> None:
        self.connection = connection
        finalize(self, connection.close)


def _trust(scheme: str, ca_file: str | Path | None) -> ssl.SSLContext | None:
    """Whose certificates are believed; None without TLS. Raises `ConfigError`."""
    if ca_file is None:
        return ssl.create_default_context() if scheme == "https" else None
    place = to_path("ca_file", ca_file, of="a certificate")
    if scheme != "https":
        raise ConfigError("ca_file belongs to https://, and this URL is http://, without TLS. Write https://HOST:PORT.")
    try:
        return ssl.create_default_context(cafile=place)
    except OSError as error:  # also SSLError, for what is no certificate
        raise ConfigError(f"ca_file '{place}' can't be read: {error.strerror or error}. Give one in PEM.") from error


def _check_key(key: str | None) -> str | None:
    """Raises `ConfigError` for a key that no header can hold; it is not told, for it is a secret."""
    if key is not None and not (isinstance(key, str) and key.isascii() and key.isprintable()):
        raise ConfigError("a key is printable ASCII text of one line. Read it without the line end of its file.")
    return key


def _split(url: str) -> tuple[str, str, int]:
    """The scheme, host and port of a server's URL. Raises `ConfigError`."""
    check_text("url", url)
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        parts, port = urlsplit(""), 0
    if not parts.hostname or parts.username or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError("a server's URL is http://HOST:PORT or https://HOST:PORT, and nothing more.")
    return parts.scheme, parts.hostname, port


class _Until(io.RawIOBase):
    """A socket that is read until a time, however its bytes drip."""

    def __init__(self, sock: socket.socket, end: float) -> None:
        self._sock, self._end = sock, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_left(self._end))
        return self._sock.recv_into(buffer)


def _timed(end: float) -> Any:
    """What makes an HTTPResponse that is read until `end`."""

    class Source:
        def __init__(self, sock: socket.socket) -> None:
            self._sock = sock

        def makefile(self, _: str) -> Any:
            return io.BufferedReader(_Until(self._sock, end), 1 << 16)

    def make(sock: socket.socket, *words: Any, **named: Any) -> HTTPResponse:
        source: Any = Source(sock)
        return HTTPResponse(source, *words, **named)

    return make


def _read_whole(answer: HTTPResponse) -> Answer:
    body = answer.read(LARGEST)
    if len(body) == LARGEST:
        raise RequestError(f"the answer is longer than {LARGEST} bytes. Ask for fewer rows at a time.", status=0)
    if answer.length:  # http.client gives a short body without a word where it is read by size
        raise ConnectionError(f"{answer.length} bytes of it are missing")
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


def _to_error(answer: Answer, url: str) -> RequestError:
    try:
        text = str(json.loads(answer.body)["error"])
    except (ValueError, KeyError, TypeError):
        text = f"{url} answers with status {answer.status}. Is it a server of Tidewright?"
    after = answer.headers.get("retry-after", "")
    return RequestError(text, status=answer.status, retry_after_s=int(after) if after.isdecimal() else None)


def _left(end: float) -> float:
    left = end - monotonic()
    if left <= 0:
        raise TimeoutError
    return left
