"""What `fit` takes from a panel: the covariates of its model, and no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.view import View
from tidewright.training.fit import fit, keep_covariates, usual_view

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
