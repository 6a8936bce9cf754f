"""The backends by name, in the order that they are preferred in where nothing was measured.

A backend is a `Backend` in a file of its own. JAX and Numba sessions are to come with the models of these frameworks:
an entry here and a file beside the others is all that they need.
"""

from __future__ import annotations

from tidewright.catalog import Catalog, Entry

_HERE = "tidewright.inference.backends"
QUICK, HEAVY, SLOW = "quick", "heavy", "slow"  # what starting costs: nothing much, importing torch, compiling for long
BACKENDS = Catalog(
    "backend",
    [
        Entry("onnxruntime", f"{_HERE}.onnxruntime:BACKEND", "the bundle's graph in ONNX Runtime", kind=QUICK),
        Entry("eager", f"{_HERE}.eager:BACKEND", "the model itself, made again from its weights", kind=HEAVY),
        Entry("torchscript", f"{_HERE}.torchscript:BACKEND", "the network, traced by torch.jit", kind=HEAVY),
        Entry("aotinductor", f"{_HERE}.aotinductor:BACKEND", "the network, compiled by AOTInductor", kind=SLOW),
        Entry("compiled", f"{_HERE}.compiled:BACKEND", "the network under torch.compile", kind=SLOW),
        Entry("tensorrt", f"{_HERE}.onnxruntime:TENSORRT", "the graph in ONNX Runtime's TensorRT provider", kind=SLOW),
        Entry("trees", f"{_HERE}.trees:BACKEND", "a forest's features and leaves in one compiled call", kind=QUICK),
    ],
)
SPARES = ("onnxruntime", "eager")  # who answers in place of one that can't
