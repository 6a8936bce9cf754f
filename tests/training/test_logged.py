"""Models that see and answer the logarithm of the target: a view's `log`, in every way of learning and in bundles."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError
from tidewright.features.scaling import replace_target
from tidewright.features.view import View
from tidewright.features.windows import Windows, cut_windows, newest_windows
from tidewright.inference.session import open_session
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.models.floors import Floor
from tidewright.models.interpret import interpret
from tidewright.models.logged import Logged
from tidewright.models.spec import LSTM, FeedForward, LightGBM, Naive
from tidewright.registry.bundle import save_bundle
from tidewright.registry.rebuild import rebuild
from tidewright.training.conformal import conformalise
from tidewright.training.ensemble import fit_ensemble
from tidewright.training.explain_trees import explain_trees
from tidewright.training.fit import fit
from tidewright.training.population import fit_population
from tidewright.training.positions import fit_positions
from tidewright.training.seeds import fit_seeds
from tidewright.training.snapshots import fit_snapshots
from tidewright.training.spec import TrainSpec
from tidewright.training.update import update

TASK = Task(horizon=3)
OPTIONS: dict[str, dict[str, Any]] = {"lightgbm": {"rounds": 20, "min_leaf": 5}, "feedforward": {"hidden": (8,)}}
TRAIN = TrainSpec(epochs=2, steps=5)


@cache
def panel() -> Panel:
    """Positive values, each series of another size."""
    found = small_panel(covariates=False)
    return replace_target(found, np.exp(found.target / 20.0))


@cache
def split() -> Split:
    return split_holdout(panel(), TASK)


@cache
def learn(name: str, *, log: float | None = 0.5) -> Fitted:
    return fit(build_spec(name, OPTIONS.get(name)), **asked(log))


def asked(log: float | None) -> dict[str, Any]:
    return {"panel": panel(), "split": split(), "task": TASK, "view": View(48, log=log), "train": TRAIN}


def windows() -> Windows:
    return cut_windows(panel(), View(48), horizon=3, cutoffs=split().validation, least=1)


@pytest.mark.parametrize("name", ["lightgbm", "feedforward", "ridge", "seasonal"])
def test_it_is_the_model_of_a_panel_of_logarithms_raised_again(name: str) -> None:
    logs = replace_target(panel(), np.log(panel().target + 0.5))
    inner = fit(build_spec(name, OPTIONS.get(name)), **{**asked(None), "panel": logs})
    found = learn(name)
    seen = cut_windows(logs, inner.view, horizon=3, cutoffs=split().validation, least=1)
    given = cut_windows(panel(), found.view, horizon=3, cutoffs=split().validation, least=1)
    np.testing.assert_allclose(found.predict(given), np.exp(inner.predict(seen)) - 0.5, rtol=2e-4)
    assert (found.view.log, inner.view.log) == (0.5, None)


def test_what_it_is_asked_about_and_answers_stays_in_the_targets_own_unit() -> None:
    answer = learn("lightgbm").predict(windows())
    assert (np.diff(answer, axis=2) >= 0).all()
    assert np.nanmedian(np.abs(answer[:, :, 1] / windows().labels() - 1.0)) < 0.2


def test_a_value_without_a_logarithm_is_refused_where_it_would_be_learned() -> None:
    values = panel().target.copy()
    values[100] = 0.0
    broken = replace_target(panel(), values)
    with pytest.raises(DataError, match=r"log\(y \+ 0\), and series 's0' has the value 0. Ask for a view"):
        fit(Naive(), **{**asked(0.0), "panel": broken})
    fit(Naive(), **{**asked(1.0), "panel": broken})


def test_a_value_of_the_test_part_is_not_looked_at() -> None:
    values = panel().target.copy()
    values[panel().offsets[1:] - 1] = -9.0
    late = replace_target(panel(), values)
    for name in ("lightgbm", "seasonal"):
        again = fit(build_spec(name, OPTIONS.get(name)), **{**asked(0.5), "panel": late})
        np.testing.assert_array_equal(again.predict(windows()), learn(name).predict(windows()))


def test_a_later_value_without_a_logarithm_counts_as_missing_and_a_window_of_them_gets_no_answer() -> None:
    fitted = learn("feedforward")
    few, none = windows().y.copy(), np.full_like(windows().y, -7.0)
    few[::5] = -7.0
    holes = np.where(few == -7.0, np.nan, few)
    given = [fitted.predict(replace(windows(), y=values)) for values in (few, holes, none)]
    np.testing.assert_array_equal(given[0], given[1])
    assert np.isnan(given[2]).all()


@pytest.mark.parametrize("given", [-1.0, float("nan"), float("inf")])
def test_what_is_added_is_0_or_more(given: float) -> None:
    with pytest.raises(ConfigError, match=r"view\.log is added to the target before its logarithm, 0 or more; got"):
        View(8, log=given)


@pytest.mark.parametrize("name", ["lightgbm", "feedforward", "ridge"])
def test_its_bundle_answers_as_it_does_from_raw_history(name: str, tmp_path: Path) -> None:
    fitted = learn(name)
    bundle = save_bundle(fitted, panel=panel(), folder=tmp_path / "b")
    assert bundle.tolerance == pytest.approx(1e-4)
    again = rebuild(bundle.manifest, bundle.tensors())
    assert isinstance(again, Logged)
    newest = newest_windows(panel(), fitted.view, horizon=3)
    np.testing.assert_array_equal(again.predict(newest), fitted.predict(newest))
    answer = open_session(tmp_path / "b").predict(newest.batch().target).quantiles
    np.testing.assert_allclose(answer, fitted.predict(newest), rtol=1e-4)


def test_it_is_a_member_of_an_ensemble_and_is_made_conformal(tmp_path: Path) -> None:
    members = [learn("lightgbm"), learn("lightgbm", log=None), learn("seasonal")]
    mixed = fit_ensemble(members, panel=panel(), split=split(), rule="mean")
    mean = np.mean([one.predict(windows()) for one in members[:2]], axis=0)
    pair = fit_ensemble(members[:2], panel=panel(), split=split(), rule="mean")
    np.testing.assert_allclose(pair.predict(windows()), mean)
    assert ([part.view.log for part in mixed.spec.members], mixed.view.log) == ([0.5, None, 0.5], None)
    sure = conformalise(mixed, panel=panel(), split=split(), method="split")
    bundle = save_bundle(sure, panel=panel(), folder=tmp_path / "b")
    np.testing.assert_array_equal(
        rebuild(bundle.manifest, bundle.tensors()).predict(windows()), sure.predict(windows())
    )


def test_seeds_and_populations_learn_logarithms_too() -> None:
    both = fit_seeds(FeedForward(hidden=(8,)), seeds=2, **asked(0.5))
    alone = learn("feedforward")
    assert all(isinstance(member, Logged) for member in both.members)
    np.testing.assert_allclose(both.members[0].predict(windows()), alone.predict(windows()), rtol=1e-4)
    given = {key: value for key, value in asked(0.5).items() if key != "train"}
    for way in ("batched", "one_by_one"):
        found = fit_population(FeedForward(hidden=(8,)), trains=[TRAIN], way=way, **given)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.fitted[0].predict(windows()), alone.predict(windows()), rtol=1e-4)


@pytest.mark.parametrize("name", ["lightgbm", "feedforward", "seasonal"])
def test_it_is_brought_up_to_newer_rows(name: str) -> None:
    newer = update(learn(name), panel=panel(), split=split_holdout(panel(), TASK, test=30), train=TRAIN)
    assert newer.view.log == 0.5
    assert np.isfinite(newer.predict(windows())).all()


def test_a_tft_says_what_it_used_of_the_logarithms() -> None:
    spec = build_spec("tft", {"hidden": 8, "heads": 1})
    fitted = fit(spec, **{**asked(0.5), "view": View(24, ("hour",), log=0.5)})
    given = cut_windows(panel(), fitted.view, horizon=3, cutoffs=split().validation, least=1)
    assert isinstance(fitted, Logged)
    found, inner = interpret(fitted, given, roles=panel().roles), fitted.inner
    np.testing.assert_array_equal(
        found.attention, interpret(inner, fitted.log_windows(given), roles=panel().roles).attention
    )


def test_what_has_no_meaning_with_logarithms_is_refused() -> None:
    with pytest.raises(ConfigError, match="answers a logarithm, whose parts do not add up to the answer"):
        explain_trees(learn("lightgbm"), panel=panel(), split=split())
    with pytest.raises(ConfigError, match="Leave the view's log out, or take fit_seeds"):
        fit_snapshots(FeedForward(), cycles=2, **asked(0.5))
    given = {key: value for key, value in asked(0.5).items() if key != "task"}
    with pytest.raises(ConfigError, match="positions are learned from returns, which have no logarithm"):
        fit_positions(LSTM(), **{**given, "train": TrainSpec(loss="sharpe")})


def test_an_answer_too_large_for_a_number_stays_finite() -> None:
    inner = learn("seasonal", log=None)
    assert isinstance(inner, Floor)
    answer = Logged(replace(inner, spread=inner.spread + 1e6), 0.0).predict(windows())
    np.testing.assert_allclose(answer, np.exp(88.0))


def test_lightgbm_of_logarithms_is_another_model() -> None:
    assert not np.allclose(learn("lightgbm").predict(windows()), learn("lightgbm", log=None).predict(windows()))
    assert LightGBM().name == learn("lightgbm").spec.name
