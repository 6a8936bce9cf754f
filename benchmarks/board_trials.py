"""Trials on validation: options that were tried for a model on a board, and the best of them.

A trial is a line in benchmarks/results/choices_BOARD.jsonl: the model, its options ("own", see board_fit.py), and its
criterion, which the board defines and of which less is better. A trial that stands there is not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from board_fit import DATA, ROOT
from tell import add

from tidewright.errors import RepairWarning

Own = dict[str, Any]
Judge = Callable[[str, Own], dict[str, float]]  # its first number is the criterion


def best_own(board: str, name: str) -> Own:
    """The options of the best trial of a model."""
    trials = [row for row in read_trials(board) if row["model"] == name]
    if not trials:
        sys.exit(f"no trial of {name} on {board} is kept: run choose_{board}.py --models {name} first")
    best: Own = min(trials, key=lambda row: float(row["criterion"]))["own"]
    return best


def read_trials(board: str) -> list[dict[str, Any]]:
    """All trials that were made on a board, oldest first."""
    path = _path(board)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def choose(board: str, *, candidates: Mapping[str, Sequence[Own]], judge: Judge, about: str | None) -> None:
    """Tries the candidates of the models that the command line names (default: all)."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--models", default=",".join(candidates))
    asked = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"the boards' data are not at {DATA.name} beside the project: nothing to choose on")
    warnings.simplefilter("ignore", RepairWarning)
    np.seterr(all="ignore")
    for name in asked.models.split(","):
        for own in candidates[name]:
            _try_once(board, name, json.loads(json.dumps(own)), judge=judge)


def _try_once(board: str, name: str, own: Own, *, judge: Judge) -> None:
    if any((row["model"], row["own"]) == (name, own) for row in read_trials(board)):
        return
    started = time.process_time()
    found = judge(name, own)
    spent = round(time.process_time() - started, 1)
    criterion = round(next(iter(found.values())), 5)
    line = {"model": name, "criterion": criterion, "cpu_s": spent}
    line |= {what: round(value, 5) for what, value in found.items()} | {"own": own}
    add(line, out=_path(board))


def _path(board: str) -> Any:
    return ROOT / "benchmarks" / "results" / f"choices_{board}.jsonl"
