"""Search the options of several forecasters on a table, with the flags of the models' optimisation guide.

    python examples/run_optimization.py                                   # all models, 50 trials each
    python examples/run_optimization.py --models lstm --trials 5          # a smoke test
    python examples/run_optimization.py --models lstm tcn --preset quick  # 10 trials; production 100, thorough 200
    python examples/run_optimization.py --data sales.csv --series Store --time Date --target Weekly_Sales --horizon 8

Without a table: the 20 US stocks that come with Tidewright. `--wide` searches the guide's own ranges: hours.
Then look at the trials: mlflow ui --backend-store-uri sqlite:///tidewright-runs/mlflow.db
"""

from __future__ import annotations

import argparse
import sys

from tidewright.__main__ import main as tidewright

AVAILABLE_MODELS = {
    "lightgbm": "lightgbm",
    "xgboost": "xgboost",
    "catboost": "catboost",
    "random_forest": "random_forest",
    "lstm": "lstm",
    "tcn": "tcn",
    "transformer": "transformer",
}
PRESETS = {"quick": 10, "production": 100, "thorough": 200}


def main() -> None:
    """Reads the flags and hands them to `tidewright tune`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=sorted(AVAILABLE_MODELS), default=list(AVAILABLE_MODELS))
    parser.add_argument("--trials", type=int, help="trials of each model (50)")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="a number of trials by name")
    parser.add_argument("--data", help="a CSV or Parquet file")
    options, more = parser.parse_known_args()
    trials = options.trials or PRESETS.get(options.preset or "", 50)
    models = ",".join(AVAILABLE_MODELS[name] for name in options.models)
    table = [options.data] if options.data else []
    sys.argv = ["tidewright", "tune", *table, "--models", models, "--trials", str(trials), *more]
    tidewright()


if __name__ == "__main__":
    main()
