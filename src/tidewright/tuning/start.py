"""`start_candidate`: the records that a search starts from, and those of the other models that it may turn to."""

from __future__ import annotations

from dataclasses import replace

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.models.spec import ModelSpec
from tidewright.training.fit import view_of
from tidewright.training.spec import TrainSpec
from tidewright.tuning.records import Candidate
from tidewright.tuning.space import SearchSpace


def start_candidate(
    space: SearchSpace,
    spec: ModelSpec,
    *,
    panel: Panel,
    split: Split,
    task: Task,
    train: TrainSpec,
    view: View | None,
    season: int | None,
) -> Candidate:
    """The spec, which is one of the space's models, with what it sees (default: as usual), and the others likewise.

    Raises `ConfigError` for another model.
    """
    if spec.name not in space.models:
        raise ConfigError(f"the space is one of {space.model}, but the model is {spec.name}. Bring its own space.")

    def see(one: ModelSpec) -> View:
        return view_of(one, panel=panel, split=split, task=task, season=season)

    horizons = any(name.endswith("task.horizon") for name in space.names)
    start = Candidate(spec, train, view or see(spec), task if horizons else None)
    specs = {name: build_spec(name) for name in space.models if name != spec.name}
    others = {
        name: start.change({"model": name}) if view else Candidate(one, train, see(one)) for name, one in specs.items()
    }
    return replace(start, others=others)
