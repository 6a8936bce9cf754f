"""Bundles of lower precision: what is in them, when they are refused, and who may open them."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tests.worlds import small_panel
from tidewright.data.splits import Cutoffs, split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, BundleError, ConfigError, ParityError, TamperedError, UnknownNameError
from tidewright.features.view import View
from tidewright.inference.session import open_session
from tidewright.models.build import build_spec
from tidewright.registry.bundle import load_bundle, save_bundle
from tidewright.registry.half import to_half
from tidewright.registry.parity import open_graph, run_graph
from tidewright.registry.prepare_graph import prepare
from tidewright.registry.quantise import calibration_windows, find_split, quantise
from tidewright.registry.trial_windows import real_windows
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

TASK = Task(6, (0.1, 0.5, 0.9))
PANEL = small_panel(rows=160, covariates=False)
SPLIT = split_holdout(PANEL, TASK)
SMALL = {"feedforward": {"hidden": (32,)}, "lstm": {"hidden": 16, "head": (8,)}, "tcn": {}}
HELD = {"feedforward": ("int8", "int8-static", "float16"), "lstm": ("int8", "float16"), "tcn": ("int8-static",)}


def learn(name, **options):
    spec = build_spec(name, options or SMALL.get(name, {}))
    return fit(spec, panel=PANEL, split=SPLIT, task=TASK, view=View(24), train=TrainSpec(epochs=1, steps=10))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A bundle in float32 of each network, made once."""
    folder = tmp_path_factory.mktemp("plain")
    return {name: save_bundle(learn(name), panel=PANEL, folder=folder / name, split=SPLIT) for name in HELD}


@pytest.fixture(scope="module")
def lowered(plain, tmp_path_factory):
    """The same bundles of lower precision, by name and precision."""
    folder = tmp_path_factory.mktemp("lowered")
    return {
        (name, precision): quantise(
            plain[name], precision=precision, panel=PANEL, folder=folder / f"{name}-{precision}", share=0.1
        )
        for name, precisions in HELD.items()
        for precision in precisions
    }


CASES = [(name, precision) for name, precisions in HELD.items() for precision in precisions]


def matrices(bundle, kind):
    """How many numbers the constants with two dimensions or more of a type hold."""
    model = onnx.load_model_from_string(bundle.graph)
    sizes = [tuple(t.dims) for t in model.graph.initializer if t.data_type == kind and len(t.dims) >= 2]
    return sum(int(np.prod(size)) for size in sizes if np.prod(size) > max(size))  # a scale for each output is none


@pytest.mark.parametrize("case", CASES)
def test_the_layers_are_kept_in_that_precision_and_in_no_other(plain, lowered, case):
    name, precision = case
    kind = TensorProto.FLOAT16 if precision == "float16" else TensorProto.INT8
    made, learned = lowered[case], matrices(plain[name], TensorProto.FLOAT)
    assert matrices(made, kind) >= 0.95 * learned > 500
    assert matrices(made, TensorProto.FLOAT) <= 0.05 * learned
    quantised = made.manifest.quantised
    assert (quantised.precision, quantised.original) == (precision, plain[name].digest)
    assert quantised.bytes_after == len(made.graph) < quantised.bytes_before == len(plain[name].graph)
    assert f"layers are {precision}" in made.card
    assert load_bundle(made.folder).manifest == made.manifest


@pytest.mark.parametrize("case", CASES)
def test_it_answers_within_its_own_tolerance_and_not_as_before(plain, lowered, case):
    made = lowered[case]
    session = open_session(made, backend="onnxruntime", strict=True, remember=False)
    batch, _ = made.example()
    before = run_graph(open_graph(plain[case[0]].graph), batch)
    answer = session.predict(batch.target).quantiles
    assert 0 < np.abs(answer - before).max() <= made.tolerance * np.abs(before).max()
    assert (np.diff(answer, axis=2) >= 0).all()


@pytest.mark.parametrize("case", [case for case in CASES if case[1] != "int8"])
def test_a_window_is_answered_alone_as_among_others_where_ranges_are_fixed(lowered, case):
    session = open_session(lowered[case], backend="onnxruntime", strict=True, remember=False)
    batch = real_windows(PANEL, lowered[case].manifest.view, horizon=TASK.horizon, most=16)
    whole = session.predict(batch.target).quantiles
    alone = np.concatenate([session.predict(batch.target[k : k + 1]).quantiles for k in range(len(whole))])
    assert np.abs(alone - whole).max() <= 2e-4 * np.abs(whole).max()


@pytest.mark.parametrize("case", CASES)
def test_a_raw_level_of_a_million_is_carried_as_in_float32(plain, lowered, case):
    batch = real_windows(PANEL, plain[case[0]].manifest.view, horizon=TASK.horizon, most=8)
    raised = replace(batch, target=batch.target + np.float32(2**20))
    before, after = (run_graph(open_graph(b.graph), raised) for b in (plain[case[0]], lowered[case]))
    spread = np.nanstd(batch.target)
    assert np.isfinite(after).all()
    assert np.abs(after - before).max() < 0.3 * spread  # 65,504 is the most that float16 holds


def test_a_network_that_a_lower_precision_hurts_is_refused_with_the_figures_and_nothing_is_written(plain, tmp_path):
    bundle = plain["feedforward"]
    model = onnx.load_model_from_string(bundle.graph)
    tensors = {t.name: t for t in model.graph.initializer}
    first, last = (node for node in model.graph.node if node.op_type == "Gemm")
    for node, changes in ((first, {1: 1.0}), (last, {0: 1e4, 1: -1e4})):  # two units alike, whose words cancel
        for name in node.input[1:] if node is first else node.input[1:2]:
            values = numpy_helper.to_array(tensors[name]).copy()
            for unit, weight in changes.items():
                if node is first:
                    values[unit] = values[0]
                else:
                    values[:, unit] = weight  # beside it no other has a bit left
            tensors[name].CopyFrom(numpy_helper.from_array(values, name))
    hurt = replace(bundle, files={**bundle.files, "model.onnx": model.SerializeToString()})
    with pytest.raises(ParityError, match=r"pinball of .* worse by [\d.]+%; 0.00% is allowed. Nothing was written"):
        quantise(hurt, precision="int8", panel=PANEL, folder=tmp_path / "hurt", share=0.0)
    assert not (tmp_path / "hurt").exists()


def test_ranges_are_found_on_training_windows_alone(plain):
    bundle = plain["feedforward"]
    split = find_split(bundle, PANEL)
    assert (split.train, split.validation) == (SPLIT.train, SPLIT.validation)
    seen = calibration_windows(bundle, PANEL, train=split.train)
    future = PANEL.positions > SPLIT.train.last
    values = PANEL.table["sold"].to_numpy().copy()
    values[future] = 1e9
    other = type(PANEL).from_table(PANEL.table.with_columns(sold=values), series="shop", time="hour", target="sold")
    assert np.array_equal(seen.target, calibration_windows(bundle, other, train=split.train).target, equal_nan=True)
    assert len(seen.target) > 100


def test_a_bundle_that_saw_the_whole_table_has_nothing_to_be_held_to(tmp_path):
    bundle = save_bundle(learn("nlinear"), panel=PANEL, folder=tmp_path / "whole")
    with pytest.raises(ConfigError, match=r"no windows of it tell how good it is. Give the split"):
        quantise(bundle, panel=PANEL, folder=tmp_path / "low")
    made = quantise(bundle, panel=PANEL, split=SPLIT, folder=tmp_path / "low", name="low", share=0.5)
    assert made.name == "low"


def test_the_part_after_training_moves_with_the_bundle(plain):
    longer = small_panel(rows=200, covariates=False)
    split = find_split(plain["feedforward"], longer)
    assert split.train.last == SPLIT.train.last
    assert split.validation.first == SPLIT.validation.first
    assert isinstance(split.validation, Cutoffs)


@pytest.mark.parametrize(("model", "why"), [("lightgbm", "model of cells"), ("seasonal", "a formula")])
def test_what_has_no_layers_is_refused(tmp_path, model, why):
    bundle = save_bundle(
        learn(model, rounds=3) if model == "lightgbm" else learn(model),
        panel=PANEL,
        folder=tmp_path / model,
        split=SPLIT,
    )
    with pytest.raises(BundleError, match=f"{why}.*: it has no layers of learned matrices, and nothing to gain"):
        quantise(bundle, panel=PANEL, folder=tmp_path / "low")


def test_what_was_asked_for_wrongly_says_so(plain, lowered, tmp_path):
    bundle = plain["feedforward"]
    with pytest.raises(UnknownNameError, match="int8"):
        quantise(bundle, precision="int4", panel=PANEL, folder=tmp_path / "low")
    with pytest.raises(ConfigError, match="from 0 up to 1; got 2"):
        quantise(bundle, panel=PANEL, folder=tmp_path / "low", share=2)
    with pytest.raises(BundleError, match=r"is int8 already. Give the bundle that it was made of"):
        quantise(lowered["feedforward", "int8"], panel=PANEL, folder=tmp_path / "low")
    with pytest.raises(BundleError, match="exists already"):
        quantise(bundle, panel=PANEL, folder=bundle.folder, share=0.1)


def test_bfloat16_is_rounded_to_nearest_and_refused_where_no_kernel_runs_it(plain, tmp_path):
    model, layers = to_half(prepare(plain["feedforward"].graph), "bfloat16")
    kept = [t for t in model.graph.initializer if t.data_type == TensorProto.BFLOAT16 and len(t.dims) == 2]
    assert layers == len(kept) == 2
    learned = numpy_helper.to_array(
        next(t for t in prepare(plain["feedforward"].graph).graph.initializer if f"{t.name}_half" == kept[0].name)
    )
    bits = np.frombuffer(kept[0].raw_data, "<u2").astype(np.uint32) << 16
    apart = np.abs(bits.view(np.float32).reshape(learned.shape) - learned)
    assert apart.max() > 0
    assert (apart <= 2.0**-8 * np.abs(learned)).all()
    with pytest.raises(BundleError, match=r"does not run bfloat16.*Nothing was written; take another precision"):
        quantise(plain["feedforward"], precision="bfloat16", panel=PANEL, folder=tmp_path / "low")


def test_products_of_several_matrices_at_once_stay_float32_and_the_graph_answers(tmp_path):
    bundle = save_bundle(learn("tft", hidden=8, heads=2), panel=PANEL, folder=tmp_path / "tft", split=SPLIT)
    for precision in ("int8", "int8-static"):
        made = quantise(bundle, precision=precision, panel=PANEL, folder=tmp_path / precision, share=0.5)
        assert matrices(made, TensorProto.INT8) > 0
        assert matrices(made, TensorProto.FLOAT) > 0


def test_eager_answers_with_the_original_and_torch_s_compilers_are_no_backends_for_it(lowered):
    made = lowered["feedforward", "int8"]
    batch, answer = made.example()
    eager = open_session(made, backend="eager", strict=True, remember=False)
    assert np.array_equal(eager.predict(batch.target).quantiles, answer.astype(np.float32))
    with pytest.raises(BackendError, match="graph is int8, and its network in torch is float32"):
        open_session(made, backend="torchscript", strict=True, remember=False)


def test_every_file_of_it_is_sealed(lowered):
    folder = lowered["feedforward", "int8"].folder
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        place = len(content) // 2
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(TamperedError):
            load_bundle(folder)
        path.write_bytes(content)
    load_bundle(folder)
