"""What a training run does about memory: blocks computed again, a batch that is found, an end that is survived."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors import safe_open
from torch import nn

from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, ConfigError, FallbackWarning, FitError
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.models.torch.fitted import TorchFitted
from tidewright.runtime import detect_runtime
from tidewright.training import room
from tidewright.training.batches import _divide
from tidewright.training.epoch import Course
from tidewright.training.events import EpochEnded, Event
from tidewright.training.fit import fit
from tidewright.training.room import Exhausted, Taken, attempt, find_batch_size
from tidewright.training.spec import TrainSpec

TASK = Task(horizon=3)
BASE = TrainSpec(epochs=3, steps=4, batch_size=16, ema=0.9, accumulate=2)
SMALL: dict[str, dict[str, Any]] = {
    "patchtst": {"patch_len": 4, "stride": 2, "d_model": 8, "dim_feedforward": 8, "layers": 2},
    "tcn": {"num_channels": (4, 4)},
}


@cache
def parts() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"t": np.arange(160), "y": np.sin(np.arange(160) / 4) + rng.normal(0, 0.3, 160)})
    panel = Panel.from_table(table, time="t", target="y")
    return {"panel": panel, "split": split_holdout(panel, TASK), "task": TASK, "view": View(8)}


def learn(name: str, train: TrainSpec, **options: Any) -> TorchFitted:
    fitted = fit(build_spec(name, SMALL.get(name, {})), **parts(), train=train, **options)
    assert isinstance(fitted, TorchFitted)
    return fitted


def bits(fitted: TorchFitted) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in fitted.tensors().items()}


class Stop(Exception):
    pass


def stop_after_the_first(event: Event) -> None:
    if isinstance(event, EpochEnded):
        raise Stop


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_fit_that_computes_blocks_again_has_the_bits_of_one_that_keeps_them(name: str, tmp_path: Path) -> None:
    path, again = tmp_path / "point", replace(BASE, recompute=True)
    plain = learn(name, BASE, checkpoint=tmp_path / "plain")
    with pytest.raises(Stop):
        learn(name, again, checkpoint=path, callbacks=[stop_after_the_first])
    resumed = learn(name, again, checkpoint=path)
    assert bits(resumed) == bits(plain)
    names = []
    for file in (path, tmp_path / "plain"):
        with safe_open(file, framework="pt") as opened:
            names.append(sorted(opened.keys()))
    assert names[0] == names[1]
    assert all("forward" not in vars(part) for part in resumed.network.modules())


def test_a_network_that_has_nothing_to_compute_again_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"lstm has no repeated blocks .* got train\.recompute=True"):
        learn("lstm", replace(BASE, recompute=True))


@contextmanager
def room_for(windows: int, *, passes: int = 0, real: bool = False) -> Iterator[None]:
    """Memory ends in a training pass of more than so many windows, after as many such passes as are let through; a
    `real` end is that of this machine's memory."""
    left = [passes]

    def check(module: nn.Module, given: tuple[Any, ...]) -> None:
        if isinstance(module, nn.Linear) and module.training and len(given[0]) > windows:
            left[0] -= 1
            if left[0] < 0 and real:
                torch.empty(2**48)
            if left[0] < 0:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(given[0])} GiB.\nAdvice.")

    hook = nn.modules.module.register_module_forward_pre_hook(check)
    yield
    hook.remove()


@contextmanager
def room_to_judge(windows: int) -> Iterator[None]:
    """Memory ends when more than so many windows are judged at once."""

    def check(module: nn.Module, given: tuple[Any, ...]) -> None:
        if isinstance(module, nn.Linear) and not module.training and len(given[0]) > windows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")

    hook = nn.modules.module.register_module_forward_pre_hook(check)
    yield
    hook.remove()


def test_validation_goes_on_with_fewer_windows_at_once_where_memory_ends() -> None:
    train = replace(BASE, ema=0.0)
    alone = losses(learn("dlinear", train))
    with room_to_judge(7), pytest.warns(FallbackWarning, match="which goes on with .* windows at once: CUDA"):
        assert losses(learn("dlinear", train)) == pytest.approx(alone, rel=1e-6)
    with room_to_judge(7), pytest.raises(BackendError, match="goes on with 512 windows at once"):
        learn("dlinear", train, runtime=detect_runtime(strict=True))
    with room_to_judge(0), pytest.warns(FallbackWarning), pytest.raises(FitError, match="ran out in validation"):
        learn("dlinear", train)


def test_no_larger_batch_is_tried_than_there_is_time_for() -> None:
    found = find_batch_size(lambda windows: Taken(1.0), most=10_000, free=None, deadline=time.monotonic() - 1.0)
    assert (found.batch_size, found.reason) == (32, "the deadline left no time to try 64 windows")


def test_floors_and_trees_refuse_what_only_networks_do(tmp_path: Path) -> None:
    for name in ("ridge", "lightgbm"):
        for options in ({"devices": 2}, {"checkpoint": tmp_path / "it"}):
            with pytest.raises(ConfigError, match=f"{name} learns in one process and without a checkpoint"):
                fit(build_spec(name), **parts(), **options)


def losses(fitted: TorchFitted) -> list[float]:
    return [record["validation_loss"] for record in fitted.history]


def test_the_end_of_the_cpus_memory_is_told_from_other_errors() -> None:
    for work in (lambda: torch.empty(2**48), lambda: np.empty(2**58)):  # 2**50 and 2**61 bytes
        assert isinstance(attempt(work), Exhausted)
    found = attempt(partial(torch.empty, 2**48))
    assert isinstance(found, Exhausted)
    assert "you tried to allocate 1125899906842624 bytes" in found.reason
    for error in (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: out of memory")):
        assert isinstance(attempt(partial(throw, error)), Exhausted)
    for other in (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("you tried to allocate")):
        with pytest.raises(type(other), match=str(other)):
            attempt(partial(throw, other))
    assert attempt(lambda: 3) == 3


def throw(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("fixed", "room", "free", "most", "size", "reason"),
    [
        (100.0, 10**9, None, 1000, 1000, "there are 1000 training windows"),
        (100.0, 10**9, None, 20, 20, "there are 20 training windows"),
        (0.3, 10**9, None, 1000, 64, "a window is not cheaper in a batch of 128"),
        (100.0, 128, None, 1000, 128, "memory ran out at 256 windows"),
        (100.0, 5, None, 1000, 4, "memory ran out at 8 windows"),
        (100.0, 10**9, 400 * 2**20, 1000, 128, "256 windows would take about 512 of 400 MiB that are free"),
    ],
)
def test_a_batch_grows_until_memory_time_or_windows_end(
    fixed: float, room: int, free: int | None, most: int, size: int, reason: str
) -> None:
    """A step takes `fixed` seconds and 0.05 a window, and 2 MiB a window."""

    def take_step(windows: int) -> Taken:
        if windows > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Taken(fixed + 0.05 * windows, 2 * 2**20 * windows)

    found = find_batch_size(take_step, most=most, free=free)
    assert (found.batch_size, found.reason) == (size, reason)
    assert found.tried[0]["batch_size"] == min(32, most)


def test_where_not_one_window_fits_the_error_says_so() -> None:
    with pytest.raises(FitError, match=r"not one window fits into memory: no room\. Ask for a smaller network"):
        find_batch_size(partial(throw_away, torch.OutOfMemoryError("no room")), most=100, free=None)


def throw_away(error: Exception, _: int) -> Taken:
    raise error


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_found_batch_is_recorded_and_the_search_leaves_no_trace(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LEAST_FALL", -1e9)  # clocks are no test
    auto = replace(BASE, batch_size="auto", accumulate=1)
    with room_for(32):
        found = learn(name, auto)
    first = found.history[0]
    assert [one["batch_size"] for one in first["batch_tried"]] == [32, 64]
    assert first["batch_reason"] == "memory ran out at 64 windows"
    assert {record["batch_size"] for record in found.history} == {32}
    assert "batch_tried" not in found.history[1]
    assert bits(found) == bits(learn(name, replace(auto, batch_size=32)))
    with room_for(32), pytest.raises(Stop):
        learn(name, auto, checkpoint=tmp_path / "point", callbacks=[stop_after_the_first])
    resumed = learn(name, auto, checkpoint=tmp_path / "point")  # there would be room for more now
    assert bits(resumed) == bits(found)
    assert resumed.history[0]["batch_reason"] == first["batch_reason"]


def test_an_epoch_that_runs_out_of_memory_begins_anew_with_smaller_parts(tmp_path: Path) -> None:
    train = replace(BASE, accumulate=1)
    plain, path = learn("tcn", train), tmp_path / "point"
    with room_for(8, passes=14), pytest.warns(FallbackWarning, match="epoch 2; it begins anew with accumulate 2: CUDA"):
        found = learn("tcn", train, checkpoint=path)
    assert [record["accumulate"] for record in found.history] == [1, 2, 2]
    assert "fallback" not in found.history[0]
    assert found.history[1]["fallback"].endswith("accumulate 2: CUDA out of memory. Tried to allocate 16 GiB.")
    assert losses(found)[0] == losses(plain)[0]
    assert bits(found) != bits(plain)  # other parts draw another dropout


def test_a_strict_run_that_runs_out_of_memory_ends() -> None:
    strict = detect_runtime("cpu", strict=True)
    with (
        room_for(8),
        pytest.raises(BackendError, match=r"epoch 1; it begins anew .* strict out"),
    ):
        learn("tcn", replace(BASE, accumulate=1), runtime=strict)


@pytest.mark.skipif(not os.access(room.CLEAR, os.W_OK), reason="only Linux lets a process begin its peak anew")
def test_what_was_held_before_a_step_is_not_its_peak() -> None:
    before = np.ones(2**24)  # 128 MiB
    del before
    held = room.held_memory("cpu", peak=False)
    room.reset_peak("cpu")
    peak = room.held_memory("cpu", peak=True)
    assert held is not None
    assert peak is not None
    assert peak - held < 2**25


def test_an_epoch_that_begins_anew_has_the_bits_of_one_that_never_failed(tmp_path: Path) -> None:
    train, path = replace(BASE, accumulate=1), tmp_path / "point"
    with room_for(4, passes=5), pytest.warns(FallbackWarning, match="epoch 1"), pytest.raises(Stop):
        learn("tcn", train, checkpoint=path, callbacks=[stop_after_the_first])
    resumed = learn("tcn", train, checkpoint=path)
    assert [record["accumulate"] for record in resumed.history] == [4, 4, 4]
    assert bits(resumed) == bits(learn("tcn", replace(train, accumulate=4)))


def test_a_run_that_has_no_room_for_one_window_ends_with_advice() -> None:
    with (
        room_for(0, real=True),
        pytest.warns(FallbackWarning),
        pytest.raises(FitError, match=r"one window at a time: .* you tried to allocate .* or set recompute"),
    ):
        learn("tcn", replace(BASE, batch_size=4, accumulate=1))


def test_a_sharpe_ratio_is_not_taken_in_parts() -> None:
    nothing: Any = None
    course = Course("tcn", "", nothing, nothing, TrainSpec(loss="sharpe"))
    with pytest.raises(FitError, match=r"a whole batch, of which sharpe is taken: no room\. Ask for a smaller"):
        _divide(nothing, course, "no room")


def test_parts_that_batch_normalisation_can_not_use_are_refused() -> None:
    with (
        room_for(1),
        pytest.raises(FitError, match=r"in 8 parts\. Set norm to layer, or bring longer series"),
    ):
        learn("patchtst", replace(BASE, accumulate=4))


@pytest.mark.parametrize(("size", "match"), [("big", "is a number here .* got 'big'"), (0, "1 or more")])
def test_a_batch_size_that_is_none_is_refused(size: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        TrainSpec(batch_size=size)
    with pytest.raises(ConfigError, match="auto is found for forecasts"):
        TrainSpec(batch_size="auto", loss="sharpe")
