"""The rolling statistics that have a name, and their numbers in the compiled loops."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import Ints
from tidewright.errors import ConfigError, UnknownNameError

STATISTICS = ("mean", "std", "min", "max", "sum", "median", "var", "count", "slope", "skew", "kurtosis")
MEAN, STD, MIN, MAX, SUM, MEDIAN, VAR, COUNT, SLOPE, SKEW, KURTOSIS, QUANTILE = range(len(STATISTICS) + 1)
_LEVEL = re.compile(r"q(0(?:\.\d+)?|1(?:\.0+)?)")


def read_statistics(names: Sequence[str]) -> tuple[Ints, npt.NDArray[np.float64]]:
    """The code and the level of each statistic; the level is that of a quantile, and 0.5 elsewhere.

    >>> read_statistics(["mean", "q0.9"])
    (array([ 0, 11]), array([0.5, 0.9]))
    """
    if isinstance(names, str):
        raise ConfigError(f"statistics are a sequence of names; got the text {names!r}. Write ({names!r},).")
    codes, levels = [], []
    for name in names:
        match = _LEVEL.fullmatch(name)
        if not match and name not in STATISTICS:
            raise UnknownNameError(explain_unknown("rolling statistic", name, (*STATISTICS, "q0.9")))
        codes.append(QUANTILE if match else STATISTICS.index(name))
        levels.append(float(match[1]) if match else 0.5)
    return np.array(codes, dtype=np.int64), np.array(levels, dtype=np.float64)


def name_window(statistic: str, window: int | str) -> str:
    """What a column of a statistic over a window is called: mean28, q0.9_28, mean_all.

    >>> [name_window("mean", 28), name_window("q0.9", 28), name_window("mean", "all")]
    ['mean28', 'q0.9_28', 'mean_all']
    """
    return f"{statistic}_{window}" if statistic not in STATISTICS or window == "all" else f"{statistic}{window}"
