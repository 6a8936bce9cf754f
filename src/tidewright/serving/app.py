"""The server as an ASGI application: inference on the shortest way, everything else by the control plane."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter_ns

from tidewright.errors import RequestError, TidewrightError
from tidewright.serving.desk import Desk
from tidewright.serving.forecasts import PATH as FORECAST
from tidewright.serving.forecasts import answer_forecast
from tidewright.serving.gate import Gate, Headers, check_once
from tidewright.serving.heads import Heads
from tidewright.serving.http import (
    ClientGoneError,
    Receive,
    Scope,
    Send,
    defect,
    read_body,
    read_head,
    send_answer,
    send_error,
    to_refusal,
)
from tidewright.serving.quick import Quick
from tidewright.serving.served import Served
from tidewright.serving.split_infer import answer_split
from tidewright.serving.turn import Turn

FREE = ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")  # probes need no key
_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)


class App:
    """See the file. `control` answers every path that is not an inference's; `quick`, `heads` and `turn` are for
    connections.
    """

    def __init__(self, desk: Desk, control: Asgi) -> None:
        self._desk, self._control = desk, control
        self._gate, self._limits = Gate(desk.options), desk.options.limits
        self.quick = Quick(desk, self._gate)
        self.heads, self.turn = Heads(desk), Turn(self.quick)
        self._log_requests = desk.options.log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            return
        served = self._desk.roster.routes.get(scope["path"]) if scope["method"] == "POST" else None
        started, limits, counted = perf_counter_ns(), self._limits, None
        try:
            headers = self._pass_gate(scope)
            if served is None:
                await self._answer_other(headers, scope, receive, send)
                return
            counted = served
            body = await read_body(receive, headers, limits)
            read = partial(served.read, body, read_head(headers), rows=limits.rows, depth=limits.depth)
            content, length, rows = await self._desk.infer(served, read, size=len(body))
        except ClientGoneError:
            return
        except TidewrightError as error:
            await self._fail(counted, send, to_refusal(error), scope=scope)
            return
        except Exception:  # a defect of ours is told as one, and the next request is answered
            log.exception("a defect of Tidewright in a request")
            await self._fail(counted, send, defect(), scope=scope)
            return
        await send_answer(send, content, head=length)
        served.tally.count("infer", perf_counter_ns() - started, rows=rows)
        if self._log_requests:
            told = {"path": scope["path"], "status": 200, "rows": rows, "ms": (perf_counter_ns() - started) / 1e6}
            log.info("request", extra={"fields": told})

    def _pass_gate(self, scope: Scope) -> Headers:
        raw = scope["headers"]
        headers = dict(raw)
        if len(headers) != len(raw):
            check_once(raw)
        self._gate.check(headers, free=scope["path"] in FREE)
        return headers

    async def _answer_other(self, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        """A forecast; an inference of what is not served, refused with what is; the rest is the control plane's."""
        if scope["path"] == FORECAST and scope["method"] == "POST":
            await answer_forecast(self._desk, headers, scope, receive, send)
            return
        split = self._desk.roster.splits.get(scope["path"])
        if split is not None and scope["method"] == "POST":
            await answer_split(self._desk, split, headers, scope, receive, send)
            return
        asked = _INFER.fullmatch(scope["path"])
        if asked is None and scope["path"] != FORECAST:
            await self._control(scope, receive, send)
            return
        if asked is not None and scope["method"] == "POST":
            self._desk.roster.find(asked[1], asked[2])  # says that it is not there
        refusal = RequestError("inferences and forecasts are asked for by POST.", status=405)
        await send_error(send, refusal, extra={b"allow": b"POST"})

    async def _fail(self, served: Served | None, send: Send, error: RequestError, *, scope: Scope) -> None:
        """Tells an error, and counts it: as the model's own once its inference was let in."""
        if served is None:
            self._desk.metrics.refused[error.status] += 1
        else:
            served.tally.failed["infer", error.status] += 1
        log.info("refused", extra={"fields": {"path": scope["path"][:200], "status": error.status}})
        await send_error(send, error)
