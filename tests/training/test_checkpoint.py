"""A run that is killed goes on with the same bits, and its file is whole at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FitError
from tidewright.features.view import View
from tidewright.models.spec import FeedForward
from tidewright.training.checkpoint import hold_checkpoint, read_progress, write_whole
from tidewright.training.events import EpochEnded, Event
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

RUN = """
import json, os, sys
from pathlib import Path
import numpy as np
import polars as pl
import torch._dynamo  # a second that every process would pay at its first optimiser
from safetensors.numpy import save_file
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.training import fit_torch
from tidewright.training.events import EpochEnded
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

OPTIONS = {
    "feedforward": {"hidden": (16,), "batch_norm": True},
    "lstm": {"hidden": 8, "layers": 2, "head": (8,)},
}

def make_panel():
    y = np.sin(np.arange(300) / 4) + np.random.default_rng(0).normal(0, 0.3, 300)
    return Panel.from_table(pl.DataFrame({"t": np.arange(300), "y": y}), time="t", target="y")

def tell(event):
    if isinstance(event, EpochEnded):
        print("epoch", event.epoch, flush=True)

def learn(name, train, checkpoint, out):
    panel, task = make_panel(), Task(horizon=3)
    fitted = fit(
        build_spec(name, OPTIONS[name]), panel=panel, split=split_holdout(panel, task), task=task,
        view=View(8),
        train=TrainSpec(epochs=40, steps=6, batch_size=32, patience=40, **train),
        checkpoint=checkpoint and Path(checkpoint), callbacks=[tell],
    )
    save_file(fitted.tensors(), out + ".new")
    os.replace(out + ".new", out)

if __name__ == "__main__":  # imports once; every order is a process of its own
    for order in sys.stdin:
        child = os.fork()
        if not child:
            learn(*json.loads(order))
            os._exit(0)
        print("began", child, flush=True)
        print("ended", os.waitpid(child, 0)[1], flush=True)
"""
MOST_RUNS = 100


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    path = tmp_path_factory.mktemp("run") / "run.py"
    path.write_text(RUN)
    with subprocess.Popen(
        [sys.executable, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        yield process


def order_run(
    forge: subprocess.Popen[str], order: list[object], *, kill: tuple[int, float] | None
) -> tuple[list[int], int]:
    """The epochs told and the exit status; `kill` is after how many of them, and how many seconds later."""
    assert forge.stdin is not None
    assert forge.stdout is not None
    forge.stdin.write(json.dumps(order) + "\n")
    forge.stdin.flush()
    epochs: list[int] = []
    child = 0
    for line in forge.stdout:
        word, number = line.split()
        if word == "ended":
            return epochs, int(number)
        if word == "began":
            child = int(number)
            continue
        epochs.append(int(number))
        if kill and len(epochs) == kill[0] and child:
            moment = time.monotonic() + kill[1]
            while time.monotonic() < moment:
                pass
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    raise AssertionError("the process that runs the orders is gone")


@pytest.mark.parametrize(
    ("name", "train"),
    [
        ("feedforward", {"optimizer": "adamw", "loss": "quantile"}),
        ("lstm", {"optimizer": "sgd", "loss": "mse"}),
    ],
)
def test_a_run_killed_again_and_again_ends_with_the_bits_of_one_that_was_not(
    name: str, train: dict[str, str], forge: subprocess.Popen[str], tmp_path: Path
) -> None:
    plain, resumed = tmp_path / "plain", tmp_path / "resumed"
    epochs, status = order_run(forge, [name, train, None, str(plain)], kill=None)
    assert (epochs, status) == (list(range(1, 41)), 0)
    draw, seen, kills = random.Random(name), [], 0
    for _ in range(MOST_RUNS):
        moment = (draw.randint(1, 6), draw.random() * 0.02)  # anywhere in an epoch or a save
        epochs, status = order_run(forge, [name, train, str(tmp_path / "point"), str(resumed)], kill=moment)
        assert status in (0, signal.SIGKILL)
        seen += epochs
        kills += status == signal.SIGKILL
        if not status:
            break
    assert kills >= 3
    assert seen == sorted(set(seen)), "an epoch that had been told was lost"
    assert resumed.read_bytes() == plain.read_bytes()


def make_parts() -> dict[str, object]:
    space: dict[str, object] = {"__name__": "run"}
    exec(compile(RUN, "run.py", "exec"), space)
    panel, task = space["make_panel"](), Task(horizon=3)  # type: ignore[operator]
    return {"panel": panel, "split": split_holdout(panel, task), "task": task, "view": View(8)}


SPEC = FeedForward(hidden=(8,))
TRAIN = TrainSpec(epochs=6, steps=4, batch_size=32, patience=6)


class Stop(Exception):
    pass


def stop_after(epoch: int) -> object:
    def stop(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.epoch == epoch:
            raise Stop

    return stop


def bits(fitted: object) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in fitted.tensors().items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_goes_on_with_the_same_bits(optimizer: str, tmp_path: Path) -> None:
    parts, train = make_parts(), TrainSpec(epochs=6, steps=4, batch_size=32, optimizer=optimizer)  # type: ignore[arg-type]
    path = tmp_path / "deeper" / "point"
    with pytest.raises(Stop):
        fit(SPEC, **parts, train=train, checkpoint=path, callbacks=[stop_after(3)])  # type: ignore[arg-type, list-item]
    resumed = fit(SPEC, **parts, train=train, checkpoint=path)  # type: ignore[arg-type]
    plain = fit(SPEC, **parts, train=train)  # type: ignore[arg-type]
    assert bits(resumed) == bits(plain)
    losses = [{k: v for k, v in record.items() if k != "seconds"} for record in resumed.history]
    assert losses == [{k: v for k, v in record.items() if k != "seconds"} for record in plain.history]


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "cosine", "warmup": 0.3},
        {"schedule": "onecycle"},
        {"schedule": "plateau", "rate_wait": 1, "least_gain": 0.5},
        {"ema": 0.9, "accumulate": 3},
    ],
)
def test_every_way_to_learn_goes_on_with_the_same_bits(options: dict[str, Any], tmp_path: Path) -> None:
    spec, parts = FeedForward(hidden=(8,), dropout=0.2, batch_norm="ema" in options), make_parts()
    train = TrainSpec(epochs=6, steps=4, batch_size=32, patience=6, **options)
    for epoch in (2, 4):
        with pytest.raises(Stop):
            fit(spec, **parts, train=train, checkpoint=tmp_path / "point", callbacks=[stop_after(epoch)])  # type: ignore[arg-type, list-item]
    resumed = fit(spec, **parts, train=train, checkpoint=tmp_path / "point")  # type: ignore[arg-type]
    plain = fit(spec, **parts, train=train)  # type: ignore[arg-type]
    assert bits(resumed) == bits(plain)
    for name in ("train_loss", "validation_loss", "learning_rate"):
        assert [r[name] for r in resumed.history] == [r[name] for r in plain.history]


def test_a_deadline_ends_a_call_and_the_next_one_goes_on(tmp_path: Path) -> None:
    parts = make_parts()
    for _ in range(6):
        fitted = fit(SPEC, **parts, train=TRAIN, checkpoint=tmp_path / "point", deadline=time.monotonic())  # type: ignore[arg-type]
    assert [r["stopped"] for r in fitted.history] == ["", "", "", "", "", "epochs"]
    assert bits(fitted) == bits(fit(SPEC, **parts, train=TRAIN))  # type: ignore[arg-type]


def test_a_run_that_is_over_is_not_learned_again(tmp_path: Path) -> None:
    parts, heard = make_parts(), []
    first = fit(SPEC, **parts, train=TRAIN, checkpoint=tmp_path / "point")  # type: ignore[arg-type]
    again = fit(SPEC, **parts, train=TRAIN, checkpoint=tmp_path / "point", callbacks=[heard.append])  # type: ignore[arg-type]
    assert bits(again) == bits(first)
    assert not any(isinstance(event, EpochEnded) for event in heard)


def test_another_run_may_not_go_on_with_it(tmp_path: Path) -> None:
    parts, path = make_parts(), tmp_path / "point"
    fit(SPEC, **parts, train=TRAIN, checkpoint=path)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="belongs to another run"):
        fit(FeedForward(hidden=(9,)), **parts, train=TRAIN, checkpoint=path)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="belongs to another run"):
        fit(SPEC, **parts, train=TrainSpec(seed=1), checkpoint=path)  # type: ignore[arg-type]
    other = parts | {"panel": parts["panel"].until(250)}  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="belongs to another run"):
        fit(
            SPEC,
            **other | {"split": split_holdout(other["panel"], Task(horizon=3))},
            train=TRAIN,
            checkpoint=path,
        )  # type: ignore[arg-type]


def test_a_file_that_is_torn_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    parts, path = make_parts(), tmp_path / "point"
    fit(SPEC, **parts, train=TRAIN, checkpoint=path)  # type: ignore[arg-type]
    whole = path.read_bytes()
    for content in (b"", whole[:40], whole[: len(whole) // 2], b"\x80\x04pickle"):
        path.write_bytes(content)
        with pytest.raises(FitError, match=r"can't be read: .* Remove it to start anew"):
            fit(SPEC, **parts, train=TRAIN, checkpoint=path)  # type: ignore[arg-type]
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(FitError, match="is not a checkpoint"):
        fit(SPEC, **parts, train=TRAIN, checkpoint=path)  # type: ignore[arg-type]


def test_two_runs_may_not_write_one_file(tmp_path: Path) -> None:
    with (
        hold_checkpoint(tmp_path / "point", "key"),
        pytest.raises(ConfigError, match="another run is writing the checkpoint"),
        hold_checkpoint(tmp_path / "point", "key"),
    ):
        pass
    with hold_checkpoint(tmp_path / "point", "key") as free:
        assert free is not None


def test_the_file_holds_numbers_and_plain_text_only(tmp_path: Path) -> None:
    fit(SPEC, **make_parts(), train=TRAIN, checkpoint=tmp_path / "point")  # type: ignore[arg-type]
    with safe_open(tmp_path / "point", framework="pt") as file:
        names, head = set(file.keys()), file.metadata()
    assert {name.partition(".")[0] for name in names} == {"network", "best", "optimizer", "random"}
    assert json.loads(head["progress"])["epoch"] == 6
    assert sorted(p.name for p in tmp_path.iterdir()) == ["point", "point.lock"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "point"
    write_whole(path, b"old")

    def refuse(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_saved_deadline_is_forgotten() -> None:
    text = json.dumps(
        {
            "epoch": 1,
            "best": 1.0,
            "reference": 1.0,
            "waited": 0,
            "stopped": "deadline",
            "history": [{"stopped": "deadline"}],
        }
    )
    assert read_progress(text).stopped == ""
    assert read_progress(text).history == ({"stopped": ""},)
