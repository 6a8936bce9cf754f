"""What every network of the catalog must do; a new entry of kind "torch" is tested by being there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from tests.conformance.networks import (
    QUICK,
    TASK,
    TORCH,
    learned,
    make_panel,
    make_split,
    make_view,
    scored_windows,
    small_spec,
)
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.errors import BundleError, ConfigError, DataError
from tidewright.features.view import View, fit_static
from tidewright.features.windows import cut_windows, make_windows, newest_windows
from tidewright.models.spec import MODELS, Naive
from tidewright.models.torch.fitted import from_tensors
from tidewright.models.torch.shape import shape_of
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.spec import TrainSpec

pytestmark = pytest.mark.parametrize("name", TORCH)


def test_quantiles_have_their_shape_and_ascend(name: str) -> None:
    windows = scored_windows(name)
    answer = learned(name).predict(windows)
    assert answer.shape == (len(windows), TASK.horizon, len(TASK.quantiles))
    assert answer.dtype == np.float64
    assert np.isfinite(answer).all()
    assert (np.diff(answer, axis=2) >= 0).all()


def test_one_window_alone_gets_what_it_gets_in_a_batch(name: str) -> None:
    windows = scored_windows(name)
    whole = learned(name).predict(windows)
    alone = np.concatenate([learned(name).predict(windows.subset(np.array([k]))) for k in range(len(windows))])
    np.testing.assert_allclose(alone, whole, rtol=1e-5)


def test_asking_changes_nothing_and_repeats_to_the_bit(name: str) -> None:
    fitted, windows = learned(name), scored_windows(name)
    before = {key: value.tobytes() for key, value in fitted.tensors().items()}
    draws = torch.get_rng_state()
    first = fitted.predict(windows)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: fitted.predict(windows), range(8)))
    assert all(answer.tobytes() == first.tobytes() for answer in answers)
    assert {key: value.tobytes() for key, value in fitted.tensors().items()} == before
    assert torch.equal(torch.get_rng_state(), draws)


def test_nothing_after_the_cutoff_but_known_columns_is_seen(name: str) -> None:
    fitted, panel = learned(name), make_panel(name)
    cut = make_windows(panel, make_view(name), horizon=TASK.horizon, rows=panel.ends[:2] - 30)
    y, past = cut.y.copy(), cut.past.copy()
    for row, series in zip(cut.rows, cut.series, strict=True):
        y[row + 1 : cut.offsets[series + 1]] = -1e6
        past[row + 1 : cut.offsets[series + 1]] = -1e6
    assert fitted.predict(replace(cut, y=y, past=past)).tobytes() == fitted.predict(cut).tobytes()
    y[cut.rows] += 1.0
    assert (fitted.predict(replace(cut, y=y)) != fitted.predict(cut)).all(axis=(1, 2)).all()


def test_one_seed_gives_the_same_bits_and_another_does_not(name: str) -> None:
    def weights(seed: int) -> dict[str, bytes]:
        fitted = fit(
            small_spec(name),
            panel=make_panel(name),
            split=make_split(name),
            task=TASK,
            view=make_view(name),
            train=replace(QUICK, seed=seed),
        )
        return {key: value.tobytes() for key, value in fitted.tensors().items()}

    torch.rand(3)  # where torch's own generator stands must not matter
    again = weights(0)
    assert again == {key: value.tobytes() for key, value in learned(name).tensors().items()}
    assert (weights(1) != again) == (name != "lear")  # a closed form draws nothing


def test_a_known_signal_is_learned_better_than_the_naive_floor(name: str) -> None:
    train = TrainSpec(epochs=25, steps=20, batch_size=64, learning_rate=5e-3, patience=25)
    parts = {"panel": make_panel(name), "split": make_split(name), "task": TASK}
    model = fit(small_spec(name), **parts, view=make_view(name), train=train)
    floor = fit(Naive(), **parts)

    def error(fitted: object) -> float:
        windows = cut_windows(make_panel(name), fitted.view, horizon=4, cutoffs=make_split(name).test, least=1)  # type: ignore[attr-defined]
        return float(np.nanmean(np.abs(windows.labels() - fitted.predict(windows)[:, :, 1])))  # type: ignore[attr-defined]

    assert error(model) < 0.5 * error(floor)


def test_a_series_shorter_than_the_lookback_is_learned_and_answered(name: str) -> None:
    panel = make_panel(name)
    short = panel.select(["s0"]).until(int(panel.positions[0]) + 27)
    split = split_holdout(short, TASK, validation=4, test=4)
    view = View(40, (), fit_static(short))
    fitted = fit(small_spec(name), panel=short, split=split, task=TASK, view=view, train=QUICK)
    assert np.isfinite(fitted.predict(newest_windows(short, view, horizon=4))).all()


def test_its_tensors_make_it_again(name: str) -> None:
    fitted, windows = learned(name), scored_windows(name)
    twin = from_tensors(
        fitted.spec,
        task=TASK,
        view=fitted.view,
        shape=fitted.shape,
        tensors=fitted.tensors(),
        history=fitted.history,
    )
    assert twin.predict(windows).tobytes() == fitted.predict(windows).tobytes()
    assert twin.history == fitted.history


def test_other_tensors_are_refused_by_name_and_shape(name: str) -> None:
    fitted = learned(name)
    parts = {"task": TASK, "view": fitted.view, "shape": fitted.shape}
    tensors = fitted.tensors()
    key = next(label for label, value in tensors.items() if label.startswith("core.") and value.size > 1)
    with pytest.raises(BundleError, match=rf"missing \['{key}'\]"):
        from_tensors(fitted.spec, **parts, tensors={k: v for k, v in tensors.items() if k != key})
    with pytest.raises(BundleError, match=r"unknown \['extra'\]"):
        from_tensors(fitted.spec, **parts, tensors=tensors | {"extra": np.zeros(1)})
    with pytest.raises(BundleError, match=rf"{key} .* should be .* got \(1, 1\)"):
        from_tensors(fitted.spec, **parts, tensors=tensors | {key: np.zeros((1, 1), np.float32)})


def test_windows_of_another_view_are_refused(name: str) -> None:
    windows = newest_windows(make_panel(name), View(9), horizon=TASK.horizon)
    with pytest.raises(DataError, match=r"learned from windows of Shape\(lookback=14"):
        learned(name).predict(windows)


def test_the_shape_comes_from_the_windows(name: str) -> None:
    assert shape_of(scored_windows(name), TASK) == learned(name).shape
    assert learned(name).shape.inputs == ("target", *MODELS.load(name).takes)


def test_many_series_are_learned_at_once_and_each_is_answered_as_if_alone(name: str) -> None:
    draw = np.random.default_rng(2)
    parts = [
        pl.DataFrame({"shop": f"s{k:02}", "t": np.arange(40), "sold": (k + 1.0) * draw.normal(10, 1, 40)})
        for k in range(60)
    ]
    panel = Panel.from_table(pl.concat(parts), series="shop", time="t", target="sold")
    split = split_holdout(panel, TASK, validation=8, test=8)
    fitted = fit(small_spec(name), panel=panel, split=split, task=TASK, view=View(10), train=QUICK)
    whole = fitted.predict(newest_windows(panel, View(10), horizon=4))
    assert whole.shape == (60, 4, 3)
    some = ["s07", "s59"]
    alone = fitted.predict(newest_windows(panel.select(some), View(10), horizon=4))
    np.testing.assert_allclose(alone, whole[[7, 59]], rtol=1e-5)


def test_columns_that_it_learned_from_are_missed_and_others_are_refused_by_name(name: str) -> None:
    bare = keep_covariates(make_panel(name), ())
    takes = MODELS.load(name).takes
    if takes:
        with pytest.raises(
            DataError, match=rf"{name} learned from windows of Shape\(lookback=14.*Give the view it has"
        ):
            learned(name).predict(newest_windows(bare, View(14), horizon=4))
    for kind in {"past", "known", "static"} - set(takes):
        column = {"past": "visits", "known": "promo", "static": "size"}[kind]
        given = replace(make_panel(name).roles, **{kind: (column,)})
        with pytest.raises(ConfigError, match=rf"{name} takes no {kind} covariates; got {column}"):
            fit(
                small_spec(name),
                panel=replace(make_panel(name), roles=given),
                split=make_split(name),
                task=TASK,
                view=View(14, (), fit_static(replace(make_panel(name), roles=given))),
                train=QUICK,
            )
