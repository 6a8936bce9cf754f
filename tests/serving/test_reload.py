"""Bundles that change under a server: the new one answers, no request is lost, and a bad one changes nothing."""

import json
import shutil
from contextlib import closing
from http.client import HTTPConnection
from threading import Event, Thread

import numpy as np
import pytest

import tidewright as tw
from tests.serving.running import Running, running, save_ridge, tensor
from tidewright.errors import RequestError
from tidewright.inference.session import open_session
from tidewright.registry.verify import MANIFEST
from tidewright.registry.write import write_folder
from tidewright.serving import served as module
from tidewright.serving import stock as stock_module
from tidewright.serving.options import Limits
from tidewright.serving.roster import find_places

PATH = "/v2/models/sales/infer"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two bundles of one name with other numbers, as files, with what each answers."""
    folder = tmp_path_factory.mktemp("pair")
    bundles = [save_ridge(folder / str(seed), seed=seed) for seed in (0, 1)]
    rows = bundles[0].example()[0].target
    answers = [open_session(one).predict(rows).quantiles for one in bundles]
    assert not np.array_equal(*answers)
    files = [{path.name: path.read_bytes() for path in one.folder.iterdir()} for one in bundles]
    return files, answers, rows


def answer(server: Running, rows):
    reply = server.ask(PATH, {"inputs": [tensor(rows)]})
    assert reply.status == 200, reply
    told = reply.json["outputs"][0]
    return np.array(told["data"], np.float32).reshape(told["shape"])


def test_a_hundred_reloads_under_load_lose_no_request(pair, tmp_path):
    files, answers, rows = pair
    place = tmp_path / "sales"
    write_folder(files[0], place)
    done, counts, strange = Event(), [0, 0, 0], []

    def ask(number, port):  # over one connection, with nothing that would ask again
        with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.connect()
            connection.auto_open = False
            while not done.is_set():
                connection.request("POST", PATH, json.dumps({"inputs": [tensor(rows)]}))
                reply = connection.getresponse()
                told = json.loads(reply.read())["outputs"][0]
                counts[number] += 1
                found = np.array(told["data"], np.float32).reshape(told["shape"])
                if not any(np.array_equal(found, wanted) for wanted in answers):
                    strange.append(found)

    with running([place], watch_s=0) as server:
        threads = [Thread(target=ask, args=(number, server.port)) for number in range(len(counts))]
        for thread in threads:
            thread.start()
        try:
            for turn in range(1, 101):
                write_folder(files[turn % 2], place, overwrite=True)
                assert server.serving.stock.look() == ()
                assert server.serving.desk.roster.find("sales").mark == find_places([place])[0].mark
        finally:
            done.set()
            for thread in threads:
                thread.join(20)
        assert min(counts) > 0
        assert strange == []
        metrics = server.ask("/metrics").body.decode()
        assert 'tidewright_reloads_total{outcome="done"} 100' in metrics
        assert f'kind="infer",status="200"}} {sum(counts)}' in metrics
        assert np.array_equal(answer(server, rows), answers[0])


def test_a_request_that_has_begun_ends_with_the_version_that_it_began_with(pair, tmp_path, monkeypatch):
    files, answers, rows = pair
    place = tmp_path / "sales"
    write_folder(files[0], place)
    with running([place], watch_s=0) as server:
        old = server.serving.desk.roster.find("sales")
        begun, go_on = Event(), Event()
        real = type(old.session).predict

        def wait(session, x):
            begun.set()
            assert go_on.wait(10)
            return real(session, x)

        many, found = np.tile(rows, (400, 1)), []
        assert many.nbytes > old.inline
        with monkeypatch.context() as patch:
            patch.setattr(type(old.session), "predict", wait)
            thread = Thread(target=lambda: found.append(answer(server, many)))
            thread.start()
            assert begun.wait(10)
        write_folder(files[1], place, overwrite=True)
        assert server.serving.stock.look() == ()
        assert np.array_equal(answer(server, rows), answers[1])
        go_on.set()
        thread.join(10)
        assert np.array_equal(found[0], np.tile(answers[0], (400, 1, 1)))


def test_a_session_with_threads_of_its_own_is_closed_when_nobody_can_ask_it_any_more(pair, tmp_path, monkeypatch):
    files, answers, rows = pair
    place, now = tmp_path / "sales", [100.0]
    write_folder(files[0], place)
    monkeypatch.setattr(module, "INLINE_S", 0.0)
    monkeypatch.setattr(module, "_gains", lambda *_: True)
    monkeypatch.setattr(stock_module, "monotonic", lambda: now[0])
    with running([place], watch_s=0, limits=Limits(body_s=30, run_s=20)) as server:
        old, stock = server.serving.desk.roster.find("sales").session, server.serving.stock
        write_folder(files[1], place, overwrite=True)
        stock.look()
        assert np.array_equal(answer(server, rows), answers[1])
        now[0] += 50.0
        stock.look()
        assert np.array_equal(old.predict(rows).quantiles, answers[0])  # one that began with it ends with it
        now[0] += 0.1
        stock.look()
        with pytest.raises(RequestError, match="the session is closed"):
            old.predict(rows)
        stock.look()
        assert np.array_equal(answer(server, rows), answers[1])


def test_a_bundle_that_can_t_be_opened_leaves_the_old_one_and_is_told_once(pair, tmp_path, caplog):
    files, answers, rows = pair
    place = tmp_path / "sales"
    write_folder(files[0], place)
    with running([place], watch_s=0) as server, tw.Client(server.url) as client:
        torn = {**files[1], "model.onnx": files[1]["model.onnx"][:-1] + b"?"}
        write_folder(torn, place, overwrite=True)
        assert server.serving.stock.look() == ("sales",)
        assert server.serving.stock.look() == ("sales",)
        assert caplog.text.count("not loaded") == 1
        reply = server.ask("/v2/repository/models/sales/load", {})
        assert (reply.status, reply.json["error"]) == (
            503,
            "1 bundles could not be loaded; the server's log says why.",
        )
        assert caplog.text.count("not loaded") == 2
        assert np.array_equal(client.infer(rows).quantiles, answers[0])
        write_folder(files[1], place, overwrite=True)
        reply = server.ask("/v2/repository/models/sales/load", {})
        assert (reply.status, reply.json) == (200, {"loaded": [{"model": "sales", "version": "1"}]})
        assert np.array_equal(client.infer(rows).quantiles, answers[1])


def test_a_load_takes_nothing_from_the_request(server):
    for body, what in (
        ({"parameters": {"config": "{}"}}, "'parameters' is not taken"),
        ({"path": "/etc"}, "'path' is not taken"),
        ([1], "'the body' is not taken"),
        (b"{", "the body is no JSON"),
    ):
        reply = server.ask("/v2/repository/models/sales/load", body)
        assert reply.status == 400
        assert what in reply.json["error"]
    assert server.ask("/v2/repository/models/other/load", {}).status == 404
    with running([server.serving.stock._given[0]], limits=Limits(body=10)) as small:
        assert small.ask("/v2/repository/models/sales/load", b" " * 11).status == 413
    http = pytest.importorskip("tritonclient.http")
    with http.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        client.load_model("sales")


def test_versions_come_and_go_with_their_folders(pair, tmp_path):
    files, answers, rows = pair
    write_folder(files[0], tmp_path / "sales" / "1")
    with running([tmp_path], watch_s=0) as server:
        stock = server.serving.stock
        write_folder(files[1], tmp_path / "sales" / "2")
        (tmp_path / "sales" / "half").mkdir()
        assert stock.look() == ()
        assert server.ask("/v2/models/sales").json["versions"] == ["1", "2"]
        assert np.array_equal(answer(server, rows), answers[1])
        shutil.rmtree(tmp_path / "sales" / "2")
        stock.look()
        assert server.ask("/v2/models/sales").json["versions"] == ["1", "2"]  # it may be just being replaced
        stock.look()
        assert server.ask("/v2/models/sales").json["versions"] == ["1"]
        assert np.array_equal(answer(server, rows), answers[0])
        assert not (tmp_path / "sales" / "2" / MANIFEST).exists()


def test_a_server_that_watches_sees_a_new_bundle_by_itself(pair, tmp_path):
    files, answers, rows = pair
    place = tmp_path / "sales"
    write_folder(files[0], place)
    with running([place], watch_s=0.05) as server, tw.Client(server.url) as client:
        write_folder(files[1], place, overwrite=True)
        assert any(np.array_equal(client.infer(rows).quantiles, answers[1]) for _ in range(2000))


def test_when_it_is_told_to_stop_it_answers_what_is_in_flight_and_says_that_it_is_not_ready(
    pair, tmp_path, monkeypatch
):
    files, answers, rows = pair
    write_folder(files[0], tmp_path / "sales")
    begun, go_on, found = Event(), Event(), []
    with running([tmp_path / "sales"]) as server:
        session = type(server.serving.desk.roster.find("sales").session)
        real = session.predict

        def wait(one, x):
            begun.set()
            assert go_on.wait(10)
            return real(one, x)

        monkeypatch.setattr(session, "predict", wait)
        many = np.tile(rows, (400, 1))
        thread = Thread(target=lambda: found.append(answer(server, many)))
        thread.start()
        assert begun.wait(10)
        server.serving.stop()
        assert not server.serving.desk.ready
        for _ in range(200):
            with tw.Client(server.url, timeout_s=1) as late:
                if not late.health()["healthz"]:
                    break
        else:
            raise AssertionError("it still takes connections")
        go_on.set()
        thread.join(10)
    assert np.array_equal(found[0], np.tile(answers[0], (400, 1, 1)))
