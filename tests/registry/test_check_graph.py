"""A graph may compute, and nothing else: what a forged one tries is refused before a runtime sees it."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError
from tidewright.models.spec import Naive
from tidewright.registry.bundle import save_bundle
from tidewright.registry.check_graph import check_graph
from tidewright.training.fit import fit


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    panel = small_panel()
    task = Task(4)
    fitted = fit(Naive(), panel=panel, split=split_holdout(panel, task), task=task)
    return save_bundle(fitted, panel=panel, folder=tmp_path_factory.mktemp("sealed") / "naive")


def forge(bundle, change):
    model = onnx.load_model_from_string(bundle.graph)
    change(model)
    return model.SerializeToString()


def add(model, *nodes):
    """Nodes before all others, and their last answer added to nothing: they run all the same."""
    for place, node in enumerate(nodes):
        model.graph.node.insert(place, node)


def custom(model):
    model.opset_import.append(helper.make_opsetid("com.evil", 1))
    add(model, helper.make_node("Run", ["target"], ["x"], domain="com.evil"))


def external(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def external_constant(model):
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "outside")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    add(model, helper.make_node("Constant", [], ["x"], value=tensor))


def external_sparse(model):
    values = numpy_helper.from_array(np.ones(1, np.float32), "values")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    values.external_data.add(key="location", value="beside.bin")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [1 << 40]))


def empty_giant(model):
    """A tensor that says of itself that it is huge, in a few bytes."""
    model.graph.initializer.add(name="giant", data_type=TensorProto.FLOAT, dims=[1 << 31, 1 << 31])
    add(model, helper.make_node("Identity", ["giant"], ["x"]))


def expanding(model):
    model.graph.initializer.append(numpy_helper.from_array(np.array([1 << 20, 1 << 20]), "wide"))
    add(model, helper.make_node("Expand", ["one", "wide"], ["x"]))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 1), np.float32), "one"))


def tiling(model):
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1 << 40]), "often"))
    add(model, helper.make_node("Tile", ["target", "often"], ["x"]))


def counting(model):
    for name, value in (("from", 0), ("to", 1 << 40), ("by", 1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    add(model, helper.make_node("Range", ["from", "to", "by"], ["x"]))


def loop(model):
    body = helper.make_graph([], "body", [], [])
    add(model, helper.make_node("Loop", ["", ""], ["x"], body=body))


def function(model):
    model.functions.add(name="f", domain="com.evil")


def doubling(model):
    nodes = [helper.make_node("Concat", [f"d{k}", f"d{k}"], [f"d{k + 1}"], axis=1) for k in range(40)]
    add(model, helper.make_node("Identity", ["target"], ["d0"]), *nodes)


def huge_constant(model):
    model.graph.initializer.append(numpy_helper.from_array(np.array([1 << 20, 1 << 20]), "huge"))
    add(model, helper.make_node("ConstantOfShape", ["huge"], ["x"]))


def hidden_size(model):
    add(model, helper.make_node("NonZero", ["target"], ["n"]))


def other_lookback(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value += 1


def text_input(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (custom, "operators of 'com.evil', which may be code"),
        (external, "in another file"),
        (external_constant, "keeps 'outside' in another file"),
        (external_sparse, "keeps 'values' in another file"),
        (empty_giant, "computes [0-9]+ numbers for one window"),
        (expanding, "computes [0-9]+ numbers for one window"),
        (tiling, "computes [0-9]+ numbers for one window"),
        (counting, "computes [0-9]+ numbers for one window"),
        (loop, "with a graph inside"),
        (function, "functions or training steps"),
        (doubling, "computes [0-9]+ numbers for one window; 134217728 are allowed"),
        (huge_constant, "computes [0-9]+ numbers for one window"),
        (hidden_size, "can't be bounded"),
        (other_lookback, "takes and gives"),
        (text_input, "takes and gives"),
    ],
)
def test_a_graph_that_does_more_than_compute_is_refused(bundle, change, message):
    with pytest.raises(BundleError, match=message):
        check_graph(forge(bundle, change), bundle.manifest)


def test_bytes_that_are_no_graph_are_refused(bundle):
    for content in (b"\xff" * 100, b"", b"import os"):
        with pytest.raises(BundleError, match=r"model\.onnx"):
            check_graph(content, bundle.manifest)


def test_a_bomb_is_refused_in_little_memory(bundle, tmp_path):
    """In a process of its own whose memory is limited to what opening a bundle takes, and half a gigabyte."""
    (tmp_path / "bomb.onnx").write_bytes(forge(bundle, doubling))
    code = f"""
import resource
from pathlib import Path
from tidewright.errors import BundleError
from tidewright.registry.bundle import load_bundle
from tidewright.registry.check_graph import check_graph
bundle = load_bundle({str(bundle.folder)!r})
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 29), resource.RLIM_INFINITY))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
try:
    check_graph(Path({str(tmp_path / "bomb.onnx")!r}).read_bytes(), bundle.manifest)
except BundleError:
    raise SystemExit(42)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 42
