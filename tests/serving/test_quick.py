"""The shortest way and the usual one say the same, however a request comes in."""

import json
import socket
from functools import partial
from threading import Event

import numpy as np
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.serving.running import running, tensor
from tidewright.inference.session import open_session

PATH = b"POST /v2/models/sales/infer HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def body(rows):
    return json.dumps({"inputs": [tensor(rows[:1])]}).encode()


def read(one):
    """One answer: its first line and its body; None where the connection is closed."""
    found = b""
    while b"\r\n\r\n" not in found:
        part = one.recv(1)
        if not part:
            return None
        found += part
    head = found.decode().lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    rest = b""
    while len(rest) < length:
        rest += one.recv(length - len(rest))
    return found.split(b"\r\n")[0], rest


@pytest.fixture
def one(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as found:
        yield found


def test_every_way_of_sending_gets_the_same_answer(server, ridge, rows, body):
    plain = PATH + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunked = PATH + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    last = PATH + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    old = plain.replace(b"HTTP/1.1", b"HTTP/1.0")
    query = plain.replace(b"infer HTTP", b"infer?a=1 HTTP")
    escaped = plain.replace(b"sales", b"s%61les")
    twice = plain.replace(b"Host", b"Accept: a\r\nAccept: b\r\nHost")
    answers = set()
    for data in (plain, chunked, last, old, query, escaped, twice):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
            one.sendall(data)
            answers.add(read(one))
            if data in (last, old):
                assert read(one) is None
    assert len(answers) == 1
    line, content = answers.pop()
    told = json.loads(content)["outputs"][0]
    assert line == b"HTTP/1.1 200 OK"
    found = np.array(told["data"], np.float32).reshape(told["shape"])
    assert np.array_equal(found, open_session(ridge).predict(rows[:1]).quantiles)


def test_requests_in_one_piece_and_in_many_are_answered_in_their_order(one, body):
    def numbered(number, *, usual=False):
        given = json.dumps({"id": str(number), **json.loads(body)}).encode()
        extra = b"Accept: a\r\nAccept: b\r\n" if usual else b""
        return PATH + extra + b"Content-Length: %d\r\n\r\n" % len(given) + given

    one.sendall(b"".join(numbered(number, usual=number % 3 == 1) for number in range(9)))
    assert [json.loads(read(one)[1])["id"] for _ in range(9)] == [str(number) for number in range(9)]
    data = numbered(9)
    for place in range(0, len(data), 97):
        one.sendall(data[place : place + 97])
    assert json.loads(read(one)[1])["id"] == "9"


def test_the_same_head_again_needs_no_parser_and_leaves_it_between_requests(ridge, body, monkeypatch):
    parsed = []
    usual = HttpToolsProtocol.data_received
    monkeypatch.setattr(HttpToolsProtocol, "data_received", lambda self, data: (parsed.append(data), usual(self, data)))
    data = PATH + b"Content-Length: %d\r\n\r\n" % len(body) + body
    wrong = PATH + b"Content-Length: %d\r\n\r\n" % len(body) + b"[" * len(body)
    usually = data.replace(b"Host", b"Accept: a\r\nAccept: b\r\nHost")
    with running([ridge.folder]) as server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:

        def ask(*parts):
            found = []
            for part in parts:
                one.sendall(part)
                found.append(read(one))
            return found

        def is_last(part):
            return parsed[-1] == part

        first, again, bad, after = ask(data, data, wrong, data)
        assert (again, after, bad[0]) == (first, first, b"HTTP/1.1 400 Bad Request")
        assert parsed == [data]
        for place in (1, 20, len(data) - len(body), len(data) - 1):  # a part alone, and then the same head again
            one.sendall(data[:place])
            wait_for(partial(is_last, data[:place]))
            assert ask(data[place:], data) == [first, first]
        one.sendall(data + data + usually)
        assert [read(one), read(one), read(one), *ask(usually, data)] == [first] * 5
        one.sendall(data + b"PO")
        assert read(one) == first
        assert ask(b"ST" + data[4:]) == [first]
        one.sendall(b"P")
        wait_for(partial(is_last, b"P"))
        one.sendall(data)  # PPOST
        assert read(one)[0] == b"HTTP/1.1 400 Bad Request"
        assert read(one) is None


def wait_for(what):
    waiting = Event()
    while not what():
        waiting.wait(0.001)


def test_a_client_that_waits_to_go_on_is_told_to(one, body):
    one.sendall(PATH + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
    assert one.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    one.sendall(body)
    assert read(one)[0] == b"HTTP/1.1 200 OK"


def test_what_is_refused_leaves_the_connection_open_for_the_next(one, body):
    wrong = PATH + b"Content-Length: 2\r\n\r\n{}"
    foreign = PATH.replace(b"localhost", b"evil.example") + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for data, line in ((wrong, b"400 Bad Request"), (foreign, b"400 Bad Request")):
        one.sendall(data)
        assert read(one)[0] == b"HTTP/1.1 " + line
    one.sendall(PATH + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert read(one)[0] == b"HTTP/1.1 200 OK"


def test_a_small_request_whose_body_is_coming_is_answered_when_the_server_stops(ridge, body):
    def until(what):
        waiting, connections = Event(), server.serving._server.server_state.connections
        while not any(what(connection) for connection in list(connections)):
            waiting.wait(0.01)

    with running([ridge.folder]) as server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
        one.sendall(PATH + b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
        until(lambda connection: connection._small)
        server.serving.stop()
        until(lambda connection: connection._last)
        one.sendall(body[-1:])
        assert read(one)[0] == b"HTTP/1.1 200 OK"
        assert read(one) is None
