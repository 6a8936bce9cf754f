"""What a server is sent that it can't answer gets a 4xx, with a sentence that names the field; never a 500."""

import gzip
import json
import re
import socket

import numpy as np
import pytest

from tests.serving.running import LOOKBACK, running, tensor
from tidewright.errors import RequestError
from tidewright.serving.options import Limits

PATH = "/v2/models/sales/infer"
GOOD = tensor(np.ones((1, LOOKBACK)))
HEAD = "Inference-Header-Content-Length"


def ask(**changes):
    """A request whose one tensor differs in something."""
    return {"inputs": [{**GOOD, **changes}]}


def without(name):
    return {"inputs": [{key: value for key, value in GOOD.items() if key != name}]}


def binary(size=LOOKBACK * 4, **changes):
    """A tensor whose numbers are to follow as bytes."""
    return json.dumps(
        {"inputs": [{**without("data")["inputs"][0], "parameters": {"binary_data_size": size}, **changes}]}
    )


def sent(head, tail=b"", *, length=None):
    """A body with bytes after its JSON part."""
    return head.encode() + tail, {HEAD: str(len(head) if length is None else length)}


NONE: dict[str, str] = {}
BYTES = np.ones(LOOKBACK, np.float32).tobytes()
HUGE = {"name": "target", "shape": [10**9, LOOKBACK], "datatype": "FP32", "data": [1.0]}

CASES = [
    ("empty body", b"", NONE, "the body is no JSON: it is empty"),
    ("truncated", json.dumps(ask())[:-30].encode(), NONE, "the body is no JSON: .* at line 1 column"),
    ("no object", [1, 2], NONE, "the body is a list of 2; an object with 'inputs'"),
    ("a number", 3, NONE, "the body is a number"),
    ("no inputs", {}, NONE, "'inputs' is missing or null"),
    ("inputs empty", {"inputs": []}, NONE, "'inputs' is a list of 0"),
    ("inputs no list", {"inputs": {"target": 1}}, NONE, "'inputs' is an object"),
    ("input no object", {"inputs": ["target"]}, NONE, r"'inputs\[0\]' is a text"),
    ("no name", without("name"), NONE, r"'inputs\[0\].name' is missing or null"),
    ("wrong name", ask(name="targt"), NONE, "no input is called 'targt'. Did you mean 'target'"),
    ("name no text", ask(name=7), NONE, r"'inputs\[0\].name' is a number"),
    ("input twice", {"inputs": [GOOD, GOOD]}, NONE, r"'inputs\[1\].name': the input 'target' is there twice"),
    ("input too many", {"inputs": [GOOD, {**GOOD, "name": "past"}]}, NONE, "no input is called 'past'"),
    ("no datatype", without("datatype"), NONE, r"'inputs\[0\].datatype' is missing or null"),
    ("text", ask(datatype="BYTES"), NONE, r"'inputs\[0\].datatype' is 'BYTES'"),
    ("dtype's case", ask(datatype="fp32"), NONE, r"'inputs\[0\].datatype' is 'fp32'"),
    ("no shape", without("shape"), NONE, r"'inputs\[0\].shape' is missing or null"),
    ("shape empty", ask(shape=[]), NONE, r"'inputs\[0\].shape' is a list of 0"),
    ("shape of text", ask(shape=["1", "24"]), NONE, r"'inputs\[0\].shape' holds 1; whole numbers"),
    ("shape negative", ask(shape=[-1, LOOKBACK]), NONE, r"'inputs\[0\].shape' holds -1"),
    ("shape of floats", ask(shape=[1.0, 24.0]), NONE, r"'inputs\[0\].shape' holds 1.0"),
    ("shape of booleans", ask(shape=[True, 24]), NONE, r"'inputs\[0\].shape' holds True"),
    ("shape beyond data", ask(shape=[2, LOOKBACK]), NONE, r"'inputs\[0\].data' holds 24 numbers; .* needs 48"),
    ("shape with nine axes", ask(shape=[1] * 9), NONE, "1 to 8 sizes"),
    ("rows beyond count", {"inputs": [HUGE]}, NONE, r"'inputs\[0\].shape' has 1000000000 rows; 65536 are allowed"),
    ("huge axis", ask(shape=[1, 10**14]), NONE, r"'inputs\[0\].data' holds 24 numbers"),
    ("larger than numbers", ask(shape=[1, 10**18]), NONE, r"'inputs\[0\].shape' holds 1000000000000000000"),
    ("wrong lookback", {"inputs": [tensor(np.ones((1, 23)))]}, NONE, r"'target' has the shape \(1, 23\); \(N, 24\)"),
    ("an axis too many", {"inputs": [tensor(np.ones((1, 24, 1)))]}, NONE, r"'target' has the shape \(1, 24, 1\)"),
    ("no data", without("data"), NONE, r"'inputs\[0\].data' is missing or null"),
    ("data no list", ask(data=1.0), NONE, r"'inputs\[0\].data' is a number"),
    ("data of text", ask(data=["1.0"] * LOOKBACK), NONE, r"'inputs\[0\].data' holds a text at place 0"),
    ("data of booleans", ask(data=[1.0] * 23 + [True]), NONE, r"'inputs\[0\].data' holds a boolean at place 23"),
    ("data of objects", ask(data=[{}] * LOOKBACK), NONE, r"'inputs\[0\].data' holds an object"),
    ("ragged", ask(shape=[2, 24], data=[[1.0] * 24, [1.0] * 23]), NONE, r"'inputs\[0\].data' is not nested as"),
    ("nested otherwise", ask(data=[[1.0]] * LOOKBACK), NONE, r"'inputs\[0\].data' is not nested as"),
    ("infinite", ask(data=[float("inf")] + [1.0] * 23), NONE, "the input 'target' holds inf"),
    ("too large", ask(data=[1e300] + [1.0] * 23), NONE, "the input 'target' holds"),
    ("a hundred digits", ask(data=[10**400] + [1] * 23), NONE, r"'inputs\[0\].data' holds a number that"),
    ("nothing observed", ask(data=[None] * LOOKBACK), NONE, "window 0 of 'target' holds no observed value"),
    ("fractions of INT32", ask(datatype="INT32"), NONE, r"'inputs\[0\].data' holds fractions or nulls"),
    ("beyond INT8", ask(datatype="INT8", data=[300] * 24), NONE, "holds a number that its datatype can't hold"),
    ("deep", b'{"inputs":' + b"[" * 500 + b"]" * 500 + b"}", NONE, "the body nests 501 deep; 32 are allowed"),
    ("deep and torn", b"[" * 100_000, NONE, "the body nests 100000 deep"),
    ("no UTF-8", b'{"inputs": "\xff"}', NONE, "the body is no JSON: invalid unicode code point"),
    ("id no text", {"id": 5, **ask()}, NONE, "'id' is a number"),
    ("parameters no object", {"parameters": 5, **ask()}, NONE, "'parameters' is a number"),
    (
        "flag no boolean",
        {"parameters": {"binary_data_output": 1}, **ask()},
        NONE,
        "'parameters.binary_data_output' is 1",
    ),
    ("outputs no list", {"outputs": "quantiles", **ask()}, NONE, "'outputs' is a list of one object"),
    ("unknown output", {"outputs": [{"name": "mean"}], **ask()}, NONE, "'outputs.0..name': no output is called 'mean'"),
    (
        "classification",
        {"outputs": [{"name": "quantiles", "parameters": {"classification": 2}}], **ask()},
        NONE,
        r"'outputs\[0\].parameters.classification' is not served",
    ),
    (
        "shared memory",
        ask(parameters={"shared_memory_region": "r"}),
        NONE,
        r"'inputs\[0\].parameters.shared_memory_region' is not served",
    ),
    ("data and bytes", *sent(binary(data=[1.0]), BYTES), r"'inputs\[0\]' has both 'data' and 'binary_data_size'"),
    ("size against shape", *sent(binary(size=8), BYTES[:8]), r"'inputs\[0\].parameters.binary_data_size' is 8; .* 96"),
    ("size no number", *sent(binary(size="96"), BYTES), r"'inputs\[0\].parameters.binary_data_size' is 96; a number"),
    ("size negative", *sent(binary(size=-4), BYTES), r"'inputs\[0\].parameters.binary_data_size' is -4"),
    ("bytes missing", *sent(binary(), BYTES[:-4]), r"'inputs\[0\]' should have 96 bytes after the JSON part, and 92"),
    ("bytes left over", *sent(binary(), BYTES + b"more"), "4 bytes follow the last binary tensor"),
    ("no header", binary().encode() + BYTES, NONE, "the body is no JSON"),
    ("header beyond body", *sent(binary(), BYTES, length=10**6), f"{HEAD} says 1000000 bytes of JSON"),
    ("header too short", *sent(binary(), BYTES, length=5), "the body is no JSON"),
    ("header too long", *sent(binary(), BYTES, length=len(binary()) + 4), "the body is no JSON"),
    ("header no number", *sent(binary(), BYTES, length="x"), f"{HEAD} is 'x'"),
    ("header negative", *sent(binary(), BYTES, length=-1), f"{HEAD} is '-1'"),
    ("bytes of infinity", *sent(binary(), np.full(24, np.inf, np.float32).tobytes()), "the input 'target' holds inf"),
    ("no gzip", b"plain", {"Content-Encoding": "gzip"}, "the body is no gzip"),
    ("gzip torn", gzip.compress(json.dumps(ask()).encode())[:-9], {"Content-Encoding": "gzip"}, "ends before its end"),
    ("gzip and more", gzip.compress(b"{}") + b"more", {"Content-Encoding": "gzip"}, "goes on after its end"),
    ("JSON null bytes", b"\x00" * 100, NONE, "the body is no JSON"),
]


@pytest.mark.parametrize(("body", "headers", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_request_that_can_t_be_answered_is_told_which_field(server, body, headers, message):
    reply = server.ask(PATH, body, headers=headers)
    assert reply.status == 400, reply
    assert reply.headers["content-type"] == "application/json"
    assert re.search(message, reply.json["error"]), reply.json["error"]


def test_there_are_well_over_thirty_cases():
    assert len(CASES) > 60


@pytest.mark.parametrize(
    ("path", "method", "status", "message"),
    [
        ("/v2/models/other/infer", "POST", 404, "no model is called 'other'. There are: sales."),
        ("/v2/models/sales/versions/9/infer", "POST", 404, "no version of 'sales' is called '9'. There are: 1."),
        ("/v2/models/../infer", "POST", 404, "no model is called '..'"),
        ("/v2/models/%2e%2e%2fetc/infer", "POST", 404, "there is no such path"),
        ("/v2/models/sales/infer", "GET", 405, "are asked for by POST"),
        ("/v2/models/other", "GET", 404, "no model is called 'other'"),
        ("/v2/models/sales/versions/x", "GET", 404, "no version of 'sales' is called 'x'"),
        ("/v2/models/sales", "DELETE", 405, "DELETE is not answered here"),
        ("/etc/passwd", "GET", 404, "there is no such path"),
    ],
)
def test_a_wrong_path_or_method_is_told_what_there_is(server, path, method, status, message):
    reply = server.ask(path, b"{}" if method == "POST" else None, method=method)
    assert reply.status == status
    assert message in reply.json["error"]


def test_a_body_beyond_the_limit_is_refused_by_what_it_says_what_it_has_and_what_it_inflates_to(ridge):
    with running([ridge.folder], limits=Limits(body=5000)) as server:
        long = b" " * 5001
        for body, headers in ((long, {}), (gzip.compress(b" " * 50_000_000), {"Content-Encoding": "gzip"})):
            assert len(body) < 60_000
            reply = server.ask(PATH, body, headers=headers)
            assert reply.status == 413
            assert "5000 bytes are allowed" in reply.json["error"]
        reply = raw(
            server, b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n" % PATH.encode()
        )
        assert reply.startswith(b"HTTP/1.1 413")
        chunk = b"%x\r\n%b\r\n" % (len(long), long)
        chunked = b"POST %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" % PATH.encode()
        assert raw(server, chunked + chunk).startswith(b"HTTP/1.1 413")
    with running([ridge.folder], limits=Limits(rows=2)) as server:
        reply = server.ask(PATH, {"inputs": [tensor(np.ones((3, LOOKBACK)))]})
        assert (reply.status, reply.json["error"]) == (
            400,
            "'inputs[0].shape' has 3 rows; 2 are allowed. Send fewer at a time.",
        )


def raw(server, data):
    """What comes back for bytes that need be no HTTP, until the first answer is whole or the connection closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
        one.sendall(data)
        found = b""
        while b"\r\n\r\n" not in found or b"error" not in found:
            part = one.recv(65_536)
            if not part:
                return found
            found += part
    return found


def test_what_is_no_http_gets_400_and_the_server_goes_on(server):
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        assert raw(server, data).startswith(b"HTTP/1.1 400"), data
    assert server.ask("/healthz").status == 200


def test_a_head_without_end_is_refused(server):
    data = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: " + b"a" * 200_000
    assert raw(server, data).startswith(b"HTTP/1.1 431")


def test_heads_and_bodies_that_take_too_long_are_ended(ridge):
    with running([ridge.folder], limits=Limits(header_s=0.2, body_s=0.2)) as server:
        head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{" % PATH.encode()
        for data, what in ((b"", b"head"), (b"GET / HT", b"head"), (head, b"body")):
            found = raw(server, data)
            assert found.startswith(b"HTTP/1.1 408"), (data, found)
            assert b"the request's " + what + b" did not come whole" in found
        assert server.ask("/healthz").status == 200


def test_every_number_is_read_to_its_last_bit_and_written_so():
    from tidewright.serving.depth import parse_json
    from tidewright.serving.tensors import make_writer

    draw = np.random.default_rng(0)
    values = draw.integers(0, 2**64, 20_000, dtype=np.uint64).view(np.float64)
    values = values[np.isfinite(values)].tolist()
    assert parse_json(json.dumps(values).encode(), depth=1) == values
    singles = draw.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    singles = singles[np.isfinite(singles)][None, None]
    write = make_writer(model="m", version="1", output="quantiles")
    told = json.loads(write(singles, None, False)[0])["outputs"][0]["data"]
    assert np.array_equal(np.array(told, np.float32), singles[0, 0])
    with pytest.raises(RequestError, match="the answer is not finite"):
        write(np.full((1, 1, 2), np.inf, np.float32), None, False)
