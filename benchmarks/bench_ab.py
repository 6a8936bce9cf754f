"""Whether the intervals of `tidewright bench --ab` hold on a machine with other work: how often a backend is told apart
from itself, and how often one that takes a tenth longer is found to.

A small NLinear (lookback 24, horizon 6) on ONNX Runtime, opened twice, one window a call; the slower side asks once
more in every tenth call. ours / theirs is the share of looks that told a difference over what it should be, 0.05 and 1;
the note has the medians of the ratios and of the intervals' widths.

    python benchmarks/bench_ab.py [--looks 40] [--seconds 1] [--out benchmarks/results/bench_ab.jsonl]
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")

import tempfile
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from backends import seal
from tell import add, make_line, open_parser

import tidewright as tw
from tidewright.inference.timing import repeat_example, time_rounds
from tidewright.inference.verdict_ab import Compared, compare_rounds

EVERY = 10


class Slower:
    """A session that computes the answer to every tenth call twice."""

    def __init__(self, session: Any) -> None:
        self._predict, self._calls = session.predict, count()

    def predict(self, x: Any) -> Any:
        """See `Session.predict`."""
        if next(self._calls) % EVERY == 0:
            self._predict(x)
        return self._predict(x)


def main() -> None:
    """Prints both lines."""
    parser = open_parser(__doc__)
    parser.add_argument("--looks", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _, bundle = seal("nlinear", Path(folder) / "model")
        for words, slower, wanted in (("itself", False, 0.05), ("itself and a tenth more", True, 1.0)):
            found = [look(bundle, seconds=options.seconds, slower=slower) for _ in range(options.looks)]
            told = sum(one.time.less or one.time.more for one in found) / len(found)
            add(make_line(f"onnxruntime told apart from {words}", told, wanted, unit="share", n=len(found),
                          note=describe(found)), out=options.out)  # fmt: skip


def look(bundle: Any, *, seconds: float, slower: bool) -> Compared:
    """One A/B, as `tw.bench` makes it."""
    first, second = (tw.open(bundle, backend="onnxruntime", strict=True) for _ in range(2))
    sides: Any = {"a": first, "b": Slower(second) if slower else second}
    rounds = time_rounds(sides, repeat_example(bundle, 1), seconds=seconds, least=30)
    return compare_rounds(rounds, batch_size=1, apart=0.0, allowed=1.0, level=0.95)


def describe(found: list[Compared]) -> str:
    """The medians, by the clock and on the processor."""
    parts = []
    for words, ratios in (("clock", [one.time for one in found]), ("CPU", [one.cpu for one in found])):
        told = sum(one.less or one.more for one in ratios)
        value, width = median(one.value for one in ratios), median(one.high - one.low for one in ratios)
        parts.append(f"{words}: ratio {value:.3f}, interval {width:.3f} wide, {told} told")
    return f"load {os.getloadavg()[0]:.0f}; {'; '.join(parts)}"


if __name__ == "__main__":
    main()
