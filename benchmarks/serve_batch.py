"""What shared runs (`tidewright serve --batch`) give 32 clients, and what they cost one.

python benchmarks/serve_batch.py [lstm] [slow] [mlp]    # two minutes each

An LSTM of 64 over 96 steps, which is answered on the loop, one row a request as binary tensors; an LSTM of 320 over
the same, which takes too long for that and queues; and the 100-64-32-16-1 network in JSON, whose rows cost next to
nothing. One server process with `--batch 64` and one with `--batch 0`, in turns, with the load generator of `serve.py`;
1 and 32 clients. Medians of rounds. Where the cores are shared with other work the server's CPU seconds tell most. One
JSON line a comparison goes to stdout and to benchmarks/results/serve_batch.jsonl; lines of other cases stay.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import serve
from session_overhead import LOOKBACK, SIZES, save_ours, write_network

RESULTS = Path(__file__).parent / "results" / "serve_batch.jsonl"
WIDTHS, ROUNDS, CLIENTS = (64, 0), 4, (1, 32)
CASES = {
    "lstm": "LSTM of 64 over 96 steps, a row a request, binary",
    "slow": "LSTM of 320 over 96 steps, which queues, a row a request, binary",
    "mlp": "100-64-32-16-1 network, a row a request, JSON",
}
NOTE = "{case}, {cores} cores shared with the clients; load {load:.0f}"
Found = dict[tuple[int, int], list[dict[str, float]]]


def main() -> None:
    for case in sys.argv[1:] or CASES:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / ("mlp" if case == "mlp" else "lstm")
            write_network(place) if case == "mlp" else save_ours(case, 1, place)
            found = measure(place, case)
        note = NOTE.format(case=CASES[case], cores=len(os.sched_getaffinity(0)), load=os.getloadavg()[0])
        keep([compare(found, clients, key, case=case, note=note) for clients in CLIENTS for key in serve.UNITS])


def keep(lines: list[dict[str, Any]]) -> None:
    """Prints the lines, and puts them in the place of those of the same names."""
    names = {line["name"] for line in lines}
    old = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    kept = [line for line in old if line["name"] not in names]
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in [*kept, *lines]))
    for line in lines:
        print(json.dumps(line), flush=True)


def measure(place: Path, case: str) -> Found:
    """Both servers with every number of clients, in turns."""
    found: Found = {}
    given = partial(request, case)
    for turn in range(ROUNDS):
        for batch in WIDTHS if turn % 2 == 0 else WIDTHS[::-1]:
            words = ["--batch", str(batch)]
            with serve.served(serve.OURS[1], place, given=given, more=words) as (port, process):
                for clients in CLIENTS:
                    before = serve.cpu_s(process)
                    told = serve.ask(port, [given(port)], clients)
                    told["cpu_us"] = (serve.cpu_s(process) - before) * 1e6 / told["asked"]
                    found.setdefault((batch, clients), []).append(told)
                    print(case, batch, clients, told, file=sys.stderr)
    return found


def compare(found: Found, clients: int, key: str, *, case: str, note: str) -> dict[str, Any]:
    """Shared runs against none."""
    ours, theirs = found[WIDTHS[0], clients], found[WIDTHS[1], clients]
    name = f"{case} shared runs {clients} client{'s' if clients > 1 else ''} {key} vs --batch 0"
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


def request(case: str, port: int) -> bytes:
    """The whole of a request."""
    json_alone = case == "mlp"
    row = np.random.default_rng(1).normal(size=(1, SIZES[0] if json_alone else LOOKBACK)).astype(np.float32)
    name = "mlp" if json_alone else "lstm"
    return serve.write_request(row, path=f"/v2/models/{name}/infer", port=port, binary=not json_alone)


if __name__ == "__main__":
    main()
