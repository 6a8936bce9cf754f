"""The inference layer: what it opens, answers, counts and refuses, of a bundle and of a graph alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from tests.worlds import small_panel
from tidewright import CompiledInferenceLayer, InferenceBackend, ModelConfig, PyTorchModelFactory, runtime
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import (
    BackendError,
    BundleError,
    ColumnError,
    ConfigError,
    DataError,
    FallbackWarning,
    UnknownNameError,
)
from tidewright.features.view import View
from tidewright.inference import graph_session
from tidewright.inference.options import SessionOptions
from tidewright.models.build import build_spec
from tidewright.models.spec import Ridge
from tidewright.registry.bundle import Bundle, save_bundle
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

TASK = Task(4)
ONNX, TORCHSCRIPT, PYTORCH = InferenceBackend.ONNX, InferenceBackend.TORCHSCRIPT, InferenceBackend.PYTORCH
SMALL: dict[str, dict[str, Any]] = {
    "feed_forward": {},
    "lstm": {"lstm_hidden_size": 5},
}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    panel, train = small_panel(covariates=False), TrainSpec(epochs=1, steps=2)
    fitted = fit(
        build_spec("nlinear"), panel=panel, split=split_holdout(panel, TASK), task=TASK, view=View(24), train=train
    )
    return save_bundle(fitted, panel=panel, folder=tmp_path_factory.mktemp("sealed") / "network")


@pytest.fixture(scope="module")
def ridge(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    panel = small_panel()
    fitted = fit(Ridge(lookbacks=(24,)), panel=panel, split=split_holdout(panel, TASK), task=TASK)
    return save_bundle(fitted, panel=panel, folder=tmp_path_factory.mktemp("sealed") / "ridge")


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[torch.nn.Module, Path]]:
    """Every network of the factory, and its graph."""
    factory, folder, made = PyTorchModelFactory(device="cpu"), tmp_path_factory.mktemp("graphs"), {}
    for kind, options in SMALL.items():
        model = factory.create_model(ModelConfig(kind, 6, [8], **options)).eval()  # type: ignore[arg-type]
        shape = (1, 6) if kind == "feed_forward" else (1, 12, 6)
        path = folder / f"{kind}.onnx"
        made[kind] = (model, factory.export_to_onnx(model, input_shape=shape, output_path=path, untrained=True))
    return made


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def opened(path: Path, backend: InferenceBackend = ONNX, **options: Any) -> CompiledInferenceLayer:
    layer = CompiledInferenceLayer(backend=backend, device="cpu", **options)
    layer.load_model(path)
    return layer


@pytest.mark.parametrize("kind", SMALL)
def test_a_graph_of_the_factory_answers_as_its_network(
    kind: str, modules: dict[str, tuple[torch.nn.Module, Path]]
) -> None:
    model, path = modules[kind]
    layer, features = opened(path), draw(7, *((6,) if kind == "feed_forward" else (12, 6)))
    with torch.no_grad():
        wanted = model(torch.from_numpy(features)).numpy()
    whole = layer.predict(features)
    np.testing.assert_allclose(whole.prediction, wanted, rtol=1e-4, atol=1e-6)
    assert whole.backend.value == "onnx"
    assert whole.quantiles is None
    np.testing.assert_allclose(layer.predict(features[2]).prediction, wanted[2:3], rtol=1e-4, atol=1e-6)
    items = [features[:1], features[1], features[2:4], *features[4:7]]
    for size in (1, 4, 100):
        found = layer.batch_predict(items, batch_size=size)
        assert [len(one.prediction) for one in found] == [1, 1, 2, 1, 1, 1]
        np.testing.assert_allclose(np.concatenate([one.prediction for one in found]), wanted, rtol=1e-4, atol=1e-6)
    assert layer.batch_predict([]) == []


@pytest.mark.parametrize("backend", [ONNX, TORCHSCRIPT, PYTORCH])
def test_a_bundle_answers_on_each_backend_and_items_are_those_of_single_calls(
    network: Bundle, backend: InferenceBackend
) -> None:
    layer = opened(network.folder, backend, strict=True)
    batch, answer = network.example()
    result = layer.predict(batch.target)
    assert result.backend is backend
    assert result.quantiles is not None
    assert result.quantiles.shape == answer.shape
    np.testing.assert_allclose(result.prediction, answer[:, :, TASK.median], rtol=1e-4)
    found = layer.batch_predict(list(batch.target), batch_size=3)
    for row, one in zip(batch.target, found, strict=True):
        alone = layer.predict(row)
        np.testing.assert_allclose(one.prediction, alone.prediction, rtol=1e-5)
        np.testing.assert_allclose(one.quantiles, alone.quantiles, rtol=1e-5)


def test_each_call_is_counted_and_warming_up_is_not(network: Bundle, modules: Any) -> None:
    for path, row in ((network.folder, network.example()[0].target[0]), (modules["feed_forward"][1], draw(6))):
        layer = opened(path)
        before = layer.predict(row).prediction
        layer.warm_up(num_iterations=10, batch_size=3)
        assert np.array_equal(layer.predict(row).prediction, before)
        assert layer.get_latency_stats()["count"] == 2
        layer.batch_predict([row] * 10, batch_size=4)
        stats = layer.get_latency_stats()
        assert stats["count"] == 5
        assert 0 < stats["median_ms"] <= stats["p95_ms"] <= stats["p99_ms"] <= stats["max_ms"]
        assert stats["mean_ms"] <= stats["max_ms"]
        metrics = layer.get_performance_metrics()
        assert (metrics["backend"], metrics["device"], metrics["count"]) == ("onnxruntime", "cpu", 5)
        layer.load_model(path)
        assert layer.get_latency_stats()["count"] == 0


def test_a_backend_or_device_that_can_t_serve_is_replaced_aloud(
    ridge: Bundle, network: Bundle, modules: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "NVIDIA", (tmp_path / "none",))
    layer = CompiledInferenceLayer(backend=TORCHSCRIPT)
    with pytest.warns(FallbackWarning, match="ridge is a formula"):
        layer.load_model(ridge.folder)
    assert layer.predict(ridge.example()[0].target).backend is ONNX
    assert layer.choice.requested == "torchscript"
    for path in (network.folder, modules["lstm"][1]):
        layer = CompiledInferenceLayer(device="cuda")
        with pytest.warns(FallbackWarning, match="this machine has no NVIDIA driver"):
            layer.load_model(path)
        device = layer.settings["device"]
        assert (device.requested, device.used) == ("cuda", "cpu")
        with pytest.raises(BackendError, match="no NVIDIA driver"):
            CompiledInferenceLayer(device="cuda", strict=True).load_model(path)


def test_a_gpu_whose_libraries_are_missing_is_replaced_aloud(modules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_graph = graph_session.compile_graph

    def fail(graph: bytes, *, options: SessionOptions) -> Any:
        if options.device == "cuda":
            raise BackendError("ONNX Runtime does not give CUDAExecutionProvider")
        return compile_graph(graph, options=options)

    monkeypatch.setattr(graph_session, "explain_missing", lambda device: "")
    monkeypatch.setattr(graph_session, "compile_graph", fail)
    layer = CompiledInferenceLayer(device="cuda")
    with pytest.warns(FallbackWarning, match="runs on the cpu instead of cuda: ONNX Runtime does not give CUDA"):
        layer.load_model(modules["lstm"][1])
    assert layer.settings["device"].fallback
    with pytest.raises(BackendError, match="does not give CUDA"):
        CompiledInferenceLayer(device="cuda", strict=True).load_model(modules["lstm"][1])


def test_options_reach_the_session(modules: Any) -> None:
    assert opened(modules["lstm"][1], threads=2).settings["threads"].used == "2"
    assert opened(modules["lstm"][1]).settings["threads"].used == "1"


def test_what_can_t_be_asked_is_an_error_in_words(modules: Any, network: Bundle) -> None:
    layer = CompiledInferenceLayer()
    with pytest.raises(ConfigError, match=r"no model is loaded\. Call load_model"):
        layer.predict(draw(1, 6))
    for wrong in ({"num_iterations": 0}, {"batch_size": 0}, {"batch_size": True}):
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is a whole number, 1 or more"):
            opened(modules["lstm"][1]).warm_up(**wrong)
    with pytest.raises(ConfigError, match="batch_size is a whole number"):
        opened(modules["lstm"][1]).batch_predict([], batch_size=0)
    with pytest.raises(UnknownNameError, match=r"no backend is called 'onx'\. Did you mean 'onnx'"):
        CompiledInferenceLayer(backend="onx")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="device is auto, cpu or cuda"):
        CompiledInferenceLayer(device="gpu")  # type: ignore[arg-type]
    for backend, name in ((TORCHSCRIPT, "torchscript"), (PYTORCH, "eager")):
        with pytest.raises(BackendError, match=rf"lstm.onnx' is a graph alone, and {name} needs the network itself"):
            opened(modules["lstm"][1], backend)
    layer = opened(network.folder)
    with pytest.raises(DataError, match=r"item 5 has windows of the shape \(23,\) for 'target', and item 4"):
        layer.batch_predict([*[draw(24)] * 5, draw(23)], batch_size=4)
    for items, got in (("abc", "str"), (None, "NoneType"), (iter([draw(24)]), "list_iterator")):
        with pytest.raises(DataError, match=f"a list of items is needed, got {got}. Give a list"):
            layer.batch_predict(items)
    for flat in (draw(24), ["a", "b"]):
        with pytest.raises(DataError, match=r"item 0 (is a single value \(.*\)\. Give an array|holds <U1)"):
            layer.batch_predict(flat)
    with pytest.raises(ColumnError, match="item 0 lacks the input 'target'"):
        layer.batch_predict([{"past": draw(1, 24)}])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (draw(1, 7), r"the features have the shape \(1, 7\); 'feed_forward' takes \(N, 6\)"),
        (draw(0, 6), r"have the shape \(0, 6\)"),
        (np.float32(1.0), r"have the shape \(\)"),
        (np.array([["a"] * 6]), "hold <U1; numbers are needed"),
        (np.full((2, 6), [1, 1, np.nan, 1, 1, 1]), r"hold nan at \(0, 2\); a graph alone has no answer to"),
        (np.full((1, 6), 1e300), r"hold 1e\+300 at \(0, 0\)"),
        (np.full((1, 6), 3e38), "is not a finite number"),
    ],
)
def test_features_that_are_no_rows_are_refused(features: Any, message: str, modules: Any) -> None:
    with pytest.raises(DataError, match=message):
        opened(modules["feed_forward"][1]).predict(features)


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "model.pt", "model.ts", "model.pt2"])
def test_files_that_are_code_are_refused_with_advice_whether_they_exist_or_not(name: str, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(BundleError, match=r"never loaded\. Give a bundle's folder, which tw\.save_bundle writes"):
            CompiledInferenceLayer().load_model(tmp_path / name)
        (tmp_path / name).write_bytes(b"\x80\x04.")


def small_graph(
    nodes: Any, *, inputs: Any = (("x", ["N", 3]),), outputs: Any = (("y", ["N", 3]),), **more: Any
) -> bytes:
    single = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, single, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, single, shape) for name, shape in outputs],
        **more,
    )
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return content.SerializeToString()  # type: ignore[attr-defined]


def outside() -> TensorProto:
    """A weight that another file holds."""
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [3], [1.0, 1.0, 1.0])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def node(kind: str, *inputs: str, **attributes: Any) -> Any:
    return helper.make_node(kind, list(inputs), ["y"], **attributes)


BRANCH = helper.make_graph([], "branch", [], [])
WIDE = helper.make_tensor("n", TensorProto.INT64, [2], [10**6, 1000])
REFUSED: dict[str, tuple[Any, str]] = {
    "no graph": (b"nothing", "is no ONNX graph|does not take one float32"),
    "code": ([node("Op", "x", domain="own.ops")], "operators of 'own.ops'"),
    "another file": (small_graph([node("Add", "x", "w")], initializer=[outside()]), "keeps 'w' in another file"),
    "a branch": (
        [node("If", "x", then_branch=BRANCH, else_branch=BRANCH)],
        "a graph inside",
    ),
    "two inputs": (
        small_graph([node("Add", "x", "z")], inputs=(("x", ["N", 3]), ("z", ["N", 3]))),
        "does not take one float32 array of rows",
    ),
    "a free width": (small_graph([node("Relu", "x")], inputs=(("x", ["N", "M"]),)), "whose other sizes are fixed"),
    "too large": (
        small_graph(
            [
                helper.make_node("Constant", [], ["n"], value=WIDE),
                helper.make_node("Expand", ["x", "n"], ["y"]),
            ],
            inputs=(("x", ["N", 1]),),
            outputs=(("y", [10**6, 1000]),),
        ),
        "numbers for one window|not a valid graph|can't be bounded",
    ),
    "an output that lies": (
        small_graph(
            [
                helper.make_node("Constant", [], ["n"], value=WIDE),
                helper.make_node("Expand", ["x", "n"], ["y"]),
            ],
            inputs=(("x", ["N", 1]),),
            outputs=(("y", ["N", 1]),),
        ),
        "numbers for one window|not a valid graph|can't be bounded",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_graph_that_is_more_than_plain_operators_is_refused_before_it_runs(case: str, tmp_path: Path) -> None:
    content, message = REFUSED[case]
    (tmp_path / "model.onnx").write_bytes(content if isinstance(content, bytes) else small_graph(content))
    with pytest.raises(BundleError, match=message):
        opened(tmp_path / "model.onnx")


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleError, match="can't be read: No such file"):
        opened(tmp_path / "model.onnx")
    with pytest.raises(BundleError, match="there is no bundle at"):
        opened(tmp_path / "model")
    (tmp_path / "model.onnx").write_bytes(small_graph([node("Relu", "x")]))
    assert opened(tmp_path / "model.onnx").predict(draw(2, 3)).prediction.shape == (2, 3)
    monkeypatch.setitem(graph_session.LARGEST, "model.onnx", 10)
    with pytest.raises(BundleError, match="has more than 10 bytes"):
        opened(tmp_path / "model.onnx")


def test_a_graph_that_does_not_answer_each_row_or_takes_fixed_rows_is_told_so(tmp_path: Path) -> None:
    first = small_graph([node("ReduceMean", "x", keepdims=1)], outputs=(("y", [1, 1]),))
    (tmp_path / "mean.onnx").write_bytes(first)
    with pytest.raises(DataError, match=r"gives \(1, 1\) to 2 rows: not an answer for each of them"):
        opened(tmp_path / "mean.onnx").predict(draw(2, 3))
    fixed = small_graph([node("Relu", "x")], inputs=(("x", [2, 3]),), outputs=(("y", [2, 3]),))
    (tmp_path / "fixed.onnx").write_bytes(fixed)
    layer = opened(tmp_path / "fixed.onnx")
    layer.warm_up(2, batch_size=5)
    assert layer.predict(draw(2, 3)).prediction.shape == (2, 3)
    with pytest.raises(DataError, match=r"takes \(2, 3\)"):
        layer.predict(draw(3, 3))


def test_sixteen_threads_get_the_bits_that_one_gets(modules: Any) -> None:
    layer = opened(modules["lstm"][1])
    rows = [draw(3, 12, 6, seed=seed) for seed in range(64)]
    serial = [layer.predict(row).prediction for row in rows]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda row: layer.predict(row).prediction, rows))
    assert all(np.array_equal(one, other) for one, other in zip(serial, found, strict=True))
    assert layer.get_latency_stats()["count"] == 128
