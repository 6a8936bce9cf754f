"""How far off learned and classical estimates of the Hurst exponent are, on fractional noise of another seed.

1,000 series to learn from and 1,000 to be judged on, 500 rows each, exponents drawn evenly from 0.05 to 0.95. Ours are
the estimators of the catalog; theirs the classical estimators among their features, alone, and the mean of the training
exponents. One JSON line a comparison; ratio is ours / theirs, of mean absolute errors.

    python benchmarks/estimators.py [--out benchmarks/results/estimators.jsonl]
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from tell import make_line, open_parser, tell

import tidewright as tw
from tidewright.data.panel import Panel
from tidewright.data.simulate import fractional_panel

SERIES, ROWS = 1_000, 500
ESTIMATORS = ("random_forest", "svr", "gradient_boosting")
CLASSICAL = ("hurst_whittle", "hurst_rs", "dfa")


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    tell(compare(), out=open_parser(__doc__).parse_args().out)


def compare() -> Iterator[dict[str, Any]]:
    """Each estimator beside each classical one and the floor."""
    learn, judge = world(seed=1), world(seed=2)
    truth, table = exponents(judge), tw.shape_table(judge)
    peers = {name: float(np.abs(table[name].to_numpy() - truth).mean()) for name in CLASSICAL}
    peers["mean of the training exponents"] = float(np.abs(exponents(learn).mean() - truth).mean())
    for name in ESTIMATORS:
        started = time.process_time()
        estimator = tw.fit_estimator(name, learn, target="hurst")
        learned = time.process_time() - started
        made = estimator.estimate(judge)
        error = float(np.abs(made["estimate"].to_numpy() - truth).mean())
        inside = (made["lower"].to_numpy() <= truth) & (truth <= made["upper"].to_numpy())
        note = f"{learned:.1f} CPU s to learn, five folds among them; the interval of 80 % holds {inside.mean():.1%}"
        for peer, theirs in peers.items():
            what = f"hurst of fractional noise: {name} vs {peer}"
            yield make_line(what, error, theirs, unit="mean absolute error", n=SERIES, note=note)


def world(*, seed: int) -> Panel:
    """Series of exponents that are spread evenly."""
    hursts = np.random.default_rng(seed).uniform(0.05, 0.95, SERIES)
    return fractional_panel(hursts=hursts.tolist(), length=ROWS, seed=seed)


def exponents(panel: Panel) -> np.ndarray:
    """The true exponent of each series."""
    return panel.values("hurst")[panel.offsets[:-1]]


if __name__ == "__main__":
    main()
