"""`Fitted`: what every learned model can do, whatever it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.features.windows import Windows
from tidewright.models.spec import ModelSpec


class Fitted(Protocol):
    """A learned model. It is never changed by what it is asked, and has no unfitted state."""

    @property
    def spec(self) -> ModelSpec:
        """What it is, with every choice made (a period that was None is a number now)."""
        ...

    @property
    def task(self) -> Task:
        """What it answers."""
        ...

    @property
    def view(self) -> View:
        """What it sees."""
        ...

    @property
    def history(self) -> tuple[Mapping[str, Any], ...]:
        """What happened while it learned: one record an epoch, a round or a candidate."""
        ...

    def predict(self, windows: Windows) -> npt.NDArray[np.float64]:
        """Quantiles [N, H, Q] on the original scale, ascending along Q."""
        ...

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Every learned number, by name: what a bundle keeps in safetensors."""
        ...


def was_cut(fitted: Fitted) -> bool:
    """Whether a deadline ended its learning."""
    return any(step.get("stopped") == "deadline" for step in fitted.history)
