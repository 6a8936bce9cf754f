"""The part of the page on the sealed model: what it is, that it answers like the original, and how fast."""

from __future__ import annotations

import math
from pathlib import Path

from tidewright.report.blocks import Cell, Column, Facts, Row, Section, Table
from tidewright.report.numbers import write_number, write_percent, write_tiny
from tidewright.workflows.result import RunResult, Serving


def tell_bundle(result: RunResult) -> Section:
    """Path, digest, parity and latency of the bundle."""
    serving = result.serving
    lead = (
        f"{result.leaderboard.winner} is sealed in one folder: {'' if serving.parity is None else 'graph, '}weights, "
        "input schema, an example with its answer, and the sha256 "
        f"digest of every file. It answers through {serving.backend}."
    )
    facts = Facts(
        (
            ("Folder", Cell(name_path(serving.path, result.folder), small="relative to this file's folder")),
            ("Digest (sha256)", Cell(serving.digest, tone="muted")),
            ("Backend", Cell(serving.backend, small=serving.settings)),
            ("Largest difference from the eager model", _parity(serving)),
        )
    )
    return Section("bundle", "The bundle", lead, [Row((facts, _latency(result)))])


def _parity(serving: Serving) -> Cell:
    if serving.parity is None:
        return Cell("none", small=serving.backend_reason)
    within = serving.parity <= serving.tolerance
    return Cell(
        write_tiny(serving.parity),
        small=f"of the window's scale; allowed {write_tiny(serving.tolerance)}",
        tone="good" if within else "bad",
        mark="within tolerance" if within else "beyond tolerance",
    )


def name_path(path: Path, folder: Path) -> str:
    """A path as it is seen from the run's folder; its bare name when it lies elsewhere.

    >>> name_path(Path("runs/a/bundle"), Path("runs/a")), name_path(Path("elsewhere/bundle"), Path("runs/a"))
    ('bundle', 'bundle')
    """
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


def _latency(result: RunResult) -> Table:
    serving = result.serving
    named = {"p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99"}
    rows = [
        (Cell(f"{serving.backend}, {named.get(key, key)}"), _span(value))
        for key, value in serving.latency_ms.items()
        if key in named
    ]
    rows.append((Cell("eager, p50"), _span(serving.eager_ms)))
    median = serving.latency_ms.get("p50_ms", math.nan)
    ratio = serving.eager_ms / median if median > 0 else math.nan
    told = (
        f"The sealed model takes {write_percent(median / serving.eager_ms, decimals=0)} of the eager model's time"
        if ratio > 0 and math.isfinite(ratio)
        else "The two can't be compared: a latency is missing"
    )
    return Table(
        (Column("One row"), Column("Latency", "ms", number=True)),
        tuple(rows),
        caption=f"{told}.",
        sortable=False,
    )


def _span(value: float) -> Cell:
    return Cell(write_number(value, digits=3), value=value)
