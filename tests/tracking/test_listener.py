"""What MLflow holds is what was told, and no tracker can stop a training."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.worlds import small_table
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import FallbackWarning
from tidewright.tracking import mlflow_client
from tidewright.tracking.listener import RunListener, describe, open_listener
from tidewright.tracking.local import LocalRecord, list_runs
from tidewright.tracking.mlflow_client import MlflowRecord
from tidewright.tracking.mlflow_process import ENVIRONMENT
from tidewright.tracking.run import Run, RunState, begin_run
from tidewright.training.events import (
    EpochEnded,
    Event,
    FitEnded,
    FitStarted,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialStarted,
)
from tidewright.training.spec import TrainSpec
from tidewright.tuning.space import FloatRange, SearchSpace
from tidewright.tuning.tune import tune

KEY = "0123456789ab"


def new_run(name: str = "market") -> Run:
    return begin_run(name, command="tidewright run", key=KEY)


def fit_events(model: str = "lstm", *, epochs: int = 2, ended: bool = True, trial: int | None = None) -> list[Event]:
    told: list[Event] = [FitStarted(model, KEY, {"hidden": 8, "head": (4,)}, epochs, trial)]
    said = {"train_mae": 0.5, "validation_mape": 0.0}
    told += [EpochEnded(model, KEY, n, 1.0 / n, 2.0 / n, 0.5, said, trial) for n in range(1, epochs + 1)]
    return [*told, FitEnded(model, KEY, 3.0, 2.5, "patience", trial)] if ended else told


def trial(number: int, state: str = "complete", value: float | None = 0.0, error: str = "") -> TrialEnded:
    metrics = {} if value is None else {"validation_mase": value}
    return TrialEnded("lstm", number, state, value, {"model.hidden": 8 + number}, 4.0, metrics, error)


class Broken:
    """A tracker that fails at one of its verbs."""

    name = "the broken one"

    def __init__(self, verb: str) -> None:
        self.verb, self.heard = verb, 0

    def start(self, run: Run) -> Run:
        self._fail("start")
        return run

    def hear(self, event: Mapping[str, Any]) -> None:
        self.heard += 1
        self._fail("hear")

    def finish(self, run: Run) -> None:
        self._fail("finish")

    def _fail(self, verb: str) -> None:
        if verb == self.verb:
            raise OSError(28, "No space left on device")


@pytest.mark.parametrize("verb", ["start", "hear", "finish"])
def test_a_broken_tracker_is_recorded_and_stops_nothing(verb: str, tmp_path: Path) -> None:
    broken = Broken(verb)
    listener = RunListener(new_run(), trackers=[LocalRecord(tmp_path), broken])
    for event in fit_events():
        listener(event)
    with pytest.warns(FallbackWarning, match="the broken one of run .*: OSError: .* No space left"):
        run = listener.finish()
    assert broken.heard == {"start": 0, "hear": 1, "finish": 4}[verb]
    assert [fallback.asked for fallback in run.fallbacks] == [f"the broken one of run {run.id}"]
    assert list_runs(tmp_path).runs == (run,)
    assert run.state is RunState.DONE
    assert len((tmp_path / run.id / "events.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize("verb", ["start", "hear", "finish"])
def test_a_strict_run_is_stopped_by_a_broken_tracker(verb: str) -> None:
    def keep() -> None:
        listener = RunListener(new_run(), trackers=[Broken(verb)], strict=True)
        listener(fit_events()[0])
        listener.finish()

    with pytest.raises(OSError, match="No space left"):
        keep()


def test_an_error_that_is_no_trackers_own_is_not_hidden() -> None:
    class Wrong(Broken):
        def hear(self, event: Mapping[str, Any]) -> None:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        RunListener(new_run(), trackers=[Wrong("")])(fit_events()[0])


def test_listeners_compose(tmp_path: Path) -> None:
    both = [open_listener(new_run(), folder=tmp_path / name, mlflow=False) for name in ("one", "two")]
    for event in fit_events():
        for listener in both:
            listener(event)
    runs = [listener.finish() for listener in both]
    texts = [(tmp_path / n / r.id / "events.jsonl").read_text() for n, r in zip(("one", "two"), runs, strict=True)]
    kept = [[json.loads(line)["event"] for line in text.splitlines()] for text in texts]
    assert kept[0] == kept[1] == ["FitStarted", "EpochEnded", "EpochEnded", "FitEnded"]


def test_a_run_that_raises_is_failed_with_its_error(tmp_path: Path) -> None:
    def work() -> None:
        with open_listener(new_run(), folder=tmp_path, mlflow=False) as listener:
            listener.note(metrics={"validation.mase": 0.0})
            raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        work()
    (run,) = list_runs(tmp_path).runs
    assert (run.state, run.error, run.metrics) == ("failed", "ValueError: no such thing", {"validation.mase": 0.0})


def test_notes_replace_values_and_add_to_lists(tmp_path: Path) -> None:
    with open_listener(new_run(), folder=tmp_path, mlflow=False) as listener:
        listener.note(choices=[{"what": "device"}], spec={"hidden": 8}, bundle="b")
        listener.note(choices=[{"what": "threads"}], spec={"hidden": 9})
    (run,) = list_runs(tmp_path).runs
    assert run.choices == ({"what": "device"}, {"what": "threads"})
    assert (run.spec, run.bundle, run.state) == ({"hidden": 9}, "b", "done")


@pytest.fixture
def mlflow_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Any]]:
    """Reads a folder's MLflow store through MLflow's own client."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        yield lambda folder: MlflowClient(f"sqlite:///{(folder / 'mlflow.db').resolve()}")


def told_trial(study: str, number: int, value: float, *, again: bool = False) -> TrialEnded:
    return TrialEnded(study, number, "complete", value, {}, 1.0, again=again)


def by_name(client: Any, experiment: str = "tidewright") -> dict[str, Any]:
    found = client.get_experiment_by_name(experiment)
    return {run.info.run_name: run for run in client.search_runs([found.experiment_id])}


def test_what_mlflow_gives_back_is_what_was_told(tmp_path: Path, mlflow_store: Any) -> None:
    listener = open_listener(new_run(), folder=tmp_path, experiment="walmart")
    told = [
        *fit_events(),
        TrialStarted("lstm", 0, {"model.hidden": 8}),
        TrialStarted("lstm", 1, {"model.hidden": 9}, 3.5),
        *fit_events(trial=0, ended=False)[:1],  # two workers speak by turns
        *fit_events(trial=1, ended=False)[:2],
        *fit_events(trial=0)[1:],
        trial(1, "pruned", None, "hopeless"),
        trial(0),
        TrialStarted("lstm", 2, {"model.hidden": 10}),
        FitStarted("lstm", "", {}, trial=2),
        trial(2, "failed", None, "MemoryError: no room"),
        TrialStarted("lstm", 3, {"model.hidden": 11}),
        SearchEnded("lstm", "all is well", 3.0),
        SearchStarted("tcn", "mase", earlier=(told_trial("tcn", 0, 0.75), told_trial("tcn", 1, 0.7, again=True))),
        told_trial("tcn", 2, 0.5),
        told_trial("tcn", 3, 0.25, again=True),  # a lucky seed is no new best
        told_trial("tcn", 4, 0.6),
        SearchEnded("tcn", "it is over", 3.0, best=0, value=0.65),  # by its mean over seeds
        *fit_events("lightgbm", ended=False),
    ]
    for event in told:
        listener(event)
    listener.note(
        metrics={"test.mase": 0.0, "test.wape": float("nan")},
        floors={"naive": {"mase": 1.5}},
        spec={"name": "lstm", "hidden": 8},
        bundle="bundles/one",
        train={f"option{i}": i for i in range(150)},
    )
    run = listener.finish()
    assert run.fallbacks == ()
    client = mlflow_store(tmp_path)
    found = by_name(client, "walmart")
    trials = {*(f"lstm trial {number}" for number in range(4)), *(f"tcn trial {number}" for number in (2, 3, 4))}
    assert set(found) == {"market", "lstm", "lightgbm", *trials}
    main = found["market"]
    assert (main.info.run_id, main.info.status) == (run.mlflow_run, "FINISHED")
    assert (main.data.tags["tidewright.run"], main.data.tags["tidewright.bundle"]) == (run.id, "bundles/one")
    assert main.data.metrics["test.mase"] == 0.0
    assert main.data.metrics["test.wape"] != main.data.metrics["test.wape"]
    assert main.data.metrics["floor.naive.mase"] == 1.5
    assert main.data.params["spec.hidden"] == "8"
    assert all(main.data.params[f"train.option{i}"] == str(i) for i in range(150))
    nested = {name: one for name, one in found.items() if name != "market" and not name.startswith("tcn")}
    assert {one.data.tags["mlflow.parentRunId"] for one in nested.values()} == {run.mlflow_run}
    states = {name: (one.info.status, one.data.tags.get("tidewright.state")) for name, one in nested.items()}
    assert states == {
        "lstm": ("FINISHED", None),
        "lstm trial 0": ("FINISHED", "complete"),
        "lstm trial 1": ("KILLED", "pruned"),
        "lstm trial 2": ("FAILED", "failed"),
        "lstm trial 3": ("FAILED", "running"),
        "lightgbm": ("FAILED", None),
    }
    steps = client.get_metric_history(found["lstm"].info.run_id, "validation_loss")
    assert [(metric.step, metric.value) for metric in steps] == [(1, 2.0), (2, 1.0)]
    assert found["lstm"].data.params == {"model.hidden": "8", "model.head": "[4]"}
    assert found["lstm"].data.metrics["fit_cpu_seconds"] == 2.5
    assert found["lstm trial 0"].data.metrics["value"] == 0.0
    assert found["lstm trial 0"].data.metrics["validation_mase"] == 0.0
    assert found["lstm trial 0"].data.params["trial.model.hidden"] == "8"
    assert "value" not in found["lstm trial 1"].data.metrics
    assert found["lstm trial 2"].data.tags["tidewright.reason"] == "MemoryError: no room"
    assert found["lstm trial 1"].data.tags["tidewright.reason"] == "hopeless"
    assert found["lstm trial 1"].data.metrics["expected_seconds"] == 3.5
    for name, epochs in (("lstm trial 0", [1, 2]), ("lstm trial 1", [1])):
        told_of = client.get_metric_history(found[name].info.run_id, "train_mae")
        assert [(metric.step, metric.value) for metric in told_of] == [(epoch, 0.5) for epoch in epochs]
        assert found[name].data.metrics["validation_mape"] == 0.0
    assert main.data.metrics["lstm.best_value"] == 0.0
    best = client.get_metric_history(run.mlflow_run, "tcn.best_value")
    assert [(metric.step, metric.value) for metric in best] == [(2, 0.5), (4, 0.65)]
    assert (main.data.metrics["tcn.best_value"], main.data.tags["tcn.best_trial"]) == (0.65, "0")
    assert client.get_experiment_by_name("walmart").artifact_location.startswith((tmp_path / "artifacts").as_uri())


def test_the_store_has_every_epoch_of_a_real_search_and_the_checkpoint_of_its_best_trial_alone(
    tmp_path: Path, mlflow_store: Any
) -> None:
    table = small_table(covariates=False).tail(300)
    panel, task = Panel.from_table(table, series="shop", time="hour", target="sold"), Task(horizon=4)
    space = SearchSpace("nlinear", {"train.learning_rate": FloatRange(1e-4, 1e-2, log=True)})
    with open_listener(new_run("shops"), folder=tmp_path) as listener:
        study = tune(
            space, panel=panel, split=split_holdout(panel, task), task=task, model="nlinear", trials=4, pruner="none",
            train=TrainSpec(epochs=2, steps=3), storage=tmp_path / "study", ledger=False, callbacks=[listener],
        )  # fmt: skip
    client = mlflow_store(tmp_path)
    found = by_name(client)
    assert len({trial.value for trial in study.trials}) == 4
    for trial in study.trials:
        run = found[f"nlinear trial {trial.number}"]
        for part in ("train", "validation"):
            for metric in ("mape", "rmse", "mae"):
                history = client.get_metric_history(run.info.run_id, f"{part}_{metric}")
                assert [one.step for one in history[:2]] == [1, 2]
                assert all(one.value > 0.0 for one in history)
        assert run.data.metrics["value"] == trial.value
        assert float(run.data.params["trial.train.learning_rate"]) == trial.parameters["train.learning_rate"]
        files = [file.path for file in client.list_artifacts(run.info.run_id)]
        assert files == (["checkpoint.safetensors"] if trial.number == study.best.number else [])
    kept = tmp_path / "study" / "trials" / f"{study.best.number:05d}" / "checkpoint.safetensors"
    place = client.download_artifacts(found[f"nlinear trial {study.best.number}"].info.run_id, "checkpoint.safetensors")
    assert Path(place).read_bytes() == kept.read_bytes()


TELLER = """
import sys
from tidewright.tracking.listener import open_listener
from tidewright.tracking.run import begin_run
from tidewright.training.events import EpochEnded, FitStarted
with open_listener(begin_run(sys.argv[2], command="c", key="k"), folder=sys.argv[1]) as listener:
    for model in range(3):
        listener(FitStarted(f"{sys.argv[2]}-{model}", "k"))
        for epoch in range(20):
            listener(EpochEnded("m", "k", epoch, 1.0, float(epoch), 0.1))
    if len(sys.argv) > 3:
        import os, signal
        print(listener._live[-1]._process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL if sys.argv[3] == "kill" else signal.SIGINT)
assert not listener.run.fallbacks, listener.run.fallbacks
assert "mlflow" not in sys.modules
"""


def tell(folder: Path, name: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", TELLER, str(folder), name, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)


def test_two_processes_that_track_into_one_new_folder_both_succeed(tmp_path: Path, mlflow_store: Any) -> None:
    both = [tell(tmp_path, name) for name in ("east", "west")]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said == [("", "")] * 2  # nothing of MLflow's chatter
    client = mlflow_store(tmp_path)
    found = by_name(client)
    assert set(found) == {name + end for name in ("east", "west") for end in ("", "-0", "-1", "-2")}
    for name in ("east-1", "west-2"):
        history = client.get_metric_history(found[name].info.run_id, "validation_loss")
        assert [metric.value for metric in history] == [float(epoch) for epoch in range(20)]
    listed = list_runs(tmp_path)
    assert sorted(run.name for run in listed.runs) == ["east", "west"]
    assert listed.notes == ()
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize(("how", "state"), [("kill", RunState.RUNNING), ("interrupt", RunState.INTERRUPTED)])
def test_a_killed_or_interrupted_run_is_killed_in_mlflow_too(
    how: str, state: RunState, tmp_path: Path, mlflow_store: Any
) -> None:
    process = tell(tmp_path, "gone", how)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == -(signal.SIGKILL if how == "kill" else signal.SIGINT)
    wait_for_end(int(said))
    (run,) = list_runs(tmp_path).runs
    assert (run.state, run.error) == (state, "")
    found = by_name(mlflow_store(tmp_path))
    assert (found["gone"].info.status, found["gone-2"].info.status) == ("KILLED", "KILLED")


def wait_for_end(process: int) -> None:
    """Returns when a process that is nobody's child has ended."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    select.select([handle], [], [], 120)
    os.close(handle)


def test_a_missing_mlflow_is_recorded_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_client, "has", lambda module: False)
    listener = open_listener(new_run(), folder=tmp_path)
    listener(fit_events()[0])
    with pytest.warns(FallbackWarning, match=r"MLflow of run .*pip install 'tidewright\[tracking\]'"):
        run = listener.finish()
    assert list_runs(tmp_path).runs == (run,)


def test_a_store_that_is_no_database_is_recorded_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    listener = open_listener(new_run(), folder=tmp_path)
    for event in fit_events():
        listener(event)
    with pytest.warns(FallbackWarning, match="MLflow of run .*: OSError: .*file is not a database"):
        run = listener.finish()
    assert [fallback.reason for fallback in list_runs(tmp_path).runs[0].fallbacks] == [run.fallbacks[0].reason]


def test_a_writer_that_dies_is_noticed_and_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = "import sys; sys.stdin.readline(); sys.exit('the writer ran into a wall')"
    record = MlflowRecord(tmp_path, experiment="e")
    launch = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **k: launch([command[0], "-c", dying], **k))
    record.start(new_run())
    with pytest.raises(OSError, match="died: the writer ran into a wall"):
        record.finish(new_run())


def test_a_writer_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = MlflowRecord(tmp_path, experiment="e", finish_s=0.05)
    launch = subprocess.Popen
    hanging = "import signal; signal.pause()"
    monkeypatch.setattr(subprocess, "Popen", lambda command, **k: launch([command[0], "-c", hanging], **k))
    record.start(new_run())
    with pytest.raises(TimeoutError, match=r"had not written everything after 0\.05 s"):
        record.finish(new_run())
    assert record.finish(new_run()) == ""


def test_tracking_leaves_the_users_logging_and_environment_alone(tmp_path: Path) -> None:
    before = (list(logging.getLogger().handlers), logging.getLogger().level, dict(os.environ))
    with open_listener(new_run(), folder=tmp_path, mlflow=True) as listener:
        listener(fit_events()[0])
    assert (list(logging.getLogger().handlers), logging.getLogger().level, dict(os.environ)) == before
    assert "mlflow_run" in json.loads((tmp_path / listener.run.id / "run.json").read_text())


def test_an_event_is_described_by_its_fields() -> None:
    told = describe(trial(3, "failed", None, "E: x"), time_ms=7)
    assert told == {
        "event": "TrialEnded",
        "time_ms": 7,
        "study": "lstm",
        "number": 3,
        "state": "failed",
        "value": None,
        "parameters": {"model.hidden": 11},
        "seconds": 4.0,
        "metrics": {},
        "error": "E: x",
        "notes": [],
        "expected_s": None,
        "checkpoint": "",
        "kept": [],
        "again": False,
    }
