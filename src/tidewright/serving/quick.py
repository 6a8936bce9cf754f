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
from tidewright.serving.split import VERSION, find_key
from tidewright.serving.tensors import Asked

log = logging.getLogger(__name__)


class Small(NamedTuple):
    """A small inference: who is asked, with which headers, how long its body is, and whether a split drew who."""

    served: Served
    headers: Headers
    length: int
    drawn: bool = False


class Quick:
    """Finds small inferences, and answers them."""

    def __init__(self, desk: Desk, gate: Gate) -> None:
        self._desk, self._gate, self._limits = desk, gate, desk.options.limits
        self._closed = desk.options.log_requests  # the usual way logs

    def find(self, url: bytes, raw: list[tuple[bytes, bytes]]) -> Small | None:
        """The small inference that a head asks for; None where it is something else."""
        path, headers, roster = url.decode("latin-1"), dict(raw), self._desk.roster
        served = roster.routes.get(path)
        drawn = served is None
        if drawn and (split := roster.splits.get(path)) and (key := find_key(headers)) is not None:
            served = split.draw(key)  # without a key in its head, the usual way looks for one in the body
        if served is None or self._closed:
            return None
        told = headers.get(b"content-length")
        if told is None or len(told) > 9 or len(headers) != len(raw) or b"content-encoding" in headers:
            return None
        length = int(told)
        if length > served.inline or length > self._limits.body:
            return None
        return Small(served, headers, length, drawn)

    def answer(self, small: Small, body: bytes) -> bytes:
        """The whole answer, with its head."""
        started, served, limits = perf_counter_ns(), small.served, self._limits
        try:
            self._gate.check(small.headers)
            head = read_head(small.headers)
            asked = served.read(body, head, rows=limits.rows, depth=limits.depth)
            content, length, rows = served.answer(asked)
        except TidewrightError as error:
            return self._fail(served, to_refusal(error))
        except Exception:  # a defect of ours is told as one, and the next request is answered
            log.exception("a defect of Tidewright in an inference")
            return self._fail(served, defect())
        served.tally.count("infer", perf_counter_ns() - started, rows=rows)
        answer = write_answer(content, head=length)
        return self._tell_version(served, answer) if small.drawn else answer

    def read(self, small: Small, body: bytes) -> Asked:
        """A request that others may be answered with. Raises `RequestError`."""
        self._gate.check(small.headers)
        limits = self._limits
        return small.served.read(body, read_head(small.headers), rows=limits.rows, depth=limits.depth)

    def write(self, small: Small, asked: Asked, values: Values, *, started: int) -> bytes:
        """The whole answer of such a request, from its rows of a run; counted."""
        served = small.served
        content, length = served.write(values, asked.id, asked.binary)
        served.tally.count("infer", perf_counter_ns() - started, rows=len(values))
        answer = write_answer(content, head=length)
        return self._tell_version(served, answer) if small.drawn else answer

    def _tell_version(self, served: Served, answer: bytes) -> bytes:
        """The answer of an arm, with the header that says which; counted."""
        self._desk.metrics.split[served.name, served.version] += 1
        return answer.replace(b"\r\n", b"\r\n%b: %b\r\n" % (VERSION, served.version.encode()), 1)

    def _fail(self, served: Served, error: RequestError) -> bytes:
        served.tally.failed["infer", error.status] += 1
        log.info("refused", extra={"fields": {"model": served.name, "status": error.status}})
        return write_error(error)
