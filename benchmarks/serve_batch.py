"""What shared runs (`tidewright serve --batch`) give 32 clients of an LSTM, and what they cost one.

python benchmarks/serve_batch.py    # two minutes

An LSTM of 64 over 96 steps, one row a request as binary tensors, one server process with `--batch 64` and one with
`--batch 0`, in turns, with the load generator of `serve.py`; 1 and 32 clients. Medians of rounds. Where the cores are
shared with other work the server's CPU seconds tell most. One JSON line a comparison goes to stdout and to
benchmarks/results/serve_batch.jsonl.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import serve
from session_overhead import LOOKBACK, save_ours

RESULTS = Path(__file__).parent / "results" / "serve_batch.jsonl"
WIDTHS, ROUNDS, CLIENTS = (64, 0), 4, (1, 32)
NOTE = "LSTM of 64 over 96 steps, a row a request, binary, {cores} cores shared with the clients; load {load:.0f}"
Found = dict[tuple[int, int], list[dict[str, float]]]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "lstm"
        save_ours("lstm", 1, place)
        found = measure(place)
    note = NOTE.format(cores=len(os.sched_getaffinity(0)), load=os.getloadavg()[0])
    lines = [compare(found, clients, key, note=note) for clients in CLIENTS for key in serve.UNITS]
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for line in lines:
        print(json.dumps(line))


def measure(place: Path) -> Found:
    """Both servers with every number of clients, in turns."""
    found: Found = {}
    for turn in range(ROUNDS):
        for batch in WIDTHS if turn % 2 == 0 else WIDTHS[::-1]:
            words = ["--batch", str(batch)]
            with serve.served(serve.OURS[1], place, given=request, more=words) as (port, process):
                for clients in CLIENTS:
                    before = serve.cpu_s(process)
                    told = serve.ask(port, request(port), clients)
                    told["cpu_us"] = (serve.cpu_s(process) - before) * 1e6 / told["asked"]
                    found.setdefault((batch, clients), []).append(told)
                    print(batch, clients, told, file=sys.stderr)
    return found


def compare(found: Found, clients: int, key: str, *, note: str) -> dict[str, Any]:
    """Shared runs against none."""
    ours, theirs = found[WIDTHS[0], clients], found[WIDTHS[1], clients]
    name = f"shared runs {clients} client{'s' if clients > 1 else ''} {key} vs --batch 0"
    one, two = serve.middle(ours, key), serve.middle(theirs, key)
    n = int(sum(told["count"] for told in ours))
    return {
        "name": name,
        "ours": one,
        "theirs": two,
        "unit": serve.UNITS[key],
        "ratio": one / two,
        "n": n,
        "note": note,
    }


def request(port: int) -> bytes:
    """The whole of a request."""
    row = np.random.default_rng(1).normal(size=(1, LOOKBACK)).astype(np.float32)
    return serve.write_request(row, path="/v2/models/lstm/infer", port=port, binary=True)


if __name__ == "__main__":
    main()
