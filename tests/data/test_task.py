"""A task says what is asked, and refuses what can't be answered."""

import pytest

from tidewright.data.task import Task
from tidewright.errors import ConfigError


@pytest.mark.parametrize("horizon", [0, -3, 1.5, "4", True, None])
def test_a_horizon_is_a_whole_number_of_steps(horizon):
    with pytest.raises(ConfigError, match="the horizon is the number of steps ahead, 1 or more; got"):
        Task(horizon=horizon)


@pytest.mark.parametrize("levels", [(0.5, 0.1), (0.5, 0.5), (0.0, 0.5), (0.5, 1.0), (float("nan"), 0.5)])
def test_quantiles_are_distinct_ascending_levels(levels):
    with pytest.raises(ConfigError, match="quantiles are distinct levels between 0 and 1, ascending; got"):
        Task(horizon=1, quantiles=levels)


def test_the_median_must_be_asked_for():
    with pytest.raises(ConfigError, match=r"quantiles must hold 0.5, the point forecast; got \(0.1, 0.9\)"):
        Task(horizon=1, quantiles=(0.1, 0.9))


def test_the_median_knows_its_place():
    assert Task(horizon=1, quantiles=(0.05, 0.25, 0.5, 0.75)).median == 2
    assert Task(horizon=1, quantiles=(0.5,)).median == 0
