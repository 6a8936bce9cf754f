"""Size, speed and error of a graph in int8, int8 with fixed ranges and float16, beside the same graph in float32.

Every network of the catalog at its usual size (lookback 48, horizon 12, trained for a short while) and a feed-forward
network with three layers of 1024. Each bundle is made by `tw.quantise`; the graphs answer in turns in ONNX Runtime, on
one thread of this processor. A line is an answer's time at batch 1, 32 or 1024, or the graph's size, whose note has
pinball loss on the validation windows and the largest difference on real and hard windows. What is in the file already
is not done again.

    python benchmarks/quantise.py [--networks lstm wide] [--out FILE]
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from tell import Line, add, make_line, open_parser

LOOKBACK, HORIZON = 48, 12
WIDE, SIZES = "wide", (1, 32, 1024)
SHARE = 0.9  # worse than any bundle should be: here the error is what is measured
PRECISIONS = ("int8", "int8-static", "float16")


def main() -> None:
    """Prints four lines a network and precision."""
    from tidewright.models.spec import NETWORKS

    parser = open_parser(__doc__)
    parser.add_argument("--networks", nargs="+", default=[WIDE, *NETWORKS], choices=[WIDE, *NETWORKS])
    options = parser.parse_args()
    lines = options.out.read_text().splitlines() if options.out and options.out.exists() else []
    done = {json.loads(line)["name"] for line in lines}
    for network in options.networks:
        wanted = [one for one in PRECISIONS if not any(name.startswith(f"{network} {one} ") for name in done)]
        for line in compare(network, wanted) if wanted else ():
            add(line, out=options.out)


def compare(network: str, precisions: list[str]) -> Iterator[Line]:
    """The lines of a network in these precisions."""
    import tidewright as tw
    from tidewright.data.simulate import signal_panel
    from tidewright.errors import BundleError
    from tidewright.features.view import View
    from tidewright.registry.quantise import quantise
    from tidewright.registry.speed import time_graphs

    panel, task = signal_panel(n_series=8, length=400, seed=0), tw.Task(HORIZON)
    split = tw.split_holdout(panel, task)
    spec = tw.build_spec("feedforward", {"hidden": (1024,) * 3}) if network == WIDE else tw.build_spec(network)
    train = tw.TrainSpec(epochs=3, steps=20)
    model = tw.fit(spec, panel=panel, split=split, task=task, view=View(LOOKBACK), train=train)
    with tempfile.TemporaryDirectory() as folder:
        plain = tw.save_bundle(model, panel=panel, folder=Path(folder) / "plain", split=split)
        for precision in precisions:
            place = Path(folder) / precision
            try:
                low = quantise(plain, precision=precision, panel=panel, split=split, folder=place, share=SHARE)
            except BundleError as error:
                nothing = dict.fromkeys(("ours", "theirs", "ratio"))
                yield {"name": f"{network} {precision} refused", **nothing, "unit": "", "n": 0, "note": str(error)}
                continue
            after, before = time_graphs((low.graph, plain.graph), plain.example()[0], sizes=SIZES)
            yield from _tell(f"{network} {precision}", low=low, after=after, before=before)


def _tell(name: str, *, low: Any, after: dict[str, float], before: dict[str, float]) -> Iterator[Line]:
    q, parity = low.manifest.quantised, low.manifest.parity
    for size, spent in after.items():
        yield make_line(f"{name} vs float32, batch {size}", spent, before[size], unit="us", n=1)
    error = f"pinball {q.after / q.before - 1:+.3%}; off by {parity.figure:.2g} at most, on {parity.worst}"
    note = f"{q.layers} layers; {error}"
    yield make_line(f"{name} vs float32, size", q.bytes_after / 1e3, q.bytes_before / 1e3, unit="KB", n=1, note=note)


if __name__ == "__main__":
    main()
