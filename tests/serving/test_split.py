"""A split of a store's model: who answers a key, who is told, and what is counted."""

import asyncio
import json
import re

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tests.serving.running import LOOKBACK, answered, lineup, quantiles, running, tally, tensor, until
from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError
from tidewright.inference.session import open_session
from tidewright.models.spec import Ridge
from tidewright.registry.bundle import save_bundle
from tidewright.registry.store import open_store
from tidewright.serving import served as module
from tidewright.training.fit import fit

PATH = "/v2/models/sales/infer"
SPLIT = ("sales=champion:70,challenger:30",)
pytestmark = pytest.mark.filterwarnings("ignore::tidewright.errors.RepairWarning")


def save_levels(folder, levels):
    """A bundle of the champion's question, answered with other quantiles."""
    panel, task = small_panel(), Task(4, levels)
    fitted = fit(Ridge(lookbacks=(LOOKBACK,)), panel=panel, split=split_holdout(panel, task), task=task)
    return save_bundle(fitted, panel=panel, folder=folder, name="sales")


def keys_of(store):
    """A key that the challenger answers, and one that the champion does."""
    drawn = {str(number): store.split("sales", str(number), share=0.3).version for number in range(50)}
    return [next(key for key, version in drawn.items() if version == wanted) for wanted in (2, 1)]


def test_a_key_has_its_arm_which_is_told_and_counted_and_a_version_that_is_named_answers(store, bundles, rows):
    with running([store.folder], split=SPLIT) as server:
        wanted = {version: quantiles(bundles[name], rows) for version, name in (("1", "champion"), ("2", "rival"))}
        body = {"inputs": [tensor(rows)]}
        for version, key in zip("21", keys_of(store), strict=True):
            asked = [(body, {"X-Split-Key": key}), ({**body, "id": key}, {}), (body, {"X-Request-Id": key})]
            for given, headers in asked:
                reply = server.ask(PATH, given, headers=headers)
                assert (reply.headers["x-model-version"], reply.json["model_version"]) == (version, version)
                assert np.array_equal(answered(reply), wanted[version])
            other = "1" if version == "2" else "2"
            reply = server.ask(f"/v2/models/sales/versions/{other}/infer", body, headers={"X-Split-Key": key})
            assert reply.json["model_version"] == other
            assert "x-model-version" not in reply.headers
        assert lineup(server)["split"] == {"1": 70.0, "2": 30.0}
        text = server.ask("/metrics").body.decode()
        assert 'tidewright_split_total{model="sales",version="2"} 3' in text
        assert 'tidewright_split_percent{model="sales",version="2"} 30' in text
        drawn = {server.ask(PATH, body).json["model_version"] for _ in range(40)}
        assert drawn == {"1", "2"}  # without a key, by chance: 1 in 1,600,000 that it is one
        bad = server.ask(PATH, {"inputs": []}, headers={"X-Split-Key": key})
        assert (bad.status, "'inputs' is a list of 0" in bad.json["error"]) == (400, True)
        assert server.ask(PATH).status == 405


def test_small_requests_of_a_split_share_the_runs_of_their_arm_and_each_is_told_who_answered(
    store, rows, bundles, monkeypatch
):
    monkeypatch.setattr(module, "_gains", lambda *_: True)
    with running([store.folder], split=SPLIT, shadow=("sales",)) as server:
        app, told = server.serving._server.config.app, []
        body = json.dumps({"inputs": [tensor(rows[:1])]}).encode()
        raw = [(b"host", b"localhost"), (b"content-length", b"%d" % len(body))]
        assert app.quick.find(PATH.encode(), raw) is None  # its key may stand in its body
        keys = [key.encode() for key in keys_of(store)]

        async def ask():
            for key in (*keys, *keys):
                app.turn.add(app.quick.find(PATH.encode(), [*raw, (b"x-split-key", key)]), body, told.append)
            await asyncio.sleep(0)

        asyncio.run(ask())
        heads, answers = zip(*(one.split(b"\r\n\r\n") for one in told), strict=True)
        assert [re.search(rb"x-model-version: (\d)", head)[1] for head in heads] == [b"2", b"1"] * 2
        for answer, (version, name) in zip(answers, [("2", "rival"), ("1", "champion")] * 2, strict=True):
            found = json.loads(answer)
            assert found["model_version"] == version
            data = np.array(found["outputs"][0]["data"], np.float32)
            np.testing.assert_allclose(data, quantiles(bundles[name], rows[:1]).reshape(-1), rtol=1e-5)
        metrics = server.serving.desk.metrics
        assert metrics.split == {("sales", "1"): 2, ("sales", "2"): 2}
        assert [metrics.tally("sales", version).shared_runs for version in "12"] == [1, 1]
        until(lambda: tally(server).windows == 2)  # one copy of the champion's run
        assert tally(server).outcomes == {"answered": 1}


def test_a_table_is_shared_out_by_its_series_and_comes_back_in_their_order(store, bundles, history):
    plain, table = history
    with running([store.folder], split=("sales=challenger:50,champion:50",)) as server:
        reply = server.ask("/v1/forecast", {"table": plain})
        told = reply.json
        arms = {shop: str(store.split("sales", shop, share=0.5).version) for shop in ("s0", "s1", "s2", "s3")}
        assert set(arms.values()) == {"1", "2"}
        for version, name in (("1", "champion"), ("2", "rival")):
            own = [shop for shop, arm in arms.items() if arm == version]
            assert told["arms"][version] == own
            frame = pl.DataFrame({key: told["table"][key] for key in ("shop", "0.1", "0.5", "0.9")})
            expected = open_session(bundles[name]).forecast(table).table.filter(pl.col("shop").is_in(own))
            assert frame.filter(pl.col("shop").is_in(own)).equals(expected.select(frame.columns))
        assert told["table"]["shop"] == sorted(told["table"]["shop"])
        assert set(reply.headers["x-model-version"].split(",")) == {"1", "2"} == set(told["version"].split(","))
        one = server.ask("/v1/forecast", {"table": plain}, headers={"X-Split-Key": "7"}).json
        assert one["version"] == str(store.split("sales", "7", share=0.5).version)
        assert server.ask("/v1/forecast", {"table": plain, "version": "2"}).json["version"] == "2"


def test_the_version_that_fails_is_the_one_whose_errors_count(store, history, monkeypatch):
    with running([store.folder], split=("sales=challenger:50,champion:50",)) as server:
        champion, challenger = (server.serving.desk.roster.find("sales", version) for version in "12")

        def fail(panel):
            raise DataError("the challenger can't")

        monkeypatch.setattr(challenger.session, "forecast", fail)
        reply = server.ask("/v1/forecast", {"table": history[0]})
        assert (reply.status, reply.json) == (400, {"error": "the challenger can't"})
        assert server.ask("/v1/forecast", {"table": {}}).status == 400  # nobody's: it is counted for the champion
        assert challenger.tally.failed == {("forecast", 400): 1} == champion.tally.failed


def test_the_client_says_a_key(store, rows, history, bundles):
    with running([store.folder], split=SPLIT) as server, tw.Client(server.url) as client:
        for name, key in zip(("rival", "champion"), keys_of(store), strict=True):
            found = client.infer(rows, model="sales", split_key=key).quantiles
            assert np.array_equal(found, quantiles(bundles[name], rows))
            expected = open_session(bundles[name]).forecast(history[1]).table
            assert client.forecast(history[1], split_key=key).table.equals(expected)
        for wrong in ("", "a\nb", "é", 7):
            with pytest.raises(ConfigError, match="split_key is 1 to 256 printable"):
                client.infer(rows, model="sales", split_key=wrong)


def test_the_client_s_point_is_the_median_of_the_version_that_answered(bundles, rows, tmp_path):
    store = open_store(tmp_path / "store")
    levels = {"1": (0.1, 0.5, 0.9), "2": (0.1, 0.2, 0.3, 0.5, 0.9), "3": (0.1, 0.2, 0.3, 0.4, 0.5)}
    store.register("sales", bundles["champion"])
    with running([store.folder], watch_s=0) as server, tw.Client(server.url) as client:
        asked = []
        plain = client.describe
        client.describe = lambda *given, **named: asked.append(named["version"]) or plain(*given, **named)
        for version, own in levels.items():
            if version != "1":
                store.register("sales", save_levels(tmp_path / version, own))
                store.promote("sales", force="a trial")
                server.serving.stock.look()
            for _ in range(2):
                found = client.infer(rows, model="sales")
                assert np.array_equal(found.point, found.quantiles[:, :, own.index(0.5)])
        assert asked == ["1", "2", "3"]
        assert client.describe("sales", version=None)["parameters"]["version"] == "3"
        store.register("sales", bundles["champion"])

        def promote(*given, **named):  # between an answer and what is asked about it
            client.describe = plain
            store.promote("sales", force="a trial")
            server.serving.stock.look()
            return plain(*given, **named)

        client.describe = promote
        client._known.clear()
        found = client.infer(rows, model="sales")
        assert np.array_equal(found.point, quantiles(bundles["champion"], rows)[:, :, 1])


def test_arms_of_other_windows_split_forecasts_alone(store, bundles, rows, history):
    store.register("sales", bundles["short"])
    with running([store.folder], split=("sales=1:0,3:100",)) as server:
        assert server.ask(PATH, {"inputs": [tensor(rows)]}).json["model_version"] == "1"
        assert "forecasts alone are split" in lineup(server)["notes"][0]
        assert server.ask("/v1/forecast", {"table": history[0]}).json["version"] == "3"


def test_a_slow_model_s_requests_share_runs_split_and_shadowed(store, bundles, rows, monkeypatch):
    monkeypatch.setattr(module, "INLINE_S", 0.0)
    monkeypatch.setattr(module, "_gains", lambda *_: True)
    with running([store.folder], split=SPLIT, shadow=("sales=2",)) as server:
        for version, key in zip("21", keys_of(store), strict=True):
            reply = server.ask(PATH, {"inputs": [tensor(rows)]}, headers={"X-Split-Key": key})
            assert reply.json["model_version"] == version
        until(lambda: tally(server).outcomes["answered"] == 1)  # the champion's
        assert tally(server).outcomes["failed"] == 0
        assert server.serving.desk.roster.find("sales").queues
