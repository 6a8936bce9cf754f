"""The load of `serve.py`: clients that ask in turn over kept-alive sockets, in one process of its own.

python benchmarks/serve_load.py < order.json

The order: {"host", "port", "requests" (base64 of the whole of each; they are sent in turn), "clients", "seconds"}. One
JSON line comes back: requests a second, p10, p50 and p99 in milliseconds, the count, and how many were no 200.
"""

from __future__ import annotations

import base64
import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from itertools import cycle

WARM = 5


def main() -> None:
    order = json.load(sys.stdin)
    requests = cycle([base64.b64decode(one) for one in order["requests"]])
    print(json.dumps(load(order["host"], order["port"], requests, order["clients"], order["seconds"])))


def load(host: str, port: int, requests: Iterator[bytes], clients: int, seconds: float) -> dict[str, float]:
    """Every client sends, waits for the whole answer, and sends again."""
    sockets = {}
    for _ in range(clients):
        one = socket.create_connection((host, port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.settimeout(60)
        sockets[one.fileno()] = one
    for one in sockets.values():  # warm, and right
        for _ in range(WARM):
            one.sendall(next(requests))
            read_one(one)
    times, errors = ask_all(sockets, requests, seconds) if clients > 1 else ask_alone(one, requests, seconds)
    for one in sockets.values():
        one.close()
    times.sort()
    told = {
        "p10_ms": times[len(times) // 10] / 1e6,
        "p50_ms": times[len(times) // 2] / 1e6,
        "p99_ms": times[int(len(times) * 0.99)] / 1e6,
    }
    return {
        "rps": len(times) / seconds,
        **told,
        "count": len(times),
        "asked": len(times) + WARM * clients,
        "errors": errors,
    }


def ask_alone(one: socket.socket, requests: Iterator[bytes], seconds: float) -> tuple[list[int], int]:
    """One client, without a selector."""
    times, errors, end, clock = [], 0, time.perf_counter() + seconds, time.perf_counter_ns
    while time.perf_counter() < end:
        request = next(requests)
        started = clock()
        one.sendall(request)
        errors += not read_one(one)
        times.append(clock() - started)
    return times, errors


def ask_all(sockets: dict[int, socket.socket], requests: Iterator[bytes], seconds: float) -> tuple[list[int], int]:
    """Many clients by one selector."""
    poll, clock = select.epoll(), time.perf_counter_ns
    started, parts = {}, {}
    for number, one in sockets.items():
        poll.register(number, select.EPOLLIN)
        started[number], parts[number] = clock(), b""
        one.sendall(next(requests))
    times, errors, end = [], 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for number, _ in poll.poll(1):
            one = sockets[number]
            parts[number] += one.recv(1 << 20)
            if not whole(parts[number]):
                continue
            now = clock()
            times.append(now - started[number])
            errors += not parts[number].startswith(b"HTTP/1.1 200")
            started[number], parts[number] = clock(), b""
            one.sendall(next(requests))
    poll.close()
    return times, errors


def read_one(one: socket.socket) -> bool:
    """Reads one whole answer; whether its status was 200."""
    data = one.recv(1 << 20)
    while not whole(data):
        more = one.recv(1 << 20)
        if not more:
            raise ConnectionError(f"closed after {data[:200]!r}")
        data += more
    return data.startswith(b"HTTP/1.1 200")


def whole(data: bytes) -> bool:
    """Whether an answer is whole, by its content-length or its last chunk."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = data[:end].lower()
    place = head.find(b"content-length:")
    if place < 0:
        return data.endswith(b"0\r\n\r\n")
    length = int(head[place + 15 :].split(b"\r\n", 1)[0])
    return len(data) >= end + 4 + length


if __name__ == "__main__":
    main()
