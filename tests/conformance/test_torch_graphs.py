"""The graph of every network that takes covariates, where there are none; test_sessions.py has all."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conformance.networks import SHAPE, TORCH, draw_inputs, fresh_network
from tidewright.models.spec import MODELS
from tidewright.registry.parity import relative_difference


@pytest.mark.parametrize("name", [name for name in TORCH if MODELS.load(name).takes])
def test_the_onnx_graph_of_the_target_alone_answers_the_same_for_any_batch(name: str, tmp_path: Path) -> None:
    import onnxruntime

    shape = replace(SHAPE, past=0, known=0, static=0)
    network = fresh_network(name, shape).eval().requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own deprecations
        program = torch.onnx.export(
            network,
            (),
            kwargs=draw_inputs(shape, 3),
            dynamo=True,
            dynamic_shapes={label: {0: torch.export.Dim("batch", min=1)} for label in shape.inputs},
            input_names=list(shape.inputs),
            output_names=["quantiles"],
            opset_version=18,
            verbose=False,
        )
    path = tmp_path / "network.onnx"
    program.save(str(path))
    assert list(tmp_path.iterdir()) == [path]  # one graph, with its weights
    session = onnxruntime.InferenceSession(str(path))
    assert [i.name for i in session.get_inputs()] == list(shape.inputs)
    for count in (1, 2, 33):
        inputs = draw_inputs(shape, count, seed=count)
        inputs["target"][0] = float("nan")
        inputs["target"][-1, 2:5] = float("nan")
        inputs["target"][count // 2] = 4.0
        eager = network(**inputs).numpy()
        (compiled,) = session.run(None, {label: value.numpy() for label, value in inputs.items()})
        # relative to the window, as a bundle's parity is: near 0 a float32 answer of 100 - 100 has no digits left
        assert relative_difference(compiled, eager, target=inputs["target"].numpy()) <= 1e-5
