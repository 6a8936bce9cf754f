"""The names at the border of every graph. They need no ONNX."""

INPUTS = ("target", "past", "known", "static")
OUTPUT = "quantiles"
