"""How a metric is written for people: its usual name, its unit, what its size means."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tidewright.metrics.definitions import METRICS, find_metric
from tidewright.metrics.returns import RETURN_METRICS
from tidewright.report.numbers import choose_decimals, write_number, write_percent

_NAMES = {"smape": "sMAPE", "pinball": "Pinball", "coverage": "Coverage", "bias": "Bias", "brier": "Brier score"}
_NAMES |= {name: name.replace("_", " ").capitalize() for name in ("log_loss", "accuracy", "balanced_accuracy")}
_NAMES |= {"macro_f1": "Macro F1", "calibration_error": "Calibration error"}
_NAMES |= {name: name.replace("_", " ").capitalize() for name in RETURN_METRICS if name != "cagr"}


def name_metric(metric: str) -> str:
    """The name that the literature gives it; what is no metric keeps its own.

    >>> name_metric("mase"), name_metric("smape"), name_metric("my loss")
    ('MASE', 'sMAPE', 'my loss')
    """
    known = metric in METRICS or metric in RETURN_METRICS
    return _NAMES.get(metric, metric.upper()) if known else metric


def explain_metric(metric: str, *, target: str) -> str:
    """What a value of it means, in a sentence."""
    if metric in RETURN_METRICS:
        earned = RETURN_METRICS[metric]
        size = "a share" if "fraction" in earned.unit else "a ratio"
        told = f"{name_metric(metric)} is {earned.formula} of net returns after costs"
        return f"{told}, {size}; {earned.direction} is better."
    chosen = find_metric(metric)
    better = {
        "lower": "lower is better",
        "higher": "higher is better",
        "nearest": "nearer to its aim is better",
    }
    means = {
        "target": f"it is in the unit of {target}",
        "target squared": f"it is in the squared unit of {target}",
        "fraction": "it is a share, shown in percent",
        "nat": "0 is certainty of what came",
        "squared": "0 is certainty of what came",
        "ratio": "1 is the error that a seasonal naive forecast makes inside the training part",
    }
    return f"{name_metric(metric)} is {chosen.formula}: {means[chosen.unit]}; {better[chosen.direction]}."


def unit_of(metric: str, *, target: str) -> str:
    """The unit for the head of a column."""
    words = {
        "target": f"in {target}",
        "target squared": f"{target} squared",
        "fraction": "%",
        "ratio": "ratio",
        "nat": "nats",
        "squared": "0 to 2",
    }
    return words[find_metric(metric).unit]


def write_score(metric: str, value: float, *, decimals: int | None = None) -> str:
    """A score in its unit: fractions as percents.

    >>> write_score("wape", 0.1049).replace("\\xa0", " "), write_score("mase", 0.97012)
    ('10.49 %', '0.9701')
    """
    if scale_of(metric) == 100.0:
        return write_percent(value, decimals=2 if decimals is None else decimals)
    return write_number(value, decimals=decimals)


def score_decimals(metric: str, values: Iterable[float]) -> int:
    """How many decimals a column of scores needs."""
    scale = scale_of(metric)
    return choose_decimals([scale * v for v in values if math.isfinite(v)])


def scale_of(metric: str) -> float:
    """100 for what is drawn in percent, else 1."""
    known = METRICS.get(metric) or RETURN_METRICS.get(metric)
    return 100.0 if known is not None and "fraction" in known.unit else 1.0


def axis_of(metric: str) -> str:
    """The title of an axis of scores."""
    return f"{name_metric(metric)}, %" if scale_of(metric) == 100.0 else name_metric(metric)
