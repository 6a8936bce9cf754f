"""The store: what is there, who is in use, who may replace whom, and that a kill breaks nothing."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError, PromotionError, ShortSeriesError, TamperedError
from tidewright.models.spec import Naive, Ridge, SeasonalNaive
from tidewright.registry.bundle import save_bundle
from tidewright.registry.numbered import CURRENT
from tidewright.registry.seen import last_seen
from tidewright.registry.store import mark_store, open_store
from tidewright.training.fit import fit

TASK = Task(4)


@pytest.fixture(scope="module")
def world():
    """Two shops with a day's wave and noise, hourly, and the half of it that models learn from."""
    hours = pl.datetime_range(datetime(2024, 1, 1), datetime(2024, 1, 30, 23), "1h", eager=True)
    draws = np.random.default_rng(0).normal(size=(2, len(hours)))
    wave = 20 + 5 * np.sin(2 * np.pi * np.arange(len(hours)) / 24)
    tables = [
        pl.DataFrame({"shop": [name] * len(hours), "hour": hours, "sold": wave + draws[i]})
        for i, name in enumerate("ab")
    ]
    whole = pl.concat(tables)
    return whole, whole.filter(pl.col("hour") < datetime(2024, 1, 16))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory, world):
    """Bundles by model, learned from the first half."""
    panel = Panel.from_table(world[1], series="shop", time="hour", target="sold")
    split = split_holdout(panel, TASK)
    folder = tmp_path_factory.mktemp("bundles")
    specs = {"naive": Naive(), "seasonal": SeasonalNaive(), "ridge": Ridge(lookbacks=(48,))}
    fitted = {name: fit(spec, panel=panel, split=split, task=TASK) for name, spec in specs.items()}
    return {
        name: save_bundle(one, panel=panel, folder=folder / name, name=name, split=split)
        for name, one in fitted.items()
    }


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


def test_the_first_version_is_the_champion_and_a_later_one_the_challenger(store, bundles):
    first, second = (store.register("sales", bundles[name].folder) for name in ("naive", "seasonal"))
    assert (first.version, first.role, first.digest) == (1, "champion", bundles["naive"].digest)
    assert (second.version, second.role) == (2, "challenger")
    assert tw.open(store.get("sales").folder).digest == bundles["naive"].digest
    assert [one.role for one in store.versions("sales")] == ["champion", "challenger"]
    assert store.versions() == store.versions("sales")


def test_a_copy_has_the_bytes_of_its_bundle_and_a_damaged_one_is_not_taken(store, bundles, tmp_path):
    kept = store.register("sales", bundles["naive"]).folder
    assert {p.name: p.read_bytes() for p in kept.iterdir()} == {
        p.name: p.read_bytes() for p in bundles["naive"].folder.iterdir()
    }
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in bundles["naive"].folder.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes())
    (damaged / "card.md").write_text("another card")
    with pytest.raises(TamperedError, match=r"card\.md was changed"):
        store.register("other", damaged)
    assert {one.name for one in store.versions()} == {"sales"}


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "x" * 65, "a\n"])
def test_a_name_that_no_folder_should_have_is_refused(store, bundles, name):
    with pytest.raises(ConfigError, match="a model's name is 1 to 64 letters"):
        store.register(name, bundles["naive"].folder)
    assert not store.folder.exists()


def test_a_better_challenger_is_promoted_on_windows_that_neither_has_seen(store, bundles, world):
    store.register("sales", bundles["naive"].folder)
    store.register("sales", bundles["seasonal"].folder)
    change = store.promote("sales", table=world[0])
    figures = change.figures
    assert (change.what, change.version, change.replaced, change.forced) == ("promoted", 2, 1, False)
    assert figures["challenger"] < figures["champion"]
    assert figures["p_value"] < 0.05
    assert figures["basis"] == "cutoffs"
    known = datetime.fromisoformat(bundles["naive"].manifest.data.last)
    assert datetime.fromisoformat(figures["first"]) > known
    assert store.get("sales").version == 2
    assert "challenger" not in {one.role for one in store.versions("sales")}
    assert datetime.fromisoformat(change.at).tzinfo == UTC


def test_a_challenger_that_is_worse_is_refused_with_its_figures_kept(store, bundles, world):
    store.register("sales", bundles["seasonal"].folder)
    store.register("sales", bundles["naive"].folder)
    with pytest.raises(PromotionError, match=r"version 2 of 'sales' is not promoted: mase .* no better"):
        store.promote("sales", table=world[0])
    last = store.history("sales")[-1]
    assert (last.what, last.figures["passed"], store.get("sales").version) == ("refused", False, 1)
    forced = store.promote("sales", table=world[0], force="the seasonal one can't be fed any longer")
    assert (forced.forced, forced.reason) == (True, "the seasonal one can't be fed any longer")
    assert forced.figures["passed"] is False
    assert store.get("sales").version == 2


def test_the_same_model_again_is_no_better_than_itself(store, bundles, world):
    for _ in range(2):
        store.register("sales", bundles["ridge"].folder)
    with pytest.raises(PromotionError, match="no better"):
        store.promote("sales", table=world[0])


def test_what_both_have_seen_is_no_ground_for_a_comparison(store, bundles, world):
    store.register("sales", bundles["naive"].folder)
    store.register("sales", bundles["seasonal"].folder)
    known = datetime.fromisoformat(bundles["naive"].manifest.data.last)
    with pytest.raises(ShortSeriesError, match="no window of 4 steps is left"):
        store.promote("sales", table=world[0].filter(pl.col("hour") <= known))
    with pytest.raises(ConfigError, match="give a table of newer actual values"):
        store.promote("sales")


def test_too_few_cutoffs_say_that_no_test_could_be_made(store, bundles, world):
    store.register("sales", bundles["naive"].folder)
    store.register("sales", bundles["seasonal"].folder)
    end = datetime.fromisoformat(bundles["naive"].reference.until) + timedelta(hours=12)
    with pytest.raises(PromotionError, match="no test of it could be made: 9 cutoffs are too few"):
        store.promote("sales", table=world[0].filter(pl.col("hour") <= end))
    assert store.history("sales")[-1].figures["p_value"] is None


def test_models_that_answer_different_questions_are_not_compared(store, bundles, tmp_path, world):
    panel = Panel.from_table(world[1], series="shop", time="hour", target="sold")
    longer = fit(Naive(), panel=panel, split=split_holdout(panel, Task(6)), task=Task(6))
    store.register("sales", bundles["naive"].folder)
    store.register("sales", save_bundle(longer, panel=panel, folder=tmp_path / "longer"))
    with pytest.raises(ConfigError, match="horizon is 6 and the champion's 4"):
        store.promote("sales", table=world[0])


def test_a_rollback_goes_back_the_way_that_was_come_and_no_further(store, bundles):
    for name in ("naive", "seasonal", "ridge"):
        store.register("sales", bundles[name].folder)
    store.promote("sales", 3, force="a trial")
    store.promote("sales", 2, force="another")
    change = store.rollback("sales", reason="it fails on Sundays")
    assert (change.version, change.replaced, change.reason) == (3, 2, "it fails on Sundays")
    assert store.rollback("sales").version == 1
    with pytest.raises(ConfigError, match="no champion before version 1"):
        store.rollback("sales")
    assert [one.what for one in store.history("sales")] == [
        *["registered"] * 3,
        *["promoted"] * 2,
        *["rolled back"] * 2,
    ]


def test_a_key_has_its_version_for_ever_and_a_larger_share_takes_none_away(store, bundles):
    store.register("sales", bundles["naive"].folder)
    keys = [f"customer-{number}" for number in range(500)]
    assert {store.split("sales", key, share=1.0).version for key in keys[:3]} == {1}  # no challenger yet
    store.register("sales", bundles["seasonal"].folder)
    few, more = ({key for key in keys if store.split("sales", key, share=share).version == 2} for share in (0.2, 0.5))
    assert few < more
    assert 70 <= len(few) <= 130
    assert 210 <= len(more) <= 290
    assert not [key for key in keys if store.split("sales", key, share=0.0).version == 2]
    with pytest.raises(ConfigError, match="0 to 1; got 20"):
        store.split("sales", "a", share=20)


def test_a_key_that_is_a_number_is_refused_in_words(store, bundles):
    for name in ("naive", "ridge"):
        store.register("sales", bundles[name])
    with pytest.raises(ConfigError, match=r"a request's key is text or bytes; got 7\. Write str\(key\)"):
        store.split("sales", 7, share=0.5)


def test_a_mark_changes_with_every_change_and_with_nothing_else(store, bundles):
    assert mark_store(store) == ()
    steps = [
        lambda: store.register("sales", bundles["naive"].folder),
        lambda: store.register("sales", bundles["seasonal"].folder),
        lambda: store.promote("sales", force="a trial"),
        lambda: store.rollback("sales"),
    ]
    for step in steps:
        mark = mark_store(store)
        assert mark_store(store) == mark
        step()
        assert mark_store(store) != mark


def test_a_folder_without_a_manifest_is_no_version_and_its_number_is_not_taken_again(store, bundles):
    store.register("sales", bundles["naive"].folder)
    (store.folder / "sales" / "v0007").mkdir()
    assert [one.version for one in store.versions("sales")] == [1]
    with pytest.raises(ConfigError, match="there is no version 7"):
        store.get("sales", 7)
    assert store.register("sales", bundles["naive"].folder).version == 8


def test_a_pointer_changed_by_hand_is_told(store, bundles):
    place = store.register("sales", bundles["naive"].folder).folder.parent / CURRENT
    told = json.loads(place.read_text())
    place.write_text(json.dumps({**told, "champions": "1"}))
    with pytest.raises(BundleError, match="changed by hand: 'champions'"):
        store.get("sales")
    place.write_text("{")
    with pytest.raises(BundleError, match="changed by hand"):
        store.get("sales")


def test_a_kill_at_a_step_leaves_a_store_that_opens_and_goes_on(store, bundles, tmp_path):
    store.register("sales", bundles["naive"].folder)
    script = Path(__file__).with_name("kill_store.py")
    words = [sys.executable, str(script), str(store.folder), str(bundles["seasonal"].folder), str(tmp_path / "work")]
    done = subprocess.run(words, check=True, timeout=300, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert len(found) > 10
    assert {tuple(one) for one in found} == {(1, 1), (1, 2), (2, 3), (1, 4)}
    assert [length for _, length in found] == sorted(length for _, length in found)


def test_the_last_position_that_a_model_knows_is_that_of_its_validation(bundles, world):
    panel = Panel.from_table(world[0], series="shop", time="hour", target="sold")
    bundle = bundles["naive"]
    place = last_seen(bundle, panel)
    assert panel.time_at(place) == bundle.reference.until > bundle.manifest.data.last
    newer = Panel.from_table(
        world[0].filter(pl.col("hour") > datetime(2024, 1, 20)), series="shop", time="hour", target="sold"
    )
    assert last_seen(bundle, newer) == newer.span[0] - 1


def test_midnight_of_a_zone_is_before_the_hour_after_it(tmp_path):
    panel = small_panel()
    table = panel.table.with_columns(pl.col("hour").dt.replace_time_zone("UTC"))
    zoned = Panel.from_table(table, series="shop", time="hour", target="sold")
    fitted = fit(Naive(), panel=zoned, split=split_holdout(zoned, TASK), task=TASK)
    for last in (zoned.span[1], zoned.span[1] - 23, zoned.span[1] - 22):
        bundle = save_bundle(fitted, panel=zoned.until(last), folder=tmp_path / str(last))
        assert bundle.manifest.data.last.endswith(" UTC")
        assert last_seen(bundle, zoned) == last


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        open_store(tmp_path / "file")
