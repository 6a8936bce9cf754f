"""`importance`: which options the score of a trial depends on.

N complete trials. An option that is there only with values of others is judged among the trials that have it.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tidewright.errors import ConfigError, MissingExtraError
from tidewright.optional import require
from tidewright.tuning.ranges import Choice
from tidewright.tuning.searchers.optuna_study import quiet
from tidewright.tuning.searchers.shares import share_of
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.study import Study
from tidewright.tuning.trial import Trial
from tidewright.tuning.tried import Tried

Method = Literal["fanova", "ped-anova"]
Doubles = npt.NDArray[np.float64]
FEWEST, MOST = 15, 200  # complete trials that are needed, and that are looked at
TREES, GROUPS = 8, 5
TOP, TOP_SHARE = 5, 0.1  # PED-ANOVA compares the best tenth, or the five best, with all


@dataclass(frozen=True, eq=False, slots=True)
class OptionImportance:
    """How much each option matters to a score, the most important first.

    Of "fanova" `shares` are parts of the score's variance over the space that the option alone makes; what is missing
    to 1 is of options together and of chance. Of "ped-anova" they say what sets the best trials apart, and add up to 1.
    `spread` is the standard error of each (jackknife), `within` the trials that it rests on. `left_out` says which
    options have no share, and why; `reason` why none has.
    """

    method: Method
    shares: Mapping[str, float]
    spread: Mapping[str, float]
    within: Mapping[str, int]
    left_out: Mapping[str, str]
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def importance(study: Study | Tried, *, objective: int = 0, method: Method = "fanova") -> OptionImportance:
    """What the score of a study depends on, from its complete trials inside the space.

    "fanova" learns a forest of the score and takes its variance apart (Hutter, Hoos and Leyton-Brown 2014), every value
    of a range being as likely as a search draws it; it needs scikit-learn. "ped-anova" compares where the best trials
    lie with where all do (Watanabe, Bansal and Hutter 2023). Scores far worse than the rest (three times the middle
    half's width above it) count as that far. Of more than 200 trials, 200 are taken, evenly over their numbers. Raises
    `ConfigError` and, without the package, `MissingExtraError`.
    """
    tried = Tried.of(study)
    if method not in ("fanova", "ped-anova"):
        raise ConfigError(f"importance is measured by fanova or ped-anova; got {method!r}.")
    if not 0 <= objective < len(tried.goals):
        raise ConfigError(f"the study has {len(tried.goals)} objectives, counted from 0; got {objective}.")
    known = [trial for trial in tried.scored if tried.space.holds(trial.parameters)]
    if len(known) < FEWEST:
        reason = f"{FEWEST} complete trials inside the space are needed, and there are {len(known)}"
        return OptionImportance(method, {}, {}, {}, {}, reason)
    if np.ptp([trial.values[objective] for trial in known]) == 0:
        return OptionImportance(method, {}, {}, {}, {}, "every complete trial has the same score")
    if method == "fanova":
        require("sklearn", extra="forests", purpose="the importance of options by fanova")
    return _measure(tried.space, _spread_out(known), objective=objective, method=method)


def weigh_options(study: Study | Tried, *, objective: int = 0) -> OptionImportance:
    """The importance by fanova, or, without its package, none and the reason."""
    try:
        return importance(study, objective=objective)
    except MissingExtraError as error:
        return OptionImportance("fanova", {}, {}, {}, {}, str(error))


def cap_far(values: Doubles) -> Doubles:
    """Values [N] to be made small, those far above the rest lowered to three times the middle half's width above it.

    >>> cap_far(np.array([1.0, 2.0, 3.0, 4.0, 1e9])).tolist()
    [1.0, 2.0, 3.0, 4.0, 10.0]
    """
    low, high = np.quantile(values, [0.25, 0.75])
    return np.asarray(np.minimum(values, high + 3.0 * (high - low)) if high > low else values)


def _measure(space: SearchSpace, known: Sequence[Trial], *, objective: int, method: Method) -> OptionImportance:
    """By branches: options that the same trials have are judged together."""
    shares: dict[str, float] = {}
    spread, within, left_out = dict(shares), dict[str, int](), dict[str, str]()
    branches: dict[tuple[int, ...], list[str]] = {}
    for name in space.names:
        rows = tuple(row for row, trial in enumerate(known) if name in trial.parameters)
        if len({json.dumps(known[row].parameters[name]) for row in rows}) > 1:
            branches.setdefault(rows, []).append(name)
        else:
            left_out[name] = "it had one value" if rows else "no complete trial has it"
    for rows, names in branches.items():
        some = [known[row] for row in rows]
        if len(some) < FEWEST:
            left_out |= dict.fromkeys(names, f"{len(some)} complete trials have it, and {FEWEST} are needed")
            continue
        found = _judge(space, some, objective=objective, method=method)
        groups = [[t for n, t in enumerate(some) if n % GROUPS != group] for group in range(GROUPS)]
        without = [_judge(space, group, objective=objective, method=method) for group in groups]
        for name in names:
            apart = np.array([one.get(name, 0.0) for one in without])
            shares[name], within[name] = found[name], len(some)
            spread[name] = math.sqrt((GROUPS - 1) / GROUPS * float(((apart - apart.mean()) ** 2).sum()))
    ranked = {name: shares[name] for name in sorted(shares, key=lambda name: -shares[name])}
    return OptionImportance(method, ranked, spread, within, left_out)


def _judge(space: SearchSpace, some: Sequence[Trial], *, objective: int, method: Method) -> dict[str, float]:
    """The share of each option that all of these trials have, by an evaluator of Optuna's."""
    optuna = require("optuna", extra="tuning", purpose="the importance of options")
    names = [name for name in space.names if all(name in trial.parameters for trial in some)]
    kinds = {name: _kind_of(space, name, optuna) for name in names}
    values = cap_far(np.array([trial.values[objective] for trial in some]))
    if np.ptp(values) == 0.0:
        return dict.fromkeys(names, 0.0)
    with quiet(optuna), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that PED-ANOVA's few best trials are all of them
        study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
        for trial, value in zip(some, values, strict=True):
            point = {name: _place_of(space, name, trial.parameters[name]) for name in names}
            study.add_trial(optuna.trial.create_trial(value=float(value), params=point, distributions=kinds))
        if method == "fanova":
            found = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=0).evaluate(study)
            return {name: max(float(found[name]), 0.0) for name in names}
        best = min(max(TOP_SHARE, TOP / len(some)), 0.5)
        found = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=best).evaluate(study)
        whole = sum(found.values()) or 1.0
        return {name: float(found[name]) / whole for name in names}


def _kind_of(space: SearchSpace, name: str, optuna: Any) -> Any:
    one = space.ranges[name]
    kinds = optuna.distributions
    return kinds.CategoricalDistribution(one.labels) if isinstance(one, Choice) else kinds.FloatDistribution(0.0, 1.0)


def _place_of(space: SearchSpace, name: str, value: Any) -> Any:
    """A number's share of its range, so that each part of it is as large as a search draws from it."""
    one = space.ranges[name]
    return json.dumps(value) if isinstance(one, Choice) else min(max(share_of(one, value), 0.0), 1.0)


def _spread_out(known: Sequence[Trial]) -> list[Trial]:
    """At most so many trials as are looked at, evenly over all."""
    if len(known) <= MOST:
        return list(known)
    return [known[int(row)] for row in np.linspace(0, len(known) - 1, MOST).round()]
