"""How the error of a network changes with the length of its windows, beside the length that it learned from.

ETTh1 (seven channels, the standard split), lookback 96, horizon 24, every seventh window of the test. Each network
learned for a short while at 96 steps and answers shorter and longer windows with the same weights. A line is the mean
absolute error of the point (in deviations of the training part) at one length, beside that at 96; or, of shorter ones,
beside that of the window of 96 steps whose older ones are missing, which is what a session asks by default.

    python benchmarks/lengths.py [--networks lstm tcn] [--out FILE]
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from tell import Line, make_line, open_parser, round_line, tell

LEARNED, HORIZON = 96, 24
LENGTHS = (24, 48, 72, 96, 120, 192)
NETWORKS = ("lstm", "gru", "tcn", "transformer_encoder", "tft")


def main() -> None:
    """Prints the lines of each network."""
    parser = open_parser(__doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    options = parser.parse_args()
    tell((line for name in options.networks for line in compare(name)), out=options.out)


def compare(network: str) -> Iterator[Line]:
    """The lines of a network."""
    import numpy as np
    from board_ett import open_ett

    import tidewright as tw
    from tidewright.features.separate import to_windows
    from tidewright.features.view import View
    from tidewright.features.windows import cut_windows
    from tidewright.models.lengths import allow_lengths
    from tidewright.models.torch.lengths import widest_lengths

    part = open_ett(HORIZON)
    fixed = tw.fit(
        tw.build_spec(network),
        panel=part.panel,
        split=part.split,
        task=part.task,
        view=View(LEARNED),
        train=tw.TrainSpec(epochs=4, steps=100),
    )
    most = widest_lengths(fixed.spec, LEARNED)[1] or LENGTHS[-1]
    lengths = [n for n in LENGTHS if n <= most]
    fitted = allow_lengths(fixed, (lengths[0], lengths[-1]))
    test = part.split.test
    assert test is not None
    cutoffs = replace(test, stride=7)
    windows = cut_windows(part.panel, View(lengths[-1]), horizon=HORIZON, cutoffs=cutoffs, least=1)
    whole, labels = windows.batch(), windows.labels()

    def miss(steps: int, *, padded: bool = False) -> float:
        target = whole.target[:, -steps:]
        if padded:
            target = np.pad(target, ((0, 0), (LEARNED - steps, 0)), constant_values=np.nan)
        empty: Any = np.empty((*target.shape, 0), np.float32)
        known: Any = np.empty((len(target), target.shape[1] + HORIZON, 0), np.float32)
        said = fitted.predict(to_windows(replace(whole, target=target, past=empty, known=known), horizon=HORIZON))
        return float(np.nanmean(np.abs(said[:, :, part.task.median] - labels)))

    usual = miss(LEARNED)
    for steps in lengths:
        if steps != LEARNED:
            yield _line(f"{network} {steps} steps vs {LEARNED}", miss(steps), usual, len(windows))
        if steps < LEARNED:
            yield _line(f"{network} {steps} steps vs padded", miss(steps), miss(steps, padded=True), len(windows))


def _line(name: str, ours: float, theirs: float, count: int) -> Line:
    return round_line(make_line(name, ours, theirs, unit="mae", n=count), digits=4)


if __name__ == "__main__":
    main()
