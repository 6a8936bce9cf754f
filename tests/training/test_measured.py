"""A network's steps are compiled where that was measured to win, and nothing that is kept knows of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_precision import facts
from tests.training.test_torch_loop import BASE, base_bits, bits, learn
from tidewright.errors import BackendError, FallbackWarning
from tidewright.runtime import Choice, Runtime, detect_runtime
from tidewright.training import measured
from tidewright.training.measured import Trial


def compiling(*, strict: bool = False) -> Runtime:
    """A runtime that compiles, whether or not this machine has a compiler."""
    return replace(detect_runtime("cpu", strict=strict), compile=Choice("measured", "measured", "asked for"))


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling is tried however short the training is, by dynamo alone: it takes no C++ compiler, and no minute."""
    monkeypatch.setattr(measured, "COMPILING_S", 0.0)
    monkeypatch.setattr(measured, "BACKEND", "eager")
    torch.compiler.reset()


def time_as(monkeypatch: pytest.MonkeyPatch, *, compiled: float) -> None:
    """Every eager step takes 10 ms, a compiled one so many."""
    honest = Trial.time

    def tell(trial: Trial, steps: Any) -> dict[str, float]:
        honest(trial, steps)
        return {"eager": 10.0, "compiled": compiled}

    monkeypatch.setattr(Trial, "time", tell)


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize(("compiled", "used"), [(5.0, True), (9.5, False), (20.0, False)])
def test_what_wins_is_kept_from_the_second_epoch_on(
    compiled: float, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    time_as(monkeypatch, compiled=compiled)
    fitted = learn(runtime=compiling())
    assert facts(fitted, "compiled") == [False, used, used, used]
    words = [note.partition(", after")[0] for note in facts(fitted, "measured")]
    assert words == ["", f"eager 10 ms a step, compiled {compiled:.3g} ms a step", "", ""]
    assert set(bits(fitted)) == set(base_bits())  # the names of the weights
    if not used:
        assert bits(fitted) == base_bits()  # trying it left no trace
    else:
        for ours, theirs in zip(facts(fitted, "validation_loss"), facts(learn(), "validation_loss"), strict=True):
            assert ours == pytest.approx(theirs, rel=0.02)  # dropout draws otherwise


@pytest.mark.usefixtures("hurry")
def test_a_run_that_goes_on_is_compiled_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    time_as(monkeypatch, compiled=1.0)
    heard: list[Any] = []

    def stop(event: Any) -> None:
        heard.append(event)
        if getattr(event, "epoch", 0) == 3:
            raise KeyboardInterrupt

    parts: dict[str, Any] = {"runtime": compiling(), "checkpoint": tmp_path / "point"}
    with pytest.raises(KeyboardInterrupt):
        learn(callbacks=[stop], **parts)
    monkeypatch.setattr(Trial, "time", None)  # is not asked again
    resumed = learn(**parts)
    assert facts(resumed, "compiled") == [False, True, True, True]
    monkeypatch.undo()
    monkeypatch.setattr(measured, "COMPILING_S", 0.0)
    monkeypatch.setattr(measured, "BACKEND", "eager")
    time_as(monkeypatch, compiled=1.0)
    assert bits(resumed) == bits(learn(runtime=compiling()))


def test_it_is_not_tried_where_too_little_is_left_to_learn() -> None:
    fitted = learn(runtime=compiling())
    words = facts(fitted, "measured")[1]
    assert re.fullmatch(r"not compiled: \d+ s of learning are left, and compiling may take 60", words)
    assert bits(fitted) == base_bits()


@pytest.mark.usefixtures("hurry")
def test_a_compiler_that_fails_is_told_and_the_network_learns_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise RuntimeError("g++ ended with 1\nand a long text")

        return fail

    monkeypatch.setattr(torch, "compile", refuse)
    with pytest.warns(FallbackWarning, match=r"can't be compiled and learns as it is: g\+\+ ended with 1\.$"):
        fitted = learn(runtime=compiling())
    assert bits(fitted) == base_bits()
    assert "can't be compiled" in facts(fitted, "measured")[1]
    with pytest.raises(BackendError, match="can't be compiled"):
        learn(runtime=compiling(strict=True))


def test_nothing_is_compiled_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", None)
    assert bits(learn(BASE, runtime=detect_runtime("cpu"))) == base_bits()
