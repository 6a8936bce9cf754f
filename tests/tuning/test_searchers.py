"""What single searchers do: counts, fronts, values and shares, the Gaussian process against a closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.errors import ConfigError
from tidewright.tuning.ranges import Choice, FloatRange, IntRange, Range
from tidewright.tuning.searchers.auto import AutoSearcher, pick_searcher
from tidewright.tuning.searchers.catalog import SEARCHERS
from tidewright.tuning.searchers.cube import Cube
from tidewright.tuning.searchers.draw import SobolSearcher
from tidewright.tuning.searchers.gp import GPSearcher
from tidewright.tuning.searchers.grid import GridSearcher
from tidewright.tuning.searchers.improve import Improvement, log_gain
from tidewright.tuning.searchers.laplace import draw_hyperparameters
from tidewright.tuning.searchers.nsga2 import NSGA2Searcher, order_by_front, rank_fronts
from tidewright.tuning.searchers.numpyro_gp import sample_hyperparameters
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.searchers.shares import share_of, value_at
from tidewright.tuning.searchers.surrogate import Data, Posterior, bounds_of, fit_hyperparameters, loss
from tidewright.tuning.searchers.worth import weigh_trials
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState

COMPLETE = TrialState.COMPLETE
RANGES: tuple[Range, ...] = (
    FloatRange(-1.0, 3.0),
    FloatRange(1e-5, 1e-1, log=True),
    FloatRange(0.0, 1.0, step=0.25),
    IntRange(16, 128, step=16),
    IntRange(1, 100, log=True),
    IntRange(5, 5),
    Choice(("a", (1, 2), None)),
)
SPACE = SearchSpace("m", {f"o{k}": one for k, one in enumerate(RANGES)})
PLANE = SearchSpace("plane", {"x": FloatRange(0.0, 1.0), "y": FloatRange(0.0, 1.0)})


def make_data(count: int = 20) -> Data:
    draw = np.random.default_rng(0)
    columns = draw.random((count, 3))
    values = np.sin(4 * columns[:, 0]) + columns[:, 1]
    return Data(columns, (values - values.mean()) / values.std(), np.array([0, 1, 1]))


@given(share=st.floats(0.0, 1.0), which=st.integers(0, len(RANGES) - 1))
def test_a_value_at_a_share_is_held_and_stands_there(share: float, which: int) -> None:
    one = RANGES[which]
    value = value_at(one, share)
    assert one.holds(value)
    again = value_at(one, share_of(one, value))
    assert again == (pytest.approx(value) if isinstance(value, float) else value)


@given(st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6))
def test_snapped_places_are_those_of_the_point_there(places: list[float]) -> None:
    cube = Cube(SPACE)
    snapped = cube.snap(np.array([places]))
    assert cube.places(cube.point(snapped[0])) == pytest.approx(snapped[0], abs=1e-9)
    moved = cube.neighbours(snapped[0])
    assert all(SPACE.holds(cube.point(row)) for row in moved)


def test_a_grid_counts_before_it_starts_and_goes_through_all() -> None:
    space = SearchSpace("m", {"a": IntRange(1, 3), "b": Choice(("x", "y"))})
    grid, trials = GridSearcher(), []
    assert grid.count(space) == 6
    while (point := grid.suggest(History(space, tuple(trials), len(trials), 0))) is not None:
        trials.append(Trial(len(trials), COMPLETE, (0.0,), point))
    assert [tuple(t.parameters.values()) for t in trials] == [(a, b) for a in (1, 2, 3) for b in "xy"]


def test_a_grid_of_a_continuous_option_asks_for_a_resolution() -> None:
    with pytest.raises(ConfigError, match="x is continuous, so a grid has no end"):
        GridSearcher().suggest(History(PLANE, (), 0, 0))
    assert GridSearcher(resolution=4).count(PLANE) == 16
    with pytest.raises(ConfigError, match="2 or more; got 1"):
        GridSearcher(resolution=1)
    with pytest.raises(ConfigError, match="more than 100,000 points"):
        GridSearcher(resolution=400).suggest(History(PLANE, (), 0, 0))


def test_a_sobol_sequence_leaves_smaller_gaps_than_draws() -> None:
    trials: list[Trial] = []
    for number in range(32):
        point = SobolSearcher().suggest(History(PLANE, tuple(trials), number, 5))
        assert point is not None
        trials.append(Trial(number, COMPLETE, (0.0,), point))
    cells = {(int(4 * t.parameters["x"]), int(4 * t.parameters["y"])) for t in trials}
    assert len(cells) == 16


def test_the_gradient_of_the_loss_is_that_of_differences() -> None:
    data, theta = make_data(), np.array([0.3, -0.2, 0.1, -4.0])
    steps = 1e-6 * np.eye(4)
    differences = [(loss(theta + step, data)[0] - loss(theta - step, data)[0]) / 2e-6 for step in steps]
    assert loss(theta, data)[1] == pytest.approx(differences, rel=1e-4)


def test_the_process_says_what_scikit_learn_says() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    data, theta = make_data(), np.array([0.3, -0.2, 0.1, -4.0])
    lengths = np.exp(theta[[0, 1, 1]])
    kernel = ConstantKernel(np.exp(theta[2])) * Matern(lengths, nu=2.5)
    theirs = GaussianProcessRegressor(kernel, alpha=np.exp(theta[3]) + 1e-9, optimizer=None).fit(
        data.columns, data.values
    )
    places = np.random.default_rng(1).random((5, 3))
    mean, deviation = Posterior(theta, data).predict(places)
    expected = theirs.predict(places, return_std=True)
    assert mean == pytest.approx(expected[0], abs=1e-6)
    assert deviation == pytest.approx(expected[1], abs=1e-6)


def test_the_improvement_is_that_of_draws_and_its_slopes_those_of_differences() -> None:
    z = np.array([-60.0, -8.0, -1.5, -0.5, 2.0])
    assert np.exp(log_gain(z[2:])) == pytest.approx([0.029307, 0.197797, 2.008491], rel=1e-4)
    assert log_gain(z[:2]) == pytest.approx([-1809.1086, -37.1215], abs=1e-3)
    data = make_data()
    posteriors = [Posterior(fit_hyperparameters(data), data), Posterior(np.array([0.0, 0.0, 0.0, -5.0]), data)]
    aim, column = Improvement(posteriors, [-1.0, -0.8]), np.array([0.2, 0.7, 0.4])
    value, slopes = aim.slopes(column)
    assert value == pytest.approx(aim.score(column[None])[0])
    steps = 1e-6 * np.eye(3)
    differences = [(aim.score((column + s)[None]) - aim.score((column - s)[None]))[0] / 2e-6 for s in steps]
    assert slopes == pytest.approx(differences, rel=1e-3, abs=1e-4)


def test_a_pending_point_is_known_as_expected() -> None:
    data = make_data()
    posterior = Posterior(fit_hyperparameters(data), data)
    place = np.array([[0.9, 0.1, 0.5]])
    expected, before = posterior.predict(place)
    mean, after = posterior.with_pending(place).predict(place)
    assert mean == pytest.approx(expected, abs=1e-3)
    assert after[0] < 0.3 * before[0]


def test_numpyro_samples_around_what_is_most_probable() -> None:
    data = make_data()
    likely, samples = fit_hyperparameters(data), np.array(sample_hyperparameters(data, 1))
    assert len(samples) == 8
    assert samples.std(axis=0).min() > 0.05
    assert np.abs(np.median(samples, axis=0)[:2] - likely[:2]).max() < 1.0
    assert samples == pytest.approx(np.array(sample_hyperparameters(data, 1)))


def test_hyperparameters_are_drawn_as_widely_as_they_are_unknown() -> None:
    data = make_data()
    drawn = np.array(draw_hyperparameters(data, 3))
    assert drawn == pytest.approx(np.array(draw_hyperparameters(data, 3)))
    assert drawn[0] == pytest.approx(fit_hyperparameters(data))

    def cost(*steps: np.ndarray) -> float:
        return loss(drawn[0] + sum(steps), data)[0]

    sides = 1e-3 * np.eye(len(drawn[0]))
    bend = [[cost(a, b) - cost(a, -b) - cost(-a, b) + cost(-a, -b) for a in sides] for b in sides]
    widths = np.sqrt(np.diag(np.linalg.inv(np.array(bend) / 4e-6)))
    many = np.array([draw_hyperparameters(data, seed)[1:] for seed in range(60)]).reshape(-1, len(widths))
    assert many.std(axis=0)[[0, 1, 3]] == pytest.approx(widths[[0, 1, 3]], rel=0.2)
    assert many.max(axis=0)[2] == bounds_of(data.options)[1][2]  # the signal's variance stays inside its bounds


def test_pruned_trials_are_worth_the_upper_quartile_and_failed_ones_the_worst() -> None:
    states = [COMPLETE, COMPLETE, COMPLETE, TrialState.PRUNED, TrialState.FAILED, TrialState.RUNNING]
    trials = [
        Trial(k, state, (float(k),) if state is COMPLETE else (), {"x": 0.1 * k, "y": 0.5})
        for k, state in enumerate(states)
    ]
    worth = weigh_trials(History(PLANE, tuple(trials), 6, 0), Cube(PLANE))
    assert len(worth.pending) == 1
    assert list(np.argsort(worth.values, kind="stable")) == [0, 1, 3, 2, 4]
    assert worth.values[4] == pytest.approx(worth.values[2])
    assert worth.values.mean() == pytest.approx(0.0, abs=1e-12)


def test_fronts_are_told_apart_and_lonely_points_come_first() -> None:
    values = np.array([[0.0, 4.0], [1.0, 2.9], [1.1, 2.8], [4.0, 0.0], [2.0, 4.0], [5.0, 5.0]])
    assert rank_fronts(values).tolist() == [0, 0, 0, 0, 1, 2]
    assert order_by_front(values).tolist() == [0, 3, 2, 1, 4, 5]


def test_nsga2_spreads_over_the_front() -> None:
    searcher, trials = NSGA2Searcher(population=12), []
    for number in range(150):
        point = searcher.suggest(History(PLANE, tuple(trials), number, 2))
        assert point is not None
        x, y = point["x"], point["y"]
        trials.append(Trial(number, COMPLETE, (x, (1.0 + 9.0 * y) * (1.0 - np.sqrt(x / (1.0 + 9.0 * y)))), point))
    front = [t.values for t in trials if t.values[1] < 1.1 - np.sqrt(t.values[0])]  # ZDT1, whose front is 1 - sqrt(x)
    assert len(front) > 30
    assert max(f[0] for f in front) - min(f[0] for f in front) > 0.6


def test_auto_says_what_it_takes_and_why() -> None:
    small = SearchSpace("m", {"a": IntRange(1, 5), "b": IntRange(1, 10)})
    assert pick_searcher(small, ended=0, trials=60).name == "grid"
    assert "50 points, so all can be tried" in pick_searcher(small, ended=0, trials=60).reason
    assert pick_searcher(small, ended=0, trials=20).name == "gp"
    assert pick_searcher(PLANE, ended=150).name == "tpe"
    assert "takes too long" in pick_searcher(PLANE, ended=150, objectives=2).reason
    assert pick_searcher(PLANE, ended=150, objectives=2).name == "nsga2"
    wide = SearchSpace("m", {f"x{k}": FloatRange(0.0, 1.0) for k in range(41)})
    assert pick_searcher(wide, ended=0).name == "tpe"
    history = History(PLANE, (), 0, 3)
    assert AutoSearcher().pick(history).name == "gp"
    assert AutoSearcher().suggest(history) == GPSearcher().suggest(history)


def test_every_searcher_stands_in_the_catalog() -> None:
    folder = Path(__file__).parents[2] / "src" / "tidewright" / "tuning" / "searchers"
    text = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    classes = {line.split()[1].split("(")[0].rstrip(":") for line in text.splitlines() if line.startswith("class ")}
    made = {type(SEARCHERS.load(name)()).__name__ for name in SEARCHERS}
    around = {"AdaptiveSearcher", "StepSearcher"}  # these ask another one
    assert {name for name in classes if name.endswith("Searcher") and name != "Searcher"} - around == made


@pytest.mark.parametrize("name", ["cmaes", "hyperopt", "skopt"])
def test_a_searcher_of_one_objective_says_so(name: str) -> None:
    trials = (Trial(0, COMPLETE, (1.0, 2.0), {"x": 0.5, "y": 0.5}),)
    with pytest.raises(ConfigError, match=f"{name} makes one objective small; the trials have 2"):
        SEARCHERS.load(name)().suggest(History(PLANE, trials, 1, 0))
