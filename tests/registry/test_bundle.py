"""What a bundle keeps, and that the same content has the same digest."""

import math

import numpy as np
import polars as pl
import pytest

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError
from tidewright.features.separate import to_windows
from tidewright.models.spec import LightGBM, Naive, Ridge
from tidewright.registry.bundle import load_bundle, save_bundle
from tidewright.registry.rebuild import rebuild
from tidewright.training.fit import fit

TASK = Task(4)


@pytest.fixture(scope="module")
def panel():
    return small_panel()


@pytest.fixture(scope="module")
def ridge(panel):
    return fit(Ridge(lookbacks=(24,)), panel=panel, split=split_holdout(panel, TASK), task=TASK)


def test_the_same_model_gives_the_same_digest_and_another_gives_another(tmp_path, panel, ridge):
    first = save_bundle(ridge, panel=panel, folder=tmp_path / "first")
    second = save_bundle(ridge, panel=panel, folder=tmp_path / "second")
    other = save_bundle(ridge, panel=panel, folder=tmp_path / "other", metrics={"MAE": 1.0})
    assert first.digest == second.digest
    assert first.files == second.files
    assert other.digest != first.digest


def test_a_bundle_gives_back_the_records_of_its_model(tmp_path, panel, ridge):
    split = split_holdout(panel, TASK)
    bundle = save_bundle(ridge, panel=panel, folder=tmp_path / "ridge", name="shop-1", split=split, run="r1")
    manifest = load_bundle(tmp_path / "ridge").manifest
    assert (manifest.name, manifest.spec, manifest.task, manifest.view) == ("shop-1", ridge.spec, TASK, ridge.view)
    assert manifest.schema.frequency == panel.frequency
    assert (manifest.schema.roles.target, manifest.schema.roles.known) == ("sold", ())  # a floor needs no covariate
    assert manifest.data.last == panel.time_at(split.train.last + TASK.horizon)
    assert manifest.run == "r1"
    assert bundle.parity <= bundle.tolerance == 1e-5


def test_the_columns_that_a_model_sees_are_in_its_schema(tmp_path, panel):
    fitted = fit(LightGBM(rounds=3), panel=panel, split=split_holdout(panel, TASK), task=TASK)
    schema = save_bundle(fitted, panel=panel, folder=tmp_path / "trees").manifest.schema
    assert (schema.roles.past, schema.roles.known, schema.roles.static) == (("visits",), ("price",), ("area", "kind"))
    assert (schema.types["kind"], schema.types["area"]) == ("String", "Float64")


def test_the_eager_model_comes_back_bit_for_bit(tmp_path, panel, ridge):
    bundle = save_bundle(ridge, panel=panel, folder=tmp_path / "ridge")
    batch, answer = bundle.example()
    again = rebuild(bundle.manifest, bundle.tensors())
    windows = to_windows(batch, horizon=TASK.horizon)
    assert np.array_equal(again.predict(windows), ridge.predict(windows))
    assert np.array_equal(again.predict(windows), answer)


def test_weights_of_another_shape_are_refused(tmp_path, panel, ridge):
    bundle = save_bundle(ridge, panel=panel, folder=tmp_path / "ridge")
    with pytest.raises(BundleError, match="the weights of 'ridge' should be float64 arrays of the shapes"):
        rebuild(bundle.manifest, {**bundle.tensors(), "weights": np.zeros((3, 3))})


def test_the_card_says_what_it_learned_from_and_how_it_scored(tmp_path, panel, ridge):
    metrics = {"test": {"MAE": 1.25, "MASE": math.nan}, "best_floor": "naive"}
    bundle = save_bundle(ridge, panel=panel, folder=tmp_path / "ridge", metrics=metrics)
    assert "forecasts `sold` 4 steps ahead (1h) from 24 past steps" in bundle.card
    assert "4 series, 960 rows, 2024-01-01 to 2024-01-10 23:00:00" in bundle.card
    assert "| test | 1.25 |  |" in bundle.card
    assert "- best_floor: naive" in bundle.card
    assert bundle.manifest.metrics["test"]["MASE"] is None


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "x" * 65])
def test_a_name_is_a_plain_one(tmp_path, panel, ridge, name):
    with pytest.raises(ConfigError, match="a bundle's name is 1 to 64 letters"):
        save_bundle(ridge, panel=panel, folder=tmp_path / "ridge", name=name)


def test_nothing_in_a_bundle_holds_a_path_of_this_machine(tmp_path, panel):
    bundle = save_bundle(
        fit(Naive(), panel=panel, split=split_holdout(panel, TASK), task=TASK), panel=panel, folder=tmp_path / "naive"
    )
    content = b"".join(path.read_bytes() for path in bundle.folder.iterdir())
    assert str(tmp_path).encode() not in content
    assert b"site-packages" not in content
    assert not pl.Series([path.stat().st_nlink for path in bundle.folder.iterdir()]).max() > 1


def test_the_season_that_was_asked_for_is_kept(tmp_path, panel):
    spec = LightGBM(rounds=1, lags=(1, 2), rolling=(4,))
    trees = fit(spec, panel=panel, split=split_holdout(panel, TASK), task=TASK, season=12)
    assert save_bundle(trees, panel=panel, folder=tmp_path / "asked", season=12).manifest.season == 12
    assert save_bundle(trees, panel=panel, folder=tmp_path / "usual").manifest.season == 24
