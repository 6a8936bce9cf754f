"""Who is answered: by Host, by origin, by key."""

import logging

import pytest

from tests.serving.running import running
from tidewright.errors import ConfigError, RequestError, UnknownNameError
from tidewright.serving.gate import Gate
from tidewright.serving.options import Limits, ServeOptions, read_keys, read_limits

KEY, OTHER = "a-key-of-this-server", "another-key-of-this-server"


@pytest.mark.parametrize(
    ("options", "host", "passes"),
    [
        ({}, "127.0.0.1:8000", True),
        ({}, "localhost", True),
        ({}, "LOCALHOST:99", True),
        ({}, "[::1]:8000", True),
        ({}, "evil.example:8000", False),
        ({}, "127.0.0.1.evil.example", False),
        ({}, "10.0.0.7", False),
        ({}, "", False),
        ({"hosts": ("models.example",)}, "models.example:443", True),
        ({"hosts": ("*",)}, "any.example", True),
        ({"host": "0.0.0.0", "keys": (KEY,)}, "10.0.0.7:8000", True),
        ({"host": "0.0.0.0", "keys": (KEY,)}, "evil.example", False),
    ],
)
def test_a_request_calls_the_server_by_one_of_its_names(options, host, passes):
    gate = Gate(ServeOptions(**options))
    headers = {b"host": host.encode(), b"x-api-key": KEY.encode()}
    for _ in range(2):
        if passes:
            gate.check(headers)
        else:
            with pytest.raises(RequestError, match="is not one of this server's"):
                gate.check(headers)


def test_a_page_of_another_origin_is_refused(server):
    own = f"http://127.0.0.1:{server.port}"
    assert server.ask("/v2", headers={"Origin": own}).status == 200
    for origin in ("http://evil.example", "null", "http://[", "http://127.0.0.1:1"):
        reply = server.ask("/v2", headers={"Origin": origin})
        assert (reply.status, reply.json["error"][:24]) == (403, "pages of other origins a")


def test_everything_but_the_probes_needs_a_key_where_there_is_one(ridge, caplog):
    caplog.set_level(logging.DEBUG)
    with running([ridge.folder], keys=(KEY, OTHER)) as server:
        for path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"):
            assert server.ask(path).status == 200
        for path, body in (("/v2", None), ("/metrics", None), ("/docs", None), ("/v2/models/sales/infer", {})):
            for headers in (
                {},
                {"X-API-Key": KEY[:-1]},
                {"Authorization": f"Basic {KEY}"},
                {"Authorization": "Bearer "},
            ):
                reply = server.ask(path, body, headers=headers)
                assert reply.status == 401
                assert reply.headers["www-authenticate"] == "Bearer"
            for headers in (
                {"X-API-Key": KEY},
                {"Authorization": f"Bearer {OTHER}"},
                {"authorization": f"bearer {KEY}"},
            ):
                assert server.ask(path, body, headers=headers).status in (200, 400)
        assert server.ask(f"/v2?key={KEY}").status == 401
        assert KEY not in repr(server.serving.desk.options)
    assert KEY not in caplog.text


def test_another_address_than_loopback_needs_a_key():
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0' can be reached from other machines, and no key is set"):
        ServeOptions(host="0.0.0.0")
    with pytest.raises(ConfigError, match="is 16 or more plain characters"):
        ServeOptions(host="0.0.0.0", keys=("short",))
    assert ServeOptions(host="0.0.0.0", keys=read_keys({"TIDEWRIGHT_API_KEYS": f" {KEY} ,"})).keys == (KEY,)


def test_options_that_can_t_be_are_refused_with_what_they_are():
    for given, message in (
        ({"port": 70_000}, "port is a whole number from 0 to 65535"),
        ({"workers": 0}, "workers is a whole number from 1 to 256"),
        ({"watch_s": -1.0}, "watch_s is a number of seconds"),
        ({"tls_cert": "here.pem"}, "TLS needs a certificate and its key"),
    ):
        with pytest.raises(ConfigError, match=message):
            ServeOptions(**given)
    for name in ("rows", "run_s", "queue"):
        for value in (0, -1, float("inf"), float("nan"), True, "1"):
            with pytest.raises(ConfigError, match=f"the limit {name} is"):
                Limits(**{name: value})
    with pytest.raises(UnknownNameError, match=r"no limit is called 'row'\. Did you mean 'rows'"):
        read_limits(["row=1"])
    with pytest.raises(ConfigError, match="the limit rows is a number, as in rows=100; got 'many'"):
        read_limits(["rows=many"])
    assert read_limits(["rows=5", "run_s=0.5"]) == Limits(rows=5, run_s=0.5)
