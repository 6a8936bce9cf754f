"""What AOTInductor and torch.compile must do, on one small network each, for compiling takes long.

benchmarks/backends.py tries every network of the catalog.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import FallbackWarning
from tidewright.features.separate import to_windows
from tidewright.features.view import View
from tidewright.inference.backends import aotinductor
from tidewright.inference.private_folder import find_cache
from tidewright.inference.session import open_session
from tidewright.models.build import build_spec
from tidewright.models.spec import FeedForward
from tidewright.registry.bundle import save_bundle
from tidewright.registry.difference import relative_difference
from tidewright.registry.trial_windows import hard_windows, real_windows, take
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

TASK = Task(4, (0.1, 0.5, 0.9))
PANEL = small_panel()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    split, train = split_holdout(PANEL, TASK), TrainSpec(epochs=1, steps=5)
    fitted = fit(FeedForward(hidden=(8,)), panel=PANEL, split=split, task=TASK, view=View(24), train=train)
    return fitted, save_bundle(fitted, panel=PANEL, folder=tmp_path_factory.mktemp("sealed") / "network")


@pytest.fixture(scope="module", params=["aotinductor", "compiled"])
def session(request, sealed):
    return open_session(sealed[1], backend=request.param, strict=True)


@pytest.fixture(scope="module")
def real(sealed):
    return real_windows(PANEL, sealed[0].view, horizon=TASK.horizon)


def ask(session, batch):
    return session.predict({name: getattr(batch, name) for name in session.inputs}).quantiles


@pytest.mark.slow
def test_it_answers_as_the_fitted_model_on_real_windows_and_hard_ones(session, sealed, real):
    for name, batch in (("real", real), *hard_windows(real, seed=1)):
        eager = sealed[0].predict(to_windows(batch, horizon=TASK.horizon))
        ours = ask(session, batch)
        assert ours.dtype == np.float32
        assert relative_difference(ours, eager, target=batch.target) <= 1e-5, name


@pytest.mark.slow
def test_a_window_alone_is_answered_as_among_others(session, real):
    assert session.inputs == ("target", "past", "known")
    whole = ask(session, real)
    for size in (1, 2, 5):
        part = ask(session, take(real, slice(0, size)))
        assert relative_difference(part, whole[:size].astype(np.float64), target=real.target[:size]) <= 1e-6


@pytest.mark.slow
def test_sixteen_threads_get_the_bits_that_one_gets(session, real):
    parts = [take(real, slice(k % 30, k % 30 + 1 + k % 3)) for k in range(96)]
    serial = [ask(session, part) for part in parts]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda part: ask(session, part), parts))
    assert all(np.array_equal(one, other) for one, other in zip(serial, together, strict=True))


@pytest.mark.slow
def test_what_was_compiled_is_kept_for_its_user_alone_and_not_compiled_again(sealed, real, monkeypatch):
    first = open_session(sealed[1], backend="aotinductor", strict=True)
    (kept,) = (find_cache() / "compiled").glob("*.pt2")
    assert kept.stat().st_mode & 0o777 == 0o600
    content = kept.read_bytes()
    monkeypatch.setattr(aotinductor, "_compile", lambda opened, path: pytest.fail("compiled again"))
    again = open_session(sealed[1], backend="aotinductor", strict=True)
    assert np.array_equal(ask(again, real), ask(first, real))
    monkeypatch.setattr(aotinductor, "_compile", lambda opened, path: content[32:])
    for harm in (lambda: kept.write_bytes(content[:-1]), lambda: kept.chmod(0o666)):
        harm()
        with pytest.warns(FallbackWarning, match="the network is compiled again"):
            open_session(sealed[1], backend="aotinductor", strict=True)
        assert kept.read_bytes() == content
        assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_network_with_an_lstm_is_compiled_anew_for_another_shape_when_it_is_asked(tmp_path):
    spec = build_spec("cnn_lstm", {"cnn_channels": (8, 8), "cnn_kernel_sizes": (3, 3), "hidden": 8})
    split, train = split_holdout(PANEL, TASK), TrainSpec(epochs=1, steps=5)
    fitted = fit(spec, panel=PANEL, split=split, task=TASK, view=View(24), train=train)
    session = open_session(save_bundle(fitted, panel=PANEL, folder=tmp_path / "m"), backend="compiled", strict=True)
    real = real_windows(PANEL, fitted.view, horizon=TASK.horizon)
    for batch in (take(real, slice(0, 3)), real):
        eager = fitted.predict(to_windows(batch, horizon=TASK.horizon))
        assert relative_difference(ask(session, batch), eager, target=batch.target) <= 1e-5
