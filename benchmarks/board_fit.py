"""What the boards share: where their data stand, and a model fitted with a board's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.models.spec import FLOORS
from tidewright.training.fit import fit, keep_covariates, usual_view
from tidewright.training.spec import TrainSpec

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
LEVELS = (0.1, 0.5, 0.9)

# by model ("": of all), "lookback", "calendar" (whether it sees one, or its columns), "relative" and "log" (see View),
# options of the "model" and of its "train"ing
Settings = dict[str, dict[str, Any]]


def learn(name: str, *, settings: Settings, panel: Panel, split: Split, task: Task, season: int, seed: int) -> Fitted:
    """A model fitted with a board's settings for it."""
    usual = settings[""]
    own = {**usual, **settings.get(name, {})}
    spec = build_spec(name, own.get("model"))
    if name in FLOORS:
        return fit(spec, panel=panel, split=split, task=task, season=season)
    train = TrainSpec(**{**usual.get("train", {}), **own.get("train", {}), "seed": seed})
    panel = keep_covariates(panel, spec.takes)
    view = usual_view(panel, split=split, task=task, season=season, takes=spec.takes)
    calendar = () if "known" not in spec.takes else _calendar(own.get("calendar"), usual=view.calendar)
    relative = bool(own.get("relative")) and bool(spec.takes)
    view = View(int(own["lookback"]), calendar, view.static, relative, own.get("log"))
    return fit(spec, panel=panel, split=split, task=task, view=view, train=train, season=season)


def _calendar(asked: Any, *, usual: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(asked) if isinstance(asked, list) else usual if asked else ()
