"""What every raw path needs of HTTP: a request's body within its limits, and an answer's bytes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from tidewright.errors import RequestError, TidewrightError
from tidewright.serving.gate import Headers
from tidewright.serving.options import Limits

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = (b"content-type", b"application/json")
BINARY = (b"content-type", b"application/octet-stream")
HEAD = b"inference-header-content-length"
CHUNK = 65_536  # bytes that are inflated at a time
_WINDOWS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}  # zlib's names of the formats


class ClientGoneError(Exception):
    """The one who asked has left: nobody reads an answer."""


async def read_body(receive: Receive, headers: Headers, limits: Limits) -> bytes:
    """The whole body, inflated where it is compressed. Raises `RequestError` (400, 413, 415) and `ClientGoneError`."""
    told = headers.get(b"content-length")
    if told is not None and (len(told) > 18 or int(told) > limits.body):
        raise _too_long(limits)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    body: bytes = message["body"]
    if len(body) > limits.body:
        raise _too_long(limits)
    if message["more_body"]:
        body = await _read_rest(body, receive, limits)
    coding = headers.get(b"content-encoding")
    return body if coding is None or coding == b"identity" else inflate(body, coding.lower(), limits=limits)


async def _read_rest(first: bytes, receive: Receive, limits: Limits) -> bytes:
    parts, size, more = [first], len(first), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message["body"])
        size, more = size + len(parts[-1]), message["more_body"]
        if size > limits.body:
            raise _too_long(limits)
    return b"".join(parts)


def inflate(body: bytes, coding: bytes, *, limits: Limits) -> bytes:
    """A compressed body, as long as it stays within the limit of bodies. Raises `RequestError` (400, 413, 415)."""
    if coding not in _WINDOWS:
        shown = coding.decode("latin-1")[:40]
        raise RequestError(f"Content-Encoding '{shown}' is not read here. Send gzip, deflate, or none.", status=415)
    stream, found, size = zlib.decompressobj(_WINDOWS[coding]), [], 0
    try:
        while not stream.eof and body:
            found.append(stream.decompress(body, CHUNK))
            body, size = stream.unconsumed_tail, size + len(found[-1])
            if size > limits.body:
                raise _too_long(limits)
    except zlib.error as error:
        raise RequestError(f"the body is no {coding.decode()}: {error}.") from error
    if not stream.eof or stream.unused_data:
        what = "goes on after its end" if stream.eof else "ends before its end"
        raise RequestError(f"the compressed body {what}. Send it whole.")
    return b"".join(found)


def read_head(headers: Headers) -> int | None:
    """The length of the JSON part of a body with binary tensors. Raises `RequestError`."""
    given = headers.get(HEAD)
    if given is None:
        return None
    if not given.isdigit() or len(given) > 18:
        raise RequestError(f"Inference-Header-Content-Length is '{given.decode('latin-1')[:40]}'; a number is needed.")
    return int(given)


async def send_answer(
    send: Send, body: bytes, *, head: int | None = None, extra: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """An answer of JSON, or of JSON of `head` bytes with binary tensors after it."""
    headers = [JSON if head is None else BINARY, (b"content-length", b"%d" % len(body)), *extra]
    if head is not None:
        headers.append((HEAD, b"%d" % head))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def write_answer(body: bytes, *, head: int | None) -> bytes:
    """The same, whole, with its head."""
    if head is None:
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    start = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n%b: %d\r\n\r\n%b"
    return start % (len(body), HEAD, head, body)


async def send_error(send: Send, error: RequestError, *, extra: Mapping[bytes, bytes] | None = None) -> None:
    """A refusal: its status, and its sentence as {"error": ...}."""
    body, headers = _explain(error)
    headers += (extra or {}).items()
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def write_error(error: RequestError, *, close: bool = False) -> bytes:
    """The same, whole, with its head."""
    body, headers = _explain(error)
    if close:
        headers.append((b"connection", b"close"))
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (error.status, HTTPStatus(error.status).phrase.encode(), lines, body)


def _explain(error: RequestError) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    body = json.dumps({"error": str(error)}).encode()
    headers = [JSON, (b"content-length", b"%d" % len(body))]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return body, headers


def defect() -> RequestError:
    """What is told of a defect of ours."""
    return RequestError("the server failed; its log says why.", status=500)


def to_refusal(error: TidewrightError) -> RequestError:
    """An error of the library as what the server says: bad data is the client's (400), another is not (503)."""
    if isinstance(error, RequestError):
        return error
    return RequestError(str(error), status=400 if isinstance(error, ValueError) else 503)


def _too_long(limits: Limits) -> RequestError:
    return RequestError(
        f"the body is too long; {limits.body} bytes are allowed. Send fewer rows at a time.", status=413
    )
