"""A shadow of a store's model, and what a promotion changes for it and for a split; what is refused and kept."""

from threading import Event

import numpy as np
import polars as pl
import pytest

from tests.serving.running import LOOKBACK, answered, lineup, quantiles, running, tally, tensor, until
from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.inference.session import open_session
from tidewright.models.spec import Ridge
from tidewright.registry.arms import compare_arms
from tidewright.registry.bundle import save_bundle
from tidewright.registry.record import read_record
from tidewright.registry.store import open_store
from tidewright.serving import copies as copies_module
from tidewright.serving.options import ServeOptions
from tidewright.serving.rollout import Rollout, check_rollouts, read_rollouts
from tidewright.serving.roster import find_stored
from tidewright.training.fit import fit

PATH = "/v2/models/sales/infer"
SPLIT = ("sales=champion:70,challenger:30",)
pytestmark = pytest.mark.filterwarnings("ignore::tidewright.errors.RepairWarning")


def test_a_shadow_gets_copies_and_its_answers_are_compared_and_given_to_nobody(store, bundles, rows, history):
    with running([store.folder], shadow=("sales",)) as server:
        ours, theirs = (quantiles(bundles[name], rows) for name in ("champion", "rival"))
        assert np.array_equal(answered(server.ask(PATH, {"inputs": [tensor(rows)]})), ours)
        assert server.ask("/v1/forecast", {"table": history[0]}).json["version"] == "1"
        until(lambda: tally(server).windows == len(rows) + 4)
        absolute = np.abs(ours - theirs).mean(axis=(1, 2))
        relative = absolute / (ours[:, :, -1] - ours[:, :, 0]).mean(axis=1)
        frames = [open_session(bundles[name]).forecast(history[1]).table for name in ("champion", "rival")]
        tables = [one.select("0.1", "0.5", "0.9").to_numpy().reshape(4, -1) for one in frames]
        absolute = np.append(absolute, np.abs(tables[0] - tables[1]).mean(axis=1))
        told = lineup(server)["shadow"]
        assert (told["version"], told["windows"], told["dropped"], told["failed"]) == ("2", len(rows) + 4, 0, 0)
        assert told["difference"]["target"]["mean"] == pytest.approx(absolute.mean(), rel=1e-5)
        assert told["difference"]["target"]["largest"] == pytest.approx(absolute.max(), rel=1e-5)
        assert told["difference"]["spread"]["largest"] >= relative.max() * (1 - 1e-5)
        assert server.ask("/v2/models/sales").json["versions"] == ["1"]
        assert server.ask("/v2/models/sales/versions/2/infer", {"inputs": [tensor(rows)]}).status == 404
        text = server.ask("/metrics").body.decode()
        labels = 'model="sales",version="2",champion="1"'
        assert f'tidewright_shadow_total{{{labels},outcome="answered"}} 2' in text
        assert f'tidewright_shadow_difference_count{{{labels},unit="target"}} {len(rows) + 4}' in text
        assert f"tidewright_shadow_seconds_count{{{labels}}} 2" in text


def test_a_shadow_that_fails_touches_nobody_and_is_told_once_without_what_was_asked(store, rows, monkeypatch, caplog):
    with running([store.folder], shadow=("sales",)) as server:
        rival = server.serving.desk.roster.lineups["sales"].shadow.rival

        def fail(x):
            raise RuntimeError("broken")

        monkeypatch.setattr(rival.session, "predict", fail)
        for _ in range(3):
            assert server.ask(PATH, {"inputs": [tensor(rows)]}).status == 200
        until(lambda: tally(server).outcomes["failed"] == 3)
        assert tally(server).errors == {"RuntimeError": 3}
        assert caplog.text.count("a shadow fails") == 1
        assert 'tidewright_shadow_errors_total{model="sales",version="2",champion="1",error="RuntimeError"} 3' in (
            server.ask("/metrics").body.decode()
        )


def test_what_a_shadow_has_no_room_for_is_dropped_and_counted_and_callers_never_wait(store, rows, monkeypatch):
    monkeypatch.setattr(copies_module, "COPIES", 2)
    gate = Event()
    with running([store.folder], shadow=("*",)) as server:
        rival = server.serving.desk.roster.lineups["sales"].shadow.rival
        plain = rival.session.predict
        monkeypatch.setattr(rival.session, "predict", lambda x: plain(x) if gate.wait(10) else None)
        for _ in range(6):
            assert server.ask(PATH, {"inputs": [tensor(rows)]}).status == 200
        assert tally(server).outcomes["dropped"] >= 2
        gate.set()
        until(lambda: sum(tally(server).outcomes.values()) == 6)
        monkeypatch.setattr(copies_module, "BYTES", 10)
        assert server.ask(PATH, {"inputs": [tensor(rows)]}).status == 200
        until(lambda: tally(server).outcomes["dropped"] + tally(server).outcomes["answered"] == 7)


def test_a_promotion_ends_the_shadow_and_the_next_challenger_is_the_next_one(store, bundles, rows, caplog):
    with running([store.folder], shadow=("sales",), watch_s=0) as server:
        look = server.serving.stock.look
        before = server.serving.desk.roster.lineups["sales"].shadow.rival
        store.promote("sales", force="a trial")
        look()
        assert server.serving.desk.roster.find("sales") is before  # it was open and warm
        assert np.array_equal(answered(server.ask(PATH, {"inputs": [tensor(rows)]})), quantiles(bundles["rival"], rows))
        assert "no challenger for its shadow" in lineup(server)["notes"][0]
        assert "not as asked for" in caplog.text
        look()
        assert [one.version for one in server.serving.desk.roster.all] == ["2"]
        store.register("sales", bundles["short"])
        look()
        server.ask(PATH, {"inputs": [tensor(rows)]})
        until(lambda: tally(server, "3", "2").windows == len(rows))  # they are cut
        expected = np.abs(quantiles(bundles["rival"], rows) - quantiles(bundles["short"], rows[:, -12:]))
        assert tally(server, "3", "2").absolute.mean == pytest.approx(expected.mean(), rel=1e-5)
        store.register("sales", bundles["long"])
        look()
        assert "looks back 36 steps at least, and the champion's windows have 24 at most" in lineup(server)["notes"][0]
        server.ask(PATH, {"inputs": [tensor(rows)]})
        assert tally(server, "4", "2").outcomes == {"unfit": 1}
        store.rollback("sales")
        look()
        assert (server.serving.desk.roster.find("sales").version, lineup(server)["shadow"]["version"]) == ("1", "4")


def test_versions_that_are_named_by_number_and_promoted_leave_the_champion_alone_and_say_so(store, bundles, rows):
    with running([store.folder], shadow=("sales=2",), split=("sales=champion:50,2:50",), watch_s=0) as server:
        assert set(lineup(server)) == {"champion", "split", "windows", "shadow"}
        store.promote("sales", force="a trial")
        server.serving.stock.look()
        told = lineup(server)
        assert (told["champion"], set(told)) == ("2", {"champion", "notes"})
        assert any("two arms of the split of 'sales' are one version" in note for note in told["notes"])
        assert any("the shadow of 'sales' is version 2, its champion" in note for note in told["notes"])
        reply = server.ask(PATH, {"inputs": [tensor(rows)]}, headers={"X-Split-Key": "7"})
        assert np.array_equal(answered(reply), quantiles(bundles["rival"], rows))
        assert "x-model-version" not in reply.headers


@pytest.mark.parametrize(
    ("shadow", "split", "message"),
    [
        (["sales=champion"], [], "is its champion, which answers"),
        (["sales=1"], [], "the shadow of 'sales' is version 1, its champion"),
        (["sales=9"], [], "version of 'sales' is called '9'.*There are: 1, 2"),
        (["sale"], [], "no model of the store is called 'sale'. Did you mean 'sales'"),
        (["sales", "sales=2"], [], "once for each model"),
        (["sales="], [], "--shadow is NAME or NAME=VERSION"),
        (["sales=best"], [], "no version is called 'best'"),
        ([], ["sales=champion:90,challenger:9"], "sum to 99 over 2 versions"),
        ([], ["sales=champion:100"], "sum to 100 over 1 versions"),
        ([], ["sales=champion:90,challenger:ten"], "in percent; got 'challenger:ten'"),
        ([], ["sales=1:50,1:50"], "each version once"),
        ([], ["sales=champion:50,1:50"], "two arms of the split of 'sales' are one version"),
        ([], ["sales=1:50,7:50"], "version of 'sales' is called '7'"),
        ([], ["*=champion:50,challenger:50"], "--split is NAME=champion:90"),
        ([], ["price=champion:50,challenger:50"], "no model of the store is called 'price'"),
    ],
)
def test_what_can_t_be_had_is_told_before_anything_is_served(store, shadow, split, message):
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        check_rollouts(find_stored([store.folder]), read_rollouts(shadow=shadow, split=split))


def test_a_split_needs_a_store_and_a_shadow_of_every_model_waits_for_a_challenger(bundles, tmp_path, capsys):
    from tidewright.cli.main import _run

    assert _run(["serve", str(bundles["champion"].folder), "--shadow", "sales"]) == 1
    assert "Give it as --store FOLDER" in capsys.readouterr().err
    assert _run(["serve", str(bundles["champion"].folder), "--split", "sales=1:50"]) == 1
    assert "sum to 50" in capsys.readouterr().err
    assert _run(["serve", str(bundles["champion"].folder), "--record", str(tmp_path)]) == 1
    assert "a record is of what models of a store said" in capsys.readouterr().err
    store = open_store(tmp_path / "store")
    store.register("sales", bundles["champion"])
    check_rollouts(find_stored([store.folder]), {"*": Rollout("challenger")})
    (tmp_path / "file").write_text("")
    assert _run(["serve", "--store", str(store.folder), "--record", str(tmp_path / "file")]) == 1
    assert "can't be made: File exists. Give another" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="record is text"):
        ServeOptions(record=5)
    with pytest.raises(ConfigError, match="record_bytes is a whole number, 1048576 or more"):
        ServeOptions(record_bytes=5)
    with pytest.raises(ConfigError, match="sum to 50"):
        ServeOptions(split=("sales=1:50,2:0",))


@pytest.mark.parametrize("beside", [{"shadow": ("sales",)}, {"split": ("sales=champion:50,challenger:50",)}])
def test_what_was_said_is_kept_and_judged_when_the_actual_values_have_come(store, history, tmp_path, beside):
    table, cutoffs = history[1], (40, 44, 48, 52)
    record = tmp_path / "record"
    with running([store.folder], record=str(record), **beside) as server:
        for rows in cutoffs:
            part = table.group_by("shop", maintain_order=True).head(rows)
            plain = {**part.to_dict(as_series=False), "hour": [time.isoformat() for time in part["hour"]]}
            assert server.ask("/v1/forecast", {"table": plain}).status == 200
        if "shadow" in beside:
            until(lambda: tally(server).outcomes["answered"] == 4)
    found = compare_arms(store, "sales", record=record, table=table, metric="mae")
    drawn = [store.split("sales", shop, share=0.5).version for shop in ("s0", "s1", "s2", "s3")]
    shops = [drawn.count(1), drawn.count(2)] if "split" in beside else [4, 4]
    assert [found.champion.windows, found.challenger.windows] == [len(cutoffs) * count for count in shops]
    assert found.paired is ("shadow" in beside)
    frame = open_session(store.get("sales").folder).forecast(table.group_by("shop", maintain_order=True).head(40)).table
    kept = read_record(record, name="sales", version=1)
    first = kept["cutoff"].min()
    own = frame.filter(pl.col("shop").is_in(kept["shop"].unique()))
    assert kept.filter(pl.col("cutoff") == first).drop("model").equals(own.drop("model"))


def test_versions_that_answer_other_questions_stand_beside_no_champion(store, tmp_path):
    panel = small_panel()
    for number, task in enumerate((Task(5), Task(4, (0.25, 0.5, 0.75)))):
        fitted = fit(Ridge(lookbacks=(LOOKBACK,)), panel=panel, split=split_holdout(panel, task), task=task)
        store.register("sales", save_bundle(fitted, panel=panel, folder=tmp_path / str(number), name="sales"))
    stored = find_stored([store.folder])
    for asked, message in (
        ({"shadow": ["sales=3"]}, "version 3 of 'sales': the challenger's horizon is 5 and the champion's 4"),
        ({"split": ["sales=1:50,4:50"]}, r"answers with the quantiles \[0.25, 0.5, 0.75\]"),
    ):
        with pytest.raises(ConfigError, match=message):
            check_rollouts(stored, read_rollouts(**asked))
    with running([store.folder], shadow=("sales=4",), split=("sales=1:50,3:50",)) as server:
        told = lineup(server)
        assert ("split" in told, told["shadow"]["version"]) == (False, "4")  # compared by its median
        assert "version 3 of 'sales' is left out" in told["notes"][0]
