"""Fits of many assets, in this process or in several that it starts: the same call either way, so the same numbers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

import numpy as np

from tidewright.errors import FitError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.volatility.catalog import VolatilitySpec
from tidewright.portfolio.volatility.outcome import Outcome, fail, find_fault
from tidewright.runtime import environment

ROUNDS = 8  # chunks a worker gets, so that one with hard assets holds up nobody
LARGEST = 32  # assets of a chunk
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA")}


@dataclass(frozen=True, slots=True)
class AssetFitted:
    """One asset's model is there, or could not be: then `failure` says why. `done` of `total` are over."""

    asset: str
    done: int
    total: int
    failure: str = ""


Callback = Callable[[AssetFitted], object]


def fit_all(
    spec: VolatilitySpec, returns: FloatArray, *, assets: Sequence[str], workers: int, callbacks: Sequence[Callback]
) -> list[Outcome]:
    """The outcomes for returns [T, A], in the assets' order; callbacks hear of them as they come."""
    workers = min(workers, len(assets))
    size = min(LARGEST, -(-len(assets) // (workers * ROUNDS))) if workers > 1 else 1
    found: dict[int, Outcome] = {}
    chunks = [range(first, min(first + size, len(assets))) for first in range(0, len(assets), size)]
    given = ((chunk, np.ascontiguousarray(returns[:, chunk.start : chunk.stop].T)) for chunk in chunks)
    for chunk, outcomes in _run(spec, given, workers=workers):
        for asset, outcome in zip(chunk, outcomes, strict=True):
            found[asset] = outcome
            event = AssetFitted(assets[asset], len(found), len(assets), outcome.failure)
            for callback in callbacks:
                callback(event)
    return [found[asset] for asset in range(len(assets))]


def fit_some(spec: VolatilitySpec, rows: FloatArray) -> list[Outcome]:
    """The outcomes for returns [A, T], one after the other."""
    return [_fit_one(spec, row) for row in rows]


def _fit_one(spec: VolatilitySpec, returns: FloatArray) -> Outcome:
    fault = find_fault(returns)
    if fault:
        return fail(fault)
    if spec.model == "ewma":
        from tidewright.portfolio.volatility.ewma import fit_ewma

        return fit_ewma(spec, returns)
    from tidewright.portfolio.volatility.arch_model import fit_arch

    return fit_arch(spec, returns)


def _run(
    spec: VolatilitySpec, given: Iterator[tuple[range, FloatArray]], *, workers: int
) -> Iterator[tuple[range, list[Outcome]]]:
    if workers == 1:
        for chunk, rows in given:
            yield chunk, fit_some(spec, rows)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin)
    try:
        with environment(ONE_THREAD):  # a worker is started when a chunk is handed in
            asked: Mapping[Future[list[Outcome]], range] = {
                pool.submit(fit_some, spec, rows): chunk for chunk, rows in given
            }
        for answer in as_completed(asked):
            yield asked[answer], answer.result()
    except BrokenProcessPool as error:
        raise FitError(
            "a worker process ended before its fits were done; its own words, if any, are on stderr. A script must "
            f"make its call under if __name__ == '__main__', and memory must suffice for {workers} processes; or "
            "leave out workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """A worker leaves interrupts to the process that started it, and ends with that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None, "a worker is started"
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(parent: int) -> None:
    wait([parent])
    os._exit(1)
