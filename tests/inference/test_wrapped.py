"""Networks with offsets or logarithms around them, on the backends that have the network alone."""

import numpy as np
import pytest

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import DataError
from tidewright.features.separate import to_windows
from tidewright.features.view import View
from tidewright.inference.session import open_session
from tidewright.models.conformal import Conformal
from tidewright.models.spec import FeedForward
from tidewright.registry.bundle import save_bundle
from tidewright.registry.difference import relative_difference
from tidewright.registry.trial_windows import hard_windows, real_windows
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

TASK = Task(4, (0.1, 0.5, 0.9))
PANEL = small_panel(covariates=False)


def learn(log):
    split, train = split_holdout(PANEL, TASK), TrainSpec(epochs=1, steps=5)
    return fit(FeedForward(hidden=(8,)), panel=PANEL, split=split, task=TASK, view=View(24, log=log), train=train)


@pytest.mark.parametrize("log", [None, 50.0])
@pytest.mark.parametrize(("method", "unit"), [(None, None), ("cqr", "width"), ("split", "absolute")])
def test_a_network_in_its_wrappers_answers_as_the_fitted_model(tmp_path, log, method, unit):
    fitted = learn(log)
    if method:
        offsets = np.tile(np.array([-0.3, 0.0, 0.5]), (TASK.horizon, 1))
        fitted = Conformal(fitted, offsets, method, unit)
    bundle = save_bundle(fitted, panel=PANEL, folder=tmp_path / "wrapped")
    session = open_session(bundle, backend="torchscript", strict=True)
    real = real_windows(PANEL, fitted.view, horizon=TASK.horizon)
    for name, batch in (("real", real), *hard_windows(real)):
        if log is not None and name in ("negatives", "a negative constant"):
            continue  # windows that a logarithm sees nothing of have no answer
        eager = fitted.predict(to_windows(batch, horizon=TASK.horizon))
        ours = session.predict(batch.target).quantiles
        assert ours.dtype == np.float32
        assert relative_difference(ours, eager, target=batch.target) <= bundle.tolerance, name


def test_a_window_that_a_logarithm_sees_nothing_of_is_refused_also_alone(tmp_path):
    session = open_session(save_bundle(learn(50.0), panel=PANEL, folder=tmp_path / "logs"), backend="onnxruntime")
    below = np.full((1, 24), -100.0, np.float32)
    with pytest.raises(DataError, match="the answer to window 0 is not a finite number"):
        session.predict(below)
    assert np.isfinite(session.predict(below + np.float32(100.0)).quantiles).all()
