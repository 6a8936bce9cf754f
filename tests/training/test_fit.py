"""What `fit` takes from a panel: the covariates of its model, and no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from tests.worlds import small_panel
from tidewright.data.simulate import signal_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.view import View
from tidewright.models.spec import Ridge
from tidewright.training.fit import fit, keep_covariates, usual_view
from tidewright.training.update import update

TASK = Task(horizon=2)


@dataclass(frozen=True)
class Alone:
    """A network that looks at the target alone, under the name of one that the catalog holds."""

    name: str = "feedforward"
    takes: ClassVar[tuple[str, ...]] = ()


@pytest.mark.parametrize(("kind", "column"), [("past", "visits"), ("known", "price"), ("static", "area")])
def test_covariates_that_a_model_does_not_take_are_an_error_that_names_them(kind: str, column: str) -> None:
    panel = keep_covariates(small_panel(), (kind,))
    split = split_holdout(panel, TASK)
    view = usual_view(panel, split=split, task=TASK) if kind == "static" else View(8)
    with pytest.raises(ConfigError, match=f"takes no {kind} covariates; got {column}") as caught:
        fit(Alone(), panel=panel, split=split, task=TASK, view=View(8, (), view.static))
    assert "keep_covariates" in str(caught.value)


def test_a_calendar_is_a_known_covariate() -> None:
    panel = small_panel(covariates=False)
    with pytest.raises(ConfigError, match="takes no known covariates; got hour"):
        fit(Alone(), panel=panel, split=split_holdout(panel, TASK), task=TASK, view=View(8, ("hour",)))


def test_a_panel_can_be_cut_down_to_what_a_model_takes() -> None:
    panel = small_panel()
    roles = keep_covariates(panel, ("known",)).roles
    assert (roles.past, roles.known, roles.static) == ((), ("price",), ())
    view = usual_view(panel, split=split_holdout(panel, TASK), task=TASK, takes=())
    assert (view.calendar, view.static.columns) == ((), ())


def test_a_split_for_a_shorter_horizon_is_refused_because_labels_would_be_shared():
    panel = signal_panel(n_series=2, length=200, seed=0)
    split = split_holdout(panel, Task(horizon=3))
    with pytest.raises(ConfigError, match=r"3 steps apart, for a horizon of 3; the task's horizon is 8, so labels"):
        fit(Ridge(), panel=panel, split=split, task=Task(horizon=8))
    longer = fit(Ridge(), panel=panel, split=split_holdout(panel, Task(horizon=8)), task=Task(horizon=3))
    with pytest.raises(ConfigError, match="2 steps apart"):
        update(longer, panel=panel, split=split_holdout(panel, Task(horizon=2)))
