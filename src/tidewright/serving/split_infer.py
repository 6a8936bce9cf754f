"""An inference of a model that is split: read, drawn by its key, answered by one of the arms, which is told."""

from __future__ import annotations

import logging
from functools import partial
from time import perf_counter_ns

from tidewright.errors import TidewrightError
from tidewright.serving.desk import Desk
from tidewright.serving.gate import Headers
from tidewright.serving.http import Receive, Scope, Send, read_body, read_head, send_answer, send_error, to_refusal
from tidewright.serving.served import INLINE_BYTES
from tidewright.serving.split import Split, find_key, tell_version

log = logging.getLogger(__name__)


async def answer_split(desk: Desk, split: Split, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
    """One inference: by the key that its headers say, else its own id. Raises `RequestError` for its size and form, and
    `ClientGoneError`, before it knows the arm.
    """
    started, limits = perf_counter_ns(), desk.options.limits
    body = await read_body(receive, headers, limits)
    arm = split.arms[0][0]
    try:
        read = partial(arm.read, body, read_head(headers), rows=limits.rows, depth=limits.depth)
        asked = read() if len(body) <= INLINE_BYTES else await desk.run(read)
        key = find_key(headers)
        arm = split.draw(asked.id or None if key is None else key)
        content, length, rows = await desk.infer(arm, lambda: asked, size=len(body))
    except TidewrightError as error:
        refusal = to_refusal(error)
        arm.tally.failed["infer", refusal.status] += 1
        log.info("refused", extra={"fields": {**arm.labels, "status": refusal.status}})
        await send_error(send, refusal)
        return
    await send_answer(send, content, head=length, extra=tell_version(arm.version))
    arm.tally.count("infer", perf_counter_ns() - started, rows=rows)
    desk.metrics.split[arm.name, arm.version] += 1
    if desk.options.log_requests:
        told = {"path": scope["path"], **arm.labels, "status": 200, "rows": rows}
        log.info("request", extra={"fields": {**told, "ms": (perf_counter_ns() - started) / 1e6}})
