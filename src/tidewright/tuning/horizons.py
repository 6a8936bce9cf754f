"""A searched horizon: how many steps a model learns at once, judged on the steps that are asked for.

Scores over different horizons can't be compared: the next step is easier than the fortieth. So each trial's model is
made to answer the task's own steps (see `Blockwise`), and is judged on these at the same cutoffs as all others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, widen_purge
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.models.blockwise import answer_task
from tidewright.models.fitted import Fitted
from tidewright.models.spec import MODELS
from tidewright.training.fit import keep_covariates
from tidewright.tuning.records import Candidate
from tidewright.tuning.space import SearchSpace


def learn_candidate(
    candidate: Candidate, *, learn: Callable[..., Fitted], panel: Panel, split: Split, task: Task, **more: Any
) -> Fitted:
    """What a candidate learns, answering the task whatever its own horizon.

    A longer horizon leaves the last training cutoffs out, so that no label is one of validation. Where the model is
    searched, each is given the covariates that it takes.
    """
    own = candidate.task or task
    fitted = learn(
        candidate.spec,
        panel=keep_covariates(panel, candidate.spec.takes) if candidate.others else panel,
        split=widen_purge(split, own.horizon),
        task=own,
        view=candidate.view,
        train=candidate.train,
        **more,
    )
    return answer_task(fitted, task)


def explain_horizons(space: SearchSpace, *, panel: Panel, task: Task) -> tuple[str, ...]:
    """What is to be said of a space that searches the horizon; nothing where it doesn't.

    Raises `ConfigError` where a model that sees past covariates would have to go on from its own forecast.
    """
    names = [name for name in space.names if name.endswith("task.horizon")]
    for name in names:
        range_ = space.ranges[name]
        model = name.partition(".")[0]
        models = (model,) if model in space.models else space.models
        seeing = [one for one in models if "past" in MODELS.load(one).takes]
        if panel.roles.past and seeing and min(range_.values()) < task.horizon:
            raise ConfigError(
                f"{name} goes down to {min(range_.values())} of {task.horizon} steps, and {seeing[0]} sees past "
                f"covariates ({', '.join(panel.roles.past)}), which have no values after the cutoff: it can't go on "
                f"from its own forecast. Leave them out, or search horizons from {task.horizon} on."
            )
    if not names:
        return ()
    return (
        f"the horizon is how many steps a model learns at once: every trial is judged on the {task.horizon} asked for, "
        "a shorter one going on from its own forecast.",
    )
