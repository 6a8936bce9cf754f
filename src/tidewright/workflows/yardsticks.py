"""What the best of a search is held against: models without options, and for returns also holding nothing or all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tidewright.models.build import build_spec
from tidewright.models.spec import CLASS_FLOORS, FLOORS
from tidewright.training.evaluate import Evaluation, evaluate
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.trade import Trading, buy_and_hold
from tidewright.tuning.goals import Goal, Judged, hear_positions, judge, judge_returns
from tidewright.workflows.run import Prepared

FLAT, HELD = "flat", "buy and hold"
Said = Mapping[str, tuple[Any, Evaluation]]  # floors, and what they say of validation


@dataclass(frozen=True, slots=True)
class Floor:
    """What needs no search: its score on `validation`, how bad that is (`badness`, to be made small), and all its
    scores on the `test` part."""

    validation: float
    badness: float
    test: Mapping[str, float]


def judge_part(fitted: Any, *, plan: Prepared, goal: Goal, part: str) -> Judged:
    """A model, or learned positions, by a goal on the part `validation` or `test`; forecasts are traded for a goal of
    returns."""
    panel = keep_covariates(plan.loaded.panel, fitted.spec.takes)
    if hasattr(fitted, "predict"):
        return judge(_ask(fitted, plan, part=part), goal=goal, panel=panel, trading=Trading())
    split = replace(plan.split, validation=getattr(plan.split, part))
    said = hear_positions(fitted, goal=goal, panel=panel, split=split, trading=Trading())
    return judge(said, goal=goal, panel=panel, trading=Trading())


def say_floors(plan: Prepared) -> Said:
    """Every floor, fitted, and what it says of validation."""
    asked: dict[str, Any] = {"split": plan.split, "task": plan.task, "season": plan.season}
    found: dict[str, tuple[Any, Evaluation]] = {}
    for name in CLASS_FLOORS if plan.task.classifies else FLOORS:
        spec = build_spec(name)
        fitted = fit(spec, panel=keep_covariates(plan.loaded.panel, spec.takes), **asked)
        found[name] = (fitted, _ask(fitted, plan, part="validation"))
    return found


def measure_floors(plan: Prepared, goal: Goal, *, floors: Said) -> dict[str, Floor]:
    """Every floor of `say_floors` by a goal, the best on validation first; one without a score there is left out.

    Of returns these are the floors' forecasts, traded, nothing held, and all held. Holding nothing earns 0 by each
    figure, also by a ratio, which has no value of its own there.
    """
    found: dict[str, Floor] = {}
    for name, (fitted, said) in floors.items():
        later = _ask(fitted, plan, part="test")
        judged = (judge(one, goal=goal, panel=plan.loaded.panel, trading=Trading()) for one in (said, later))
        found[name] = _floor(goal, *judged)
    if goal.of == "returns":
        found[FLAT] = Floor(0.0, 0.0, {goal.name: 0.0})
        found[HELD] = _floor(goal, *(_hold(one, plan=plan, goal=goal) for one in (said, later)))
    ranked = sorted(found, key=lambda name: found[name].badness)
    return {name: found[name] for name in ranked if math.isfinite(found[name].badness)}


def _ask(fitted: Any, plan: Prepared, *, part: str) -> Evaluation:
    panel = keep_covariates(plan.loaded.panel, fitted.spec.takes)
    return evaluate(fitted, panel=panel, split=plan.split, cutoffs=getattr(plan.split, part), season=plan.season)


def _hold(said: Evaluation, *, plan: Prepared, goal: Goal) -> Judged:
    panel = plan.loaded.panel
    return judge_returns(buy_and_hold(said, panel=panel), goal=goal, panel=panel, scores={})


def _floor(goal: Goal, here: Judged, there: Judged) -> Floor:
    return Floor(float(here.scores.get(goal.name, math.nan)), here.value, dict(there.scores))
