"""What every session of every model of the catalog must do: a new model or backend adds its own tests."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from tests.conformance.networks import SMALL as NETWORKS
from tests.worlds import quick_options, small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, DataError
from tidewright.features.separate import to_windows
from tidewright.features.view import View, fit_static
from tidewright.features.windows import Batch, newest_windows
from tidewright.inference.backends.catalog import BACKENDS, SLOW
from tidewright.inference.session import Session, open_session
from tidewright.models.build import build_spec
from tidewright.models.spec import COMPOSED, MODELS
from tidewright.models.torch.fitted import TorchFitted
from tidewright.registry.bundle import save_bundle
from tidewright.registry.difference import relative_difference
from tidewright.registry.trial_windows import hard_windows, real_windows, take
from tidewright.training.ensemble import fit_ensemble
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.spec import TrainSpec

TASK = Task(6, (0.1, 0.5, 0.9))
SMALL = dict(NETWORKS)
SMALL |= {"feedforward": {"hidden": (16,)}, "lstm": {"hidden": 8, "head": (8,)}, "lightgbm": {"rounds": 10}}
SMALL |= {"random_forest": {"trees": 4}, "extra_trees": {"trees": 4}, "svr": {"most_rows": 200}}
SMALL |= {"xgboost": {"rounds": 10}, "catboost": {"rounds": 10}}
SMALL |= {
    "transformer": {"d_model": 8, "num_encoder_layers": 1, "dim_feedforward": 16},
    "transformer_encoder": {"d_model": 8, "layers": 1, "dim_feedforward": 16, "head": (8,)},
    "adaptive_transformer": {"d_model": 8, "layers": 1, "dim_feedforward": 16},
    "patchtst": {"d_model": 8, "layers": 1, "dim_feedforward": 16},
    "itransformer": {"d_model": 8, "layers": 1, "dim_feedforward": 16},
    "tft": {"hidden": 8, "heads": 2},
}
PANEL = small_panel()


def panel_for(name):
    """The panel with the covariates that the model takes; a floor leaves them aside by itself."""
    if name in COMPOSED:
        return PANEL
    return PANEL if MODELS[name].kind == "floor" else keep_covariates(PANEL, MODELS.load(name).takes)


def view_for(name, *, panel, last):
    takes = MODELS.load(name).takes
    known = "known" in takes or MODELS[name].kind == "floor"
    return View(30, ("hour", "weekday") if known else (), fit_static(panel.until(last)))


def learn(name, **changes):
    """A model of the catalog that has learned a little; `changes` are to what it sees."""
    panel = panel_for(name)
    split = split_holdout(panel, TASK)
    view = replace(view_for(name, panel=panel, last=split.train.last), **changes)
    spec, train = build_spec(name, SMALL.get(name) or quick_options(name)), TrainSpec(epochs=2, steps=20)
    fitted = fit(spec, panel=panel, split=split, task=TASK, view=view, train=train)
    drawn = isinstance(fitted, TorchFitted) and name != "lear"  # a closed form has its weights
    return move_weights(fitted) if drawn else fitted


def move_weights(fitted):
    """A network whose weights are far from a start that answers nearly nothing, as learning for hours makes them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for parameter in fitted.network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return fitted


def learn_ensemble():
    """Members of every family that see other steps and columns each."""
    members = [
        learn("ridge"),
        learn("lightgbm", lookback=48),
        learn("feedforward", lookback=12, calendar=("weekday",)),
        learn("dlinear"),
        learn("seasonal"),
    ]
    return fit_ensemble(members, panel=PANEL, split=split_holdout(PANEL, TASK), rule="mean")


@pytest.fixture(scope="module", params=[*MODELS, *COMPOSED])
def sealed(request, tmp_path_factory):
    """A fitted model and its bundle; each model is made once."""
    name = request.param
    fitted = learn_ensemble() if name in COMPOSED else learn(name)
    return fitted, save_bundle(fitted, panel=panel_for(name), folder=tmp_path_factory.mktemp("sealed") / name)


@pytest.fixture(scope="module", params=[name for name, entry in BACKENDS.items() if entry.kind != SLOW])
def asked(request, sealed):
    """A session, its fitted model, and real windows to ask it: few, where every answer is a fit.

    What compiles for minutes has its own, on a few networks (tests/inference) and on all (benchmarks/backends.py).
    """
    fitted, bundle = sealed
    unfit = BACKENDS.load(request.param).explain_unfit(bundle.manifest)
    if unfit:
        assert fitted.spec.name in unfit
        with pytest.raises(BackendError, match="Ask for auto, or eager"):
            open_session(bundle, backend=request.param, strict=True)
        pytest.skip("it is no model for this backend, which says so")
    session = open_session(bundle, backend=request.param, strict=True)
    most = 4 if bundle.manifest.no_graph else 64
    return session, fitted, real_windows(panel_for(fitted.spec.name), fitted.view, horizon=TASK.horizon, most=most)


def ask(session: Session, batch: Batch) -> np.ndarray:
    """By position where the target is all that it takes, by name otherwise."""
    feed = {name: getattr(batch, name) for name in session.inputs}
    return session.predict(feed["target"] if len(feed) == 1 else feed).quantiles


@pytest.mark.filterwarnings("ignore:.* failed on:tidewright.errors.FallbackWarning")  # short windows
def test_it_answers_as_the_fitted_model_on_real_windows_and_hard_ones(asked):
    session, fitted, real = asked
    for name, batch in (("real", real), *hard_windows(real, seed=1)):
        if name == "64 windows" and len(real.target) < 8:
            continue  # repeats of a few, each of which is fitted
        eager = fitted.predict(windows_of(batch))
        assert relative_difference(ask(session, batch), eager, target=batch.target) <= 1e-5, name


def test_quantiles_ascend_and_are_float32_of_the_stated_shape(asked):
    session, _, real = asked
    answer = ask(session, real)
    assert (answer.shape, answer.dtype) == ((len(real.target), 6, 3), np.float32)
    assert (np.diff(answer, axis=2) >= 0).all()


def test_any_number_of_windows_goes_and_a_window_alone_is_answered_as_among_others(asked):
    session, _, real = asked
    whole = ask(session, take(real, slice(0, 64)))
    assert len(whole) > 3
    for size in (1, 3):
        part = take(real, slice(0, size))
        assert relative_difference(ask(session, part), whole[:size].astype(np.float64), target=part.target) <= 1e-6


def test_sixteen_threads_get_the_bits_that_one_gets(asked):
    session, _, real = asked
    count = len(real.target)
    starts = [k % min(30, count - 2) for k in range(96 if count > 8 else 5)]
    parts = [take(real, slice(start, start + 1 + k % 3)) for k, start in enumerate(starts)]
    serial = [ask(session, part) for part in parts]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda part: ask(session, part), parts))
    assert all(np.array_equal(one, other) for one, other in zip(serial, together, strict=True))
    assert session.latency()["count"] >= 2 * len(parts)


def test_warming_up_changes_no_bit(asked):
    session, _, real = asked
    fresh = open_session(session.bundle, backend=session.backend, strict=True)
    part = take(real, slice(0, 3))
    cold = ask(fresh, part)
    for size in (1, 2, 3):
        ask(fresh, take(real, slice(0, size)))
    assert np.array_equal(ask(fresh, part), cold)
    assert np.array_equal(ask(session, part), cold)


def test_a_window_by_name_is_answered_quickly_as_it_is_with_care(asked):
    session, _, real = asked
    feed = {name: np.nan_to_num(getattr(real, name)[:1], nan=1.0) for name in session.inputs}
    careful = {name: array.astype(np.float64) for name, array in feed.items()}  # another type goes the careful way
    assert np.array_equal(session.predict(feed).quantiles, session.predict(careful).quantiles)


def test_windows_of_another_length_are_refused_in_words(asked):
    """A graph has a free length only where it was saved with `lengths`: see test_lengths.py."""
    session, _, real = asked
    lookback = session.bundle.manifest.view.lookback
    feed = {name: getattr(real, name)[:2] for name in session.inputs}
    for target in (feed["target"][:, 1:], np.pad(feed["target"], ((0, 0), (1, 0)))):
        with pytest.raises(DataError, match=rf"\(N, {lookback}\) is needed: .*Put NaN before a shorter"):
            session.predict({**feed, "target": target})


def test_asking_leaves_the_inputs_and_later_answers_alone(asked):
    session, _, real = asked
    before = {name: getattr(real, name).copy() for name in session.inputs}
    first = ask(session, real)
    assert np.array_equal(first, ask(session, real))
    assert all(np.array_equal(before[name], getattr(real, name), equal_nan=True) for name in session.inputs)


def test_a_forecast_from_a_panel_is_the_fitted_model_s_with_its_times(asked):
    session, fitted, _ = asked
    panel = with_future(session)
    forecast = session.forecast(panel)
    windows = newest_windows(panel, fitted.view, horizon=TASK.horizon)
    eager = fitted.predict(windows)
    table = forecast.table
    ours = table.select("0.1", "0.5", "0.9").to_numpy().reshape(eager.shape)
    # a session takes single precision, from which an optimiser that fits the window ends a little elsewhere
    limit = session.bundle.tolerance if session.bundle.manifest.no_graph else 1e-5
    assert relative_difference(ours, eager, target=windows.batch().target) <= limit
    assert table["shop"].unique(maintain_order=True).to_list() == ["s0", "s1", "s2", "s3"]
    assert (table["hour"] - table["cutoff"]).dt.total_hours().to_list() == [1, 2, 3, 4, 5, 6] * 4
    assert table["model"].unique().to_list() == [session.model]


def test_the_rebuilt_model_is_the_fitted_one_bit_for_bit(asked):
    session, fitted, real = asked
    assert np.array_equal(session.fitted.predict(windows_of(real)), fitted.predict(windows_of(real)))


def windows_of(batch):
    return to_windows(batch, horizon=TASK.horizon)


def with_future(session):
    """The panel with a price over the horizon."""
    extended = PANEL.extend(TASK.horizon)
    table = extended.table.with_columns(pl.col("price").fill_null(1.5))
    return session.read(table)
