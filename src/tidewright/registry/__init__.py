"""Bundles: a fitted model sealed in a folder, its ONNX graph, and the checks before a byte of it is used."""
