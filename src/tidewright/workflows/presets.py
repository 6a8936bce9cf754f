"""Presets of a run: how long it may take, how much is tried, and on how many folds each try is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

PresetName = Literal["quick", "standard", "best"]


@dataclass(frozen=True, slots=True)
class Preset:
    """`models` are tried as usual at most, each up to `tries` times in all (None: as long as the error falls), judged
    on `folds` walk-forward folds."""

    budget_s: float
    models: int
    tries: int | None
    folds: int


PRESETS: dict[PresetName, Preset] = {
    "quick": Preset(budget_s=60.0, models=3, tries=1, folds=1),
    "standard": Preset(budget_s=600.0, models=8, tries=20, folds=1),
    "best": Preset(budget_s=3600.0, models=16, tries=None, folds=3),
}
assert set(PRESETS) == set(get_args(PresetName))
