"""Chooses on a year of validation days how each model learns the day-ahead prices; the test is not opened here.

    python benchmarks/choose_prices.py --models lear,lightgbm

A candidate's criterion is its validation MASE as a share of the seasonal naive's, the mean of BE and DE, one seed. All
candidates are tried, and the best is what the board uses.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

from board_prices import judge_options
from board_trials import Own, choose

DAILY: Own = {"stride": 24, "relative": True}  # it learns from the midnights that it is asked at
USUAL: Own = {**DAILY, "lookback": 336, "calendar": True}
TAUGHT: Own = {"loss": "mae", "batch_size": 64, "steps": 100, "epochs": 40, "patience": 6, "learning_rate": 5e-4}
OFTEN: Own = {**TAUGHT, "batch_size": 128, "epochs": 20, "patience": 4}
CANDIDATES: dict[str, list[Own]] = {
    "lear": [
        {**DAILY, "lookback": 1344, "calendar": []},
        {**DAILY, "lookback": 336, "calendar": []},
        {**DAILY, "lookback": 672, "calendar": []},
        {**DAILY, "lookback": 1344, "calendar": [], "relative": False},
        {**DAILY, "lookback": 1344, "calendar": [], "model": {"squash": False}},
        {**DAILY, "lookback": 1344, "calendar": ["weekday"]},
        {**DAILY, "lookback": 1344, "calendar": [], "model": {"lags": (1, 2, 3, 4, 5, 6, 7)}},
        {**DAILY, "lookback": 1344, "calendar": [], "model": {"lags": (1, 7)}},
        {**DAILY, "lookback": 2016, "calendar": []},
    ],
    "lightgbm": [
        USUAL,
        {**USUAL, "relative": False},
        {**USUAL, "lookback": 672},
        {**USUAL, "lookback": 1344},
        {**USUAL, "lookback": 672, "model": {"rounds": 600, "learning_rate": 0.03, "feature_share": 0.5}},
        {**USUAL, "lookback": 672, "stride": 6},
    ],
    "feedforward": [
        {**USUAL, "lookback": 168, "train": TAUGHT},
        {**USUAL, "lookback": 168, "train": TAUGHT, "model": {"dropout": 0.3}},
        {**USUAL, "lookback": 168, "train": OFTEN, "stride": 6},
        {**USUAL, "lookback": 336, "train": OFTEN, "stride": 6, "model": {"dropout": 0.3}},
    ],
    "itransformer": [{**USUAL, "lookback": 336, "train": TAUGHT}],
    "tide": [{**USUAL, "lookback": 168, "train": TAUGHT}],
    "ensemble": [
        {"members": ["lear", "lightgbm"]},
        {"members": ["lear", "lightgbm", "feedforward"]},
        {"members": ["lear", "lightgbm", "feedforward", "itransformer", "tide"]},
    ],
}

if __name__ == "__main__":
    choose("prices", candidates=CANDIDATES, judge=judge_options, about=__doc__)
