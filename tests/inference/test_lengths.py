"""A session on a bundle that allows windows of other lengths than the model learned from."""

import json
from dataclasses import replace

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import helper, numpy_helper

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, BundleError, ConfigError, DataError
from tidewright.features.view import View
from tidewright.features.windows import newest_windows
from tidewright.inference.batching import batching
from tidewright.inference.cache import cached
from tidewright.inference.session import open_session
from tidewright.models.build import build_spec
from tidewright.registry.bundle import save_bundle
from tidewright.registry.check_graph import check_graph, check_length, read_graph
from tidewright.registry.quantise import quantise
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

TASK, LOOKBACK, LENGTHS = Task(4), 24, (8, 40)
PANEL = small_panel(covariates=False)


@pytest.fixture(scope="module")
def fitted():
    spec = build_spec("gru", {"hidden": 6, "head": ()})
    split = split_holdout(PANEL, TASK)
    view, train = View(LOOKBACK, ("hour",)), TrainSpec(epochs=1, steps=10)
    return fit(spec, panel=PANEL, split=split, task=TASK, view=view, train=train)


@pytest.fixture(scope="module")
def bundle(fitted, tmp_path_factory):
    return save_bundle(fitted, panel=PANEL, folder=tmp_path_factory.mktemp("lengths") / "gru", lengths=LENGTHS)


@pytest.fixture(scope="module")
def fixed(fitted, tmp_path_factory):
    return save_bundle(fitted, panel=PANEL, folder=tmp_path_factory.mktemp("lengths") / "fixed")


def windows(fitted, steps):
    found = replace(newest_windows(PANEL, fitted.view, horizon=4), lookback=steps)
    batch = found.batch()
    return {"target": batch.target, "known": batch.known}


@pytest.mark.parametrize("steps", [8, 23, 24, 40])
def test_shorter_and_longer_windows_are_answered_alike_by_the_graph_and_the_model(bundle, fixed, fitted, steps):
    asked = windows(fitted, steps)
    ours, eager = (open_session(bundle, backend=name).predict(asked) for name in ("onnxruntime", "eager"))
    assert np.allclose(ours.quantiles, eager.quantiles, rtol=1e-4)
    single = {name: array[2] for name, array in asked.items()}
    assert np.allclose(open_session(bundle).predict(single).quantiles[0], ours.quantiles[2], rtol=1e-5)
    if steps == LOOKBACK:
        assert np.allclose(ours.quantiles, open_session(fixed).predict(asked).quantiles, rtol=1e-5)


def test_the_manifest_and_the_card_say_which_lengths_and_a_bundle_without_is_as_it_was(bundle, fixed):
    assert bundle.manifest.lengths == LENGTHS
    assert "Windows of 8 to 40 steps" in bundle.card
    assert "measured at 24 alone" in bundle.card
    plain = json.loads((fixed.folder / "manifest.json").read_text())
    assert "lengths" not in plain
    assert bundle.parity <= bundle.tolerance


@pytest.mark.parametrize("steps", [7, 41])
def test_windows_beyond_the_lengths_are_refused_with_them(bundle, fitted, steps):
    with pytest.raises(DataError, match=r"\(N, 8 to 40\) is needed"):
        open_session(bundle).predict(windows(fitted, steps))


def test_inputs_of_one_request_have_one_length(bundle, fitted):
    mixed = {"target": windows(fitted, 12)["target"], "known": windows(fitted, 13)["known"]}
    with pytest.raises(DataError, match=r"'known' has the shape .*\(N, 16, 2\) is needed"):
        open_session(bundle).predict(mixed)


def test_a_forecast_takes_the_lookback_that_is_asked_for_and_says_so(bundle):
    session = open_session(bundle)
    usual, short = session.forecast(PANEL), session.forecast(PANEL, lookback=12)
    assert usual.notes == ()
    assert short.notes[0].startswith("4 of 4 windows have 12 steps; the model learned from 24")
    assert not np.allclose(usual.table["0.5"], short.table["0.5"])
    wanted = session.predict(windows(session.fitted, 12)).quantiles[:, :, 1].ravel()
    assert np.allclose(short.table["0.5"], wanted, rtol=1e-5)
    assert session.forecast(PANEL, lookback=24).table.equals(usual.table)


def test_a_series_shorter_than_the_window_may_be_answered_from_its_own_history(bundle):
    session = open_session(bundle)
    table = PANEL.table.filter(
        (pl.col("shop") != "s1") | (pl.col("hour") >= PANEL.table["hour"].max() - pl.duration(hours=9))
    )
    padded, own = session.forecast(table), session.forecast(table, lookback="own")
    assert own.notes[0].startswith("1 of 4 windows have 10 steps")
    changed = padded.table["0.5"] != own.table["0.5"]
    assert set(own.table.filter(changed)["shop"]) == {"s1"}
    assert own.table["shop"].to_list() == padded.table["shop"].to_list()


def test_sessions_around_it_take_other_lengths_too(bundle, fitted):
    session = open_session(bundle)
    for around in (cached(session), batching(session)):
        for steps in (10, 30):
            asked = windows(fitted, steps)
            assert np.array_equal(around.predict(asked).quantiles, session.predict(asked).quantiles)
        assert around.forecast(PANEL, lookback=12).notes


def test_what_is_asked_in_vain_is_refused_in_words(bundle, fixed, tmp_path):
    with pytest.raises(ConfigError, match=r"answers windows of the 24 steps that it learned from alone.*lengths="):
        open_session(fixed).forecast(PANEL, lookback=12)
    for wrong in (7, 41, 12.0, "all", True):
        with pytest.raises(ConfigError, match="'own' or a number of steps from 8 to 40"):
            open_session(bundle).forecast(PANEL, lookback=wrong)
    with pytest.raises(BackendError, match="takes windows of 8 to 40 steps here, and this compiler knows one length"):
        open_session(bundle, backend="torchscript", strict=True)
    with pytest.raises(BundleError, match="a lower precision is judged at one length"):
        quantise(bundle, precision="int8", panel=PANEL, folder=tmp_path / "small")


def test_a_graph_of_one_length_is_not_taken_for_one_of_any_and_the_other_way(bundle, fixed):
    for graph, manifest in ((fixed.graph, bundle.manifest), (bundle.graph, fixed.manifest)):
        with pytest.raises(BundleError, match=r"model.onnx takes and gives"):
            check_graph(graph, manifest)


def forge(graph):
    """The graph with a result of (L - 8) (40 - L) a million numbers, which is one at both ends."""
    model = onnx.load_from_string(graph)
    for name, value in (("axis", [1]), ("low", [8]), ("high", [40]), ("many", [1_000_000]), ("one", [1])):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), f"forged_{name}"))
    steps = [("Shape", ["target"], "all"), ("Gather", ["forged_all", "forged_axis"], "steps")]
    steps += [("Sub", ["forged_steps", "forged_low"], "above"), ("Sub", ["forged_high", "forged_steps"], "below")]
    steps += [("Mul", ["forged_above", "forged_below"], "area"), ("Mul", ["forged_area", "forged_many"], "size")]
    steps += [("Add", ["forged_size", "forged_one"], "shape"), ("ConstantOfShape", ["forged_shape"], "large")]
    model.graph.node.extend(helper.make_node(kind, given, [f"forged_{name}"]) for kind, given, name in steps)
    return model.SerializeToString()


def test_a_graph_that_takes_gigabytes_between_the_ends_is_refused_before_it_runs(bundle, fitted):
    forged = forge(bundle.graph)
    with pytest.raises(BundleError, match="numbers for one window"):
        check_graph(forged, bundle.manifest)  # at the usual 24 steps
    ends = replace(bundle.manifest, view=replace(bundle.manifest.view, lookback=8))
    numbers = check_graph(forged, ends)
    model = read_graph(forged)
    for steps in (9, 24, 39):
        with pytest.raises(BundleError, match="numbers for one window"):
            check_length(model, ends, steps=steps, numbers=numbers)
    session = open_session(replace(bundle, numbers=1), backend="onnxruntime")
    with pytest.raises(BundleError, match="for one window of 9 steps, and 1 at most"):
        session.predict(windows(fitted, 9))


def test_numbers_are_counted_for_the_longest_window(bundle):
    longer = replace(bundle.manifest, lengths=(8, 4000))
    assert check_graph(bundle.graph, longer) > 10 * bundle.numbers > 0
