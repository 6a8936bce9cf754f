"""The shortest way of an inference: a small one, whole in one piece, is answered while it is parsed, without ASGI.

What is special in any way (long, chunked, compressed, HTTP/1.0, behind another one) goes the usual way.
"""

from __future__ import annotations

import logging
from time import perf_counter_ns
from typing import NamedTuple

from tidewright.errors import RequestError, TidewrightError
from tidewright.serving.desk import Desk
from tidewright.serving.gate import Gate, Headers
from tidewright.serving.http import defect, read_head, to_refusal, write_answer, write_error
from tidewright.serving.served import Served, Values
from tidewright.serving.tensors import Asked

log = logging.getLogger(__name__)


class Small(NamedTuple):
    """A small inference: who is asked, with which headers, and how long its body is."""

    served: Served
    headers: Headers
    length: int


class Quick:
    """Finds small inferences, and answers them."""

    def __init__(self, desk: Desk, gate: Gate) -> None:
        self._desk, self._gate, self._limits = desk, gate, desk.options.limits
        self._closed = desk.options.log_requests  # the usual way logs

    def find(self, url: bytes, raw: list[tuple[bytes, bytes]]) -> Small | None:
        """The small inference that a head asks for; None where it is something else."""
        served = self._desk.roster.routes.get(url.decode("latin-1"))
        if served is None or self._closed:
            return None
        headers = dict(raw)
        told = headers.get(b"content-length")
        if told is None or len(told) > 9 or len(headers) != len(raw) or b"content-encoding" in headers:
            return None
        length = int(told)
        return Small(served, headers, length) if length <= served.inline and length <= self._limits.body else None

    def answer(self, small: Small, body: bytes) -> bytes:
        """The whole answer, with its head."""
        started, served, limits = perf_counter_ns(), small.served, self._limits
        try:
            self._gate.check(small.headers)
            head = read_head(small.headers)
            content, length, rows = served.infer(body, head, rows=limits.rows, depth=limits.depth)
        except TidewrightError as error:
            return self._fail(served, to_refusal(error))
        except Exception:  # a defect of ours is told as one, and the next request is answered
            log.exception("a defect of Tidewright in an inference")
            return self._fail(served, defect())
        served.tally.count("infer", perf_counter_ns() - started, rows=rows)
        return write_answer(content, head=length)

    def read(self, small: Small, body: bytes) -> Asked:
        """A request that others may be answered with. Raises `RequestError`."""
        self._gate.check(small.headers)
        limits = self._limits
        return small.served.read(body, read_head(small.headers), rows=limits.rows, depth=limits.depth)

    def write(self, served: Served, asked: Asked, values: Values, *, started: int) -> bytes:
        """The whole answer of such a request, from its rows of a run; counted."""
        content, length = served.write(values, asked.id, asked.binary)
        served.tally.count("infer", perf_counter_ns() - started, rows=len(values))
        return write_answer(content, head=length)

    def _fail(self, served: Served, error: RequestError) -> bytes:
        served.tally.failed["infer", error.status] += 1
        log.info("refused", extra={"fields": {"model": served.name, "status": error.status}})
        return write_error(error)
