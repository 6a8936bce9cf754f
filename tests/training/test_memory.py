"""What a training run does about memory: blocks computed again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors import safe_open

from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.models.torch.fitted import TorchFitted
from tidewright.training.events import EpochEnded, Event
from tidewright.training.fit import fit
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


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
