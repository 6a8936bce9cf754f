"""Inference over HTTP: the numbers are the session's own, as JSON and as bytes."""

import gzip
import json
import zlib

import numpy as np
import pytest

from tests.serving.running import HORIZON, LOOKBACK, running, save_ridge, tensor
from tidewright.inference.session import open_session
from tidewright.models.spec import LightGBM
from tidewright.registry.bundle import save_bundle
from tidewright.serving.options import Limits
from tidewright.training.fit import fit

PATH = "/v2/models/sales/infer"


@pytest.fixture(scope="module")
def session(ridge):
    return open_session(ridge)


def outputs(reply):
    """The quantiles of an answer in JSON."""
    assert reply.status == 200, reply.body
    told = reply.json["outputs"][0]
    assert (told["name"], told["datatype"]) == ("quantiles", "FP32")
    return np.array(told["data"], np.float32).reshape(told["shape"])


def test_the_answer_in_json_is_the_session_s_to_the_last_bit(server, session, rows):
    for given in (rows, rows[:1]):
        assert np.array_equal(outputs(server.ask(PATH, {"inputs": [tensor(given)]})), session.predict(given).quantiles)
    reply = server.ask("/v2/models/sales/versions/1/infer", {"id": "mine", "inputs": [tensor(rows[:1])]})
    assert (reply.json["id"], reply.json["model_name"], reply.json["model_version"]) == ("mine", "sales", "1")


def test_nested_lists_missing_values_and_other_number_types_are_read(server, session, rows):
    nested = {"name": "target", "shape": list(rows.shape), "datatype": "FP64", "data": rows.tolist()}
    assert np.array_equal(outputs(server.ask(PATH, {"inputs": [nested]})), session.predict(rows).quantiles)
    whole = np.arange(LOOKBACK)[None]
    given = outputs(server.ask(PATH, {"inputs": [tensor(whole, datatype="INT64")]}))
    assert np.array_equal(given, session.predict(whole).quantiles)
    holed = rows[:1].astype(float).copy()
    holed[0, 3] = np.nan
    for mark in (b"null", b"NaN"):
        body = json.dumps({"inputs": [tensor(holed)]}).encode().replace(b"NaN", mark)
        assert np.array_equal(outputs(server.ask(PATH, body)), session.predict(holed).quantiles)


@pytest.mark.parametrize("wanted", ["all", "named", "json"])
def test_tensors_travel_as_bytes_after_the_json(server, session, rows, wanted):
    asked = {"inputs": [{**tensor(rows), "parameters": {"binary_data_size": rows.nbytes}}]}
    del asked["inputs"][0]["data"]
    if wanted == "all":
        asked["parameters"] = {"binary_data_output": True}
    else:
        asked["outputs"] = [{"name": "quantiles", "parameters": {"binary_data": wanted == "named"}}]
    head = json.dumps(asked).encode()
    reply = server.ask(PATH, head + rows.tobytes(), headers={"Inference-Header-Content-Length": str(len(head))})
    if wanted == "json":
        found = outputs(reply)
    else:
        length = int(reply.headers["inference-header-content-length"])
        told = json.loads(reply.body[:length])["outputs"][0]
        assert told["parameters"]["binary_data_size"] == len(reply.body) - length
        found = np.frombuffer(reply.body[length:], "<f4").reshape(told["shape"])
    assert np.array_equal(found, session.predict(rows).quantiles)


def test_a_compressed_body_is_inflated_within_the_limit(server, session, rows):
    body = json.dumps({"inputs": [tensor(rows)]}).encode()
    for coding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
        reply = server.ask(PATH, packed, headers={"Content-Encoding": coding})
        assert np.array_equal(outputs(reply), session.predict(rows).quantiles)


def test_a_long_request_is_answered_by_a_thread_with_the_same_numbers(server, session, rows):
    many = np.tile(rows, (400, 1))
    assert many.nbytes > server.serving.desk.roster.find("sales").inline
    assert np.array_equal(outputs(server.ask(PATH, {"inputs": [tensor(many)]})), session.predict(many).quantiles)


def test_a_model_with_covariates_takes_its_inputs_by_name(tmp_path):
    from tests.worlds import small_panel
    from tidewright.data.splits import split_holdout
    from tidewright.data.task import Task

    panel, task = small_panel(), Task(HORIZON)
    fitted = fit(LightGBM(rounds=5), panel=panel, split=split_holdout(panel, task), task=task)
    bundle = save_bundle(fitted, panel=panel, folder=tmp_path / "trees", name="trees")
    session, batch = open_session(bundle), bundle.example()[0]
    arrays = {name: getattr(batch, name) for name in session.inputs}
    with running([bundle.folder]) as server:
        asked = {"inputs": [tensor(array, name=name) for name, array in reversed(arrays.items())]}
        reply = server.ask("/v2/models/trees/infer", asked)
        assert np.array_equal(outputs(reply), session.predict(arrays).quantiles)
        lacking = server.ask("/v2/models/trees/infer", {"inputs": [tensor(arrays["target"])]})
        assert lacking.status == 400
        assert "the input 'past' is missing" in lacking.json["error"]
        described = {one["name"]: one["shape"] for one in server.ask("/v2/models/trees").json["inputs"]}
        assert {name: [-1, *array.shape[1:]] for name, array in arrays.items()} == described


def test_a_queue_that_is_full_sheds_load_and_says_when_to_try_again(ridge, rows):
    many = {"inputs": [tensor(np.tile(rows, (200, 1)))]}
    with running([ridge.folder], limits=Limits(queue=1)) as server:
        desk = server.serving.desk
        desk._waiting = 1  # as while another request takes its time
        reply = server.ask(PATH, many)
        assert (reply.status, reply.headers["retry-after"]) == (429, "1")
        assert "1 requests wait already. Try again in 1 s." in reply.json["error"]
        desk._waiting = 0
        assert server.ask(PATH, many).status == 200


def test_an_answer_that_takes_too_long_is_given_up_and_the_next_one_is_given(ridge, rows, monkeypatch):
    many = {"inputs": [tensor(np.tile(rows, (200, 1)))]}
    with running([ridge.folder], limits=Limits(run_s=0.05)) as server:
        from threading import Event

        gate = Event()
        with monkeypatch.context() as patch:
            patch.setattr("tidewright.serving.served.Served.read", lambda *_, **__: gate.wait(10))
            reply = server.ask(PATH, many)
            assert reply.status == 504
            assert "took longer than 0.05 s" in reply.json["error"]
            gate.set()
        assert server.ask(PATH, {"inputs": [tensor(rows[:1])]}).status == 200


def test_a_defect_of_ours_is_told_as_one_and_the_server_goes_on(server, rows, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr("tidewright.serving.served.Served.read", lambda *_, **__: 1 / 0)
        reply = server.ask(PATH, {"inputs": [tensor(rows)]})
    assert (reply.status, reply.json["error"]) == (500, "the server failed; its log says why.")
    assert "ZeroDivisionError" in caplog.text
    assert server.ask(PATH, {"inputs": [tensor(rows)]}).status == 200


def test_two_bundles_of_one_name_are_two_versions_and_the_highest_is_asked(ridge, rows, tmp_path):
    other = save_ridge(tmp_path / "sales" / "7", seed=3)
    with running([ridge.folder, tmp_path]) as server:
        assert server.ask("/v2/models/sales").json["versions"] == ["1", "7"]
        answers = {version: open_session(one).predict(rows).quantiles for version, one in ((1, ridge), (7, other))}
        assert not np.array_equal(answers[1], answers[7])
        for path, version in ((PATH, 7), ("/v2/models/sales/versions/1/infer", 1)):
            assert np.array_equal(outputs(server.ask(path, {"inputs": [tensor(rows)]})), answers[version])


def test_a_session_may_be_wrapped_by_one_that_keeps_its_answers(ridge, session, rows):
    import tidewright as tw

    kept = []

    def wrap(one):
        kept.append(tw.cached(one))
        return kept[-1]

    with running([ridge.folder], wrap=wrap) as server:
        for _ in range(3):
            reply = server.ask(PATH, {"inputs": [tensor(rows)]})
            assert np.array_equal(outputs(reply), session.predict(rows).quantiles)
    assert kept[0].counts().hits == 2
