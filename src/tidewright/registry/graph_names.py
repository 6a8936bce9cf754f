"""The names at the border of every graph. They need no ONNX."""

from tidewright.data.task import Task

INPUTS = ("target", "past", "known", "static")
OUTPUT, PROBABILITIES = "quantiles", "probabilities"


def name_output(task: Task) -> str:
    """What a graph gives: quantiles [N, H, Q], or the probabilities of classes [N, H, K]."""
    return PROBABILITIES if task.classifies else OUTPUT
