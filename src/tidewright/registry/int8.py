"""Layers of a graph in int8, by ONNX Runtime's own quantisation.

Weights take 7 of the 8 bits, a scale for each output: products of 8 by 8 bits overflow on processors without VNNI.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from tidewright.features.windows import Singles
from tidewright.registry.parity import open_graph
from tidewright.registry.prepare_graph import find_layers

Feed = Mapping[str, Singles]
DYNAMIC, STATIC = ("MatMul", "LSTM"), ("MatMul", "Gemm", "Conv")
CALIBRATORS = ("minmax", "percentile", "entropy")
PERCENTILE = 99.99
_READY = ("onnx.quant.pre_process", "onnxruntime.quant")  # without it the package advises, on the root logger


def to_dynamic(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """The graph whose products take int8 weights, and inputs rounded to 8 bits by their range in the batch that is
    asked; and how many layers these are.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    names = find_layers(model, DYNAMIC, stacked=False)  # it has no scales for each of several matrices
    with _quietly(model) as place:
        quantize_dynamic(
            deepcopy(model),
            place,
            op_types_to_quantize=list(DYNAMIC),
            nodes_to_quantize=names,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(place), len(names)


def to_static(model: onnx.ModelProto, feeds: Sequence[Feed]) -> tuple[onnx.ModelProto, int, dict[str, float]]:
    """The graph whose layers take int8 weights and inputs rounded by ranges that were found on the `feeds`, how many
    they are, and the error of each calibrator: the mean distance of its answers to those in float32, over their spread.

    The calibrator with the smallest error made the graph.
    """
    names = find_layers(model, STATIC, stacked=False)
    plain = open_graph(model.SerializeToString())
    wanted = [plain.run(None, dict(feed))[0] for feed in feeds]
    made, errors = {}, {}
    for method in CALIBRATORS:
        made[method] = _calibrate(model, feeds, names=names, method=method)
        errors[method] = _miss(made[method], feeds, wanted)
    best = min(errors, key=errors.__getitem__)
    return made[best], len(names), {best: errors[best], **errors}


def _calibrate(model: onnx.ModelProto, feeds: Sequence[Feed], *, names: list[str], method: str) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    methods = {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }
    options = {"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]}
    with _quietly(model) as place:
        quantize_static(
            deepcopy(model),  # the package moves its tensors into files
            place,
            _reader(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(STATIC),
            nodes_to_quantize=names,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=methods[method],
            extra_options={**options, "CalibPercentile": PERCENTILE},
        )
        return onnx.load(place)


def _reader(feeds: Sequence[Feed]) -> Any:
    """The feeds as the package reads them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(feeds)

        def get_next(self) -> dict[str, Singles] | None:
            found = next(self._left, None)
            return None if found is None else dict(found)

    return Reader()


def _miss(model: onnx.ModelProto, feeds: Sequence[Feed], wanted: Sequence[Singles]) -> float:
    session = open_graph(model.SerializeToString())
    apart = [np.abs(session.run(None, dict(feed))[0] - want) for feed, want in zip(feeds, wanted, strict=True)]
    spreads = [np.ptp(want, axis=(1, 2), keepdims=True) + np.finfo(np.float32).tiny for want in wanted]
    return float(np.mean(np.concatenate([one / spread for one, spread in zip(apart, spreads, strict=True)])))


@contextmanager
def _quietly(model: onnx.ModelProto) -> Iterator[Path]:
    """A file of its own to write to, and none of what the package prints."""
    if not model.metadata_props:
        model.metadata_props.add(key=_READY[0], value=_READY[1])
    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        yield Path(folder) / "model.onnx"
