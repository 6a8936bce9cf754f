"""Where memory ends, a model of cells learns from fewer rows, and says so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.worlds import small_table
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, FallbackWarning, FitError
from tidewright.models.specs.trees import LightGBM
from tidewright.runtime import detect_runtime
from tidewright.training import strategies
from tidewright.training.cells import load_learner
from tidewright.training.evaluate import evaluate
from tidewright.training.fewer_rows import learn_in_memory, name_memory_error
from tidewright.training.fit import fit
from tidewright.tuning.space import IntRange, SearchSpace
from tidewright.tuning.tune import tune

SPEC = LightGBM(rounds=3)


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    table = small_table(covariates=False)
    panel, task = Panel.from_table(table, series="shop", time="hour", target="sold"), Task(horizon=4)
    return {"panel": panel, "split": split_holdout(panel, task), "task": task}


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """A machine on which LightGBM can learn from so many rows and no more; notes how many it was given."""

    def limit(most: int) -> list[int]:
        given: list[int] = []

        def load(model: str) -> Any:
            learner = load_learner(model)

            def learn(spec: Any, **cells: Any) -> Any:
                given.append(len(cells["learn"].labels))
                if given[-1] > most:
                    raise MemoryError("Unable to allocate 9 TiB")
                return learner(spec, **cells)

            return learn

        monkeypatch.setattr(strategies, "load_learner", load)
        return given

    return limit


def test_rows_are_halved_until_they_fit_and_the_model_is_that_of_so_many(given: dict[str, Any], narrow: Any) -> None:
    asked = {"panel": given["panel"], "split": given["split"], "cutoffs": given["split"].validation}
    fewer = evaluate(fit(replace(SPEC, most_rows=1024), **given), **asked)
    seen = narrow(1100)
    with pytest.warns(FallbackWarning, match="lightgbm: memory ran out; it learns anew from 1024 rows"):
        fitted = fit(replace(SPEC, most_rows=2048), **given)
    assert len(seen) == 2  # cells without a label are left out
    assert seen[1] <= 1024 < seen[0] <= 2048
    assert fitted.history[0]["fallback"].endswith("1024 rows: Unable to allocate 9 TiB")
    assert fitted.spec.most_rows == 2048  # what was asked for
    np.testing.assert_array_equal(evaluate(fitted, **asked).forecast, fewer.forecast)


def test_a_strict_fit_and_one_that_finds_no_room_are_errors(given: dict[str, Any], narrow: Any) -> None:
    narrow(0)
    with pytest.raises(BackendError, match=r"learns anew from 1024 rows: .* or leave strict out"):
        fit(replace(SPEC, most_rows=2048), runtime=replace(detect_runtime(), strict=True), **given)
    with (
        pytest.warns(FallbackWarning),
        pytest.raises(FitError, match=r"memory ran out with 1024 rows or more: .* Take a smaller model"),
    ):
        fit(replace(SPEC, most_rows=2048), **given)


def test_a_trial_whose_memory_ends_goes_on_with_fewer_rows_and_says_so(given: dict[str, Any], narrow: Any) -> None:
    narrow(1100)
    space = SearchSpace("lightgbm", {"model.leaves": IntRange(4, 8)})
    with pytest.warns(FallbackWarning):
        study = tune(space, model=replace(SPEC, most_rows=2048), trials=2, ledger=False, **given)
    assert all("learns anew from 1024 rows" in trial.notes[0] for trial in study.trials)


def test_what_fits_is_learned_once_and_other_errors_are_passed_on() -> None:
    assert learn_in_memory(lambda rows: rows, rows=5000, model="m", strict=False) == (5000, ())
    with pytest.raises(ZeroDivisionError):
        learn_in_memory(lambda rows: rows // 0, rows=5000, model="m", strict=False)


@pytest.mark.parametrize(
    ("model", "module", "name"),
    [
        ("lightgbm", "lightgbm.basic", "LightGBMError"),
        ("xgboost", "xgboost.core", "XGBoostError"),
        ("catboost", "_catboost", "CatBoostError"),
    ],
)
def test_a_librarys_own_word_for_the_end_of_memory_is_known(model: str, module: str, name: str) -> None:
    pytest.importorskip(model)
    failure = getattr(sys.modules[module], name)

    def fail(text: str) -> None:
        with name_memory_error(model):
            raise failure(text)

    with pytest.raises(MemoryError, match=r"^std::bad_alloc$"):
        fail("[06:10] src/data.cc:12\n std::bad_alloc\nStack trace:")
    with pytest.raises(failure, match="Check failed"):
        fail("Check failed: 2 < 1")
