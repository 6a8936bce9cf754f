"""CPU seconds of a forward and backward pass in training: with our dropout, and with `nn.Dropout` in its place.

The two sides alternate in one process on one thread; the figures are medians. One JSON line a comparison; ratio is ours
/ theirs. Batches of 256 windows, lookback 96, horizon 24, four known covariates.

    python benchmarks/dropout.py [--out benchmarks/results/dropout.jsonl]
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

from tell import make_line, open_parser, tell

MODELS = ("feedforward", "resmlp", "tcn", "tft", "cnn_lstm_transformer", "tsmixer")
BATCH, LOOKBACK, HORIZON, KNOWN = 256, 96, 24, 4
REPEATS = 9


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    tell(compare(), out=open_parser(__doc__).parse_args().out)


def compare() -> Iterator[dict[str, Any]]:
    """Both sides of every network, with the same weights."""
    import torch
    from torch import nn

    from tidewright.models.build import build_spec
    from tidewright.models.torch.dropout import Dropout
    from tidewright.models.torch.network import build
    from tidewright.models.torch.shape import Shape
    from tidewright.runtime import keep_memory

    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs = {"target": torch.randn(BATCH, LOOKBACK), "known": torch.randn(BATCH, LOOKBACK + HORIZON, KNOWN)}
    for name in MODELS:
        ours = build(build_spec(name), Shape(LOOKBACK, HORIZON, 0, KNOWN, 0, (0.1, 0.5, 0.9))).train()
        theirs = build(build_spec(name), Shape(LOOKBACK, HORIZON, 0, KNOWN, 0, (0.1, 0.5, 0.9))).train()
        theirs.load_state_dict(ours.state_dict())
        for part in list(theirs.modules()):
            for place, child in part.named_children():
                if isinstance(child, Dropout):
                    setattr(part, place, nn.Dropout(child.share))
        with keep_memory():
            pairs = [(measure(ours, inputs), measure(theirs, inputs)) for _ in range(REPEATS + 1)][1:]
        mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
        note = f"forward and backward of {BATCH} windows in training; median of {REPEATS} alternating runs"
        yield make_line(f"dropout: {name} vs nn.Dropout", mine, other, unit="cpu_s/pass", n=REPEATS, note=note)


def measure(network: Any, inputs: dict[str, Any]) -> float:
    """CPU seconds of one pass forward and back."""
    started = time.process_time()
    scores, _, _ = network.score(**inputs)
    scores.square().mean().backward()
    network.zero_grad()
    return time.process_time() - started


if __name__ == "__main__":
    main()
