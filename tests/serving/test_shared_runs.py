"""Requests that come together share a run, each with its own rows, its own error and its own deadline."""

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from tests.serving.running import running, save_ridge, tensor, until
from tests.serving.test_quick import PATH, read
from tidewright.errors import ConfigError
from tidewright.inference.batching import BatchingSession
from tidewright.inference.session import open_session
from tidewright.serving import served as module
from tidewright.serving.options import Limits, ServeOptions

URL = "/v2/models/sales/infer"


@pytest.fixture
def gaining(monkeypatch):
    """Every model's rows count as quicker together."""
    monkeypatch.setattr(module, "_gains", lambda *_: True)


@pytest.fixture
def slow(monkeypatch, gaining):
    """No answer counts as quick."""
    monkeypatch.setattr(module, "INLINE_S", 0.0)


@pytest.fixture
def several(ridge, gaining):
    with running([ridge.folder], batch=3) as server:
        yield server


def small(server, given, **more):
    """A small inference's head and body, as the parser finds them."""
    body = json.dumps({"inputs": [tensor(given)], **more}).encode()
    raw = [(b"host", b"localhost"), (b"content-length", b"%d" % len(body))]
    return server.serving._server.config.app.quick.find(URL.encode(), raw), body


def answer_together(server, asked):
    """The answers to requests of one turn, with their status, in the order in which they were told."""
    turn, told = server.serving._server.config.app.turn, []

    async def ask():
        for number, (one, body) in enumerate(asked):
            turn.add(one, body, lambda answer, number=number: told.append((number, answer)))
        await asyncio.sleep(0)

    asyncio.run(ask())
    assert [number for number, _ in told] == list(range(len(asked)))
    parts = [answer.partition(b"\r\n\r\n") for _, answer in told]
    return [(int(head[9:12]), json.loads(body)) for head, _, body in parts]


def values(told):
    output = told["outputs"][0]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def tally(server):
    return server.serving.desk.metrics.tally("sales", "1")


def request(given, **more):
    body = json.dumps({"inputs": [tensor(given)], **more}).encode()
    return PATH + b"Content-Length: %d\r\n\r\n" % len(body) + body


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def test_requests_of_one_turn_share_runs_and_each_gets_its_own_rows(several, ridge, rows):
    given = [rows[:1], rows[1:3], rows[2:3], rows[:1] + 5]  # 1 + 2 rows, then 1 + 1
    found = answer_together(several, [small(several, one, id=str(number)) for number, one in enumerate(given)])
    session = open_session(ridge)
    for number, (one, (status, told)) in enumerate(zip(given, found, strict=True)):
        assert (status, told["id"]) == (200, str(number))
        np.testing.assert_allclose(values(told), session.predict(one).quantiles, rtol=1e-5)
    assert (tally(several).shared_runs, tally(several).shared_rows, tally(several).answered["infer"]) == (2, 5, 4)
    text = several.ask("/metrics").body.decode()
    assert 'tidewright_shared_runs_total{model="sales",version="1"} 2' in text
    assert 'tidewright_shared_rows_total{model="sales",version="1"} 5' in text


def test_an_error_is_of_the_request_that_it_belongs_to(several, rows):
    good, (one, _) = small(several, rows[:1]), small(several, rows[:1])
    endless = small(several, np.full_like(rows[:1], np.inf).tolist())
    found = answer_together(several, [good, (one, b"{"), small(several, rows[:1, :5]), good, endless, good])
    assert [status for status, _ in found] == [200, 400, 400, 200, 400, 200]
    assert tally(several).failed["infer", 400] == 3


def test_a_defect_in_a_shared_run_is_logged_and_each_is_answered_alone(several, rows, monkeypatch, caplog):
    session = several.serving.desk.roster.find("sales").session
    plain = session.predict

    def fail_together(x):
        if len(x) > 1:
            raise RuntimeError("several at a time")
        return plain(x)

    monkeypatch.setattr(session, "predict", fail_together)
    assert [status for status, _ in answer_together(several, [small(several, rows[:1])] * 2)] == [200, 200]
    assert "a shared run failed" in caplog.text
    assert tally(several).shared_runs == 0


def test_two_models_in_one_turn_are_answered_each_by_its_own(tmp_path, ridge, rows, gaining):
    other = save_ridge(tmp_path / "other", name="other", seed=1)
    with running([ridge.folder, other.folder]) as server:
        one, body = small(server, rows[:1])
        two = one._replace(served=server.serving.desk.roster.find("other"))
        found = answer_together(server, [(one, body), (two, body), (one, body), (two, body)])
        assert [told["model_name"] for _, told in found] == ["sales", "other"] * 2
        assert np.array_equal(values(found[1][1]), values(found[3][1]))
        assert not np.allclose(values(found[0][1]), values(found[1][1]))


def test_one_client_alone_is_answered_at_once_and_among_others_in_its_order(several, rows):
    with connect(several) as one:
        one.sendall(request(rows[:1], id="0") + request(rows[1:2], id="1"))
        assert [json.loads(read(one)[1])["id"] for _ in range(2)] == ["0", "1"]
        assert tally(several).shared_runs == 0
        with connect(several) as two:
            two.sendall(request(rows[:1]))
            assert read(two)[0] == b"HTTP/1.1 200 OK"
            usual = request(rows[:1], id="2").replace(b"Host", b"Accept: a\r\nAccept: b\r\nHost")
            one.sendall(request(rows[:1], id="0") + request(rows[1:2], id="1") + usual + request(rows[:1], id="3"))
            assert [json.loads(read(one)[1])["id"] for _ in range(4)] == ["0", "1", "2", "3"]
            assert tally(several).shared_runs == 1


def test_what_is_held_is_answered_before_the_connection_ends(several, rows):
    with connect(several) as idle:
        idle.sendall(request(rows[:1]))
        assert read(idle)[0] == b"HTTP/1.1 200 OK"
        with connect(several) as one:
            one.sendall(request(rows[:1]))
            one.shutdown(socket.SHUT_WR)
            assert read(one)[0] == b"HTTP/1.1 200 OK"
        with connect(several) as one:
            one.sendall(request(rows[:1]) + b"no HTTP\r\n\r\n")
            assert [read(one)[0][9:12] for _ in range(2)] == [b"200", b"400"]


def test_batch_0_a_wrapped_session_and_rows_that_gain_nothing_share_no_runs(ridge, rows, monkeypatch):
    def batch(**options):
        with running([ridge.folder], **options) as server:
            return server.serving.desk.roster.find("sales").batch

    for gains in (True, False):
        monkeypatch.setattr(module, "_gains", lambda *_, gains=gains: gains)
        assert batch(batch=9) == 9 * gains
    monkeypatch.setattr(module, "_gains", lambda *_: True)
    assert (batch(batch=0), batch(batch=9, wrap=lambda session: session)) == (0, 0)
    with pytest.raises(ConfigError, match="batch is a whole number from 0 to 65536; got -1"):
        ServeOptions(batch=-1)


@pytest.mark.parametrize(("start", "row", "gains"), [(1.0, 0.1, True), (0.1, 0.1, False), (0.0, 0.1, False)])
def test_what_gains_is_found_by_the_time_of_a_run_of_several(ridge, monkeypatch, start, row, gains):
    session, now = open_session(ridge), [0.0]

    def predict(x):
        now[0] += start + row * len(x)

    monkeypatch.setattr(session, "predict", predict)
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    assert module._gains(session, ridge) is gains


def test_answers_that_take_long_queue_for_shared_runs_within_the_queue_s_limit(ridge, rows, slow, monkeypatch):
    limits = Limits(queue=2, runs=1)
    with running([ridge.folder], limits=limits) as server, ThreadPoolExecutor(3) as pool:
        session = server.serving.desk.roster.find("sales").session
        assert isinstance(session, BatchingSession)
        inner, gate = session.session, Event()
        plain, sizes = inner.predict, []

        def wait(x):
            gate.wait(10)
            sizes.append(len(x))
            return plain(x)

        monkeypatch.setattr(inner, "predict", wait)
        asked = []
        for number in range(3):
            asked.append(pool.submit(server.ask, URL, {"inputs": [tensor(rows[number : number + 1])]}))
            until(lambda number=number: session.counts().waiting == number and session.counts().runs == 1)
        full = server.ask(URL, {"inputs": [tensor(rows[:1])]})
        assert (full.status, full.headers["retry-after"]) == (429, "1")
        gate.set()
        for number, reply in enumerate(one.result() for one in asked):
            expected = open_session(ridge).predict(rows[number : number + 1]).quantiles
            np.testing.assert_allclose(values(reply.json), expected, rtol=1e-5)
        assert sizes == [1, 2]
        assert (
            'tidewright_batching_total{model="sales",version="1",event="runs"} 2'
            in server.ask("/metrics").body.decode()
        )
        assert server.ask(URL, {"inputs": [tensor(rows[:1, :5])]}).status == 400


def test_the_deadline_of_an_answer_holds_in_a_shared_run(ridge, rows, slow, monkeypatch):
    with running([ridge.folder], limits=Limits(run_s=0.05)) as server:
        gate = Event()
        inner = server.serving.desk.roster.find("sales").session.session
        with monkeypatch.context() as patch:
            patch.setattr(inner, "predict", lambda _: gate.wait(10))
            assert server.ask(URL, {"inputs": [tensor(rows[:1])]}).status == 504
            gate.set()
        assert tally(server).failed["infer", 504] == 1
