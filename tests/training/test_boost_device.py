"""A GPU that was asked for is used where the library can, and what happens else is told."""

from dataclasses import replace
from typing import Any

import pytest

from tests.training.test_boosters import GOALS, SPECS, every_library, learning, make_cells
from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, FallbackWarning
from tidewright.runtime import Choice, Runtime, detect_runtime
from tidewright.training import boost_device
from tidewright.training.boost_device import settle_device
from tidewright.training.cells import Learned, load_learner
from tidewright.training.fit import fit
from tidewright.training.learn_catboost import _Course, to_gpu


def on_cuda(**changes: Any) -> Runtime:
    """What a machine with a GPU that was asked for has."""
    return replace(detect_runtime(), device=Choice("cuda", "cuda", "asked for"), **changes)


def learn(library: str, runtime: Runtime | None) -> Learned:
    cells = make_cells(count=300, seed=0)
    spec = replace(SPECS[library], rounds=3)
    how = replace(learning(), runtime=runtime)
    return load_learner(library)(spec, learn=cells, judge=cells, goals=GOALS["quantiles"], learning=how)


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries that can't, wherever this runs."""
    finders = {name: lambda goals: ("cuda", "it finds no GPU") for name in SPECS}
    monkeypatch.setattr(boost_device, "_FINDERS", finders)


@every_library
@pytest.mark.usefixtures("without_gpu")
def test_a_library_without_a_gpu_falls_back_and_says_so(library: str) -> None:
    with pytest.warns(FallbackWarning, match=f"{library}: cuda was asked for, cpu is used: it finds no GPU"):
        found = learn(library, on_cuda())
    assert found.history[0] == {"device": "cpu", "asked": "cuda", "reason": "it finds no GPU"}
    plain = learn(library, None)
    assert found.history[1:] == plain.history
    for name, array in plain.formula.tensors().items():
        assert found.formula.tensors()[name].tobytes() == array.tobytes()


@pytest.mark.usefixtures("without_gpu")
def test_fit_hands_the_runtime_on() -> None:
    panel, task = small_panel(rows=200), Task(2)
    given: dict[str, Any] = {"panel": panel, "split": split_holdout(panel, task), "task": task}
    with pytest.warns(FallbackWarning, match="cuda was asked for"):
        fitted = fit(replace(SPECS["lightgbm"], rounds=2), **given, runtime=on_cuda())
    assert fitted.history[0]["asked"] == "cuda"


@every_library
@pytest.mark.usefixtures("without_gpu")
def test_a_strict_runtime_takes_no_fallback(library: str) -> None:
    with pytest.raises(BackendError, match="Ask for the device cpu, or leave strict out"):
        learn(library, on_cuda(strict=True))


def test_several_quantiles_of_catboost_stay_on_the_cpu() -> None:
    with pytest.warns(FallbackWarning, match="its loss of several quantiles runs on the CPU alone"):
        assert settle_device("catboost", on_cuda(), goals=3)[0] == "cpu"


def test_xgboost_is_asked_what_it_was_built_with(monkeypatch: pytest.MonkeyPatch) -> None:
    for built in (True, False):
        monkeypatch.setattr("xgboost.build_info", lambda built=built: {"USE_CUDA": built})
        assert (boost_device._find_xgboost(1)[1] == "") == built


def test_lightgbm_is_tried_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    word, obstacle = boost_device._find_lightgbm(1)
    assert (word == "cpu") == ("its build here can't" in obstacle)
    assert capfd.readouterr().out == ""


def test_the_device_is_the_library_s_own_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boost_device, "_FINDERS", {"lightgbm": lambda goals: ("gpu", "")})
    assert settle_device("lightgbm", on_cuda(), goals=1) == ("gpu", ())
    assert settle_device("lightgbm", detect_runtime(), goals=1) == ("cpu", ())
    assert settle_device("lightgbm", None, goals=1) == ("cpu", ())
    assert to_gpu({"rsm": 0.8, "depth": 6}) == {"depth": 6, "task_type": "GPU"}


def test_the_rounds_of_a_gpu_are_read_as_those_that_were_told() -> None:
    losses = [3.0, 2.0, 1.0, *[1.5] * 40]
    course = _Course(learning())
    course.read({"learn": {"RMSE": losses}, "validation": {"RMSE": losses}})
    course.close(100)
    assert course.history[-1] == {"rounds": 3, "validation_loss": 1.0, "stopped": "no better on validation"}
    assert course.last[0] == 28
