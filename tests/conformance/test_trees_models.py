"""What every model of cells must do; a new entry of kind "trees" is tested by being there."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.separate import to_windows
from tidewright.features.view import View, fit_static
from tidewright.features.windows import Batch, Windows, cut_windows, newest_windows
from tidewright.inference.tree_rows import FORESTS, plan_answers
from tidewright.models.build import build_spec
from tidewright.models.spec import MODELS
from tidewright.models.specs.tabular import MULTI, Tabular
from tidewright.models.trees import TreesFitted, trees_from_tensors
from tidewright.registry.bundle import save_bundle
from tidewright.registry.difference import relative_difference
from tidewright.registry.export import to_onnx
from tidewright.registry.parity import open_graph, run_graph
from tidewright.registry.trial_windows import hard_windows
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.spec import TrainSpec

TASK = Task(4, (0.1, 0.5, 0.9))
SMALL: dict[str, dict[str, Any]] = {  # options that keep a model quick, where these are not 12 rounds
    "random_forest": {"trees": 8},
    "extra_trees": {"trees": 8},
    "svr": {"most_rows": 400},
    "elastic_net": {},
}
KINDS: dict[str, dict[str, Any]] = {
    "usual": {},
    "native": {"categories": "native", "unit": "season", "loss": "median"},
    "point": {"categories": "one_hot", "unit": "level", "loss": "mean", "weigh": "target", "monotone": {"promo": 1}},
    "direct": {"strategy": "direct", "unit": "level"},
    "recursive": {"strategy": "recursive", "unit": "growth", "statistics": ("mean", "max")},
    "multi": {"loss": "mean", "strategy": "multi", "unit": "season", "weigh": "target"},
}
CASES = [(name, kind) for name, entry in MODELS.items() if entry.kind == "trees" for kind in KINDS]
CASES = [(name, kind) for name, kind in CASES if kind != "multi" or name in MULTI]  # the others refuse it
every_model = pytest.mark.parametrize(("name", "kind"), CASES)
LEVELS = 70  # more than a machine word has bits


def small_spec(name: str, kind: str) -> Any:
    """The spec of a case; an option that the model refuses keeps its default."""
    record = MODELS.load(name)
    options = SMALL.get(name, {"rounds": 12}) | ({"min_leaf": 5} if "min_leaf" in _options(record) else {})
    for option, value in KINDS[kind].items():
        try:
            build_spec(name, options | {option: value})
        except ConfigError:
            continue
        options[option] = value
    return build_spec(name, options)


def _options(record: Any) -> set[str]:
    return {field.name for field in fields(record)}


def make_panel(kind: str = "usual") -> Panel:
    """The panel of a case: without past covariates where these are not taken."""
    return keep_covariates(whole_panel(), ("known", "static")) if kind == "recursive" else whole_panel()


@cache
def whole_panel() -> Panel:
    """Many daily shops with a weekly cycle whose level says how large its wave is; one ends early, one has one row."""
    draw = np.random.default_rng(7)
    tables = []
    for number in range(24):
        length = 1 if number == 23 else 70 if number == 22 else 110
        days = np.arange(110 - length, 110)
        promo = draw.integers(0, 2, length).astype(float)
        sold = (
            50.0 + number + (number % 5) * 3.0 * np.sin(2 * np.pi * days / 7) + 8.0 * promo + draw.normal(size=length)
        )
        sold[draw.random(length) < 0.03] = np.nan
        sold[-1] = 50.0
        tables.append(
            pl.DataFrame(
                {
                    "shop": f"s{number:02d}",
                    "day": pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 4, 19), eager=True)[110 - length :],
                    "sold": sold,
                    "visits": draw.normal(size=length),
                    "promo": promo,
                    "size": float(number),
                    "town": f"town{number * 3 % LEVELS:02d}",
                    "kind": "large" if number % 5 > 2 else "small",
                }
            )
        )
    roles: dict[str, Any] = {"past": ["visits"], "known": ["promo"], "static": ["size", "town", "kind"]}
    return Panel.from_table(pl.concat(tables).fill_nan(None), series="shop", time="day", target="sold", **roles)


@cache
def make_split() -> Split:
    return split_holdout(make_panel(), TASK, validation=15, test=15)


def learn(name: str, kind: str, *, panel: Panel | None = None, seed: int = 0) -> TreesFitted:
    given = panel or make_panel(kind)
    view = View(21, ("weekday",), fit_static(make_panel()))
    spec, train = small_spec(name, kind), TrainSpec(seed=seed)
    fitted = fit(spec, panel=given, split=make_split(), task=TASK, view=view, train=train, season=7)
    assert isinstance(fitted, TreesFitted)
    return fitted


@cache
def learned(name: str, kind: str) -> TreesFitted:
    return learn(name, kind)


def scored_windows(name: str, kind: str, panel: Panel | None = None) -> Windows:
    test = make_split().test
    assert test is not None
    return cut_windows(panel or make_panel(kind), learned(name, kind).view, horizon=4, cutoffs=test, least=1)


@every_model
def test_quantiles_have_their_shape_ascend_and_are_near_the_labels(name: str, kind: str) -> None:
    windows = scored_windows(name, kind)
    answer, labels = learned(name, kind).predict(windows), windows.labels()
    assert (answer.shape, answer.dtype) == ((len(windows), 4, 3), np.float64)
    assert np.isfinite(answer).all()
    assert (np.diff(answer, axis=2) >= 0).all()
    assert np.nanmean(np.abs(answer[:, :, 1] - labels)) < np.nanmean(np.abs(windows.history()[:, -1:] - labels))


@every_model
def test_one_window_alone_gets_what_it_gets_in_a_batch(name: str, kind: str) -> None:
    windows = scored_windows(name, kind).subset(np.arange(0, 200, 7))
    whole = learned(name, kind).predict(windows)
    alone = [learned(name, kind).predict(windows.subset(np.array([k]))) for k in range(len(windows))]
    assert np.concatenate(alone).tobytes() == whole.tobytes()


@every_model
def test_asking_changes_nothing_and_repeats_to_the_bit(name: str, kind: str) -> None:
    fitted, windows = learned(name, kind), scored_windows(name, kind)
    before = {key: value.tobytes() for key, value in fitted.tensors().items()}
    first = fitted.predict(windows)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: fitted.predict(windows), range(4)))
    assert all(answer.tobytes() == first.tobytes() for answer in answers)
    assert {key: value.tobytes() for key, value in fitted.tensors().items()} == before


@every_model
def test_nothing_after_the_cutoff_but_known_columns_is_seen(name: str, kind: str) -> None:
    fitted = learned(name, kind)
    windows = scored_windows(name, kind)
    cut = windows.subset(np.unique(windows.series, return_index=True)[1][:3])
    y, past = cut.y.copy(), cut.past.copy()
    for row, series in zip(cut.rows, cut.series, strict=True):
        y[row + 1 : cut.offsets[series + 1]] = -1e6
        past[row + 1 : cut.offsets[series + 1]] = -1e6
    assert fitted.predict(replace(cut, y=y, past=past)).tobytes() == fitted.predict(cut).tobytes()
    y[cut.rows - 3] = 150.0
    assert (fitted.predict(replace(cut, y=y)) != fitted.predict(cut)).any(axis=(1, 2)).all()


@every_model
def test_nothing_after_the_validation_part_is_learned_from(name: str, kind: str) -> None:
    last = make_split().validation.last + TASK.horizon
    late = pl.Series(make_panel().positions > last)
    changed = make_panel().table.with_columns(
        [pl.when(late).then(pl.lit(1e6)).otherwise(pl.col(c)).alias(c) for c in ("sold", "visits", "promo")]
    )
    other = learn(name, kind, panel=replace(make_panel(kind), table=changed))
    assert _bytes(other) == _bytes(learned(name, kind))


@every_model
def test_one_seed_gives_the_same_bits(name: str, kind: str) -> None:
    assert _bytes(learn(name, kind)) == _bytes(learned(name, kind))


@every_model
def test_a_fit_rebuilt_from_its_tensors_answers_with_the_same_bits(name: str, kind: str) -> None:
    fitted, windows = learned(name, kind), scored_windows(name, kind)
    again = trees_from_tensors(fitted.tensors(), spec=fitted.spec, task=fitted.task, view=fitted.view)
    assert again.inputs == fitted.inputs
    assert again.predict(windows).tobytes() == fitted.predict(windows).tobytes()


@every_model
def test_the_graph_answers_as_the_model_does_on_real_and_hard_windows(name: str, kind: str) -> None:
    fitted = learned(name, kind)
    session = open_graph(to_onnx(fitted).SerializeToString())
    real = scored_windows(name, kind).batch(slice(0, 150))
    for what, batch in (("real", real), ("pierced", pierce(real)), *hard_windows(real, seed=1)):
        eager = fitted.predict(to_windows(batch, horizon=4))
        assert relative_difference(run_graph(session, batch), eager, target=batch.target) <= 1e-5, what


@every_model
def test_one_compiled_call_answers_with_the_bits_of_the_model(name: str, kind: str) -> None:
    fitted = learned(name, kind)
    if name not in FORESTS or fitted.spec.strategy != "step" or fitted.inputs.groups:
        pytest.skip("it is no forest over the usual features, which the backend says (test_sessions)")
    call = plan_answers(fitted)
    real = scored_windows(name, kind).batch(slice(0, 150))
    for what, batch in (("real", real), ("pierced", pierce(real)), *hard_windows(real, seed=1)):
        eager = fitted.predict(to_windows(batch, horizon=4)).astype(np.float32)
        np.testing.assert_array_equal(call(feed(batch)), eager, err_msg=what)
        np.testing.assert_array_equal(call(feed(batch, slice(1))), eager[:1], err_msg=what)


def feed(batch: Batch, rows: slice = slice(None)) -> dict[str, np.ndarray]:
    """The inputs by name; one without columns is left out."""
    given = {name: getattr(batch, name)[rows] for name in ("target", "past", "known", "static")}
    return {name: np.ascontiguousarray(values) for name, values in given.items() if values.shape[-1]}


def pierce(batch: Batch) -> Batch:
    """The same with values missing everywhere, and no level that is known."""
    draw = np.random.default_rng(0)

    def hole(values: np.ndarray) -> np.ndarray:
        return np.where(draw.random(values.shape) < 0.3, np.float32(np.nan), values)

    target = hole(batch.target)
    target[:, -1] = batch.target[:, -1]
    target[np.isnan(target).all(axis=1), -1] = 1.0
    static = batch.static.copy()
    static[::2, 1:] = 0.0
    return Batch(target, hole(batch.past), hole(batch.known), static)


@every_model
def test_levels_that_training_had_not_get_an_answer(name: str, kind: str) -> None:
    table = make_panel().table.with_columns(pl.lit("elsewhere").alias("town"), pl.lit("odd").alias("kind"))
    other = replace(make_panel(kind), table=table)
    windows = newest_windows(other, learned(name, kind).view, horizon=4)
    assert (windows.static[:, 1:] == 0.0).all()
    assert np.isfinite(learned(name, kind).predict(windows)).all()


@every_model
def test_a_series_of_one_row_gets_an_answer(name: str, kind: str) -> None:
    windows = newest_windows(make_panel(kind).select(["s23"]), learned(name, kind).view, horizon=4)
    assert np.diff(windows.offsets)[0] == 1 + TASK.horizon
    answer = learned(name, kind).predict(windows)
    assert np.isfinite(answer).all()
    assert (np.abs(answer - 50.0) < 60.0).all()


@every_model
def test_a_window_without_any_value_gets_no_answer(name: str, kind: str) -> None:
    batch = scored_windows(name, kind).batch(slice(0, 2))
    empty = replace(batch, target=np.full_like(batch.target, np.nan))
    assert np.isnan(learned(name, kind).predict(to_windows(empty, horizon=4))).all()


WITHOUT_LIBRARIES = """
import sys; sys.modules |= dict.fromkeys(["lightgbm", "xgboost", "catboost", "sklearn"])
from pathlib import Path
import numpy as np, polars as pl
from tidewright.inference.session import open_session
for folder in Path(sys.argv[1]).iterdir():
    session = open_session(folder / "bundle", backend="eager")
    forecast = session.forecast(session.read(pl.read_parquet(folder / "panel.parquet")))
    np.save(folder / "answer.npy", forecast.table.select("0.1", "0.5", "0.9").to_numpy())
"""


def test_bundles_open_where_no_library_of_trees_is_installed(tmp_path: Path) -> None:
    """One of each library and way of several steps, in one process, for starting it takes longest."""
    wanted = {}
    for name, kind in (
        ("catboost", "native"),
        ("lightgbm", "point"),
        ("xgboost", "direct"),
        ("xgboost", "recursive"),
        ("catboost", "multi"),
    ):
        fitted, folder = learned(name, kind), tmp_path / f"{name}-{kind}"
        folder.mkdir()
        save_bundle(fitted, panel=make_panel(kind), folder=folder / "bundle", split=make_split())
        future = make_panel(kind).extend(4)
        table = future.table.with_columns(pl.col("promo").fill_null(1.0))
        table.write_parquet(folder / "panel.parquet")
        windows = newest_windows(replace(future, table=table), fitted.view, horizon=4)
        wanted[folder] = fitted.predict(windows).reshape(-1, 3)
    subprocess.run([sys.executable, "-c", WITHOUT_LIBRARIES, str(tmp_path)], check=True)
    for folder, answer in wanted.items():
        np.testing.assert_allclose(np.load(folder / "answer.npy"), answer, rtol=1e-6)


def test_every_shared_option_is_an_option_of_each_model() -> None:
    for name, _ in CASES:
        assert _options(Tabular) <= _options(MODELS.load(name))


def _bytes(fitted: TreesFitted) -> dict[str, bytes]:
    return {key: value.tobytes() for key, value in fitted.tensors().items()}
