"""tritonclient, unmodified, and the rest of the Open Inference Protocol v2."""

import numpy as np
import pytest

from tests.serving.running import running
from tests.test_docs import read_blocks
from tidewright.inference.session import open_session

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def client(server):
    http = pytest.importorskip("tritonclient.http")
    with http.InferenceServerClient(f"127.0.0.1:{server.port}") as one:
        yield one


def inputs(rows, *, binary):
    from tritonclient.http import InferInput

    given = InferInput("target", list(rows.shape), "FP32")
    given.set_data_from_numpy(rows, binary_data=binary)
    return [given]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_tritonclient_gets_the_session_s_numbers(client, ridge, rows, binary, coding):
    from tritonclient.http import InferRequestedOutput

    wanted = open_session(ridge).predict(rows).quantiles
    for outputs in (None, [InferRequestedOutput("quantiles", binary_data=binary)]):
        answer = client.infer(
            "sales",
            inputs(rows, binary=binary),
            outputs=outputs,
            request_id="7",
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
        )
        assert np.array_equal(answer.as_numpy("quantiles"), wanted)
        assert answer.get_response()["id"] == "7"


def test_tritonclient_hears_of_health_metadata_and_errors(client, ridge, rows):
    from tritonclient.utils import InferenceServerException

    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("sales")
    assert client.is_model_ready("sales", "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data", "model_repository"]
    told = client.get_model_metadata("sales")
    assert told["inputs"] == [{"name": "target", "datatype": "FP32", "shape": [-1, 24]}]
    assert told["outputs"] == [{"name": "quantiles", "datatype": "FP32", "shape": [-1, 4, 3]}]
    assert told["parameters"]["digest"] == ridge.digest
    assert [one["name"] for one in client.get_model_repository_index()] == ["sales"]
    with pytest.raises(InferenceServerException, match=r"'target' has the shape \(8, 23\)"):
        client.infer("sales", inputs(np.ascontiguousarray(rows[:, 1:]), binary=True))
    assert client.infer("sales", inputs(rows, binary=True)).as_numpy("quantiles").shape == (8, 4, 3)


def test_many_tritonclients_at_once_each_get_their_own_rows(client, ridge, rows):
    session = open_session(ridge)
    asked = [client.async_infer("sales", inputs(rows[[n % len(rows)]], binary=True)) for n in range(40)]
    for n, one in enumerate(asked):
        answer = one.get_result().as_numpy("quantiles")
        assert np.array_equal(answer, session.predict(rows[[n % len(rows)]]).quantiles)


def test_the_description_holds_every_path(server):
    told = server.ask("/openapi.json").json
    paths = ("/v2/models/{name}/infer", "/v2/models/{name}", "/healthz", "/readyz", "/metrics", "/v2")
    assert set(paths) <= set(told["paths"])
    assert "422" not in str(told["paths"])
    assert server.ask("/docs").status == 200


def test_the_metrics_count_what_was_answered_and_what_was_refused(server, rows):
    from tests.serving.running import tensor

    def read():
        lines = server.ask("/metrics").body.decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}

    labels = 'model="sales",version="1"'
    good = f'tidewright_requests_total{{{labels},kind="infer",status="200"}}'
    before = read()
    server.ask("/v2/models/sales/infer", {"inputs": [tensor(rows)]})
    server.ask("/v2/models/sales/infer", {"inputs": []})
    server.ask("/v2/models/other/infer", {"inputs": []})
    after = read()
    assert after[good] == before.get(good, 0) + 1
    assert after[f"tidewright_rows_total{{{labels}}}"] == before[f"tidewright_rows_total{{{labels}}}"] + len(rows)
    assert after[good.replace("200", "400")] == before.get(good.replace("200", "400"), 0) + 1
    name = 'tidewright_refused_total{status="404"}'
    assert after[name] == before.get(name, 0) + 1
    assert after[f"tidewright_inference_seconds_count{{{labels}}}"] > 0
    for what in ("inference", "request"):
        assert after[f'tidewright_{what}_recent_seconds{{{labels},quantile="1"}}'] > 0


def test_the_blocks_of_the_page_run_against_a_server(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    first, *rest = read_blocks("serving.md")
    exec(compile(first, "docs/serving.md", "exec"), names)
    with running([tmp_path / "sales-model"]) as server:
        for block in rest:
            exec(compile(block.replace(":8000", f":{server.port}"), "docs/serving.md", "exec"), names)
        for name, path in (("windows", "/v2/models/sales/infer"), ("history", "/v1/forecast")):
            assert server.ask(path, (tmp_path / f"{name}.json").read_bytes()).status == 200
        kind = {"Content-Type": "application/vnd.apache.arrow.stream"}
        assert server.ask("/v1/forecast", (tmp_path / "history.arrow").read_bytes(), headers=kind).status == 200
    assert "[[[" in capsys.readouterr().out
