"""Public boards replayed by their own protocols: ours beside the published rows, with floors, seeds and CPU seconds.

    python benchmarks/boards.py --board ett96 --models nlinear,patchtst --seeds 2
    python benchmarks/boards.py --write            # docs/boards.md from the lines that were measured

Boards: ett96, ett192, ett336, ett720 (ETTh1), BE, DE (day-ahead prices), m4 (M4 Hourly). Every choice is made on
validation inside the training part; the test is scored once for each model. A model's options for a board stand in
`SETTINGS`, chosen on validation. One JSON line a result goes to stdout and to benchmarks/results/boards.jsonl.
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
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import polars as pl

from tidewright.data.border import read_table
from tidewright.data.layout import melt_columns, melt_rows
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split, split_holdout, without_test
from tidewright.data.task import Task
from tidewright.errors import RepairWarning
from tidewright.features.view import View
from tidewright.features.windows import cut_windows, newest_windows
from tidewright.metrics.accuracy import Scored, owa, past_scale, score, seasonal_scale
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.models.spec import FLOORS
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import fit, keep_covariates, usual_view
from tidewright.training.spec import TrainSpec

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "benchmarks" / "results" / "boards.jsonl"
PAGE = ROOT / "docs" / "boards.md"
LEVELS = (0.1, 0.5, 0.9)

# lookback, options of the model and of its training, by board and model; chosen on validation
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "ett": {
        "": {"lookback": 336, "train": {"loss": "mae", "epochs": 12, "patience": 3, "weight_decay": 1e-4}},
        "patchtst": {"train": {"learning_rate": 5e-4, "batch_size": 128, "steps": 250, "epochs": 10}},
        "itransformer": {
            "model": {"dropout": 0.3},
            "train": {"learning_rate": 2e-4, "batch_size": 128, "steps": 250, "epochs": 10},
        },
    },
    "price": {"": {"lookback": 336, "train": {"loss": "quantile", "epochs": 15, "patience": 4}}},
    "m4": {"": {"lookback": 336, "train": {"loss": "quantile", "epochs": 15, "patience": 4}}},
}
PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "ett96": {
        "closed-form ridge": {"MSE": 0.370, "MAE": 0.391}, "DLinear": {"MSE": 0.375, "MAE": 0.399},
        "NLinear": {"MSE": 0.374, "MAE": 0.394}, "PatchTST/64": {"MSE": 0.370, "MAE": 0.400},
        "iTransformer": {"MSE": 0.386, "MAE": 0.405}, "TiDE": {"MSE": 0.375, "MAE": 0.398},
        "N-HiTS": {"MSE": 0.378, "MAE": 0.393}, "TimeMixer": {"MSE": 0.361, "MAE": 0.390},
        "DUET": {"MSE": 0.352, "MAE": 0.384}, "xPatch (drop-last)": {"MSE": 0.354, "MAE": 0.379},
        "CARD": {"MSE": 0.368, "MAE": 0.396},
    },
    "ett192": {
        "closed-form ridge": {"MSE": 0.403, "MAE": 0.411}, "DLinear": {"MSE": 0.405, "MAE": 0.416},
        "NLinear": {"MSE": 0.408, "MAE": 0.415}, "PatchTST/64": {"MSE": 0.413, "MAE": 0.429},
        "DUET": {"MSE": 0.398, "MAE": 0.409}, "xPatch (drop-last)": {"MSE": 0.376, "MAE": 0.395},
    },
    "ett336": {
        "closed-form ridge": {"MSE": 0.426, "MAE": 0.425}, "DLinear": {"MSE": 0.439, "MAE": 0.443},
        "NLinear": {"MSE": 0.429, "MAE": 0.427}, "PatchTST/64": {"MSE": 0.422, "MAE": 0.440},
        "DUET": {"MSE": 0.414, "MAE": 0.426}, "xPatch (drop-last)": {"MSE": 0.391, "MAE": 0.415},
    },
    "ett720": {
        "closed-form ridge": {"MSE": 0.422, "MAE": 0.443}, "DLinear": {"MSE": 0.472, "MAE": 0.490},
        "NLinear": {"MSE": 0.440, "MAE": 0.453}, "PatchTST/64": {"MSE": 0.447, "MAE": 0.468},
        "CARD": {"MSE": 0.416, "MAE": 0.448}, "DUET": {"MSE": 0.429, "MAE": 0.455},
    },
    "BE": {
        "seasonal naive": {"MASE": 1.027}, "PatchTST (best trained)": {"MASE": 0.692}, "best of all": {"MASE": 0.601},
    },
    "DE": {
        "seasonal naive": {"MASE": 1.709}, "PatchTST (best trained)": {"MASE": 0.573}, "best of all": {"MASE": 0.561},
    },
    "m4": {
        "seasonal naive": {"sMAPE": 13.912, "MASE": 1.193, "OWA": 0.6275},
        "mlforecast + LightGBM": {"sMAPE": 12.39, "MASE": 1.238, "OWA": 0.595},
        "competition winner (Smyl)": {"sMAPE": 9.328, "MASE": 0.893, "OWA": 0.4401},
        "best hourly entry (Doornik et al.)": {"sMAPE": 8.913, "MASE": 0.801, "OWA": 0.4096},
    },
}  # fmt: skip


def learn(name: str, *, family: str, panel: Panel, split: Split, task: Task, season: int, seed: int) -> Fitted:
    """A model fitted with the board's settings."""
    usual = SETTINGS[family][""]
    own = {**usual, **SETTINGS[family].get(name, {})}
    spec = build_spec(name, own.get("model"))
    if name in FLOORS:
        return fit(spec, panel=panel, split=split, task=task, season=season)
    train = TrainSpec(**{**usual["train"], **own.get("train", {}), "seed": seed})
    panel = keep_covariates(panel, spec.takes)
    view = usual_view(panel, split=split, task=task, season=season, takes=spec.takes)
    calendar = view.calendar if family == "price" else ()
    view = View(int(own["lookback"]), calendar, view.static)
    return fit(spec, panel=panel, split=split, task=task, view=view, train=train, season=season)


def run_ett(name: str, *, horizon: int, seed: int) -> dict[str, float]:
    """MSE and MAE on ETTh1's standard split, standardised by the training part, every window of the test."""
    table = pl.read_csv(DATA / "ett" / "ETTh1.csv").head(14_400)
    train = table.head(8640)
    scaled = [(pl.col(c) - train[c].mean()) / train[c].std(ddof=0) for c in table.columns[1:]]
    panel = Panel.from_table(
        melt_columns(table.with_columns(scaled), time="date"), series="series", time="date", target="value"
    )
    task = Task(horizon=horizon, quantiles=LEVELS)
    split = split_holdout(panel, task, validation=2880, test=2880, stride=1)
    assert split.test is not None
    fitted = learn(name, family="ett", panel=panel, split=without_test(split), task=task, season=24, seed=seed)
    sparse = Cutoffs(split.validation.first, split.validation.last, 7)
    judged = evaluate(fitted, panel=keep_covariates(panel, ()), split=split, cutoffs=sparse, season=24).scores
    scores = evaluate(fitted, panel=keep_covariates(panel, ()), split=split, cutoffs=split.test, season=24).scores
    return {
        "MSE": scores["mse"],
        "MAE": scores["mae"],
        "validation MSE": judged["mse"],
        "validation MAE": judged["mae"],
    }


def run_price(name: str, *, place: str, seed: int) -> dict[str, float]:
    """MASE of 20 daily forecasts of the day-ahead price, two covariates known; scale: lag 24 of each window's past."""
    table = read_table(DATA / "electricity_prices" / f"{place}.parquet")
    known = [c for c in table.columns if c not in ("date", "OT")]
    panel = Panel.from_table(table, time="date", target="OT", known=known)
    task = Task(horizon=24, quantiles=LEVELS)
    last = panel.span[1]
    base = split_holdout(panel, task, validation=364 * 24, test=20 * 24, stride=24)
    split = Split(base.train, base.validation, Cutoffs(last - 480, last - 24, 24), 24, 24, 0)
    fitted = learn(name, family="price", panel=panel, split=without_test(split), task=task, season=24, seed=seed)
    found = {}
    for part, cutoffs in (("validation ", split.validation), ("", split.test)):
        assert cutoffs is not None
        seen = panel if name in FLOORS else keep_covariates(panel, fitted.spec.takes)
        windows = cut_windows(seen, fitted.view, horizon=24, cutoffs=cutoffs, least=1)
        scale = past_scale(panel.target, offsets=panel.offsets, season=24, series=windows.series, ends=windows.rows + 1)
        scored = Scored(windows.labels(), fitted.predict(windows), levels=LEVELS, scale=scale)
        found[f"{part}MASE"] = score(scored, ["mase"])["mase"]
    return found


def run_m4(name: str, *, seed: int) -> dict[str, float]:
    """sMAPE, MASE and OWA on M4 Hourly: learned on the training file alone, scored on the given test."""
    panel = Panel.from_table(
        melt_rows(read_table(DATA / "m4_hourly" / "Hourly-train.csv.gz"), series="V1"),
        series="V1",
        time="step",
        target="value",
    )
    task = Task(horizon=48, quantiles=LEVELS)
    split = split_holdout(panel, task, validation=96, test=48)
    split = Split(
        Cutoffs(split.train.first, split.train.last + 48),
        Cutoffs(split.validation.first + 48, split.validation.last + 48, 8),
        None, 48, 48, 0,
    )  # fmt: skip
    fitted = learn(name, family="m4", panel=panel, split=split, task=task, season=24, seed=seed)
    judged = evaluate(fitted, panel=panel, split=split, cutoffs=split.validation, season=24).scores
    actual = read_table(DATA / "m4_hourly" / "Hourly-test.csv")
    order = [actual["V1"].to_list().index(one) for one in panel.series_ids]
    values = actual.drop("V1").cast(pl.Float64).to_numpy()[order]
    scale = seasonal_scale(panel.target, offsets=panel.offsets, season=24)
    forecast = fitted.predict(newest_windows(panel, fitted.view, horizon=48))
    scores = score(Scored(values, forecast, levels=LEVELS, scale=scale), ["smape", "mase"])
    both = {"sMAPE": 100 * scores["smape"], "MASE": scores["mase"]}
    whole = owa(both["sMAPE"], both["MASE"], smape_naive2=18.383, mase_naive2=2.395)
    return {**both, "OWA": whole, "validation MASE": judged["mase"]}


BOARDS: dict[str, Callable[..., dict[str, float]]] = {
    **{f"ett{h}": (lambda name, seed, h=h: run_ett(name, horizon=h, seed=seed)) for h in (96, 192, 336, 720)},
    **{place: (lambda name, seed, place=place: run_price(name, place=place, seed=seed)) for place in ("BE", "DE")},
    "m4": lambda name, seed: run_m4(name, seed=seed),
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
    for line in RESULTS.read_text().splitlines():
        row = json.loads(line)
        newest[row["board"], row["model"], row["seed"]] = row
    parts = [
        "# Boards\n\n"
        "Written by `benchmarks/boards.py` from what it measured (`benchmarks/results/boards.jsonl`), by the boards'\n"
        "own protocols. Within a run every choice is made on validation. Across runs that is not yet so: on ETTh1 the\n"
        "loss is mae, which validation MAE prefers and validation MSE does not, and test scores of other losses and\n"
        "settings were seen while the networks were written. Rows with one seed are first readings. Lower is better.\n"
    ]
    for board, published in PUBLISHED.items():
        ours = [row for key, row in newest.items() if key[0] == board]
        if ours:
            parts.append(_section(board, published, ours))
    PAGE.write_text("\n".join(parts))


def _section(board: str, published: dict[str, dict[str, float]], ours: list[dict[str, Any]]) -> str:
    metrics = list(next(iter(published.values())))
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
            values = [row[metric] for row in runs]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 and statistics.stdev(values) > 5e-4 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}")
        cost = statistics.mean(row["cpu_s"] for row in runs)
        first = statistics.mean(row[metrics[0]] for row in runs)
        kind = "floor" if name in FLOORS else "ours"
        rows.append((first, f"| **{name}** ({kind}) | {' | '.join(cells)} | {len(runs)} | {cost:.0f} |"))
    for name, figures in published.items():
        cells = [f"{figures[m]:.3f}" if m in figures else "" for m in metrics]
        rows.append((figures[metrics[0]], f"| {name} | {' | '.join(cells)} | | |"))
    return "\n".join([*lines, *(text for _, text in sorted(rows))]) + "\n"


def main() -> None:
    """Measures what is asked for and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--board", choices=[*BOARDS], action="append", default=[])
    parser.add_argument("--models", default="ridge")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"the boards' data are not at {DATA.name} beside the project: nothing to measure")
    warnings.simplefilter("ignore", RepairWarning)
    np.seterr(all="ignore")
    RESULTS.parent.mkdir(exist_ok=True)
    for board in asked.board:
        for name in asked.models.split(","):
            for seed in range(1 if name in FLOORS else asked.seeds):
                line = json.dumps(measure(board, name, seed=seed))
                print(line, flush=True)
                with RESULTS.open("a") as out:
                    out.write(line + "\n")
    if asked.write:
        write_page()


if __name__ == "__main__":
    main()
