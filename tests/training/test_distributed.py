"""Several processes teach what one would, and none of them is waited for in vain or left behind.

One group that torchrun starts does all the comparisons; the groups that `fit` starts are few, for each takes seconds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FitError
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.runtime import Choice, Runtime, detect_runtime
from tidewright.training.distributed import refuse_group
from tidewright.training.events import EpochEnded, Event, FitEnded, FitStarted
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.training.team import Team, draw_apart

RUN = """
import json, os, sys, time
from pathlib import Path
from tests.training.test_distributed import CASES, in_fewer_digits, learn, outline
from tidewright.errors import ConfigError, FitError
from tidewright.training import team
from tidewright.training.events import EpochEnded

team.LEAST_BLOCK = 0  # every block by itself
rank, folder, told = int(os.environ["RANK"]), Path(sys.argv[1]), []
late, never = time.monotonic() - 1.0, None
seen = {name: outline(learn(name, callbacks=[told.append])) for name in CASES}
seen["told"] = len(told)
for strategy in ("ddp", "fsdp"):
    seen[f"bfloat16, {strategy}"] = outline(learn("ddp", strategy=strategy, runtime=in_fewer_digits("bfloat16")))
for place, deadline in (("first", late if rank == 0 else never), ("second", late if rank == 1 else never)):
    seen[f"late in the {place}"] = outline(learn("ddp", deadline=deadline))
for strategy in ("ddp", "fsdp"):  # an epoch each, where another left off
    learn("point", strategy=strategy, checkpoint=folder / "point", deadline=late)
seen["dropout"] = outline(learn("dropout"))
for deadline in (late, never):  # an epoch, and the others
    seen["dropout again"] = outline(learn("dropout", checkpoint=folder / "dropout", deadline=deadline))
try:
    learn("ddp", callbacks=[lambda event: 1 / (not isinstance(event, EpochEnded))])
except (FitError, ZeroDivisionError) as error:
    seen["raises"] = f"{type(error).__name__}: {error}"
half = {"strategy": "fsdp", "runtime": in_fewer_digits("float16")}
for name, asked in {"norm": {}, "scalar": {"strategy": "fsdp"}, "count": {"devices": 3}, "half": half}.items():
    try:
        learn(name, **asked)
    except ConfigError as error:
        seen[name] = str(error)
(folder / f"seen{rank}").write_text(json.dumps(seen))
"""
BASE: dict[str, Any] = {"epochs": 4, "steps": 5, "batch_size": 33, "learning_rate": 5e-3, "clip": 0.3}
ALL: dict[str, Any] = {"accumulate": 3, "ema": 0.9, "schedule": "onecycle", "warmup": 0.2}
POINT: dict[str, Any] = {"epochs": 6, "patience": 6, "optimizer": "adam", "ema": 0.8, "schedule": "cosine"}
CASES: dict[str, dict[str, Any]] = {
    "ddp": {},
    "all options": ALL,
    "all options, fsdp": {**ALL, "strategy": "fsdp"},
    "fsdp": {"strategy": "fsdp"},
    "fsdp sgd": {"strategy": "fsdp", "optimizer": "sgd", "loss": "student"},
    "all labels, fsdp": {"strategy": "fsdp", "gaps": False, "loss": "mse"},
    "all labels": {"gaps": False, "batch_size": 7, "clip": 1e9},
    "batches of one": {"batch_size": 1, "judged": 1},
    "patience": {"epochs": 40, "patience": 2, "learning_rate": 0.05},
    "blocks": {"model": "resmlp", "options": {"width": 8, "dropout": 0.0}, "strategy": "fsdp", "recompute": True},
    "lstm": {"model": "lstm", "options": {"hidden": 8, "head": ()}, "strategy": "fsdp"},
}
ALIKE = {"rtol": 1e-4, "atol": 1e-5}  # sums of float32 in another order


@cache
def make_panel(gaps: bool) -> Panel:
    rng, parts = np.random.default_rng(1), []
    for name in ("a", "b"):
        sold = 10 * np.sin(np.arange(120) / 3) + rng.normal(0, 1.0, 120)
        if gaps:
            sold[rng.random(120) < 0.1] = np.nan
        sold[[0, -1]] = 1.0
        parts.append(pl.DataFrame({"id": name, "t": np.arange(120), "y": sold}).fill_nan(None))
    return Panel.from_table(pl.concat(parts), series="id", time="t", target="y")


def learn(case: str, **asked: Any) -> Fitted:
    """What one case learns, in this process or with those that torchrun started."""
    more = {"point": POINT, "dropout": {}, "norm": {}, "half": {}, "scalar": {"model": "rlinear", "options": {}}}
    train = {**BASE, **CASES.get(case, more.get(case, {}))}
    options = {"hidden": (16,), "dropout": 0.5 if case == "dropout" else 0.0, "batch_norm": case == "norm"}
    spec = build_spec(train.pop("model", "feedforward"), train.pop("options", options))
    panel, task, strategy = make_panel(train.pop("gaps", True)), Task(horizon=3), train.pop("strategy", "ddp")
    return fit(
        spec,
        panel=panel,
        split=split_holdout(panel, task, validation=18, test=18),
        task=task,
        view=View(8),
        train=TrainSpec(**train),
        **{"strategy": strategy, **asked},
    )


def in_fewer_digits(precision: str) -> Runtime:
    """What computes in a precision, whatever this processor has."""
    return replace(detect_runtime("cpu"), precision=Choice(precision, precision, "asked for"))


def outline(fitted: Fitted) -> dict[str, Any]:
    """The loss curve and the weights, as plain lists."""
    curve = [(record["train_loss"], record["validation_loss"]) for record in fitted.history]
    weights = {name: values.astype(float).ravel().tolist() for name, values in fitted.tensors().items()}
    return {"curve": curve, "weights": weights, "stopped": fitted.history[-1]["stopped"]}


def assert_alike(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours["stopped"] == theirs["stopped"]
    np.testing.assert_allclose(ours["curve"], theirs["curve"], **ALIKE)
    for name, values in theirs["weights"].items():
        np.testing.assert_allclose(ours["weights"][name], values, **ALIKE)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """What two processes that torchrun started saw, and the folder of the checkpoint that one process began."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "run.py").write_text(RUN)
    for _ in range(2):
        learn("point", checkpoint=folder / "point", deadline=time.monotonic())
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    root = Path(__file__).parents[2]
    place = {"PYTHONPATH": os.pathsep.join([str(root), str(root / "src")]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*words, str(folder / "run.py"), str(folder)],
        env=os.environ | place,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, [json.loads((folder / f"seen{rank}").read_text()) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_curve_and_the_weights_of_one(case: str, together: Any) -> None:
    first, second = together[1]
    assert first[case] == second[case]  # to the bit
    assert_alike(first[case], outline(learn(case, strategy="ddp")))


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_learn_in_bfloat16_what_one_does(strategy: str, together: Any) -> None:
    first, second = (seen[f"bfloat16, {strategy}"] for seen in together[1])
    assert first == second
    alone = outline(learn("ddp", runtime=in_fewer_digits("bfloat16")))
    np.testing.assert_allclose(first["curve"], alone["curve"], rtol=0.01)  # a part of a batch is rounded by itself
    assert first["curve"] != together[1][0]["ddp" if strategy == "ddp" else "fsdp"]["curve"]


def test_float16_is_refused_where_weights_are_cut_among_processes(together: Any) -> None:
    assert "Ask for bfloat16, or for the strategy ddp" in together[1][0]["half"]


def test_only_the_first_process_tells_its_callbacks(together: Any) -> None:
    first, second = together[1]
    assert first["told"] == sum(len(first[case]["curve"]) + 2 for case in CASES)  # and the start and the end
    assert second["told"] == 0


def test_the_first_processs_clock_decides_for_all(together: Any) -> None:
    for seen in together[1]:
        assert (len(seen["late in the first"]["curve"]), seen["late in the first"]["stopped"]) == (1, "deadline")
        assert seen["late in the second"] == seen["ddp"]


def test_each_process_draws_its_own_dropout_and_goes_on_with_the_same_bits(together: Any) -> None:
    first, second = together[1]
    assert first["dropout"] == first["dropout again"] == second["dropout"]
    assert first["dropout"]["curve"] != outline(learn("dropout"))["curve"]
    with torch.random.fork_rng():
        drawn = []
        for rank, epoch in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0)):
            torch.manual_seed(0)
            draw_apart(Team(rank, 3), 0, epoch=epoch)
            drawn.append(float(torch.rand(())))
        assert drawn[0] == drawn[1]
        assert len(set(drawn)) == 4


def test_what_ends_the_first_process_ends_all_with_its_words(together: Any) -> None:
    first, second = together[1]
    assert first["raises"] == "ZeroDivisionError: division by zero"
    assert second["raises"] == "FitError: process 0 of 2 failed: ZeroDivisionError: division by zero"


def test_a_checkpoint_goes_on_with_another_number_of_processes(together: Any) -> None:
    """Two epochs in one process, one under DDP and one under FSDP in two, two in one again."""
    resumed = learn("point", checkpoint=together[0] / "point")
    assert [record["stopped"] for record in resumed.history] == ["", "", "", "", "", "epochs"]
    assert_alike(outline(resumed), outline(learn("point")))


def test_what_can_not_be_shared_is_an_error_in_every_process(together: Any) -> None:
    for seen in together[1]:
        assert "on the CPU torch has none that is taken over all of them. Set batch_norm to false" in seen["norm"]
        assert (
            "FSDP can't cut weights that are one number (core.gain, core.offset). Use the strategy ddp"
            in seen["scalar"]
        )
        assert "2 processes were started by torchrun, and devices is 3. Leave it out" in seen["count"]


def test_fit_starts_the_processes_itself_and_gives_what_one_would() -> None:
    heard: list[Event] = []
    fitted = learn("ddp", devices=2, callbacks=[heard.append])
    assert_alike(outline(fitted), outline(learn("ddp")))
    started, *epochs, ended = heard
    assert isinstance(started, FitStarted)
    assert isinstance(ended, FitEnded)
    assert [(e.epoch, e.train_loss) for e in epochs if isinstance(e, EpochEnded)] == [
        (record["epoch"], record["train_loss"]) for record in fitted.history
    ]
    assert not multiprocessing.active_children()


def test_a_process_that_dies_ends_it_with_its_number_and_none_is_left() -> None:
    def kill(event: Event) -> None:
        if isinstance(event, EpochEnded):
            last = max(multiprocessing.active_children(), key=lambda process: int(process.name.rpartition("-")[2]))
            os.kill(last.pid or 0, signal.SIGKILL)

    with pytest.raises(FitError, match=r"process 1 of 2 was ended by SIGKILL before its work was done"):
        learn("ddp", devices=2, callbacks=[kill])
    assert not multiprocessing.active_children()


def test_a_process_that_raises_ends_it_with_its_number_and_its_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FitError, match=r"process 0 of 2 failed: (FileExists|NotADirectory)Error.*file"):
        learn("ddp", devices=2, checkpoint=tmp_path / "file" / "point")
    assert not multiprocessing.active_children()


def test_an_interrupt_leaves_no_process(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            learn("ddp", devices=2, checkpoint=tmp_path / "point", callbacks=[interrupt])
    finally:
        signal.signal(signal.SIGINT, before)
    assert not multiprocessing.active_children()
    resumed = learn("ddp", checkpoint=tmp_path / "point")  # the lock fell with the process that held it
    assert_alike(outline(resumed), outline(learn("ddp")))


def test_another_runs_checkpoint_is_refused_with_the_words_of_one_process(tmp_path: Path) -> None:
    learn("ddp", checkpoint=tmp_path / "point", deadline=time.monotonic())
    with pytest.raises(ConfigError, match="belongs to another run"):
        learn("dropout", devices=2, checkpoint=tmp_path / "point")


def interrupt(event: Event) -> None:
    if isinstance(event, EpochEnded):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"devices": 0}, "devices is a number of processes, 1 or more; got 0"),
        ({"devices": True}, "devices is a number of processes, 1 or more; got True"),
        ({"strategy": "dpp"}, "the strategy is ddp or fsdp; got 'dpp'"),
    ],
)
def test_a_wrong_number_or_strategy_is_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        learn("ddp", **asked)


def test_a_whole_run_is_not_made_once_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_group("a run")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="torchrun started 2 processes, and each would make a run of its own"):
        refuse_group("a run")
