"""Features on disk: never computed twice, never stale, and never wrong, whatever happens to the folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.worlds import small_panel, small_table
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError, DataError, FallbackWarning
from tidewright.features.recipe import Recipe, build_recipe
from tidewright.features.store import FeatureStore

RECIPE = build_recipe(("lags", {"lags": [1, 24], "rolling": [6]}))
ROLES: dict[str, Any] = {"past": ["visits"], "known": ["price"], "static": ["area", "kind"]}


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests of the recipes that were computed."""
    done: list[str] = []
    apply = Recipe.apply

    def count(self: Recipe, panel: Panel) -> Panel:
        done.append(self.digest)
        return apply(self, panel)

    monkeypatch.setattr(Recipe, "apply", count)
    return done


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.parquet"))


def check_same(ours: Panel, theirs: Panel) -> None:
    assert ours.roles == theirs.roles
    assert ours.table.schema == theirs.table.schema
    for column in ours.table.columns:
        one, two = ours.table[column], theirs.table[column]
        assert one.equals(two, null_equal=True)
        if one.dtype == pl.Float64:
            assert one.to_numpy().tobytes() == two.to_numpy().tobytes()
    for name in ("offsets", "positions"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        assert getattr(ours, name).dtype == getattr(theirs, name).dtype
    fields = ("frequency", "repairs", "unused", "native", "time_dtype", "local", "series_ids")
    assert [getattr(ours, name) for name in fields] == [getattr(theirs, name) for name in fields]


def test_the_second_time_is_read_and_the_same_to_the_bit(tmp_path: Path, computed: list[str]) -> None:
    panel, store = small_panel(), FeatureStore(tmp_path)
    first, second = store.get(panel, RECIPE), store.get(panel, RECIPE)
    assert len(computed) == 1
    check_same(first, second)
    check_same(first, RECIPE.apply(panel))
    assert store.size_bytes == sum(path.stat().st_size for path in files(tmp_path)) > 0


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_rows_that_a_recipe_adds_and_times_of_a_zone_come_back(tmp_path: Path, zone: str | None) -> None:
    table = small_table(series=2, rows=60)
    if zone is not None:
        table = table.with_columns(pl.col("hour").dt.replace_time_zone("UTC").dt.convert_time_zone(zone))
    panel = Panel.from_table(table, series="shop", time="hour", target="sold", **ROLES)
    recipe = build_recipe(("holidays", {"country": "DE", "ahead": 24}))
    store = FeatureStore(tmp_path)
    first = store.get(panel, recipe)
    assert len(first.table) == 168
    check_same(first, store.get(panel, recipe))


def changed(**columns: Any) -> Callable[[], Panel]:
    def make() -> Panel:
        table = small_table().with_columns(**columns)
        return Panel.from_table(table, series="shop", time="hour", target="sold", **ROLES)

    return make


OTHERS: Mapping[str, Callable[[], Panel]] = {
    "a value of the target": changed(sold=pl.when(pl.int_range(pl.len()) == 7).then(1.25).otherwise(pl.col("sold"))),
    "a value of a covariate": changed(price=pl.when(pl.int_range(pl.len()) == 7).then(1.25).otherwise(pl.col("price"))),
    "a static value": changed(area=pl.col("area") + 1.0),
    "the times": changed(hour=pl.col("hour").dt.offset_by("1h")),
    "the type of the times": changed(hour=pl.col("hour").cast(pl.Datetime("ms"))),
    "a name of a series": changed(shop=pl.col("shop").str.replace("s0", "s9")),
    "the roles": lambda: Panel.from_table(
        small_table(), series="shop", time="hour", target="sold", past=["price", "visits"], static=["area", "kind"]
    ),
    "the target": lambda: Panel.from_table(
        small_table(), series="shop", time="hour", target="visits", past=["sold"], known=["price"],
        static=["area", "kind"],
    ),
    "fewer rows": lambda: small_panel().until(200),
    "fewer series": lambda: small_panel().select(["s0", "s1"]),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_what_differs_is_computed(what: str, tmp_path: Path, computed: list[str]) -> None:
    store, other = FeatureStore(tmp_path), OTHERS[what]()
    store.get(small_panel(), RECIPE)
    check_same(store.get(other, RECIPE), RECIPE.apply(other))
    assert len(computed) == 3  # both by the store, and once above


def test_other_options_other_code_and_another_grid_are_other_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, store = small_panel(), FeatureStore(tmp_path)
    keys = {store.key(panel, RECIPE), store.key(panel, build_recipe(("lags", {"lags": [1, 24], "rolling": [7]})))}
    shifted = replace(panel, frequency=replace(panel.frequency, anchor=panel.frequency.anchor - panel.frequency.count))
    keys.add(store.key(shifted, RECIPE))
    monkeypatch.setattr("tidewright.features.recipe.code_digest", lambda: "another version")
    keys.add(store.key(panel, RECIPE))
    assert len(keys) == 4


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_file_is_made_anew_and_says_so(damage: str, tmp_path: Path, computed: list[str]) -> None:
    panel, store = small_panel(), FeatureStore(tmp_path)
    first = store.get(panel, RECIPE)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    draw = np.random.default_rng(1)
    for place in draw.integers(0, len(whole), 5).tolist():
        flipped = bytes([whole[place] ^ (1 << int(draw.integers(0, 8)))])
        broken = {
            "flip": whole[:place] + flipped + whole[place + 1 :],
            "cut": whole[:place],
            "empty": b"",
            "other": b"PAR1" * 9,
        }[damage]
        path.write_bytes(broken)
        with pytest.raises(DataError, match="damaged: their bytes are not those that were written"):
            FeatureStore(tmp_path, strict=True).get(panel, RECIPE)
        path.write_bytes(broken)
        with pytest.warns(FallbackWarning, match="damaged"):
            again = store.get(panel, RECIPE)
        assert again.repairs[-1].kind == "computed features"
        assert again.table.equals(first.table, null_equal=True)
        assert path.read_bytes() == whole
        count = len(computed)
        check_same(store.get(panel, RECIPE), first)  # whole again
        assert len(computed) == count


def test_the_folder_stays_below_its_bound_and_what_was_used_last_stays(tmp_path: Path, computed: list[str]) -> None:
    panel = small_panel()
    one = FeatureStore(tmp_path / "one")
    one.get(panel, RECIPE)
    store = FeatureStore(tmp_path / "many", most_bytes=int(3.5 * one.size_bytes))
    recipes = [build_recipe(("lags", {"lags": [1, 24], "rolling": [width]})) for width in range(3, 8)]
    for number, recipe in enumerate(recipes[:3]):
        store.get(panel, recipe)
        (newest,) = set(files(tmp_path / "many")) - {
            path for path in files(tmp_path / "many") if path.stat().st_mtime < 99
        }
        os.utime(newest, (number, number))
    store.get(panel, recipes[0])  # used again: the newest now
    store.get(panel, recipes[3])
    assert store.size_bytes <= store.most_bytes
    done = len(computed)
    for recipe in (recipes[0], recipes[2], recipes[3]):
        store.get(panel, recipe)
    assert len(computed) == done
    store.get(panel, recipes[1])  # the one that was used least lately
    assert len(computed) == done + 1


def test_what_is_larger_than_the_store_is_given_and_not_kept(tmp_path: Path) -> None:
    panel = small_panel()
    with pytest.warns(FallbackWarning, match="they were not kept"):
        made = FeatureStore(tmp_path, most_bytes=1000).get(panel, RECIPE)
    assert made.table.equals(RECIPE.apply(panel).table, null_equal=True)
    assert files(tmp_path) == []


def test_a_disk_that_refuses_leaves_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.warns(FallbackWarning, match="could not be kept: No space left on device"):
        FeatureStore(tmp_path).get(small_panel(), RECIPE)
    assert [path for path in tmp_path.glob("*/*") if path.is_file()] == []


def test_a_folder_that_can_t_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"the folder of features '.*file' can't be used"):
        FeatureStore(tmp_path / "file").get(small_panel(), RECIPE)


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from tests.worlds import small_panel
from tidewright.features.recipe import Recipe, build_recipe
from tidewright.features.store import FeatureStore
folder, job = Path(sys.argv[1]), sys.argv[2]
apply, fsync = Recipe.apply, os.fsync
def slow(self, panel):
    made = apply(self, panel)
    with (folder / "computed").open("a") as log:
        log.write("x")
    deadline = time.monotonic() + 30
    while job == "wait" and not (folder / "go").exists() and time.monotonic() < deadline:
        os.sched_yield()
    return made
Recipe.apply = slow
if job == "kill":
    os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
recipe = build_recipe(("lags", {"lags": [1, 24], "rolling": [6]}))
print(FeatureStore(folder / "store").get(small_panel(), recipe).table.hash_rows(0).sum(), flush=True)
os._exit(0)  # what native threads do at an interpreter's end is not asked here
"""


def start(folder: Path, job: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    settings = {**os.environ, "PYTHONPATH": paths}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), job], env=settings, text=True, stdout=subprocess.PIPE
    )


def test_two_processes_compute_it_once_and_a_killed_one_leaves_no_trace(tmp_path: Path) -> None:
    with start(tmp_path, "kill") as killed:
        assert killed.wait(60) == -signal.SIGKILL
    assert files(tmp_path / "store") == []
    assert len(list((tmp_path / "store").glob("*/*.partial"))) == 1
    (tmp_path / "computed").unlink()
    with start(tmp_path, "wait") as one, start(tmp_path, "wait") as two:
        while not (tmp_path / "computed").exists() and one.poll() is None:
            os.sched_yield()
        (tmp_path / "go").touch()
        answers = [process.communicate(timeout=60)[0] for process in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0)
    assert json.loads(answers[0]) == json.loads(answers[1])
    assert (tmp_path / "computed").read_text() == "x"
    assert len(files(tmp_path / "store")) == 1
    assert list((tmp_path / "store").glob("*/*.partial")) == []
