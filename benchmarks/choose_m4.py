"""Chooses on validation how each model learns M4 Hourly; the test file is not opened here.

    python benchmarks/choose_m4.py --models nlinear

A candidate's criterion is its OWA over three forecasts a series, 96, 72 and 48 hours before the end of the training
file, one seed. All candidates are tried, and the best is what the board uses.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

from board_m4 import judge_options
from board_trials import Own, choose

TAUGHT: Own = {"loss": "mae", "steps": 100, "epochs": 20, "patience": 4}
SLOWLY: Own = {**TAUGHT, "learning_rate": 5e-4, "epochs": 25, "patience": 5}
LAGS = (*range(1, 25), 48, 72, 96, 120, 144, 167, 168, 169, 192, 336)
TREES: Own = {"rounds": 1000, "most_rows": 150_000, "leaves": 63, "lags": LAGS}
BEFORE: Own = {**TREES, "loss": "median", "around": (-1, 0, 1)}
CANDIDATES: dict[str, list[Own]] = {
    "nlinear": [
        {"lookback": 336, "train": TAUGHT},
        {"lookback": 504, "train": TAUGHT},
        {"lookback": 504, "log": 0.0, "train": TAUGHT},
    ],
    "nhits": [
        {"lookback": 336, "train": TAUGHT},
        {"lookback": 336, "train": SLOWLY},
        {"lookback": 336, "log": 0.0, "train": SLOWLY},
    ],
    "tide": [
        {"lookback": 336, "log": 0.0, "train": SLOWLY},
    ],
    "lear": [
        {"lookback": 336, "model": {"lags": tuple(range(1, 15))}},
        {"lookback": 336, "model": {"lags": tuple(range(1, 15)), "squash": False}},
    ],
    "lightgbm": [
        {"lookback": 336, "model": {}},
        {"lookback": 336, "model": TREES},
        {"lookback": 504, "model": {**TREES, "lags": (*LAGS, 504), "leaves": 127, "min_leaf": 20}},
        {"lookback": 336, "model": {**BEFORE, "unit": "growth"}},
        {"lookback": 336, "log": 0.0, "model": {**BEFORE, "unit": "season"}},
    ],
    "ensemble": [
        {"members": ["lightgbm", "nhits", "nlinear"], "rule": "greedy"},
        {"members": ["lightgbm", "nhits", "nlinear"], "rule": "mean"},
        {"members": ["lightgbm", "nhits"], "rule": "mean"},
        {"members": ["lightgbm", "nhits", "nlinear", "lear"], "rule": "mean"},
        {"members": ["lightgbm", "nhits", "nlinear", "tide"], "rule": "mean"},
        {"members": ["lightgbm", "nhits", "nlinear", "tide"], "rule": "median"},
        {"members": ["lightgbm", "nhits", "nlinear", "tide"], "rule": "greedy"},
        {"members": ["lightgbm", "nhits", "tide"], "rule": "mean"},
    ],
}

if __name__ == "__main__":
    choose("m4", candidates=CANDIDATES, judge=judge_options, about=__doc__)
