"""What is written for Triton, read by Triton's own config and run with what it says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from tests.worlds import small_panel
from tidewright import write_triton
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError
from tidewright.models.spec import LightGBM, ModelSpec, Ridge
from tidewright.registry.bundle import Bundle, save_bundle
from tidewright.training.fit import fit

TASK = Task(4)
SPECS: dict[str, ModelSpec] = {"ridge": Ridge(lookbacks=(24,)), "trees": LightGBM(rounds=3)}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    panel, folder = small_panel(), tmp_path_factory.mktemp("sealed")
    made = {name: fit(spec, panel=panel, split=split_holdout(panel, TASK), task=TASK) for name, spec in SPECS.items()}
    return {name: save_bundle(fitted, panel=panel, folder=folder / name) for name, fitted in made.items()}


def read_config(file: Path) -> Any:
    """The config by Triton's own schema, which tritonclient holds; its package would import grpc."""
    from google.protobuf import text_format

    root = Path(importlib.util.find_spec("tritonclient").submodule_search_locations[0])  # type: ignore[union-attr,index]
    found = importlib.util.spec_from_file_location("model_config_pb2", root / "grpc" / "model_config_pb2.py")
    module = importlib.util.module_from_spec(found)  # type: ignore[arg-type]
    found.loader.exec_module(module)  # type: ignore[union-attr]
    return text_format.Parse(file.read_text(), module.ModelConfig())


@pytest.mark.parametrize("name", SPECS)
def test_tritons_config_describes_the_graph_that_stands_beside_it(
    name: str, bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    bundle = bundles[name]
    folder = write_triton(bundle, tmp_path / "models", max_batch_size=16)
    assert folder == tmp_path / "models" / bundle.name
    config = read_config(folder / "config.pbtxt")
    assert (config.name, config.backend, config.max_batch_size) == (bundle.name, "onnxruntime", 16)
    assert [group.kind for group in config.instance_group] == [2]  # KIND_CPU
    assert config.HasField("dynamic_batching")
    graph = ort.InferenceSession((folder / "1" / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    batch, answer = bundle.example()
    feed = {each.name: getattr(batch, each.name) for each in config.input}
    assert {each.name for each in graph.get_inputs()} == set(feed)
    assert all(each.data_type == 11 for each in (*config.input, *config.output))  # TYPE_FP32
    assert {each.name: list(each.dims) for each in config.input} == {k: list(v.shape[1:]) for k, v in feed.items()}
    (output,) = config.output
    found = graph.run([output.name], feed)[0]
    assert list(output.dims) == list(found.shape[1:])
    np.testing.assert_allclose(found, answer, rtol=1e-4)
    assert (folder / "1" / "digest.txt").read_text().strip() == bundle.digest


def test_versions_stand_beside_each_other_and_share_one_config(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    ridge, trees = bundles["ridge"], bundles["trees"]
    write_triton(ridge.folder, tmp_path, name="sales")
    folder = write_triton(ridge, tmp_path, name="sales", version=2)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2", "config.pbtxt"]
    with pytest.raises(BundleError, match=r"2' exists already\. Give another version"):
        write_triton(ridge, tmp_path, name="sales", version=2)
    with pytest.raises(BundleError, match=r"other inputs or options, and all versions share it\. Give another name"):
        write_triton(trees, tmp_path, name="sales", version=3)
    assert not (folder / "3").exists()
    assert "KIND_GPU" in (write_triton(ridge, tmp_path, name="fast", gpu=True) / "config.pbtxt").read_text()


@pytest.mark.parametrize("options", [{"name": "../up"}, {"version": 0}, {"max_batch_size": True}, {"name": 'a"b'}])
def test_wrong_words_are_refused_and_nothing_is_written(
    options: dict[str, Any], bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="got"):
        write_triton(bundles["ridge"], tmp_path / "models", **options)
    assert not (tmp_path / "models").exists()
