"""CPU seconds of explanations and of kept features: Shapley values of trees beside shap, a read beside computing anew.

Both sides alternate in one process on one thread; the figures are medians. One JSON line a comparison; ratio is ours /
theirs. A store's folder is made for the run and deleted after it.

    python benchmarks/explanations.py [--out benchmarks/results/explanations.jsonl]
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from tell import make_line, open_parser, tell

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")

REPEATS = 5
ROWS, BACKGROUND, FEATURES = 200, 100, 30
SERIES, LENGTH = 500, 1000


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    options = open_parser(__doc__).parse_args()
    tell((*compare_shapley(), compare_store()), out=options.out)


def compare_shapley() -> Iterator[dict[str, Any]]:
    """The values of boosted trees of two sizes."""
    import lightgbm
    import numpy as np

    from tidewright.models.shapley import shapley
    from tidewright.training.read_lightgbm import read_lightgbm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own, while it is imported
        import shap

    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(20_000, FEATURES)).astype(np.float32)
    labels = inputs[:, 0] * inputs[:, 1] + np.abs(inputs[:, 2]) + inputs[:, 3:9].sum(axis=1) + draw.normal(size=20_000)
    rows, background = inputs[:ROWS], inputs[-BACKGROUND:]
    for leaves, rounds in ((15, 100), (31, 300)):
        options = {"num_leaves": leaves, "verbosity": -1, "num_threads": 1, "seed": 1}
        booster = lightgbm.train(options, lightgbm.Dataset(inputs, labels), num_boost_round=rounds)
        forest = read_lightgbm([booster.model_to_string()])
        explainer = shap.TreeExplainer(booster, data=background, feature_perturbation="interventional")

        def ours(forest: Any = forest) -> Any:
            return shapley(forest, rows, background=background)

        def theirs(explainer: Any = explainer) -> Any:
            return explainer.shap_values(rows, check_additivity=False)

        mine, other, apart = alternate(ours, theirs)
        note = f"{ROWS} rows, {BACKGROUND} of background, {FEATURES} features; largest difference {apart:.1e}"
        name = f"shapley: {rounds} trees of {leaves} leaves vs shap"
        yield make_line(name, mine, other, unit="cpu_s", n=REPEATS, note=note)


def compare_store() -> dict[str, Any]:
    """Features that were kept, read, beside the same computed."""
    import numpy as np
    import polars as pl

    from tidewright.data.panel import Panel
    from tidewright.features.recipe import build_recipe
    from tidewright.features.store import FeatureStore

    draw = np.random.default_rng(0)
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 1) + pl.duration(days=LENGTH - 1), eager=True)
    table = pl.DataFrame(
        {
            "shop": [f"s{number:04d}" for number in range(SERIES) for _ in range(LENGTH)],
            "day": pl.concat([days] * SERIES),
            "sold": draw.normal(size=SERIES * LENGTH),
        }
    )
    panel = Panel.from_table(table, series="shop", time="day", target="sold")
    recipe = build_recipe(
        ("lags", {"lags": [1, 7], "rolling": [7, 28, 364], "statistics": ["mean", "std", "median"]}),
        ("seasonal", {"counts": [4]}),
        ("holidays", {"country": "US"}),
    )
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(folder)
        store.get(panel, recipe)
        mine, other, _ = alternate(lambda: store.get(panel, recipe).table, lambda: recipe.apply(panel).table)
        size = store.size_bytes
    note = f"{SERIES} series of {LENGTH:,} rows, 16 columns, digest and checksum included; {size / 1e6:.0f} MB kept"
    name = "store: reading kept features vs computing them"
    return make_line(name, mine, other, unit="cpu_s", n=REPEATS, note=note)


def alternate(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float, float]:
    """The median CPU seconds of both, and how far apart their answers are."""
    import numpy as np

    pairs, apart = [], 0.0
    for turn in range(REPEATS + 1):
        (one, mine), (two, other) = timed(ours), timed(theirs)
        if turn:  # the first compiles
            pairs.append((mine, other))
        apart = float(np.abs(one - two).max()) if isinstance(one, np.ndarray) else 0.0
    first, second = (statistics.median(side) for side in zip(*pairs, strict=True))
    return first, second, apart


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its CPU seconds."""
    started = time.process_time()
    answer = call()
    return answer, time.process_time() - started


if __name__ == "__main__":
    main()
