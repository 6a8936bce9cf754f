"""An ensemble as one ONNX graph: those of its members side by side, each on its own part of the inputs.

N windows, L lookback, H horizon, Q quantiles, K known features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from tidewright.models.ensemble import EnsembleFitted, prefix
from tidewright.models.fitted import Fitted
from tidewright.models.specs.ensemble import Member
from tidewright.registry.graph import IR_VERSION
from tidewright.registry.graph_names import INPUTS, OUTPUT


def merge_members(fitted: EnsembleFitted, export: Callable[[Fitted], onnx.ModelProto]) -> onnx.ModelProto:
    """The graph of an ensemble; `export` gives that of a member."""
    text = _Text()
    widths = {name: 0 for name in INPUTS[1:]}
    total, shares, zero = "", "", text.constant(np.float64(0.0))
    for place, (part, member) in enumerate(zip(fitted.spec.members, fitted.members, strict=True)):
        places = {name: getattr(part, name) for name in widths}
        widths |= {name: max(widths[name], 1 + max(chosen, default=-1)) for name, chosen in places.items()}
        share = text.share(part, lookback=fitted.view.lookback)
        answer = text.embed(export(member), part, place=place, lookback=fitted.view.lookback)
        answer = text.add("Mul", text.add("Where", text.add("Greater", share, zero), answer, zero), share)
        total, shares = (text.add("Add", total, answer), text.add("Add", shares, share)) if total else (answer, share)
    text.add("Cast", text.add("Div", total, shares), to=TensorProto.FLOAT, name=OUTPUT)
    return text.finish(fitted, widths)


class _Text:
    """The graph under construction."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.values: list[Any] = []
        self.versions: dict[str, int] = {}

    def add(self, kind: str, *given: str, name: str = "", **options: Any) -> str:
        """Adds a node; gives the name of its output."""
        name = name or f"ensemble_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(given), [name], **options))
        return name

    def constant(self, value: npt.ArrayLike) -> str:
        """Adds a constant, float64 or int64."""
        name = f"ensemble_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def steps(self, values: str, *, start: int) -> str:
        """The steps of [N, L, ...] from `start` on."""
        if start == 0:
            return values
        ends = (self.constant(np.array([number], np.int64)) for number in (start, np.iinfo(np.int64).max, 1))
        return self.add("Slice", values, *ends)

    def share(self, part: Member, *, lookback: int) -> str:
        """The weight of a member [N, 1, 1] in each window: 0 where it sees no value."""
        own = self.steps("target", start=lookback - part.view.lookback)
        seen = self.add("Cast", self.add("Not", self.add("IsNaN", own)), to=TensorProto.DOUBLE)
        any_seen = self.add("ReduceMax", seen, self.constant(np.array([1], np.int64)), keepdims=1)
        share = self.add("Mul", any_seen, self.constant(np.float64(part.weight)))
        return self.add("Unsqueeze", share, self.constant(np.array([2], np.int64)))

    def embed(self, model: onnx.ModelProto, part: Member, *, place: int, lookback: int) -> str:
        """Adds a member's own graph; gives the name of its quantiles, in double precision."""
        named = compose.add_prefix(model, prefix(place))
        for entry in named.opset_import:
            assert self.versions.setdefault(entry.domain, entry.version) == entry.version
        start = lookback - part.view.lookback
        given = {}
        for value in named.graph.input:
            name = value.name.removeprefix(prefix(place))
            own = name if name == "static" else self.steps(name, start=start)
            if name != "target":
                chosen = self.constant(np.array(getattr(part, name), np.int64))
                own = self.add("Gather", own, chosen, axis=1 if name == "static" else 2)
            given[value.name] = own
        for node in named.graph.node:
            node.input[:] = [given.get(name, name) for name in node.input]
            self.nodes.append(node)
        self.constants += named.graph.initializer
        self.values += named.graph.value_info
        return self.add("Cast", f"{prefix(place)}{OUTPUT}", to=TensorProto.DOUBLE)

    def finish(self, fitted: EnsembleFitted, widths: dict[str, int]) -> onnx.ModelProto:
        """The checked model."""
        lookback, horizon, levels = fitted.view.lookback, fitted.task.horizon, len(fitted.task.quantiles)
        shapes = {
            "target": [lookback],
            "past": [lookback, widths["past"]],
            "known": [lookback + horizon, widths["known"]],
            "static": [widths["static"]],
        }
        inputs = ["target", *(name for name, width in widths.items() if width)]
        graph = helper.make_graph(
            self.nodes,
            "tidewright",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shapes[name]]) for name in inputs],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", horizon, levels])],
            self.constants,
            value_info=self.values,
        )
        versions = [helper.make_opsetid(domain, version) for domain, version in self.versions.items()]
        model = helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model
