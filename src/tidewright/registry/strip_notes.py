"""Graphs without what their makers noted in them."""

from __future__ import annotations

import onnx


def strip_notes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the notes of where each node came from: they hold paths, and differ from run to run."""
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    for name in ("metadata_props", "doc_string"):
        model.ClearField(name)
        model.graph.ClearField(name)
    model.graph.name = "tidewright"
    onnx.checker.check_model(model, full_check=True)
    return model
