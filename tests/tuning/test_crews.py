"""Trials in other processes: on this machine, and as tasks of a Ray cluster."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidewright.errors import BackendError, ConfigError, FitError, MissingExtraError
from tidewright.models.build import build_spec
from tidewright.runtime import detect_runtime
from tidewright.training.events import EpochEnded, Event, TrialEnded
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.tuning import process_crew
from tidewright.tuning.limits import Limits
from tidewright.tuning.open_store import open_store
from tidewright.tuning.panel_objective import PanelObjective
from tidewright.tuning.process_crew import GPUS, ProcessCrew, share_of
from tidewright.tuning.search import Found, Plan, orders_of, search
from tidewright.tuning.searchers.tpe import TPESearcher
from tidewright.tuning.space import FloatRange, IntRange, SearchSpace
from tidewright.tuning.start import start_candidate
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tune import tune

SPACE = SearchSpace("bowl", {"x": FloatRange(-1.0, 1.0)})


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def run(name: str, *, trials: int | None = 6, storage: Any = None, budget_s: float | None = None, **more: Any) -> Found:
    import crew_objectives

    limits = Limits(time.monotonic(), budget_s, trials, time.monotonic)
    plan = Plan(SPACE, TPESearcher(), limits, seed=1, **more)
    objective = getattr(crew_objectives, name)
    crew = ProcessCrew(orders_of(objective, plan), workers=2)
    try:
        return search(objective, plan, store=open_store(storage), crew=crew)
    finally:
        crew.close()


def test_trials_run_in_other_processes_and_all_that_they_say_comes_back() -> None:
    heard: list[Event] = []
    found = run("bowl", callbacks=(heard.append,))
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 6
    best = min(found.trials, key=lambda trial: trial.values)
    assert found.learned[:2] == ("learned by", best.number)
    assert found.learned[2] != os.getpid()
    assert all([step for step, _ in trial.steps] == [1, 2] for trial in found.trials)
    assert sum(isinstance(event, EpochEnded) for event in heard) == 12
    assert sorted(event.number for event in heard if isinstance(event, TrialEnded)) == list(range(6))


def test_a_trial_whose_process_is_killed_is_done_by_another_one(tmp_path: Path) -> None:
    found = run("deadly_once", storage=tmp_path)
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 6
    assert found.trials[1].notes == ("taken up again 1 times after its worker died",)
    assert found.trials[1].steps[0] == (1, 0.5)  # what was kept stays
    assert all(trial.notes == () for trial in found.trials if trial.number != 1)


def test_a_trial_that_kills_every_process_has_failed_and_says_so() -> None:
    found = run("deadly", trials=3)
    assert [trial.state for trial in found.trials] == ["complete", "failed", "complete"]
    assert found.trials[1].error == "its worker died 4 times in a row, the last time after 0 steps"


def test_a_trial_that_ignores_the_budget_is_ended_with_its_process() -> None:
    started = time.monotonic()
    found = run("endless", trials=None, budget_s=1.0)
    assert time.monotonic() - started >= 1.03  # and it ends at all
    assert [trial.state for trial in found.trials] == [TrialState.FAILED] * 2
    assert "3 % after the end of the budget" in found.trials[0].error
    assert found.reason == "the budget of 1 s is spent"


def test_what_can_not_be_sent_is_left_behind_or_refused() -> None:
    assert run("unsendable", trials=2).learned is None
    with pytest.raises(ConfigError, match=r"can't be sent to another process: .* leave out workers"):
        ProcessCrew(orders_of(lambda assignment: None, Plan(SPACE, TPESearcher(), _limits(), 1)), workers=2)
    with pytest.raises(ConfigError, match=r"workers is a number of processes, 1 or more; got 0"):
        ProcessCrew(orders_of(open, Plan(SPACE, TPESearcher(), _limits(), 1)), workers=0)


def test_a_missing_package_and_a_worker_that_can_not_begin_end_the_search() -> None:
    with pytest.raises(MissingExtraError, match="the package 'nothing'"):
        run("lacking")
    with pytest.raises(FitError, match=r"a worker ended with exit code 3 in its first trial"):
        run("exits")


def test_workers_share_the_threads_and_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0))
    assert {trial.value for trial in run("threads", trials=2).trials} == {max(1, cores // 2)}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert [share_of(3, place)["CUDA_VISIBLE_DEVICES"] for place in range(3)] == ["4", "6", "4"]
    assert share_of(1, 0)["OMP_NUM_THREADS"] == str(cores)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    assert "CUDA_VISIBLE_DEVICES" not in share_of(2, 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if not GPUS.is_dir():
        assert "CUDA_VISIBLE_DEVICES" not in share_of(2, 0)


def test_a_panel_is_tuned_by_workers(world: Any) -> None:
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0), "model.recent": IntRange(2, 14)})
    asked: dict[str, Any] = {"model": "damped", "searcher": "tpe", "trials": 6, "ledger": False, **world.given}
    study = tune(space, workers=2, **asked)
    assert study.count(TrialState.COMPLETE) == 6
    assert study.trials[0].parameters == {"model.damping": 0.5, "model.recent": 8}
    assert (study.account.trials, study.notes) == (6, ())
    assert study.fitted.spec.damping == study.best.parameters["model.damping"]
    with pytest.raises(ConfigError, match="workers is a number"):
        tune(space, workers=0, **asked)


def _limits() -> Limits:
    return Limits(0.0, None, 1, time.monotonic)


def test_a_cluster_that_is_not_there_is_told_at_once() -> None:
    from tidewright.tuning.ray_crew import RayCrew

    pytest.importorskip("ray")
    plan = Plan(SPACE, TPESearcher(), _limits(), seed=1)
    with pytest.raises(BackendError, match=r"no Ray cluster answers at '127.0.0.1:1': .* refused.* ray start --head"):
        RayCrew(orders_of(open, plan), address="127.0.0.1:1", workers=None)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    folder = str(Path(__file__).parent)
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])}}
    ray.init(
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
        runtime_env=environment,
    )
    yield
    ray.shutdown()


@pytest.mark.filterwarnings("ignore")
def test_a_ray_cluster_makes_the_trials(cluster: None, world: Any, tmp_path: Path) -> None:
    import crew_objectives

    from tidewright.tuning.ray_crew import RayCrew

    limits = Limits(time.monotonic(), None, 4, time.monotonic)
    heard: list[Event] = []
    plan = Plan(SPACE, TPESearcher(), limits, seed=1, callbacks=(heard.append,))
    crew = RayCrew(orders_of(crew_objectives.deadly_once, plan), address="auto", workers=None)
    found = search(crew_objectives.deadly_once, plan, store=open_store(tmp_path / "study"), crew=crew)
    crew.close()
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 4
    assert found.trials[1].notes == ("taken up again 1 times after its worker died",)
    assert found.learned[2] != os.getpid()
    assert sum(isinstance(event, EpochEnded) for event in heard) == 8
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0)})
    study = tune(space, model="damped", trials=3, ray="auto", ledger=False, **world.given)
    assert (study.count(TrialState.COMPLETE), study.account.trials) == (3, 3)
    assert np.isfinite(study.score)


@pytest.mark.filterwarnings("ignore")
def test_a_task_has_the_time_that_is_left_whatever_its_own_clock_says(
    cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import crew_objectives

    monkeypatch.setenv("CLOCK_SHIFT", "1e6")  # of this process alone
    found = on_ray(crew_objectives.time_left, Limits(crew_objectives.own_clock(), 100.0, 2, crew_objectives.own_clock))
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 2
    assert all(50.0 < trial.values[0] < 100.0 for trial in found.trials)


@pytest.mark.filterwarnings("ignore")
def test_a_task_that_ignores_the_budget_is_ended(cluster: None, tmp_path: Path) -> None:
    import crew_objectives

    limits = Limits(time.monotonic(), 1.0, None, time.monotonic)
    found = on_ray(crew_objectives.endless, limits, storage=tmp_path)
    assert {trial.state for trial in found.trials} == {TrialState.FAILED}
    assert "3 % after the end of the budget" in found.trials[0].error


@pytest.mark.filterwarnings("ignore")
def test_a_search_of_networks_asks_the_cluster_for_its_gpus(cluster: None, world: Any) -> None:
    import crew_objectives

    from tidewright.tuning.ray_crew import RayCrew

    assert not _objective(world, "damped").gpu
    assert _objective(world, "lstm").gpu
    assert not _objective(world, "lstm", runtime=partial(detect_runtime, "cpu")).gpu
    plan = Plan(SPACE, TPESearcher(), _limits(), seed=1)
    asked = []
    for gpu in (False, True):
        crew = RayCrew(replace(orders_of(crew_objectives.bowl, plan), gpu=gpu), address="auto", workers=None)
        asked.append((crew._size, crew._work._default_options.get("num_gpus")))
        crew.close()
    assert asked == [(2, 0.0), (1, 1.0)]


def _objective(world: Any, model: str, **more: Any) -> PanelObjective:
    space = SearchSpace(model, {"view.lookback": IntRange(7, 14)})
    default = start_candidate(space, build_spec(model), **world.given, train=TrainSpec(), view=None, season=None)
    return PanelObjective(world.panel, world.split, world.task, None, default, "mase", fit, time.monotonic, **more)


def on_ray(objective: Any, limits: Limits, *, storage: Path | None = None) -> Found:
    from tidewright.tuning.ray_crew import RayCrew

    plan = Plan(SPACE, TPESearcher(), limits, seed=1)
    crew = RayCrew(orders_of(objective, plan), address="auto", workers=None)
    try:
        return search(objective, plan, store=open_store(storage), crew=crew)
    finally:
        crew.close()


def test_a_trial_that_was_let_go_may_still_be_heard_of(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    claimed = store.claim(lambda trials: {"x": 0.5})
    assert isinstance(claimed, Trial)
    store.let_go(0, died=True)
    store.report(0, step=1, value=1.0)
    assert store.trials()[0].steps == ()
    store.close()


def test_a_network_of_normed_weights_comes_back_from_a_worker_without_its_model() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2))  # as those of the TCN
    ended = pickle.loads(process_crew._pack(Trial(0, TrialState.COMPLETE, (0.5,)), layer))
    assert (ended.trial.value, ended.learned) == (0.5, None)
