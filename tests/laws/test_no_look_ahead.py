"""Change everything after a cutoff: every feature, window, forecast and score at or before it keeps its bits."""

from __future__ import annotations

import numpy as np
import pytest

from tests.laws.flow import TASK, answer, cuts, fitted, learn, numbers, windows_until, with_another_future, world
from tidewright.features.calendar import calendar_columns, usual_calendar
from tidewright.features.lags import add_lags
from tidewright.features.scaling import MinMax, Standard
from tidewright.features.transforms import Chain, Difference, Log, fit_transform_spec
from tidewright.metrics.accuracy import loss_by_cutoff
from tidewright.models.spec import MODELS
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import keep_covariates

every_model = pytest.mark.parametrize("name", MODELS)


@every_model
def test_nothing_after_a_cutoff_changes_a_forecast_at_or_before_it(name: str) -> None:
    panel, _ = world()
    model = fitted(name)
    for cut in cuts(name):
        other = with_another_future(panel, cut=cut)
        assert answer(model, panel, last=cut).tobytes() == answer(model, other, last=cut).tobytes(), cut


@every_model
def test_a_forecast_after_the_change_is_another_one(name: str) -> None:
    panel, _ = world()
    model, cut = fitted(name), cuts()[-1] - 40
    other = with_another_future(panel, cut=cut)
    last = panel.span[1]
    assert answer(model, panel, last=last).tobytes() != answer(model, other, last=last).tobytes()


def test_nothing_after_a_cutoff_changes_a_window_or_a_feature_at_or_before_it() -> None:
    panel, _ = world()
    model = fitted("feedforward")
    for cut in cuts():
        other = with_another_future(panel, cut=cut)
        ours, theirs = (windows_until(model, p, last=cut).batch() for p in (panel, other))
        for field in ("target", "past", "known", "static"):
            assert getattr(ours, field).tobytes() == getattr(theirs, field).tobytes(), (field, cut)
        seen = panel.positions <= cut
        ours_lagged, theirs_lagged = (add_lags(p, lags=(1, 24), rolling=(3, 12)) for p in (panel, other))
        for column in ours_lagged.roles.past:
            assert ours_lagged.values(column)[seen].tobytes() == theirs_lagged.values(column)[seen].tobytes()
        names = (*usual_calendar(panel.frequency), "fourier:24:2")
        before, after = (calendar_columns(p, names) for p in (panel, other))
        assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize(
    "spec", [Standard(), MinMax(), Log(), Difference(lag=24), Chain(steps=(Log(), Difference(), Standard()))], ids=str
)
def test_nothing_after_a_cutoff_changes_a_transformed_value_at_or_before_it(spec: Log) -> None:
    panel, split = world()
    made = fit_transform_spec(spec, panel.until(split.train.last)).apply(panel)
    for cut in cuts():
        if cut < split.train.last:
            continue
        changed = panel.positions > cut
        other = with_another_future(panel, cut=cut)
        lifted = np.where(changed, np.abs(other.target), panel.target)  # a log takes no negative value
        other = other.__class__.from_table(
            other.table.with_columns(sold=lifted), series="shop", time="hour", target="sold"
        )
        again = fit_transform_spec(spec, other.until(split.train.last)).apply(other)
        assert made.target[~changed].tobytes() == again.target[~changed].tobytes()


@every_model
def test_what_is_learned_depends_on_nothing_after_the_validation_part(name: str) -> None:
    panel, split = world()
    end = split.validation.last + TASK.horizon
    model, again = fitted(name), learn(name, with_another_future(panel, cut=end, known_from=end))
    assert numbers(again) == numbers(model)
    assert (again.spec, again.view) == (model.spec, model.view)


@pytest.mark.parametrize("name", ["feedforward", "lstm"])
def test_scalings_and_static_levels_depend_on_the_training_part_alone(name: str) -> None:
    panel, split = world()
    end = split.train.last + TASK.horizon  # the last training label
    again = numbers(learn(name, with_another_future(panel, cut=end, known_from=end)))
    model = numbers(fitted(name))
    fixed = [key for key in model if key.endswith(("_mean", "_scale"))]
    assert len(fixed) >= 5
    assert {key: again[key] for key in fixed} == {key: model[key] for key in fixed}


@pytest.mark.parametrize("name", ["ridge", "feedforward", "lightgbm"])
@pytest.mark.parametrize("metric", ["mae", "mase", "crps"])
def test_nothing_after_a_window_changes_its_score(name: str, metric: str) -> None:
    panel, split = world()
    model = fitted(name)
    assert split.test is not None
    for cut in (c for c in cuts() if c > split.train.last + TASK.horizon):
        for part in (split.validation, split.test):
            losses = []
            for one in (panel, with_another_future(panel, cut=cut)):
                kept = keep_covariates(one, model.spec.takes)
                judged = evaluate(model, panel=kept, split=split, cutoffs=part)
                known = np.unique(judged.windows.cutoffs) + TASK.horizon <= cut
                losses.append(loss_by_cutoff(judged.scored, metric, cutoff=judged.windows.cutoffs)[known])
            assert losses[0].tobytes() == losses[1].tobytes(), cut
