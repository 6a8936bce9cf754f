"""`tune_table_each`: the best options of a model for each series of a table, kept as a folder of bundles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tidewright.data.digest import digest_panel
from tidewright.errors import ConfigError
from tidewright.models.build import build_spec
from tidewright.models.spec import spec_key
from tidewright.registry.each import save_each
from tidewright.tracking.listener import open_listener
from tidewright.tracking.run import begin_run
from tidewright.training.events import Callback
from tidewright.training.fit import keep_covariates
from tidewright.tuning.each import SHARED
from tidewright.tuning.open_store import hide_password
from tidewright.workflows.contest import Tell
from tidewright.workflows.run import Prepared, make_folder, prepare
from tidewright.workflows.settings import RunSettings
from tidewright.workflows.tune_each import TunedEach, tune_each
from tidewright.workflows.tune_fallbacks import list_fallbacks, refuse_fallbacks
from tidewright.workflows.tune_table import (
    STUDIES,
    TuneWords,
    asked_of_tune,
    check_idle,
    check_resume,
    find_own_space,
    lasting,
)

SAVED = "each"  # the folder of bundles in a run's
PART = 3  # of the shared study's trials a series has one for so many


@dataclass(frozen=True, eq=False)
class TunedTable:
    """What was found for each series of a table: `folder` keeps the studies, `run` names the record, and `saved` is
    the folder of bundles that `tidewright predict` takes."""

    found: TunedEach
    folder: str
    run: str
    saved: Path
    plan: Prepared

    def rows(self) -> list[dict[str, Any]]:
        """A row a series, in the table's order: whether it keeps its own model, both scores, the p-value and why."""
        study = self.found.study
        rows = []
        for series in self.plan.loaded.panel.series_ids:
            one = study.compared.get(series)
            told: dict[str, Any] = {"own": None, "shared": None, "p": None, "reason": study.failed.get(series, "")}
            if one is not None:
                p_value = one.p_value if math.isfinite(one.p_value) else None
                told = {"own": one.own, "shared": one.shared, "p": p_value, "reason": one.reason}
            kept = "own" if series in study.fitted.own else "shared"
            rows.append({"series": str(series), "keeps": kept, **told})
        return rows

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data."""
        told = {"series": self.rows(), "folder": self.folder, "run": self.run, "saved": str(self.saved)}
        return {**told, **self.found.to_dict()}


def tune_table_each(
    settings: RunSettings,
    words: TuneWords,
    *,
    table: Any = None,
    callbacks: Sequence[Callback] = (),
    tell: Tell = lambda _: None,
) -> TunedTable:
    """Searches a model's options on all series and then for each (see `tune_each`), and saves what forecasts them.

    `words.trials` are the shared study's; a series has a third of them. A budget is for everything. Raises
    `ConfigError` before anything is learned, and `FitError`.
    """
    check_idle(settings)
    if settings.kind != "forecast":
        raise ConfigError(f"--each searches models of forecasts; got kind={settings.kind}. Leave out --each.")
    models = words.models or tuple(settings.models)
    if len(models) != 1:
        raise ConfigError(f"--each searches one model for each series; got {', '.join(models) or 'none'}. Name one.")
    name = models[0]
    space = find_own_space(name, words)
    tell("reading the table")
    plan = prepare(settings, table)
    make_folder(settings.folder)
    key = spec_key({**lasting(words, settings), "each": name})
    own = spec_key({"key": key, "data": digest_panel(plan.loaded.panel), "split": asdict(plan.split)})
    storage = words.storage or str(Path(settings.folder) / STUDIES / own)
    prefix = f"{name}-{own}-" if "://" in storage else ""
    first = (storage, f"{prefix}{SHARED}") if prefix else (f"{storage}/{SHARED}", SHARED)
    check_resume({name: first}, resume=words.resume)
    spec = build_spec(name, settings.models.get(name, {}))
    run = begin_run(plan.loaded.name, command="tidewright tune --each", key=key)
    with open_listener(run, folder=settings.folder, mlflow=settings.track, strict=settings.strict) as listener:
        listener.note(task=asdict(plan.task), split=asdict(plan.split))
        panel = keep_covariates(plan.loaded.panel, spec.takes)
        heard: tuple[Callback, ...] = (*callbacks, listener)
        asked = asked_of_tune(spec, plan=plan, settings=settings, words=words, callbacks=heard)
        with refuse_fallbacks(strict=settings.strict):
            found = tune_each(
                panel, model=spec, space=space, shared_trials=words.trials, trials=_part(words.trials), storage=storage,
                name=prefix, tell=tell, **asked,
            )  # fmt: skip
        if found.study.shared is not None:
            listener.note(fallbacks=list_fallbacks(words.together, {name: found.study.shared}))
        tell("saving the models")
        saved = Path(settings.folder) / listener.run.id / SAVED
        save_each(found.fitted, panel=panel, folder=saved, split=plan.split, season=plan.season)
        scores = found.test.get("each", {})
        listener.note(metrics={f"test_{one}": value for one, value in scores.items() if math.isfinite(value)})
    return TunedTable(found, hide_password(storage), listener.run.id, saved, plan)


def _part(trials: int | None) -> int | None:
    return None if trials is None else max(1, trials // PART)
