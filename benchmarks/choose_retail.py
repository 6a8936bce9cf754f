"""Chooses on validation how each model learns Walmart's sales; neither test is opened here.

    python benchmarks/choose_retail.py --models lightgbm

A candidate's criterion is the mean of MASE and WAPE, each as a share of damped's, over the weeks to 2011-10-28 as
forecast 21 and 13 weeks before, one seed. All candidates are tried, and the best is what the boards use.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

from board_retail import judge_options
from board_trials import Own, choose

TREES: Own = {
    "rounds": 200,
    "leaves": 31,
    "min_leaf": 200,
    "feature_share": 0.5,
    "row_share": 0.5,
    "lags": (1, 2, 3, 4),
    "rolling": (4, 13, 26, 52),
    "statistics": ("mean", "std"),
    "ratios": (2, 4, 8, 13),
    "around": (-2, -1, 0, 1, 2),
    "unit": "growth",
    "loss": "median",
    "most_rows": 600_000,
}
USUAL: Own = {"lookback": 66, "stride": 4}
BY_SALES: Own = {**TREES, "weigh": "target"}
CANDIDATES: dict[str, list[Own]] = {
    "lightgbm": [
        {**USUAL, "model": TREES},
        {**USUAL, "model": {**TREES, "unit": "season"}},
        {**USUAL, "model": {**TREES, "leaves": 15}},
        {**USUAL, "model": {**TREES, "ratios": (), "around": ()}},
        {**USUAL, "model": {**TREES, "align": "season_shift"}},
    ],
    "lightgbm_target": [
        {**USUAL, "model": BY_SALES},
        {**USUAL, "model": {**BY_SALES, "align": "season_shift"}},
    ],
    "ensemble": [
        {"members": ["lightgbm", "lightgbm_target"], "seeds": 1},
        {"members": ["lightgbm", "lightgbm_target"], "seeds": 3},
        {"members": ["lightgbm", "lightgbm_target", "damped"], "seeds": 3},
    ],
}

if __name__ == "__main__":
    choose("retail", candidates=CANDIDATES, judge=judge_options, about=__doc__)
