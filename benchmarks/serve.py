"""What a request costs: `tidewright serve` against LitServe, MLServer and FastAPI with pydantic, over one graph.

python benchmarks/serve.py             # peers are installed into .venv-serve, once
python benchmarks/serve.py --no-peers  # ours alone

One process serves (uvicorn for ours; one worker for each peer; MLServer without its worker process, which does not
start with uvloop 0.23), one row of the 100-64-32-16-1 network a request (another each time), over kept connections on
loopback; 1 and 32 clients in a process of their own over plain sockets, a few seconds each, every server in turns,
twice. What the machine itself takes is measured beside them: servers that say the same to all (`serve_floor.py`).
Medians. Where the cores are shared with other work, the tenth percentile and the server's CPU seconds tell more than
the median. One JSON line a comparison goes to stdout and to benchmarks/results/serve.jsonl.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from session_overhead import SIZES, locked, write_network

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "serve.jsonl"
PEERS = ROOT / ".venv-serve"
WANTED = ("litserve", "mlserver", "fastapi", "uvicorn", "httptools", "uvloop", "onnxruntime")
CLIENTS, SECONDS, ROUNDS, WAIT_S = (1, 32), 3.0, 2, 60.0
ROWS = 500  # rows that are asked for in turn
PATH = "/v2/models/mlp/infer"
UNITS = {"rps": "requests/s", "p10_ms": "ms", "p50_ms": "ms", "p99_ms": "ms", "cpu_us": "CPU us a request"}
OURS = ("tidewright json", "tidewright binary")
FLOORS = ("httptools alone", "uvicorn alone")
NOTE = (
    "one row of 100-64-32-16-1 a request, another each time, one server process, loopback, {cores} cores shared with "
    "the clients"
)
Found = dict[tuple[str, int], list[dict[str, float]]]


def main() -> None:
    names = [*OURS, *FLOORS] if "--no-peers" in sys.argv else [*OURS, *FLOORS, "mlserver", "litserve", "fastapi"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "mlp"
        write_network(place)
        found = measure(names, place)
    lines = [*(compare(found, names)), *(describe(found, name) for name in (*OURS, *FLOORS))]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for line in lines:
        print(json.dumps(line))


def measure(names: list[str], place: Path) -> Found:
    """Every server with every number of clients, in turns."""
    found: Found = {}
    for turn in range(ROUNDS):
        for name in names if turn % 2 == 0 else names[::-1]:
            with served(name, place) as (port, process):
                for clients in CLIENTS:
                    before = cpu_s(process)
                    told = ask(port, requests(name, port), clients)
                    told["cpu_us"] = (cpu_s(process) - before) * 1e6 / told["asked"]
                    found.setdefault((name, clients), []).append(told)
                    print(name, clients, told, file=sys.stderr)
    return found


def compare(found: Found, names: list[str]) -> Iterator[dict[str, Any]]:
    """Ours in JSON, which all of them speak, against each peer."""
    for name in names:
        if name in OURS:
            continue
        for clients in CLIENTS:
            ours, theirs = found[OURS[0], clients], found[name, clients]
            case = f"json {clients} client{'s' if clients > 1 else ''}"
            for key, unit in UNITS.items():
                yield line(f"{case} {key} vs {name}", middle(ours, key), middle(theirs, key), unit, ours)


def describe(found: Found, name: str) -> dict[str, Any]:
    """One client's median time against the aim of 0.15 ms."""
    ours = found[name, 1]
    return line(f"{name} 1 client p50_ms vs the aim", middle(ours, "p50_ms"), 0.15, "ms", ours)


def middle(told: list[dict[str, float]], key: str) -> float:
    return median(one[key] for one in told)


def line(name: str, ours: float, theirs: float, unit: str, told: list[dict[str, float]]) -> dict[str, Any]:
    note = NOTE.format(cores=len(os.sched_getaffinity(0))) + f"; load {os.getloadavg()[0]:.0f}"
    n = int(sum(one["count"] for one in told))
    return {"name": name, "ours": ours, "theirs": theirs, "unit": unit, "ratio": ours / theirs, "n": n, "note": note}


def requests(name: str, port: int) -> list[bytes]:
    """The whole of each request, the protocol's JSON or its binary tensors: no two have the same numbers."""
    rows = np.random.default_rng(1).normal(size=(ROWS, 1, SIZES[0])).astype(np.float32)
    return [write_request(row, path=PATH, port=port, binary=name.endswith("binary")) for row in rows]


def write_request(row: Any, *, path: str, port: int, binary: bool) -> bytes:
    """The same of any row and model."""
    tensor: dict[str, Any] = {"name": "target", "shape": list(row.shape), "datatype": "FP32"}
    asked: dict[str, Any] = {"inputs": [tensor]}
    extra, tail = b"", b""
    if binary:
        tensor["parameters"] = {"binary_data_size": row.nbytes}
        asked["parameters"] = {"binary_data_output": True}
        extra, tail = b"Inference-Header-Content-Length: %d\r\n" % len(json.dumps(asked)), row.tobytes()
    else:
        tensor["data"] = [round(float(value), 6) for value in row[0]]
    body = json.dumps(asked).encode() + tail
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n".encode()
    return head + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


def ask(port: int, given: Sequence[bytes], clients: int) -> dict[str, float]:
    """The load of a process of its own."""
    sent = [base64.b64encode(one).decode() for one in given]
    order = {"host": "127.0.0.1", "port": port, "requests": sent}
    words = [sys.executable, str(ROOT / "benchmarks" / "serve_load.py")]
    text = json.dumps({**order, "clients": clients, "seconds": SECONDS})
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=True, timeout=SECONDS + 60)
    told: dict[str, float] = json.loads(done.stdout)
    assert not told["errors"], told
    return told


@contextmanager
def served(
    name: str, place: Path, *, given: Callable[[int], bytes] | None = None, more: Sequence[str] = ()
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server at a free port, until the block ends. `given` is the request that it answers when it is up, by port;
    `more` are further words of its command.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    words = [*command(name, place, port), *more]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            words, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=place.parent
        )
        try:
            await_answer(port, requests(name, port)[0] if given is None else given(port), process)
            yield port, process
        finally:
            os.killpg(process.pid, 15)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)


def command(name: str, place: Path, port: int) -> list[str]:
    """What starts a server."""
    if name in FLOORS:
        return [sys.executable, str(ROOT / "benchmarks" / "serve_floor.py"), name.split(maxsplit=1)[0], str(port)]
    if name in OURS:
        return [sys.executable, "-m", "tidewright", "serve", str(place), "--port", str(port), "--watch", "0"]
    python = make_peers()
    if name != "mlserver":
        return [python, str(ROOT / "benchmarks" / "serve_peers.py"), name, str(place / "model.onnx"), str(port)]
    folder = place.parent / "mlserver"
    folder.mkdir(exist_ok=True)
    (folder / "serve_peers.py").write_text((ROOT / "benchmarks" / "serve_peers.py").read_text())
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2, "parallel_workers": 0}
    (folder / "settings.json").write_text(json.dumps({**ports, "host": "127.0.0.1", "debug": False}))
    model = {"name": "mlp", "implementation": "serve_peers.Mlp", "parameters": {"uri": str(place / "model.onnx")}}
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [str(PEERS / "bin" / "mlserver"), "start", str(folder)]


def await_answer(port: int, given: bytes, process: subprocess.Popen[bytes]) -> None:
    """Until the server answers the request as it should."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
                one.sendall(given)
                if one.recv(65_536).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"no answer at port {port}; the process's code is {process.poll()}")


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """The CPU seconds of all processes of the server's session, so far."""
    ticks = 0
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[3]) == process.pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def make_peers() -> str:
    """The Python of the peers' environment, made where it is missing; one process at a time makes it."""
    python = PEERS / "bin" / "python"
    look = f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {WANTED})))"
    with locked(ROOT / "benchmarks"):
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        if subprocess.run([python, "-c", look], check=False).returncode:
            print(f"installing {', '.join(WANTED)} into .venv-serve (minutes, once) ...", file=sys.stderr)
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *WANTED], check=True)
    return str(python)


if __name__ == "__main__":
    main()
