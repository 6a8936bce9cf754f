"""CPU seconds of fitting and of asking boosted trees through Tidewright, beside their library on the same matrix.

A fit of ours cuts windows, makes features, boosts, stops on validation and reads the trees; theirs is given our matrix
and the same options, cells of validation and rounds. Asking compares our walk through the arrays with the library's own
predict. The sides alternate in one process on one thread; the figures are medians. One JSON line a comparison; ratio is
ours / theirs.

    python benchmarks/boosting.py [--out benchmarks/results/boosting.jsonl]
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from tell import make_line, open_parser, tell

SERIES, ROWS, ROUNDS, CELLS, REPEATS, ASKED = 200, 600, 100, 100_000, 3, 50_000


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    tell(compare(), out=open_parser(__doc__).parse_args().out)


def compare() -> Iterator[dict[str, Any]]:
    """Both sides of every library."""
    from tidewright.models.build import build_spec
    from tidewright.training.cells import make_cells, set_goals
    from tidewright.training.fit_trees import fit_trees

    for name in ("lightgbm", "xgboost", "catboost"):
        world = make_world()
        spec = build_spec(name, {"rounds": ROUNDS, "most_rows": CELLS, "categories": "one_hot", "learning_rate": 0.05})
        fitted = fit_trees(spec, **world, threads=1)  # type: ignore[arg-type]
        cells = {
            part: make_cells(spec, fitted.inputs, panel=world["panel"], windows=cut(world, part), most=most, seed=0)
            for part, most in (("train", CELLS), ("validation", 20_000))
        }
        goals = set_goals(spec, world["task"].quantiles)
        given = (spec, cells["train"], cells["validation"], goals)
        pairs = [
            (clock(lambda s=spec, w=world: fit_trees(s, **w, threads=1)), clock(lambda n=name, g=given: PEERS[n](*g)))
            for _ in range(REPEATS)
        ]
        features = cells["train"].features
        stopped = sorted({str(record["stopped"]) for record in fitted.history if "stopped" in record})
        size = f"{len(features):,} cells of {features.shape[1]} features"
        note = f"{size}, {ROUNDS} rounds, 3 quantiles; {', '.join(stopped)}"
        yield line(f"fit: {name} vs bare {name}", pairs, unit="cpu_s", note=note)
        ask = PEERS[name](*given)
        rows = features[:ASKED]
        pairs = [
            (clock(lambda f=fitted, r=rows: f.formula.predict(r, width=3)), clock(lambda a=ask, r=rows: a(r)))
            for _ in range(2 * REPEATS + 1)
        ]
        yield line(f"ask: {name} vs bare {name}", pairs, unit="cpu_s", note=f"{len(rows):,} rows, 3 quantiles")


def make_world() -> dict[str, Any]:
    """Many daily series with a weekly season, a driver known in advance and a static column."""
    from tidewright.data.simulate import signal_panel
    from tidewright.data.splits import split_holdout
    from tidewright.data.task import Task
    from tidewright.training.fit import usual_view

    panel, task = signal_panel(n_series=SERIES, length=ROWS, seed=0, driver=2.0, static=True), Task(14)
    split = split_holdout(panel, task)
    return {"panel": panel, "split": split, "task": task, "view": usual_view(panel, split=split, task=task)}


def cut(world: dict[str, Any], part: str) -> Any:
    """The windows of a part."""
    from tidewright.features.windows import cut_windows

    season = world["panel"].frequency.season
    least = min(world["view"].lookback, max(2, season)) if part == "train" else 1
    cutoffs = getattr(world["split"], part)
    return cut_windows(world["panel"], world["view"], horizon=world["task"].horizon, cutoffs=cutoffs, least=least)


def train_lightgbm(spec: Any, learn: Any, judge: Any, goals: Any) -> Callable[[Any], Any]:
    """LightGBM as its users call it; gives its predict."""
    import lightgbm

    from tidewright.training.learn_lightgbm import _objective, _options

    options = _options(spec, seed=0, threads=1, device="cpu")
    data = lightgbm.Dataset(learn.features, learn.labels, params=options | _objective(goals[0]), free_raw_data=False)
    check = data.create_valid(judge.features, judge.labels)
    made = [
        lightgbm.train(options | _objective(goal), data, spec.rounds, valid_sets=[check], keep_training_booster=True)
        for goal in goals
    ]
    return lambda rows: [model.predict(rows, num_threads=1) for model in made]


def train_xgboost(spec: Any, learn: Any, judge: Any, goals: Any) -> Callable[[Any], Any]:
    """XGBoost as its users call it; gives its predict."""
    import xgboost

    from tidewright.training.learn_xgboost import BINS, _options

    data = xgboost.QuantileDMatrix(learn.features, learn.labels, max_bin=BINS, nthread=1)
    check = xgboost.DMatrix(judge.features, judge.labels, nthread=1)
    made = []
    for goal in goals:
        options = _options(spec, goal, learning=_learning())
        made.append(xgboost.train(options, data, spec.rounds, evals=[(check, "validation")], verbose_eval=False))
    return lambda rows: [model.inplace_predict(rows) for model in made]


def train_catboost(spec: Any, learn: Any, judge: Any, goals: Any) -> Callable[[Any], Any]:
    """CatBoost as its users call it; gives its predict."""
    import catboost

    from tidewright.training.learn_catboost import _make_pool, _options

    model = catboost.CatBoost(_options(spec, goals, learning=_learning()))
    model.fit(_make_pool(catboost, learn), eval_set=_make_pool(catboost, judge), use_best_model=False)
    return lambda rows: model.predict(rows, thread_count=1)


def _learning() -> Any:
    from tidewright.training.cells import Learning

    return Learning(0, 1, 0.0, deadline=None, tell=lambda number, learned, judged: {})


PEERS = {"lightgbm": train_lightgbm, "xgboost": train_xgboost, "catboost": train_catboost}


def clock(work: Callable[[], Any]) -> float:
    """The CPU seconds of some work, in this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def line(name: str, pairs: list[tuple[float, float]], *, unit: str, note: str) -> dict[str, Any]:
    """The comparison of both sides' medians."""
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    note = f"{note}; median of {len(pairs)} alternating runs"
    return make_line(name, mine, other, unit=unit, n=len(pairs), note=note)


if __name__ == "__main__":
    main()
