"""An ensemble as one ONNX graph: those of its members side by side, each on its own part of the inputs.

N windows, L lookback, H horizon, Q quantiles, K members.
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
from tidewright.models.specs.ensemble import Ensemble, Member
from tidewright.registry.graph import IR_VERSION
from tidewright.registry.graph_names import INPUTS, OUTPUT


def merge_members(fitted: EnsembleFitted, export: Callable[[Fitted], onnx.ModelProto]) -> onnx.ModelProto:
    """The graph of an ensemble; `export` gives that of a member."""
    text = _Text()
    widths = {name: 0 for name in INPUTS[1:]}
    seen, said, lookback = [], [], fitted.view.lookback
    for place, (part, member) in enumerate(zip(fitted.spec.members, fitted.members, strict=True)):
        places = {name: getattr(part, name) for name in widths}
        widths |= {name: max(widths[name], 1 + max(chosen, default=-1)) for name, chosen in places.items()}
        seen.append(text.sees_any(part, lookback=lookback))
        said.append(text.embed(export(member), part, place=place, lookback=lookback))
    joined = text.median(said, seen) if fitted.spec.combine == "median" else text.mean(said, seen, spec=fitted.spec)
    text.add("Cast", joined, to=TensorProto.FLOAT, name=OUTPUT)
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
        spare = [f"{name}_places"] if kind == "TopK" else []
        self.nodes.append(helper.make_node(kind, list(given), [name, *spare], **options))
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

    def sees_any(self, part: Member, *, lookback: int) -> str:
        """1 in each window [N, 1, 1] where a member sees a value, else 0, in double precision."""
        own = self.steps("target", start=lookback - part.view.lookback)
        seen = self.add("Cast", self.add("Not", self.add("IsNaN", own)), to=TensorProto.DOUBLE)
        any_seen = self.add("ReduceMax", seen, self.constant(np.array([1], np.int64)), keepdims=1)
        return self.add("Unsqueeze", any_seen, self.constant(np.array([2], np.int64)))

    def mean(self, said: list[str], seen: list[str], *, spec: Ensemble) -> str:
        """The weighted mean of what members say, of those that see a value."""
        total, shares, zero = "", "", self.constant(np.float64(0.0))
        for part, answer, sees in zip(spec.members, said, seen, strict=True):
            weight = np.array(part.steps)[:, None] if part.steps else np.float64(part.weight)
            share = self.add("Mul", sees, self.constant(weight))
            heard = self.add("Mul", self.add("Where", self.add("Greater", sees, zero), answer, zero), share)
            total, shares = (self.add("Add", total, heard), self.add("Add", shares, share)) if total else (heard, share)
        return self.add("Div", total, shares)

    def median(self, said: list[str], seen: list[str]) -> str:
        """The middle one of what members say, of those that see a value; NaN where none does."""
        zero, endless = self.constant(np.float64(0.0)), self.constant(np.float64(np.inf))
        last = self.constant(np.array([3], np.int64))
        columns, count = [], ""
        for answer, sees in zip(said, seen, strict=True):
            heard = self.add("Where", self.add("Greater", sees, zero), answer, endless)
            columns.append(self.add("Unsqueeze", heard, last))
            count = self.add("Add", count, sees) if count else sees
        table = self.add("Concat", *columns, axis=3)
        most = self.constant(np.array([len(said)], np.int64))
        in_order = self.add("TopK", table, most, axis=3, largest=0, sorted=1)
        half = self.constant(np.float64(0.5))
        middle = self.add("Mul", self.add("Sub", count, self.constant(np.float64(1.0))), half)  # a half where even
        ends = [self.add(kind, middle) for kind in ("Floor", "Ceil")]
        found = [self._pick(in_order, place, count=len(said)) for place in ends]
        halved = self.add("Mul", self.add("Add", *found), half)
        return self.add("Where", self.add("Greater", count, zero), halved, self.constant(np.float64(np.nan)))

    def _pick(self, table: str, place: str, *, count: int) -> str:
        """The entry of the last axis of [N, H, Q, K] at a place [N, 1, 1] of it."""
        own = self.add("Unsqueeze", place, self.constant(np.array([3], np.int64)))
        chosen = self.add("Equal", own, self.constant(np.arange(count, dtype=np.float64)))
        kept = self.add("Where", chosen, table, self.constant(np.float64(0.0)))
        return self.add("ReduceSum", kept, self.constant(np.array([3], np.int64)), keepdims=0)

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
