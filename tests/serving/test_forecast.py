"""`/v1/forecast` and the client: the forecast is the session's own, in every form, and bad tables are told."""

import json
import re
import struct
from datetime import date

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import tidewright as tw
from tests.serving.running import LOOKBACK, Running, running, save_ridge
from tests.worlds import small_table
from tidewright.errors import ConfigError, DataError, RepairWarning, RequestError
from tidewright.inference.session import open_session
from tidewright.serving.arrow import ARROW
from tidewright.serving.forecasts import LINES
from tidewright.serving.options import Limits

PATH = "/v1/forecast"
pytestmark = pytest.mark.filterwarnings("ignore::tidewright.errors.RepairWarning")


@pytest.fixture(scope="module")
def table():
    return small_table(rows=60).select("shop", "hour", "sold")


@pytest.fixture(scope="module")
def wanted(ridge, table):
    return open_session(ridge).forecast(table).table


@pytest.fixture
def client(server):
    with tw.Client(server.url) as one:
        yield one


def columns(table):
    """A table as JSON holds it."""
    times = [time.isoformat() for time in table["hour"]]
    return {**table.to_dict(as_series=False), "hour": times}


def stream(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_columns_and_rows_in_json_give_the_session_s_forecast(server, ridge, table, wanted):
    given = columns(table)
    rows = [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]
    for asked in ({"table": given}, {"table": rows, "model": "sales", "version": "1"}):
        reply = server.ask(PATH, asked)
        assert reply.status == 200, reply.body
        told = reply.json
        found = pl.DataFrame(told["table"]).with_columns(pl.col("cutoff", "hour").str.to_datetime(time_unit="us"))
        assert found.equals(wanted)
        assert (told["model"], told["version"], told["digest"]) == ("sales", "1", ridge.digest)
        assert (told["series"], told["time"], told["target"]) == ("shop", "hour", "sold")
        assert (told["levels"], told["classes"]) == ([0.1, 0.5, 0.9], [])


def test_repairs_are_told(server, table):
    torn = table.filter(pl.int_range(pl.len()) != 7)
    told = server.ask(PATH, {"table": columns(torn)}).json["repairs"]
    assert len(told) == 1
    with tw.Client(server.url) as client, pytest.warns(RepairWarning, match=re.escape(told[0])):
        client.forecast(torn)


def test_lines_and_arrow_say_the_same(server, table, wanted):
    lines = server.ask(PATH, {"table": columns(table)}, headers={"Accept": LINES}).body.decode().splitlines()
    assert json.loads(lines[0])["model"] == "sales"
    rows = [json.loads(line) for line in lines[1:]]
    assert [row["0.5"] for row in rows] == wanted["0.5"].to_list()
    assert [row["hour"] for row in rows] == [time.isoformat() for time in wanted["hour"]]
    for packed in (table.to_arrow(), table.to_arrow(compat_level=pl.CompatLevel.oldest())):
        if pa.types.is_string_view(packed.schema.field("shop").type):
            continue
        reply = server.ask(f"{PATH}?model=sales", stream(packed), headers={"Content-Type": ARROW, "Accept": ARROW})
        assert pl.DataFrame(pl.from_arrow(pa.ipc.open_stream(reply.body).read_all())).equals(wanted)


def test_a_long_answer_comes_in_parts(server, ridge):
    many = small_table(series=700, rows=30).select("shop", "hour", "sold")
    wanted = open_session(ridge).forecast(many).table
    asked = {"table": columns(many)}
    for form in ("application/json", LINES):
        reply = server.ask(PATH, asked, headers={"Accept": form})
        assert reply.headers["transfer-encoding"] == "chunked"
        assert reply.body.count(b"\n") == (1 if form != LINES else 1 + len(wanted))
    assert server.ask(PATH, asked).json["table"]["0.9"] == wanted["0.9"].to_list()


def test_the_client_gives_what_a_session_gives(client, ridge, table, wanted, rows):
    session = open_session(ridge)
    for given in (rows, rows[0], {"target": rows.astype(np.float64)}):
        answer = client.infer(given)
        assert np.array_equal(answer.quantiles, session.predict(given).quantiles)
        assert np.array_equal(answer.point, session.predict(given).point)
    forecast = client.forecast(table, model="sales")
    assert forecast.table.equals(wanted)
    assert (forecast.levels, forecast.roles.series) == ((0.1, 0.5, 0.9), "shop")
    assert type(client.forecast(table.to_pandas()).to_native()).__name__ == "DataFrame"
    assert client.forecast(session.read(table)).table.equals(wanted)
    assert client.health() == {"healthz": True, "readyz": True}
    assert [one["name"] for one in client.models()] == ["sales"]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_the_times_of_a_pandas_frame_have_any_unit(client, table, wanted, unit):
    frame = table.with_columns(pl.col("hour").cast(pl.Datetime(unit))).to_pandas()
    assert str(frame["hour"].dtype) == f"datetime64[{unit}]"
    found = client.forecast(frame).table.with_columns(pl.col("cutoff", "hour").cast(pl.Datetime("us")))
    assert found.equals(wanted)


def test_the_client_raises_the_server_s_sentence(client, rows):
    with pytest.raises(RequestError, match=r"the input 'target' has the shape \(8, 23\)") as caught:
        client.infer(rows[:, 1:])
    assert caught.value.status == 400
    with pytest.raises(RequestError, match="no model is called 'other'") as caught:
        client.infer(rows, model="other")
    assert caught.value.status == 404
    with pytest.raises(DataError, match="the input 'target' holds <U1"):
        client.infer(np.array(["a"]))
    for url in ("ftp://here", "http://", "http://user:word@here", "http://here/path", "http://here:99999"):
        with pytest.raises(ConfigError, match="a server's URL is"):
            tw.Client(url)


def test_the_client_names_its_model_where_there_are_several_and_sends_its_key(ridge, rows, tmp_path, monkeypatch):
    other, key = save_ridge(tmp_path / "other", name="other", seed=1), "a-key-of-this-server"
    with running([ridge.folder, other.folder], keys=(key,)) as server:
        with tw.Client(server.url, key=key) as client:
            with pytest.raises(ConfigError, match="the server has 2 models: other, sales"):
                client.infer(rows)
            wanted = open_session(other).predict(rows).quantiles
            assert np.array_equal(client.infer(rows, model="other").quantiles, wanted)
            assert key not in repr(client) + str(vars(client))
        with tw.Client(server.url, key="") as client, pytest.raises(RequestError, match="the key is missing") as caught:
            client.infer(rows, model="other")
        assert caught.value.status == 401
        monkeypatch.setenv("TIDEWRIGHT_API_KEY", key)
        with tw.Client(server.url) as client:
            assert client.health()["readyz"]


def test_the_client_waits_as_long_as_a_busy_server_says_and_no_longer_than_its_call(ridge, rows, monkeypatch):
    many = np.tile(rows, (200, 1))
    with running([ridge.folder], limits=Limits(queue=1)) as server, tw.Client(server.url, timeout_s=5) as client:
        desk, waited = server.serving.desk, []

        def end_of_the_queue(seconds):
            waited.append(seconds)
            desk._waiting = 0

        monkeypatch.setattr("tidewright.serving.exchange.sleep", end_of_the_queue)
        desk._waiting = 1
        assert len(client.infer(many).quantiles) == len(many)
        assert waited == [1]
        desk._waiting = 1
        with tw.Client(server.url, timeout_s=0.9) as hasty, pytest.raises(RequestError, match="wait already") as caught:
            hasty.infer(many, model="sales")
        assert caught.value.retry_after_s == 1
        desk._waiting = 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "did not answer whole"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n[]", "did not answer whole"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[", "did not answer whole"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "does not answer as a server of Tidewright"),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 6\r\n\r\n<html>", "answers with status 502"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
            "answers with status 302",
        ),
    ],
)
def test_the_client_takes_no_part_of_an_answer_for_the_whole(answer, message):
    import socket
    from threading import Thread

    def serve(listening):
        with listening, listening.accept()[0] as one:
            one.recv(65_536)
            one.sendall(answer)

    listening = socket.create_server(("127.0.0.1", 0))
    thread = Thread(target=serve, args=(listening,))
    thread.start()
    with (
        tw.Client(f"http://127.0.0.1:{listening.getsockname()[1]}") as client,
        pytest.raises(RequestError, match=message),
    ):
        client.models()
    thread.join(10)


def test_an_answer_that_drips_does_not_hold_the_client_beyond_its_time():
    import socket
    from threading import Event, Thread

    done = Event()

    def drip(listening):
        with listening, listening.accept()[0] as one:
            one.recv(65_536)
            while not done.wait(0.05):
                one.sendall(b"H")

    listening = socket.create_server(("127.0.0.1", 0))
    thread = Thread(target=drip, args=(listening,))
    thread.start()
    client = tw.Client(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_s=0.3)
    try:
        with pytest.raises(RequestError, match=r"no answer within 0\.3 s"):
            client.models()
    finally:
        done.set()
        thread.join(10)


SHORT = {
    "shop": ["a"] * 30,
    "hour": [f"2024-01-01T{h:02}:00" for h in range(24)] + ["2024-01-02"] * 6,
    "sold": [1.0] * 30,
}
PLAIN = pa.table({"shop": ["a"], "hour": [1], "sold": [1.0]})


def changed(**columns_):
    return {"table": {**SHORT, **columns_}}


BAD = [
    ({}, "'table' is missing"),
    ([], "the body is no object"),
    (b"{", "the body is no JSON"),
    ({"table": 5}, "'table' is missing, or no object of columns"),
    ({"table": {}}, "'table' is empty"),
    ({"table": []}, "'table' is empty"),
    ({"table": [{}]}, "'table' is empty"),
    ({"table": [1]}, "row 0 of 'table' is no object"),
    ({"table": {"a": 1}}, "column 'a' of 'table' is no list"),
    ({"table": SHORT, "models": "x"}, "the field 'models' is not known here"),
    ({"table": SHORT, "model": 5}, "'model' is no text"),
    (changed(sold=[1.0]), "column 'sold' of 'table' has 1 values, 'shop' 30"),
    (changed(sold=[[1.0]] * 30), "row 0 of column 'sold' of 'table' is a list or an object"),
    (changed(sold=[1.0, "x"] * 15), "column 'sold' of 'table' mixes text, numbers and booleans"),
    (changed(sold=[10**400] + [1] * 29), "column 'sold' of 'table' holds a number that is too large"),
    (changed(hour=["soon"] * 30), "row 0 of column 'hour': 'soon' is no ISO 8601 time"),
    (changed(hour=["2024-01-01T00:00Z"] * 30), "the model's times have no zone"),
    ({"table": {"shop": ["a"], "hour": ["2024-01-01"]}}, "sold"),
    ({"table": {name: [] for name in SHORT}}, "empty|no row|0 rows"),
]


@pytest.mark.parametrize(("body", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_a_table_that_can_t_be_forecast_is_told_which_column(server, body, message):
    reply = server.ask(PATH, body)
    assert reply.status == 400, reply.body
    assert re.search(message, reply.json["error"]), reply.json["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is no Arrow stream"),
        (b"plain text", "the body is no Arrow stream"),
        (stream(PLAIN)[:200], "the body is no Arrow stream"),
        (stream(PLAIN, compression="zstd"), "the Arrow stream is compressed"),
        (stream(PLAIN, compression="lz4"), "the Arrow stream is compressed"),
        (stream(pa.table({"shop": pa.array(["a"]).dictionary_encode()})), "holds a dictionary at place 1"),
        (stream(pa.table({"shop": [[1]]})), "column 'shop' holds list<.*>. Send numbers"),
        (stream(pa.table({"n": pa.nulls(100_000)})), "the table has 100000 rows or more; 65536 are allowed"),
        (stream(pa.table([[1], [2]], names=["a", "a"])), "the column name 'a' stands more than once"),
        (stream(PLAIN), "shop|hour|times|Times"),
    ],
)
def test_an_arrow_stream_that_is_torn_packed_or_too_large_is_refused(server, body, message):
    reply = server.ask(PATH, body, headers={"Content-Type": ARROW})
    assert reply.status == 400, reply.body
    assert re.search(message, reply.json["error"]), reply.json["error"]


def test_flipped_bytes_of_an_arrow_stream_never_bring_a_defect(server, table):
    whole = stream(table.to_arrow(compat_level=pl.CompatLevel.oldest()))
    draw = np.random.default_rng(0)
    for place in draw.integers(0, len(whole), 60):
        torn = bytearray(whole)
        torn[place] ^= 1 << int(draw.integers(8))
        assert server.ask(PATH, bytes(torn), headers={"Content-Type": ARROW}).status in (200, 400)
    for _ in range(40):  # in the part that says what follows
        torn = bytearray(whole)
        place = int(draw.integers(0, 600))
        torn[place : place + 4] = struct.pack("<i", int(draw.integers(-(2**31), 2**31)))
        assert server.ask(PATH, bytes(torn), headers={"Content-Type": ARROW}).status in (200, 400)


def test_forms_that_are_not_read_or_written_are_refused(server):
    assert server.ask(PATH, {"table": SHORT}, headers={"Content-Type": "text/csv"}).status == 415
    assert server.ask(PATH, {"table": SHORT}, headers={"Accept": "text/csv"}).status == 406
    assert server.ask(PATH, method="GET").status == 405
    many = "&".join(f"a{n}=1" for n in range(100))
    assert server.ask(f"{PATH}?{many}", stream(PLAIN), headers={"Content-Type": ARROW}).status == 400


def test_days_and_zones_are_read_as_the_model_learned_them():
    from tidewright.data.schema import Schema
    from tidewright.serving.tables import read_table

    def read(kind, texts):
        schema = Schema(
            tw.Panel.from_table(small_table(), series="shop", time="hour", target="sold").roles, {"hour": kind}, None
        )
        return read_table({"hour": texts}, schema, rows=9)["hour"]

    assert read("Date", ["2024-05-01", None]).to_list() == [date(2024, 5, 1), None]
    assert str(read("Date", ["2024-05-01"]).dtype) == "Date"
    zoned = read("Datetime(time_unit='us', time_zone='Europe/Berlin')", ["2024-05-01T00:00+02:00"])
    assert (str(zoned[0]), zoned.dtype.time_zone) == ("2024-05-01 00:00:00+02:00", "Europe/Berlin")
    for kind, text, message in (
        ("Date", "2024-05-01T01:00", "are days for this model"),
        ("Datetime(time_unit='us', time_zone='UTC')", "2024-05-01", "a time of a zone is needed"),
        ("Int64", "2024-05-01", "whole step numbers are needed"),
    ):
        with pytest.raises(RequestError, match=message):
            read(kind, [text])


def test_a_server_needs_as_much_history_as_the_model_and_pads_what_is_shorter(server: Running):
    assert LOOKBACK < 30
    assert server.ask(PATH, {"table": {name: values[:20] for name, values in SHORT.items()}}).status == 200


@pytest.mark.parametrize("key", ["secret\n", "sécret", 7])
def test_a_key_that_no_header_can_hold_is_refused_and_not_told(key: str | int) -> None:
    with pytest.raises(ConfigError, match="printable ASCII text of one line") as caught:
        tw.Client("http://127.0.0.1:1", key=key)  # type: ignore[arg-type]
    assert str(key).strip() not in str(caught.value)
