"""A small world that every test of the search shares: weekly seasons and a random walk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task


@dataclass
class Clock:
    """Seconds that pass only when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class World:
    panel: Panel
    split: Split
    task: Task

    @property
    def given(self) -> dict:
        return {"panel": self.panel, "split": self.split, "task": self.task}


def make_panel(*, scale: float = 1.0, after: int | None = None, days: int = 150) -> Panel:
    """Two daily series; rows later than position `after` are multiplied by `scale`."""
    draw = np.random.default_rng(7)
    step = np.arange(days)
    frames = []
    for shop in ("a", "b"):
        sold = 50 + 10 * np.sin(2 * np.pi * step / 7) + np.cumsum(draw.normal(0, 1, days))
        if after is not None:
            sold = np.where(step > after, sold * scale, sold)
        first = date(2024, 1, 1)
        times = pl.date_range(first, first + timedelta(days=days - 1), eager=True)
        frames.append(pl.DataFrame({"shop": [shop] * days, "day": times, "sold": sold}))
    return Panel.from_table(pl.concat(frames), series="shop", time="day", target="sold")


@pytest.fixture(scope="session")
def world() -> World:
    panel, task = make_panel(), Task(horizon=7)
    return World(panel, split_holdout(panel, task), task)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def build_panel() -> Callable[..., Panel]:
    return make_panel
