"""Public boards replayed by their own protocols: ours beside the published rows, with floors, seeds and CPU seconds.

    python benchmarks/boards.py --board ett96 --models nlinear,patchtst --seeds 2
    python benchmarks/boards.py --choose 96 --models nlinear     # ETTh1: options, on validation alone
    python benchmarks/boards.py --write            # docs/boards.md from the lines that were measured

Boards: ett96, ett192, ett336, ett720 (ETTh1), BE, DE (day-ahead prices), m4 (M4 Hourly), walmart, walmart_holidays.
Every choice is made on validation inside the training part; the test is scored once for each model. How a board is run,
and with which options, stands in board_ett.py, board_prices.py, board_m4.py and board_retail.py beside this script. One
JSON line a result goes to stdout and to benchmarks/results/boards.jsonl, of Walmart to retail.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

from tell import add

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

import numpy as np
from board_ett import ETT_NOTE, best_on_validation, run_ett
from board_fit import DATA, ROOT
from board_m4 import M4_NOTE, run_m4
from board_prices import PRICE_NOTE, run_price
from board_published import PUBLISHED
from board_retail import RETAIL_NOTE, run_holidays, run_retail
from choose_ett import choose

from tidewright.errors import RepairWarning
from tidewright.models.spec import FLOORS

RESULTS = ROOT / "benchmarks" / "results" / "boards.jsonl"
RETAIL = ROOT / "benchmarks" / "results" / "retail.jsonl"
PAGE = ROOT / "docs" / "boards.md"
NOTES = {
    "ett96": ETT_NOTE,
    "BE": PRICE_NOTE,
    "m4": M4_NOTE,
    "walmart": RETAIL_NOTE,
}  # before the first board that each is about
BOARDS: dict[str, Callable[..., dict[str, float]]] = {
    **{f"ett{h}": (lambda name, seed, h=h: run_ett(name, horizon=h, seed=seed)) for h in (96, 192, 336, 720)},
    **{place: (lambda name, seed, place=place: run_price(name, place=place, seed=seed)) for place in ("BE", "DE")},
    "m4": lambda name, seed: run_m4(name, seed=seed),
    "walmart": lambda name, seed: run_retail(name, seed=seed),
    "walmart_holidays": lambda name, seed: run_holidays(name, seed=seed),
}


def measure(board: str, name: str, *, seed: int) -> dict[str, Any]:
    """One model on one board, with one seed."""
    cpu = time.process_time()
    scores = BOARDS[board](name, seed)
    spent = time.process_time() - cpu
    return {"board": board, "model": name, "seed": seed, "cpu_s": round(spent, 1)} | {
        k: round(float(v), 5) for k, v in scores.items()
    }


def write_page() -> None:
    """docs/boards.md, from the newest line of every board, model and seed."""
    newest: dict[tuple[str, str, int], dict[str, Any]] = {}
    for line in [line for path in (RESULTS, RETAIL) for line in path.read_text().splitlines()]:
        row = json.loads(line)
        newest[row["board"], row["model"], row["seed"]] = row
    parts = [
        "# Boards\n\n"
        "Written by `benchmarks/boards.py` from what it measured (`boards.jsonl` and `retail.jsonl` in\n"
        "`benchmarks/results/`), by the boards' own protocols. Choices are made on validation; what was known of the\n"
        "test before stands with each board. Lower is better.\n"
    ]
    for board, published in PUBLISHED.items():
        ours = [row for key, row in newest.items() if key[0] == board]
        if ours:
            parts += [NOTES[board]] if board in NOTES else []
            parts.append(_section(board, published, ours))
            parts += [f"Best of ours on validation: **{best_on_validation(ours)}**.\n"] if board[:3] == "ett" else []
    PAGE.write_text("\n".join(parts))


def _section(board: str, published: dict[str, dict[str, float]], ours: list[dict[str, Any]]) -> str:
    metrics = list(dict.fromkeys(metric for figures in published.values() for metric in figures))
    lines = [
        f"## {board}\n",
        f"| system | {' | '.join(metrics)} | seeds | CPU s |",
        f"|---|{'---|' * len(metrics)}---|---|",
    ]
    rows: list[tuple[float, str]] = []
    for name in dict.fromkeys(row["model"] for row in ours):
        runs = [row for row in ours if row["model"] == name]
        cells = []
        for metric in metrics:
            values = [row[metric] for row in runs if metric in row]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 and statistics.stdev(values) > 5e-4 else ""
            cells.append(f"{_digits(statistics.mean(values))}{spread}" if values else "")
        cost = statistics.mean(row["cpu_s"] for row in runs)
        first = statistics.mean(row[metrics[0]] for row in runs)
        kind = "floor" if name in FLOORS else "ours"
        rows.append((first, f"| **{name}** ({kind}) | {' | '.join(cells)} | {len(runs)} | {cost:.0f} |"))
    for name, figures in published.items():
        cells = [_digits(figures[m]) if m in figures else "" for m in metrics]
        rows.append((next(iter(figures.values())), f"| {name} | {' | '.join(cells)} | | |"))
    return "\n".join([*lines, *(text for _, text in sorted(rows))]) + "\n"


def _digits(value: float) -> str:
    return f"{value:.3f}" if value < 100 else f"{value:.1f}"


def main() -> None:
    """Measures what is asked for and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--board", choices=[*BOARDS], action="append", default=[])
    parser.add_argument("--models", default="ridge")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--choose", type=int, choices=(96, 336), action="append", default=[], metavar="HORIZON")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"the boards' data are not at {DATA.name} beside the project: nothing to measure")
    warnings.simplefilter("ignore", RepairWarning)
    np.seterr(all="ignore")
    RESULTS.parent.mkdir(exist_ok=True)
    for horizon in asked.choose:
        for name in asked.models.split(","):
            choose(name, horizon=horizon)
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    for seed, board, name in product(seeds, asked.board, asked.models.split(",")):
        if seed == 0 or name not in FLOORS:
            add(measure(board, name, seed=seed), out=RETAIL if board.startswith("walmart") else RESULTS)
    if asked.write:
        write_page()


if __name__ == "__main__":
    main()
