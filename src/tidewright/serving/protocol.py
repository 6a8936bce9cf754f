"""A connection of the server: uvicorn's own, with an end to heads, bodies and reading that take too long, and small
inferences answered while they are parsed.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidewright.errors import RequestError
from tidewright.serving.heads import Heads
from tidewright.serving.http import write_error
from tidewright.serving.options import Limits
from tidewright.serving.quick import Quick, Small
from tidewright.serving.turn import Turn

HEAD_BYTES = 65_536


class Connection(HttpToolsProtocol):
    """See the file. `expire` is called by the server once in a while.

    `_since` is when the connection was made or its present request began, `_idle` when the last small one was answered;
    `_body` is whether the head was read, `_small` the small inference whose body is being read, `_ended` the last one
    whose end was in what came, `_between` whether what comes next begins a request, `_held` whether an answer waits for
    the end of the loop's turn.
    """

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self.access_log = False  # the app has its own
        self._quick: Quick | None = getattr(self.app, "quick", None)
        self._turn: Turn | None = getattr(self.app, "turn", None)
        self._heads: Heads | None = getattr(self.app, "heads", None)
        self._small: Small | None = None
        self._ended: Small | None = None
        self._between, self._held = True, False
        self._idle, self._last = 0.0, False

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._since: float | None = monotonic()
        self._body, self._head_bytes, self._stalled = False, 0, 0.0

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. What was sent before with the same head needs no parser, which is between requests."""
        between, heads = self._between, self._heads
        if between and heads is not None and (known := heads.recall(data)) and self._is_free():
            self._unset_keepalive_if_required()
            self._since = None
            self._answer(*known)
            return
        super().data_received(data)
        ended, self._ended = self._ended, None
        if between and heads is not None and ended is not None:
            heads.remember(data, ended)
        if self._since is not None and not self._body:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(431, f"the head is longer than {HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        self._since, self._body, self._head_bytes, self._idle = monotonic(), False, 0, 0.0
        self._between = False

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._body = True
        self._small = self._find_small()
        if self._small is None:
            super().on_headers_complete()

    def _find_small(self) -> Small | None:
        """The small inference that the head asks for, where it may be answered at once."""
        if self._quick is None or self.expect_100_continue or not self._is_free():
            return None
        parser = self.parser
        if parser.get_method() != b"POST" or parser.should_upgrade() or not parser.should_keep_alive():
            return None
        self._parts: list[bytes] = []
        return self._quick.find(self.url, self.headers)

    def _is_free(self) -> bool:
        """Whether no other answer comes first, the other side reads, and there are no more connections than may be."""
        busy = self.cycle is not None and not self.cycle.response_complete
        return not busy and not self.flow.write_paused and len(self.connections) < (self.limit_concurrency or 0)

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if self._small is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self._since, self._between = None, True
        small, self._small, self._ended = self._small, None, self._small
        if small is None:
            super().on_message_complete()
        else:
            self._answer(small, b"".join(self._parts))

    def _answer(self, small: Small, body: bytes) -> None:
        """Answers a small inference now, or at the end of the loop's turn."""
        assert self._quick is not None
        assert self._turn is not None
        if self._held or (small.served.batch and len(self.connections) > 1):  # one client alone waits for nobody
            self._held = True
            self._turn.add(small, body, self._tell)
        else:
            self._tell(self._quick.answer(small, body))

    def _tell(self, answer: bytes) -> None:
        self._held = False
        if self.transport.is_closing():
            return
        self.transport.write(answer)
        self._idle = monotonic()
        if self._last:
            self.transport.close()

    def _end_turn(self) -> None:
        """Gives the answers that are held, before what must come after them."""
        if self._held and self._turn is not None:
            self._turn.end()

    def eof_received(self) -> None:
        """See asyncio.Protocol: the other side sends no more, and may still read."""
        self._end_turn()
        super().eof_received()

    def shutdown(self) -> None:
        """See uvicorn: what is being read is answered first."""
        self._end_turn()
        if self._small is None:
            super().shutdown()
        else:
            self._last = True

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
        elif self._idle and now - self._idle > self.timeout_keep_alive:
            self.transport.close()
        elif self._since is not None and now - self._since > limits.header_s + (limits.body_s if self._body else 0.0):
            seconds, what = (limits.body_s, "body") if self._body else (limits.header_s, "head")
            self._refuse(408, f"the request's {what} did not come whole within {seconds:g} s.")

    def _refuse(self, status: int, text: str) -> None:
        """Writes an error, unless an answer has begun, and closes."""
        self._end_turn()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(write_error(RequestError(text, status=status), close=True))
        self.transport.close()
