"""What a bundle keeps of its training: nothing of the test part, in units that mean the same for every series."""

import numpy as np
import polars as pl
import pytest

from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, TamperedError
from tidewright.models.spec import LightGBM, Naive
from tidewright.registry.blocks import choose_block, find_units, sample_rows
from tidewright.registry.bundle import load_bundle, save_bundle
from tidewright.registry.reference import read_reference, write_reference
from tidewright.registry.verify import MANIFEST, REFERENCE, read_verified, seal
from tidewright.registry.write import write_folder
from tidewright.training.fit import fit

TASK = Task(4)


@pytest.fixture(scope="module")
def panel():
    return small_panel()


@pytest.fixture(scope="module")
def split(panel):
    return split_holdout(panel, TASK)


@pytest.fixture(scope="module")
def trees(panel, split):
    return fit(LightGBM(rounds=3), panel=panel, split=split, task=TASK)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, panel, split, trees):
    return save_bundle(trees, panel=panel, folder=tmp_path_factory.mktemp("kept") / "trees", split=split)


def changed_after(panel: Panel, position: int) -> Panel:
    """The panel with other numbers after a position."""
    late = pl.Series(panel.positions > position)
    columns = [pl.when(late).then(pl.col(name) * 3 + 7).otherwise(pl.col(name)) for name in ("sold", "visits", "price")]
    table = panel.table.with_columns(columns)
    return Panel.from_table(
        table, series="shop", time="hour", target="sold", past=["visits"], known=["price"], static=["area", "kind"]
    )


def test_nothing_of_the_test_part_is_in_it(tmp_path, panel, split, trees, bundle):
    other = changed_after(panel, int(split.validation.positions[-1]) + TASK.horizon)
    again = save_bundle(trees, panel=other, folder=tmp_path / "again", split=split).reference
    for name, array in write_reference(bundle.reference).items():
        assert np.array_equal(array, write_reference(again)[name], equal_nan=array.dtype != np.uint8), name


def test_inputs_are_of_the_training_part_alone(tmp_path, panel, split, trees, bundle):
    other = changed_after(panel, split.train.last + TASK.horizon)
    again = save_bundle(trees, panel=other, folder=tmp_path / "again", split=split).reference
    assert np.array_equal(again.inputs, bundle.reference.inputs, equal_nan=True)
    assert np.array_equal(again.units.scale, bundle.reference.units.scale)
    assert not np.array_equal(again.error, bundle.reference.error, equal_nan=True)


def test_answers_of_neighbouring_blocks_share_no_more_labels_than_a_horizon_brings(panel, split, bundle):
    """A short validation part has few blocks, and not more that hang together."""
    few = split.validation.last - split.validation.first + 1
    assert choose_block(few, season=TASK.horizon) < TASK.horizon <= bundle.reference.answer_steps
    assert bundle.reference.answer_block.max() < few / TASK.horizon


def test_it_says_until_when_the_model_knows_the_values(panel, split, bundle):
    assert bundle.reference.until == panel.time_at(int(split.validation.positions[-1]) + TASK.horizon)
    assert bundle.reference.columns == ("sold", "visits", "price")
    assert not bundle.reference.in_sample


def test_the_target_is_in_units_of_its_own_series(panel, split):
    units = find_units(panel, until=split.train.last)
    for place, name in enumerate(panel.series_ids):
        rows = panel.rows_of(name)
        mine = panel.target[rows][panel.positions[rows] <= split.train.last]
        assert units.centre[place] == pytest.approx(np.nanmean(mine))
        assert units.scale[place] == pytest.approx(np.nanstd(mine))
    scaled, _ = sample_rows(panel, ("sold",), first=0, last=split.train.last, block=12, units=units)
    assert abs(np.nanmean(scaled)) < 0.1
    assert 0.8 < np.nanstd(scaled) < 1.2


def test_a_larger_unit_of_one_series_changes_nothing(panel, split):
    table = panel.table.with_columns(
        pl.when(pl.col("shop") == "s1").then(pl.col("sold") * 1000 - 5).otherwise(pl.col("sold")).alias("sold")
    )
    other = Panel.from_table(table, series="shop", time="hour", target="sold")
    samples = [
        sample_rows(p, ("sold",), first=0, last=150, block=12, units=find_units(p, until=150))[0]
        for p in (panel, other)
    ]
    assert np.allclose(samples[0], samples[1], atol=1e-4, equal_nan=True)


def test_a_series_that_does_not_move_has_its_own_size_as_its_unit():
    table = pl.DataFrame({"name": ["a"] * 30 + ["b"] * 30, "step": [*range(30)] * 2, "y": [5.0] * 30 + [0.0] * 30})
    panel = Panel.from_table(table, series="name", time="step", target="y")
    units = find_units(panel, until=29)
    assert units.scale.tolist() == [5.0, 1.0]
    assert units.centre.tolist() == [5.0, 0.0]


def test_a_series_that_was_not_there_is_left_out_and_none_is_mistaken_for_it(panel):
    units = find_units(panel.select(["s0", "s2"]), until=100)
    centre, _ = units.of(panel)
    assert np.isnan(centre).tolist() == [False, True, False, True]
    assert centre[2] == pytest.approx(find_units(panel, until=100).centre[2])
    _, rows = sample_rows(panel.select(["s1"]), ("sold",), first=0, last=100, block=10, units=units)
    assert rows.sum() == 0


def test_blocks_are_whole_seasons_where_enough_are_there():
    assert choose_block(24 * 24, season=24) == 24
    assert choose_block(24 * 24 - 1, season=24) == 23
    assert choose_block(10, season=7) == 1
    assert choose_block(7 * 1000, season=7) == 28
    assert 7 * 1000 // 28 <= 256


def test_errors_and_coverage_are_those_of_the_validation_part(panel, split, trees, bundle):
    from tidewright.training.evaluate import evaluate

    found, kept = evaluate(trees, panel=panel, split=split, cutoffs=split.validation), bundle.reference
    assert len(kept.error) == len(found.windows)  # few enough to be kept whole
    assert np.nanmean(kept.inside) == pytest.approx(found.scores["coverage"], abs=1e-6)
    scale = kept.units.of(panel)[1][found.windows.series][:, None]
    assert np.nanmean(kept.error) == pytest.approx(np.nanmean(np.abs(found.scored.error) / scale), rel=1e-5)


def test_without_a_split_the_answers_say_that_they_are_of_what_was_learned(tmp_path, panel, split):
    fitted = fit(Naive(), panel=panel, split=split, task=TASK)
    kept = save_bundle(fitted, panel=panel, folder=tmp_path / "naive").reference
    assert kept.in_sample
    assert kept.until == panel.time_at(panel.span[1])


def test_an_older_bundle_without_it_opens_and_has_none(tmp_path, bundle):
    content = read_verified(bundle.folder)
    plain = {key: value for key, value in content.manifest.items() if key not in ("digest", "files")}
    files = {name: data for name, data in content.files.items() if name != REFERENCE}
    write_folder(seal(plain, files), tmp_path / "older")
    assert load_bundle(tmp_path / "older").reference is None


def test_it_is_sealed_as_the_rest_is(tmp_path, bundle):
    files = {path.name: path.read_bytes() for path in bundle.folder.iterdir()}
    damaged = bytearray(files[REFERENCE])
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "flipped").mkdir()
    for name, data in {**files, REFERENCE: bytes(damaged)}.items():
        (tmp_path / "flipped" / name).write_bytes(data)
    with pytest.raises(TamperedError, match=r"reference\.safetensors was changed"):
        load_bundle(tmp_path / "flipped")
    assert len(files[REFERENCE]) < 100_000
    assert MANIFEST in files


def test_tensors_of_another_shape_are_refused(bundle):
    tensors = write_reference(bundle.reference)
    with pytest.raises(BundleError, match="'prediction' in another shape"):
        read_reference(tensors, horizon=9)
    with pytest.raises(BundleError, match="can't be read: 'rows'"):
        read_reference({name: one for name, one in tensors.items() if name != "rows"}, horizon=4)


def test_small_panels_and_time_zones_have_one_too(tmp_path):
    for zone in ("UTC", "Europe/Berlin"):
        table = small_panel(series=1, rows=60, covariates=False).table
        table = table.with_columns(pl.col("hour").dt.replace_time_zone(zone))
        panel = Panel.from_table(table.drop("shop"), time="hour", target="sold")
        fitted = fit(Naive(), panel=panel, split=split_holdout(panel, TASK), task=TASK)
        kept = save_bundle(fitted, panel=panel, folder=tmp_path / zone.replace("/", "-"), split=None).reference
        assert kept.until == panel.time_at(panel.span[1])
        assert kept.until.endswith(" UTC")
        assert not np.isnan(kept.units.of(panel)[0]).any()
