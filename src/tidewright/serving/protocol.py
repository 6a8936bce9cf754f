"""A connection of the server: uvicorn's own, with an end to heads, bodies and reading that take too long."""

from __future__ import annotations

import json
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidewright.serving.options import Limits

HEAD_BYTES = 65_536
_PHRASES = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class Connection(HttpToolsProtocol):
    """See the file. `expire` is called by the server once in a while.

    `_since` is when the connection was made or its present request began, None between two requests; `_body` is
    whether its head was read.
    """

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self.access_log = False  # the app has its own

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._since: float | None = monotonic()
        self._body, self._head_bytes, self._stalled = False, 0, 0.0

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        if self._since is not None and not self._body:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(431, f"the head is longer than {HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        self._since, self._body, self._head_bytes = monotonic(), False, 0

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See httptools."""
        self._since = None
        super().on_message_complete()

    def pause_writing(self) -> None:
        """See asyncio.Protocol: the other side does not read."""
        self._stalled = monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._stalled = 0.0
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets an error in the server's own form."""
        self._refuse(400, "this is no request of HTTP/1.1. Check its first line, its headers and its Content-Length.")

    def expire(self, limits: Limits) -> None:
        """Ends the connection where its head, its body or its reading takes longer than it may."""
        now = monotonic()
        if self._stalled and now - self._stalled > limits.body_s:
            self.transport.abort()
        elif self._since is not None and now - self._since > limits.header_s + (limits.body_s if self._body else 0.0):
            seconds, what = (limits.body_s, "body") if self._body else (limits.header_s, "head")
            self._refuse(408, f"the request's {what} did not come whole within {seconds:g} s.")

    def _refuse(self, status: int, text: str) -> None:
        """Writes an error, unless an answer has begun, and closes."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = json.dumps({"error": text}).encode()
            head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\n" % (status, _PHRASES[status])
            self.transport.write(head + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        self.transport.close()
