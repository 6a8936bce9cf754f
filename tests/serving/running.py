"""A server in a thread of the test's process, and plain requests to it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.inference.session import open_session
from tidewright.models.spec import Ridge
from tidewright.registry.bundle import save_bundle
from tidewright.serving.listen import address, bind
from tidewright.serving.options import Limits, ServeOptions
from tidewright.serving.server import Serving
from tidewright.training.fit import fit

LOOKBACK, HORIZON = 24, 4


class Reply(NamedTuple):
    """An answer's status, headers by lower name, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running(NamedTuple):
    """A server that runs: where, and itself."""

    url: str
    serving: Serving

    @property
    def port(self) -> int:
        return int(urlsplit(self.url).port)

    def ask(
        self, path: str, body: Any = None, *, method: str | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """One request over a connection of its own; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        given = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method or ("GET" if given is None else "POST"), path, body=given, headers=headers or {})
        answer = connection.getresponse()
        reply = Reply(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        connection.close()
        return reply


@contextmanager
def running(
    places: Sequence[Path], *, limits: Limits | None = None, wrap: Any = None, **options: Any
) -> Iterator[Running]:
    """A server at a free port of this machine, in a thread, until the block ends."""
    given = ServeOptions(port=0, limits=limits or Limits(), **options)
    serving = Serving(places, given, wrap=wrap)
    with bind(given) as bound:
        thread = Thread(target=serving.run, args=(bound,))
        thread.start()
        try:
            yield Running(address(given, bound), serving)
        finally:
            serving.stop()
            thread.join(30)
    assert not thread.is_alive()


def save_ridge(
    folder: Path, *, name: str = "sales", seed: int = 0, overwrite: bool = False, lookback: int = LOOKBACK
) -> Any:
    """A bundle of the simplest model that learns; another seed, other numbers."""
    panel, task = small_panel(seed=seed), Task(HORIZON)
    fitted = fit(Ridge(lookbacks=(lookback,)), panel=panel, split=split_holdout(panel, task), task=task)
    return save_bundle(fitted, panel=panel, folder=folder, name=name, overwrite=overwrite)


def tensor(rows: Any, *, name: str = "target", datatype: str = "FP32") -> dict[str, Any]:
    """An input of the protocol, as JSON."""
    array = np.asarray(rows)
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": array.reshape(-1).tolist()}


def until(what: Callable[[], bool]) -> None:
    waiting = Event()
    for _ in range(1000):
        if what():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come to that")


def tally(server: Running, version: str = "2", champion: str = "1") -> Any:
    return server.serving.desk.metrics.shadow_tally("sales", champion=champion, version=version)


def answered(reply: Reply) -> Any:
    assert reply.status == 200, reply
    told = reply.json["outputs"][0]
    return np.array(told["data"], np.float32).reshape(told["shape"])


def lineup(server: Running) -> Any:
    return server.ask("/v2/models/sales").json["parameters"]["lineup"]


def quantiles(bundle: Any, rows: Any) -> Any:
    return open_session(bundle).predict(rows).quantiles
