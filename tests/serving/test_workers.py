"""Several workers behind one address: one that dies takes what it had in flight, and is started again."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from threading import Event, Thread
from urllib.parse import urlsplit

import numpy as np
import pytest

import tidewright as tw
from tests.serving.running import save_ridge, tensor
from tests.serving.test_command import command, get
from tests.worlds import small_table
from tidewright.errors import RequestError
from tidewright.inference.session import open_session
from tidewright.registry.record import read_record
from tidewright.registry.store import open_store
from tidewright.registry.write import write_folder

CLIENTS = 4
PATH = "/v2/models/sales/infer"


class Log:
    """What a process says on stderr, read as it is said."""

    def __init__(self, process, lines):
        self.events = [json.loads(line) for line in lines if line.startswith("{")]
        self._stream, self._thread = process.stderr, Thread(target=self._read)
        self._thread.start()

    def _read(self):
        for line in self._stream:
            with suppress(ValueError):
                self.events.append(json.loads(line))

    def join(self):
        """Waits for the end of what is said."""
        self._thread.join(10)

    def find(self, event):
        return [one for one in list(self.events) if one["event"] == event]

    def wait(self, event, count, *, turns=600):
        waiting = Event()
        for _ in range(turns):
            if len(self.find(event)) >= count:
                return self.find(event)
            waiting.wait(0.05)
        raise AssertionError(f"{event} was said {len(self.find(event))} times: {self.events}")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    bundles = [save_ridge(folder / str(seed), seed=seed) for seed in (0, 1)]
    rows = bundles[0].example()[0].target
    files = [{path.name: path.read_bytes() for path in one.folder.iterdir()} for one in bundles]
    return files, [open_session(one).predict(rows).quantiles for one in bundles], rows


class Load:
    """Clients that ask over a connection a request, for what waits to be accepted must not be lost."""

    def __init__(self, url, rows, wanted):
        asked = {"inputs": [{"name": "target", "shape": rows.shape, "datatype": "FP32", "data": rows.tolist()}]}
        self._url, self._body, self._wanted = f"{url}{PATH}", json.dumps(asked).encode(), wanted
        self.done, self.right, self.wrong, self.errors = Event(), [], [], []
        self._threads = [Thread(target=self._ask) for _ in range(CLIENTS)]

    def _ask(self):
        while not self.done.is_set():
            try:
                with urllib.request.urlopen(urllib.request.Request(self._url, data=self._body), timeout=20) as reply:
                    told = json.load(reply)["outputs"][0]
            except (OSError, HTTPException) as error:
                self.errors.append(error)
                continue
            found = np.array(told["data"], np.float32).reshape(told["shape"])
            (self.right if np.array_equal(found, self._wanted) else self.wrong).append(found)

    def more(self):
        """Waits for some further answers."""
        before = len(self.right)
        while len(self.right) < before + 20:
            self.done.wait(0.01)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self._threads:
            thread.join(30)


def test_a_killed_worker_loses_what_it_had_in_flight_and_is_started_again(pair, tmp_path):
    files, answers, rows = pair
    place = tmp_path / "sales"
    write_folder(files[0], place)
    with command(place, "--port", "0", "--workers", "2", "--watch", "0") as (process, url, lines):
        log = Log(process, lines)
        pids = {one["worker"]: one["pid"] for one in log.find("worker started")}
        assert len(pids) == 2
        kill_with_requests_in_flight(pids[0], url, rows, answers[0], other=pids[1])
        log.wait("worker died", 1)
        log.wait("loaded", 3)
        with Load(url, rows, answers[0]) as load:
            load.more()
            os.kill(pids[1], signal.SIGKILL)
            log.wait("worker died", 2)
            log.wait("loaded", 4)
            load.more()
        assert load.wrong == []
        assert len(load.errors) <= CLIENTS  # at most one a client: what was in flight there
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        log.join()


def kill_with_requests_in_flight(pid, url, rows, wanted, *, other):
    """Each of them gets an error at once, and no other request does: not one beside them, not one after them."""
    asked = {"inputs": [{"name": "target", "shape": rows.shape, "datatype": "FP32", "data": rows.tolist()}]}
    os.kill(other, signal.SIGSTOP)
    kept = [HTTPConnection(urlsplit(url).netloc, timeout=20) for _ in range(CLIENTS)]
    for one in kept:  # only the one that goes on can have accepted them
        assert np.array_equal(ask_over(one, asked), wanted)
    os.kill(other, signal.SIGCONT)
    os.kill(pid, signal.SIGSTOP)
    for one in kept:
        one.request("POST", PATH, json.dumps(asked))
    with tw.Client(url) as client:
        assert np.array_equal(client.infer(rows).quantiles, wanted)
        os.kill(pid, signal.SIGKILL)
        for one in kept:
            with pytest.raises(ConnectionError):  # and no TimeoutError
                one.getresponse()
            one.close()
        assert np.array_equal(client.infer(rows).quantiles, wanted)


def ask_over(connection, asked):
    connection.request("POST", PATH, json.dumps(asked))
    told = json.load(connection.getresponse())["outputs"][0]
    return np.array(told["data"], np.float32).reshape(told["shape"])


def test_all_workers_load_a_new_bundle_count_together_and_stop_together(pair, tmp_path):
    files, answers, rows = pair
    place = tmp_path / "sales"
    write_folder(files[0], place)
    with command(place, "--port", "0", "--workers", "2", "--watch", "0") as (process, url, lines):
        log = Log(process, lines)
        assert {one["worker"] for one in log.wait("loaded", 2)} == {0, 1}
        write_folder(files[1], place, overwrite=True)
        process.send_signal(signal.SIGHUP)
        log.wait("loaded", 4)
        with tw.Client(url) as client:
            assert np.array_equal(client.infer(rows).quantiles, answers[1])
        write_folder(files[0], place, overwrite=True)
        load = urllib.request.Request(f"{url}/v2/repository/models/sales/load", data=b"{}")
        with urllib.request.urlopen(load, timeout=20) as reply:
            assert json.load(reply)["loaded"] == [{"model": "sales", "version": "1"}]
        log.wait("loaded", 6)
        told, waiting = "", Event()
        for _ in range(600):
            told = get(f"{url}/metrics").decode()
            workers = set(re.findall(r'tidewright_model_info\{.*worker="(\d)"\} 1', told))
            if workers == {"0", "1"} and told.count("# TYPE tidewright_requests_total") == 1:
                break
            waiting.wait(0.05)
        assert workers == {"0", "1"}, told
        assert re.search(r'tidewright_requests_total\{.*kind="infer",status="200",worker="\d"\} 1\n', told)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        log.join()
        with tw.Client(url, timeout_s=2) as late, pytest.raises(RequestError):
            late.models()


def test_a_worker_that_can_t_start_ends_the_command_with_its_reason(pair, tmp_path):
    write_folder(pair[0][0], tmp_path / "sales")
    (tmp_path / "sales" / "card.md").write_text("another card")
    words = [sys.executable, "-m", "tidewright", "serve", str(tmp_path / "sales"), "--workers", "2", "--port", "0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "card.md was changed" in done.stderr
    assert "worker 0 could not start" in done.stderr


def test_a_burst_of_signals_to_look_again_ends_nobody(pair, tmp_path):
    files, answers, rows = pair
    write_folder(files[0], tmp_path / "sales")
    with command(tmp_path / "sales", "--port", "0", "--workers", "2", "--watch", "0") as (process, url, lines):
        log = Log(process, lines)
        for _ in range(500):
            process.send_signal(signal.SIGHUP)
            os.sched_yield()
        with tw.Client(url) as client:
            assert np.array_equal(client.infer(rows).quantiles, answers[0])
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        log.join()
    assert log.find("worker died") == []


def test_who_is_told_to_stop_while_workers_start_stops_them_and_ends_well(pair, tmp_path):
    write_folder(pair[0][0], tmp_path / "sales")
    words = [sys.executable, "-m", "tidewright", "serve", str(tmp_path / "sales"), "--workers", "2", "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        lines = [process.stderr.readline()]
        while "loaded" not in lines[-1]:
            lines.append(process.stderr.readline())
            assert lines[-1], "".join(lines)
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    for pid in (json.loads(line)["pid"] for line in lines if "worker started" in line):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_two_workers_of_a_store_draw_the_same_arms_and_count_together(pair, tmp_path):
    files, _, rows = pair
    store = open_store(tmp_path / "store")
    for number in (0, 1):
        write_folder(files[number], tmp_path / str(number))
        store.register("sales", tmp_path / str(number))
    words = ("--store", store.folder, "--split", "sales=champion:50,challenger:50", "--shadow", "sales")
    words = (*words, "--record", tmp_path / "record")
    with command(*words, "--port", "0", "--workers", "2", "--watch", "0") as (process, url, lines):
        log = Log(process, lines)
        drawn = {str(key): str(store.split("sales", str(key), share=0.5).version) for key in range(8)}
        body = json.dumps({"inputs": [tensor(rows)]}).encode()
        for _ in range(5):  # each over a connection of its own, which either worker may take
            for key, version in drawn.items():
                asked = urllib.request.Request(f"{url}/v2/models/sales/infer", body, {"X-Split-Key": key})
                with urllib.request.urlopen(asked, timeout=20) as reply:
                    assert reply.headers["X-Model-Version"] == version
        told, waiting = "", Event()
        for _ in range(600):
            told = get(f"{url}/metrics").decode()
            counts = [int(one) for one in re.findall(r"tidewright_split_total\{.*\} (\d+)", told)]
            shown = [int(one) for one in re.findall(r'tidewright_shadow_total\{.*"answered".*\} (\d+)', told)]
            if sum(counts) == 40 and sum(shown) == 5 * list(drawn.values()).count("1"):
                break
            waiting.wait(0.05)
        assert (sum(counts), sum(shown)) == (40, 5 * list(drawn.values()).count("1"))
        with tw.Client(url) as client:
            said = client.forecast(small_table(rows=60, series=1).select("shop", "hour", "sold"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        log.join()
    version = store.split("sales", said.table["shop"][0], share=0.5).version
    assert read_record(tmp_path / "record", name="sales", version=version).equals(said.table)
