"""Two versions judged by what they said: pairs of a shadow, series of a split, and what can't be judged."""

import json
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import ttest_ind

import tidewright as tw
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError, ShortSeriesError
from tidewright.inference.session import open_session
from tidewright.metrics.accuracy import Scored, loss_by_window
from tidewright.metrics.comparison import compare_apart
from tidewright.models.spec import Naive, SeasonalNaive
from tidewright.registry import record as record_module
from tidewright.registry.arms import compare_arms
from tidewright.registry.bundle import save_bundle
from tidewright.registry.record import read_record, trim_record, write_part
from tidewright.registry.store import open_store
from tidewright.training.fit import fit

TASK = Task(2)
START = datetime(2024, 1, 1)


@pytest.fixture(scope="module")
def world():
    """Twenty shops with a day's wave of their own height and noise, hourly."""
    draw, hours = np.random.default_rng(0), [START + timedelta(hours=hour) for hour in range(360)]
    wave = np.sin(2 * np.pi * np.arange(360) / 24)
    tables = [
        pl.DataFrame({"shop": [f"s{n:02}"] * 360, "hour": hours, "sold": 20 + (n + 2) * wave + draw.normal(size=360)})
        for n in range(20)
    ]
    return pl.concat(tables)


@pytest.fixture(scope="module")
def bundles(world, tmp_path_factory):
    """The naive model and the season before, which is much better here."""
    folder = tmp_path_factory.mktemp("arms")
    panel = Panel.from_table(
        world.filter(pl.col("hour") < START + timedelta(hours=240)), series="shop", time="hour", target="sold"
    )
    split = split_holdout(panel, TASK)
    fitted = {
        name: fit(spec, panel=panel, split=split, task=TASK)
        for name, spec in (("naive", Naive()), ("season", SeasonalNaive()))
    }
    return [save_bundle(one, panel=panel, folder=folder / name, split=split) for name, one in fitted.items()]


@pytest.fixture
def store(tmp_path, bundles):
    store = open_store(tmp_path / "store")
    for bundle in bundles:
        store.register("sales", bundle)
    return store


@pytest.fixture(scope="module")
def said(world, bundles):
    """What each says of every shop at 40 cutoffs after the part that it learned from."""
    found = []
    for bundle in bundles:
        session = open_session(bundle)
        panel = session.read(world)
        first = int(panel.positions[0]) + 250
        found.append(session.forecast(panel, cutoffs=Cutoffs(first, first + 39 * 2, 2, grid=panel.frequency)).table)
    return found


def keep(folder, tables, *, kinds=("answer", "shadow")):
    for version, (table, kind) in enumerate(zip(tables, kinds, strict=True), start=1):
        write_part(folder, table, name="sales", version=str(version), kind=kind)


def windows_of(world, table, level="0.5"):
    """Actual values and medians [N, H] of a table of forecasts, and each window's shop."""
    joined = table.join(world, on=["shop", "hour"]).sort("shop", "cutoff", "hour")
    shape = (-1, TASK.horizon)
    actual, point = (joined[name].to_numpy().reshape(shape) for name in ("sold", level))
    return actual, point, joined["shop"].to_numpy()[:: TASK.horizon]


def test_a_shadow_s_pairs_are_judged_by_the_gate_s_test_and_the_numbers_are_those_of_the_tables(
    store, said, world, tmp_path
):
    half = [said[0].head(len(said[0]) // 2), said[0].tail(len(said[0]) - len(said[0]) // 2)]
    keep(tmp_path / "record", [half[0], said[1]])
    older = half[1].with_columns(pl.col("0.5") + 100)
    for part in (older, half[1]):  # asked again: the newer answer counts
        write_part(tmp_path / "record", part, name="sales", version="1", kind="answer")
    found = compare_arms(store, "sales", record=tmp_path / "record", table=world, metric="mae")
    (actual, naive, shops), (_, season, _) = (windows_of(world, one) for one in said)
    losses = [np.abs(actual - one).mean(axis=1) for one in (naive, season)]
    assert (found.champion.version, found.challenger.version, found.paired, found.basis) == (1, 2, True, "cutoffs")
    assert (found.champion.windows, found.champion.series, found.champion.cutoffs) == (800, 20, 40)
    assert found.champion.error == pytest.approx(losses[0].mean())
    assert found.challenger.error == pytest.approx(losses[1].mean())
    by_shop = np.array([(losses[1] - losses[0])[shops == shop].mean() for shop in np.unique(shops)])
    assert found.by_series.mean == pytest.approx(by_shop.mean())
    assert found.by_series.error == pytest.approx(by_shop.std(ddof=1) / np.sqrt(20))
    assert found.by_cutoffs.mean == pytest.approx((losses[1] - losses[0]).mean())
    assert found.by_cutoffs.n == 40
    assert 0 < found.by_cutoffs.error < abs(found.by_cutoffs.mean)
    assert found.better
    assert found.p_value < 1e-3
    same = compare_arms(store, "sales", record=tmp_path / "record", table=world)
    assert (same.metric, same.better) == ("mase", True)
    known = world.filter(pl.col("hour") <= START + timedelta(hours=250)).sort("shop", "hour")
    scale = {
        str(shop): np.abs(part["sold"].to_numpy()[24:] - part["sold"].to_numpy()[:-24]).mean()
        for (shop,), part in known.group_by("shop")
    }
    assert same.champion.error == pytest.approx((losses[0] / [scale[shop] for shop in shops]).mean())
    young = tmp_path / "young"
    keep(young, [said[0], said[1].filter(pl.col("cutoff") >= START + timedelta(hours=310))])
    told = compare_arms(store, "sales", record=young, table=world, metric="mae")
    assert (told.paired, told.champion.cutoffs, told.challenger.cutoffs) == (True, 10, 10)


def test_a_split_s_series_are_held_against_each_other_as_they_were_drawn(store, said, world, tmp_path):
    shops = sorted(world["shop"].unique())
    own = [pl.col("shop").is_in(shops[::2]), pl.col("shop").is_in(shops[1::2])]
    parts = [said[0].filter(own[0]), said[1].filter(own[1])]
    keep(tmp_path / "record", parts, kinds=("answer", "answer"))
    found = tw.compare_arms(store, "sales", record=tmp_path / "record", table=world, metric="mae")
    losses = []
    for part in parts:
        actual, point, shop = windows_of(world, part)
        each = loss_by_window(Scored(actual, point), "mae")
        losses.append([each[shop == one].mean() for one in np.unique(shop)])
    oracle = ttest_ind(losses[1], losses[0], equal_var=False, alternative="less")
    assert (found.paired, found.basis, found.by_cutoffs) == (False, "arms", None)
    assert found.p_value == pytest.approx(oracle.pvalue)
    assert found.by_series.mean == pytest.approx(np.mean(losses[1]) - np.mean(losses[0]))
    few = tmp_path / "few"
    keep(few, [parts[0], parts[1].filter(pl.col("shop").is_in(shops[1:6]))], kinds=("answer", "answer"))
    told = compare_arms(store, "sales", record=few, table=world, metric="mae")
    assert (told.p_value, told.better, told.basis) == (None, False, "none")
    assert "3 series are too few; 8 of each are needed" in told.reason


def test_what_has_no_actual_value_yet_waits_and_what_was_never_said_is_told(store, said, world, tmp_path):
    record = tmp_path / "record"
    keep(record, said)
    early = world.filter(pl.col("hour") < START + timedelta(hours=270))
    found = compare_arms(store, "sales", record=record, table=early, metric="mae")
    assert found.champion.cutoffs == 10  # 250, 252 ... 268, the last with half its values
    with pytest.raises(ShortSeriesError, match="no value is in the table with its cutoff"):
        compare_arms(store, "sales", record=record, table=world.filter(pl.col("hour") < START + timedelta(hours=240)))
    with pytest.raises(ConfigError, match="holds nothing that version 1 of 'sales' said"):
        compare_arms(store, "sales", record=tmp_path / "none", table=world)
    with pytest.raises(ConfigError, match="version 1 of 'sales' is the champion itself"):
        compare_arms(store, "sales", record=record, table=world, version=1)
    next((record / "sales" / "2").iterdir()).write_bytes(b"torn")
    with pytest.raises(BundleError, match="what version 2 of 'sales' said can't be read"):
        compare_arms(store, "sales", record=record, table=world)
    store.promote("sales", force="a trial")
    with pytest.raises(ConfigError, match=r"no challenger: its champion is version 2\. Name the version.*--version"):
        compare_arms(store, "sales", record=record, table=world)


def test_series_that_were_asked_for_as_text_are_those_of_a_table_with_numbers_and_strange_ones_are_left_out(
    store, said, world, tmp_path
):
    number = pl.col("shop").str.slice(1).cast(pl.Int64)
    numbers = [table.with_columns(number) for table in said]
    keep(tmp_path / "record", numbers)
    wanted = compare_arms(store, "sales", record=tmp_path / "record", table=world.with_columns(number), metric="mae")
    for text in (numbers[0].with_columns(pl.col("shop").cast(str)), said[0]):
        write_part(tmp_path / "record", text, name="sales", version="1", kind="answer")
    found = compare_arms(store, "sales", record=tmp_path / "record", table=world.with_columns(number), metric="mae")
    assert (found.champion.windows, found.champion.error) == (800, wanted.champion.error)


def test_the_oldest_parts_give_way_and_nothing_else_does(said, tmp_path, monkeypatch):
    (tmp_path / "sales" / "1").mkdir(parents=True)
    (tmp_path / "sales" / "1" / "mine.parquet").write_bytes(b"x" * 10_000)
    for row in range(4):
        write_part(tmp_path, said[0][row : row + 1], name="sales", version="1", kind="answer")
    sizes = [path.stat().st_size for path in sorted((tmp_path / "sales" / "1").glob("0*.parquet"))]
    assert trim_record(tmp_path, most_bytes=sum(sizes)) == 0
    assert trim_record(tmp_path, most_bytes=sum(sizes[1:])) == 1
    assert read_record(tmp_path, name="sales", version=1).equals(said[0][1:4])
    monkeypatch.setattr(record_module, "MOST_PARTS", 1)
    assert trim_record(tmp_path, most_bytes=1 << 20) == 2
    assert read_record(tmp_path, name="sales", version=1).equals(said[0][3:4])
    assert (tmp_path / "sales" / "1" / "mine.parquet").exists()


def test_groups_apart_are_tested_as_welch_does_and_not_where_they_are_too_few():
    draw = np.random.default_rng(3)
    ours, theirs = draw.normal(0, 1, 12), draw.normal(1, 3, 30)
    ours[0] = np.nan
    test = compare_apart(ours, theirs)
    oracle = ttest_ind(ours[1:], theirs, equal_var=False, alternative="less")
    assert (test.n, test.p_value) == ((11, 30), pytest.approx(oracle.pvalue))
    for groups, why in (((ours[1:8], theirs), "7 series are too few"), ((ours[:1], theirs), "no series with a loss")):
        assert why in compare_apart(*groups).reason
    assert "1 series is too few" in compare_apart(ours[1:2], theirs).reason
    assert "the same in every series" in compare_apart(np.ones(9), np.zeros(9)).reason


def test_the_verb_shows_both_and_promotes_by_the_gate(store, said, world, tmp_path, capsys):
    from tidewright.cli.main import _run

    keep(tmp_path / "record", said)
    world.write_parquet(tmp_path / "actuals.parquet")
    words = ["store", "compare", "sales", str(tmp_path / "actuals.parquet"), "--record", str(tmp_path / "record")]
    words += ["--store", str(store.folder)]
    assert _run(words) == 0
    out = capsys.readouterr().out
    assert "the same windows" in out
    assert "difference over 40 cutoffs" in out
    assert "better: mase" in out
    assert _run([*words, "--json", "--promote"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["basis"] == "cutoffs"
    assert "version 2 of sales is its champion" in told.err
    assert store.get("sales").version == 2
    assert store.history("sales")[-1].figures["basis"] == "cutoffs"
