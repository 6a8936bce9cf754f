"""Rules that weigh models, judged in time."""

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
from scipy.optimize import linprog, minimize

from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.view import View
from tidewright.metrics.accuracy import Scored
from tidewright.models.build import build_spec
from tidewright.training.ensemble import fit_ensemble
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.training.stack import solve_quantiles, solve_squares, stack
from tidewright.training.weigh import blend, choose_weights, cut_blocks, judge_mixture

HORIZON, LEVELS = 6, (0.1, 0.5, 0.9)
TASK = Task(HORIZON, LEVELS)
PANEL = small_panel(covariates=False, rows=400)
SPLIT = split_holdout(PANEL, TASK, validation=100, test=20)


@cache
def truth():
    """A floor's evaluation: its windows, and what came in them."""
    fitted = fit(build_spec("naive"), panel=PANEL, split=SPLIT, task=TASK)
    return evaluate(fitted, panel=PANEL, split=SPLIT, cutoffs=SPLIT.validation)


def says(error, *, name="model"):
    """An evaluation of a model that is wrong by `error`, an array that broadcasts to [N, H]; intervals are 4 wide."""
    base = truth()
    actual = np.nan_to_num(base.scored.actual) + error
    forecast = np.stack([actual - 2.0, actual, actual + 2.0], axis=2)
    return replace(base, model=name, forecast=forecast, scored=replace(base.scored, forecast=forecast))


def noise(size, *, seed):
    return np.random.default_rng(seed).normal(size=truth().scored.actual.shape) * size


def test_the_blocks_of_time_learn_only_from_labels_that_were_known_before_them():
    cutoffs = np.repeat(np.arange(100, 150, 3), 4)
    blocks = cut_blocks(cutoffs, horizon=7)
    assert np.array_equal(sum(own.astype(int) for _, own in blocks), np.ones(len(cutoffs)))
    for past, own in blocks:
        if past.any():
            assert cutoffs[past].max() + 7 <= cutoffs[own].min()
    assert not blocks[0][0].any()
    assert blocks[-1][0].any()


@pytest.mark.parametrize("metric", ["mse", "rmsse", "mae", "mase", "wql"])
def test_stacking_finds_the_weights_that_independent_errors_ask_for(metric):
    """Of two models whose errors are independent, the squared loss is least at weights as the inverse variances."""
    both = np.stack([says(noise(1.0, seed=1)).forecast, says(noise(2.0, seed=2)).forecast])
    weights = stack(both, truth().scored, metric)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] == pytest.approx(0.8, abs=0.06)


def test_stacked_squares_are_those_of_scipys_constrained_optimiser():
    draw = np.random.default_rng(3)
    errors = draw.normal(size=(5, 300)) + draw.normal(size=300) + np.linspace(-1.0, 2.0, 5)[:, None]
    ours = solve_squares(errors)
    theirs = minimize(
        lambda w: ((w @ errors) ** 2).mean(),
        np.full(5, 0.2),
        bounds=[(0.0, None)] * 5,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        options={"ftol": 1e-12},
    )
    assert ours == pytest.approx(theirs.x, abs=1e-4)
    assert (ours >= 0).all()


def test_stacked_quantiles_have_the_loss_of_scipys_linear_programme():
    draw = np.random.default_rng(4)
    count, cells = 4, 250
    errors = draw.standard_t(3, size=(count, cells)) + np.array([0.5, -0.2, 0.1, 2.0])[:, None]
    levels = draw.choice(LEVELS, cells)
    ours = solve_quantiles(errors, levels)
    cost = np.concatenate([np.zeros(count), levels, 1.0 - levels])
    parts = np.hstack([errors.T, -np.eye(cells), np.eye(cells)])  # w @ errors = above - below
    shares = np.concatenate([np.ones(count), np.zeros(2 * cells)])[None]
    theirs = linprog(cost, A_eq=np.vstack([parts, shares]), b_eq=np.append(np.zeros(cells), 1.0))
    residual = ours @ errors
    loss = np.where(residual >= 0, levels * residual, (levels - 1.0) * residual).sum()
    assert loss == pytest.approx(theirs.fun, rel=2e-3)
    assert loss >= theirs.fun - 1e-9


def test_nothing_scored_gives_equal_weights():
    empty = replace(truth().scored, actual=np.full_like(truth().scored.actual, np.nan))
    assert stack(np.stack([says(1.0).forecast] * 4), empty, "mae").tolist() == [0.25] * 4


def test_a_perfect_model_makes_no_division_by_zero():
    judged = [says(0.0), says(0.0), says(noise(1.0, seed=1))]
    for rule, wanted in (("inverse", [0.5, 0.5, 0.0]), ("stacking", None), ("greedy", None)):
        chosen = choose_weights(judged, rule=rule, metric="mae")
        assert np.isfinite(chosen.weights).all()
        assert chosen.weights[2] == pytest.approx(0.0, abs=0.02)
        assert wanted is None or chosen.weights == pytest.approx(wanted)


def test_inverse_weights_are_one_over_the_error():
    judged = [says(1.0), says(-2.0), says(4.0)]
    chosen = choose_weights(judged, rule="inverse", metric="mae")
    assert chosen.weights == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert chosen.tried == 1


def test_a_block_is_judged_by_weights_of_the_blocks_before():
    """One model is right early and the other late: who was right so far is believed."""
    cutoffs = truth().windows.cutoffs
    early = (cutoffs < np.median(cutoffs))[:, None]
    judged = [says(np.where(early, 0.0, 8.0)), says(np.where(early, 8.0, 0.0))]
    chosen = choose_weights(judged, rule="inverse", metric="mae")
    blocks = cut_blocks(cutoffs, horizon=HORIZON)
    mean = blend(judged, [0.5, 0.5], model="mean").forecast
    for past, own in blocks[:-2]:  # those of the early half
        known = judged[0].forecast if past.any() else mean  # it was perfect so far
        assert np.allclose(chosen.judged[own], known[own])
    assert not blocks[0][0].any()
    assert blocks[-3][0].any()
    late = blocks[-2][1]
    assert np.allclose(chosen.judged[late], judged[0].forecast[late])  # hindsight would say otherwise


@pytest.mark.parametrize("rule", ["stacking", "inverse", "greedy"])
def test_what_is_said_of_a_block_changes_with_nothing_after_it(rule):
    judged = [says(noise(size, seed=seed)) for seed, size in enumerate((1.0, 2.0, 3.0))]
    cutoffs = truth().windows.cutoffs
    last = cut_blocks(cutoffs, horizon=HORIZON)[-1][1]
    from tidewright.training import weigh

    sample = weigh._open(judged, "mae")
    past, own = cut_blocks(cutoffs, horizon=HORIZON)[2]
    shaken = [replace(one, forecast=np.where(last[:, None, None], 99.0, one.forecast)) for one in judged]
    other = weigh._open(shaken, "mae")
    before, after = (weigh._learn(one.take(past), weigh._WEIGHERS[rule], per_step=True)[1] for one in (sample, other))
    assert np.array_equal(before, after)
    assert own.any()


def test_in_a_world_without_a_signal_stacking_scores_at_chance():
    """Thirty guesses that know nothing, few cutoffs: hindsight finds a mixture that looks good, time does not."""
    base = truth()
    rows = np.flatnonzero(base.windows.series == 0)[::4]
    actual = np.random.default_rng(0).normal(size=(len(rows), HORIZON))
    windows = base.windows.subset(rows)
    scored = Scored(actual, np.zeros((len(rows), HORIZON, 3)), levels=LEVELS, series=windows.series)
    blank = replace(base, windows=windows, scored=scored)
    judged = []
    for seed in range(30):
        guess = np.random.default_rng(seed + 1).normal(size=actual.shape)[:, :, None] + np.array([-1.0, 0.0, 1.0])
        judged.append(replace(blank, forecast=guess, scored=replace(blank.scored, forecast=guess)))
    chosen = choose_weights(judged, rule="stacking", metric="mse", per_step=True)
    hindsight = stack(np.stack([one.forecast for one in judged]), blank.scored, "mse")
    equal = blend(judged, np.full(30, 1 / 30), model="mean").scores["mse"]
    assert blend(judged, hindsight, model="ensemble").scores["mse"] < 0.95 * equal  # kind
    in_time = judge_mixture(judged, chosen, model="ensemble").scores["mse"]
    assert in_time > 0.97 * equal
    assert in_time > 0.97 * (actual**2).mean()


def test_in_a_label_shuffled_panel_stacking_is_no_better_than_the_best_constant():
    draw = np.random.default_rng(5)
    table = pl.DataFrame({"t": np.arange(300), "y": draw.permutation(10 * np.sin(np.arange(300) / 5))})
    panel = Panel.from_table(table, time="t", target="y")
    split = split_holdout(panel, TASK, validation=90, test=20)
    given = {"panel": panel, "split": split, "task": TASK, "view": View(20), "season": 31}
    names = ("naive", "seasonal", "median", "ridge", "dlinear")
    members = [fit(build_spec(name), train=TrainSpec(epochs=2, steps=10), **given) for name in names]
    judged = [evaluate(m, panel=panel, split=split, cutoffs=split.validation, shortest=20) for m in members]
    chosen = choose_weights(judged, rule="stacking", metric="mse", per_step=True)
    ours = judge_mixture(judged, chosen, model="ensemble").scores["mse"]
    actual = judged[0].scored.actual
    assert ours > 0.97 * np.nanvar(actual)


def test_weights_by_step_follow_who_knows_the_step():
    near = np.linspace(0.2, 8.0, HORIZON) * noise(1.0, seed=1)
    far = np.linspace(8.0, 0.2, HORIZON) * noise(1.0, seed=2)
    judged = [says(near), says(far)]
    chosen = choose_weights(judged, rule="stacking", metric="mse", per_step=True)
    assert chosen.steps.sum(axis=0) == pytest.approx(np.ones(HORIZON))
    assert (np.diff(chosen.steps[0]) <= 1e-9).all()
    assert chosen.steps[0, 0] > 0.8
    assert chosen.steps[0, -1] < 0.2
    plain = choose_weights(judged, rule="stacking", metric="mse")
    assert plain.steps is None
    ours, theirs = (judge_mixture(judged, one, model="ensemble").scores["mse"] for one in (chosen, plain))
    assert ours < 0.7 * theirs


def test_where_all_steps_are_alike_weights_do_not_differ_by_step():
    same = [says(noise(size, seed=seed)[:, :1]) for seed, size in ((1, 1.0), (2, 2.0))]
    chosen = choose_weights(same, rule="stacking", metric="mse", per_step=True)
    assert chosen.history[0]["by_step"] == 0.0
    assert chosen.steps is None


def test_an_ensemble_by_step_has_its_weights_in_its_spec():
    options = {"panel": PANEL, "split": SPLIT, "task": TASK, "view": View(30)}
    members = [fit(build_spec(name), **options) for name in ("naive", "seasonal", "ridge", "drift")]
    fitted = fit_ensemble(members, panel=PANEL, split=SPLIT, rule="stacking", metric="mse", per_step=True)
    weights = np.array([part.weights(HORIZON) for part in fitted.spec.members])
    assert weights.sum(axis=0) == pytest.approx(np.ones(HORIZON))
    assert fitted.history[0]["rule"] == "stacking"
    assert fitted.history[0]["mse_in_time"] > 0


def test_another_rule_and_steps_without_weights_are_refused():
    with pytest.raises(ConfigError, match=r"no rule is called 'stack'. Did you mean 'stacking'"):
        choose_weights([says(1.0), says(2.0)], rule="stack")
    with pytest.raises(ConfigError, match="the rule median has no weights"):
        choose_weights([says(1.0), says(2.0)], rule="median", per_step=True)
