"""`tune_each`: the best options for each series, beside one model of all of them, scored once on the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tidewright.data.forecast import Forecast
from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.models.build import build_spec
from tidewright.models.spec import FLOORS, ModelSpec
from tidewright.training.each import EachFitted
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import fit, read_panel
from tidewright.tuning.each import EachStudy, search_each
from tidewright.tuning.read_space import UNTUNED, usual_space
from tidewright.tuning.space import SearchSpace


@dataclass(frozen=True, eq=False)
class TunedEach:
    """The `study` of each series, its model, and what that, the shared model and the floors scored on the `test` part,
    which no study has read: {model: {metric: score}}, empty where the split has none."""

    study: EachStudy
    test: Mapping[str, Mapping[str, float]]

    @property
    def fitted(self) -> EachFitted:
        """What forecasts all series, each by its own model where that was kept."""
        return self.study.fitted

    def forecast(self, panel: Panel) -> Forecast:
        """The steps after each series' last observed value."""
        return self.fitted.forecast(panel)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data."""
        return {**self.study.to_dict(), "test": {name: dict(scores) for name, scores in self.test.items()}}

    def __str__(self) -> str:
        metric = self.study.metric
        scores = [f"  {name}: {one[metric]:.4g}" for name, one in self.test.items() if metric in one]
        return "\n".join([str(self.study), *([f"{metric} on the test:"] if scores else []), *scores])


def tune_each(
    panel: Panel,
    *,
    split: Split,
    task: Task,
    model: ModelSpec | str,
    space: SearchSpace | None = None,
    season: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
    **more: Any,
) -> TunedEach:
    """Searches the options of a model for each series (see `search_each`, which takes `more`: trials, shared,
    shared_trials, budget_s, metric, storage, and what `tune` takes) and scores the outcome once on the test part.

    The `space` is the model's own unless one is given. Raises `ConfigError` and `FitError`.
    """
    spec = build_spec(model) if isinstance(model, str) else model
    space = space or usual_space(spec.name)
    if space is None:
        raise ConfigError(
            f"there is nothing to search of {spec.name}: {UNTUNED.get(spec.name, 'it has no space')}. Give a space."
        )
    asked: dict[str, Any] = {"panel": panel, "split": split, "task": task, "season": season}
    study = search_each(space, model=spec, tell=tell, **asked, **more)
    if split.test is None:
        return TunedEach(study, {})
    tell("scoring on the test")
    return TunedEach(study, _score(study, panel=panel, split=split, task=task, season=season))


def _score(
    study: EachStudy, *, panel: Panel, split: Split, task: Task, season: int | None
) -> dict[str, dict[str, float]]:
    """Every model on the same windows of the test part."""
    assert split.test is not None
    floors = {name: fit(build_spec(name), panel=panel, split=split, task=task, season=season) for name in FLOORS}
    shared = {} if study.shared is None else {"shared": study.shared.fitted}
    shortest = min(one.view.lookback for one in (*study.fitted.models, *floors.values()))
    asked: dict[str, Any] = {"split": split, "cutoffs": split.test, "season": season, "shortest": shortest}
    found = {"each": study.fitted.evaluate(panel=panel, **asked).scores}
    for name, fitted in (shared | floors).items():
        found[name] = evaluate(fitted, panel=read_panel(fitted, panel), **asked).scores
    return found
