"""The least that `serve.py` can measure here: servers that read no request's body and say the same to all.

python serve_floor.py httptools|uvicorn PORT

`httptools` parses HTTP on uvloop, and no more; `uvicorn` is a raw ASGI application of a few lines.
"""

import asyncio
import sys
from typing import Any

import httptools
import uvicorn
import uvloop

TOLD = b'{"model_name":"mlp","outputs":[{"name":"quantiles","datatype":"FP32","shape":[1,1,1],"data":[0.123456]}]}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(TOLD))]
LINES = b"".join(b"%b: %b\r\n" % header for header in HEADERS)
WHOLE = b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (LINES, TOLD)


class Bare(asyncio.Protocol):
    """A connection that parses HTTP."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.parser = transport, httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.transport.write(WHOLE)


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": TOLD})


async def serve_bare(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "httptools":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_bare(port))
    else:
        plain: dict[str, Any] = {"access_log": False, "server_header": False, "date_header": False, "lifespan": "off"}
        uvicorn.run(answer, port=port, loop="uvloop", http="httptools", log_level="warning", **plain)


if __name__ == "__main__":
    main()
