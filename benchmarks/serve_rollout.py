"""What a shadow (`tidewright serve --shadow`) and a split (`--split`) cost those who ask.

python benchmarks/serve_rollout.py    # a minute and a half

The 100-64-32-16-1 network twice in a store, champion and challenger; one row a request in JSON with a key, 1 and 32
clients that ask without a pause, a server alone, one with a shadow and one with a split, in turns, with the load
generator of `serve.py`. Medians of rounds. Where the cores are shared with other work the tenth percentile and the
server's CPU tell most; of the shadow's CPU a part is its own answers, whose number a line says. One JSON line a
comparison goes to stdout and to benchmarks/results/serve_rollout.jsonl.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import serve
from session_overhead import SIZES, write_network

from tidewright.registry.store import open_store

RESULTS = Path(__file__).parent / "results" / "serve_rollout.jsonl"
MODES = {"alone": [], "shadow": ["--shadow", "mlp"], "split": ["--split", "mlp=champion:50,challenger:50"]}
ROUNDS, CLIENTS = 3, (1, 32)
NOTE = "100-64-32-16-1 network, a row a request, JSON, {cores} cores shared with the clients; load {load:.0f}"
COPIES = re.compile(r'tidewright_shadow_total\{.*outcome="answered".*\} (\d+)')
Found = dict[tuple[str, int], list[dict[str, float]]]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "mlp"
        write_network(place)
        store = open_store(Path(folder) / "store")
        for _ in range(2):
            store.register("mlp", place)
        found = measure(store.folder)
    lines = [
        compare(found, mode, clients, key)
        for mode in MODES
        if mode != "alone"
        for clients in CLIENTS
        for key in ("rps", "p10_ms", "p50_ms", "p99_ms", "cpu_us")
    ]
    lines += [shown(found, clients) for clients in CLIENTS]
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for line in lines:
        print(json.dumps(line))


def measure(place: Path) -> Found:
    """Every server with every number of clients, in turns."""
    found: Found = {}
    for turn in range(ROUNDS):
        for mode in list(MODES)[:: 1 if turn % 2 == 0 else -1]:
            with serve.served(serve.OURS[1], place, given=request, more=MODES[mode]) as (port, process):
                for clients in CLIENTS:
                    cpu, copies = serve.cpu_s(process), count_copies(port)
                    told = serve.ask(port, [request(port)], clients)
                    told["cpu_us"] = (serve.cpu_s(process) - cpu) * 1e6 / told["asked"]
                    told["copies"] = count_copies(port) - copies
                    found.setdefault((mode, clients), []).append(told)
                    print(mode, clients, told, file=sys.stderr)
    return found


def request(port: int) -> bytes:
    """The whole of a request, with a key."""
    row = np.random.default_rng(1).normal(size=(1, SIZES[0])).astype(np.float32)
    given = serve.write_request(row, path="/v2/models/mlp/infer", port=port, binary=False)
    return given.replace(b"Content-Type", b"X-Split-Key: customer-7\r\nContent-Type", 1)


def count_copies(port: int) -> int:
    """How many copies the shadow has answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as told:
        return sum(int(one) for one in COPIES.findall(told.read().decode()))


def compare(found: Found, mode: str, clients: int, key: str) -> dict[str, Any]:
    """A server with a shadow or a split against one without."""
    ours, theirs = (serve.middle(found[one, clients], key) for one in (mode, "alone"))
    n = int(sum(one["count"] for one in found[mode, clients]))
    unit = {"rps": "1/s", "cpu_us": "us"}.get(key, "ms")
    name = f"{mode} {clients} client{'s' if clients > 1 else ''} {key} vs alone"
    return {"name": name, "ours": ours, "theirs": theirs, "unit": unit, "ratio": ours / theirs, "n": n, "note": note()}


def shown(found: Found, clients: int) -> dict[str, Any]:
    """How many of the requests the shadow answered too."""
    told = found["shadow", clients]
    ours, theirs = (median(one[key] for one in told) for key in ("copies", "asked"))
    name = f"shadow {clients} client{'s' if clients > 1 else ''} copies answered vs requests"
    n = int(sum(one["count"] for one in told))
    return {"name": name, "ours": ours, "theirs": theirs, "unit": "1", "ratio": ours / theirs, "n": n, "note": note()}


def note() -> str:
    return NOTE.format(cores=len(os.sched_getaffinity(0)), load=os.getloadavg()[0])


if __name__ == "__main__":
    main()
