"""Sixteen threads in one session, all of them in the midst of asking: the bits that one thread gets, none lost."""

import sys
from functools import partial
from itertools import count
from threading import Barrier, Event, Thread

import numpy as np
import pytest

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.inference.backends.catalog import BACKENDS, SLOW
from tidewright.inference.batching import batching
from tidewright.inference.cache import cached
from tidewright.inference.session import open_session
from tidewright.models.spec import FeedForward, LightGBM
from tidewright.registry.bundle import save_bundle
from tidewright.registry.trial_windows import real_windows, take
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

THREADS, LEAST = 16, 12  # answers of each thread
TASK = Task(4)
ASKED = {"network": FeedForward(hidden=(8,)), "trees": LightGBM(rounds=10)}
QUICK = [name for name, entry in BACKENDS.items() if entry.kind != SLOW]


@pytest.fixture(scope="module", params=list(ASKED))
def bundle(request, tmp_path_factory):
    panel = small_panel()
    split, train = split_holdout(panel, TASK), TrainSpec(epochs=1, steps=5)
    fitted = fit(ASKED[request.param], panel=panel, split=split, task=TASK, view=View(24), train=train)
    return save_bundle(fitted, panel=panel, folder=tmp_path_factory.mktemp("sealed") / request.param), panel, fitted


@pytest.fixture
def impatient():
    """Threads that take turns a thousand times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


def feeds_of(bundle, panel, fitted, inputs):
    """Windows by ones, twos and threes, by name."""
    real = real_windows(panel, fitted.view, horizon=TASK.horizon)
    parts = [take(real, slice(start, start + 1 + start % 3)) for start in range(30)]
    return [{name: getattr(part, name) for name in inputs} for part in parts]


def ask_together(session, feeds):
    """Every thread goes on until each has asked often enough, so that all are at it together; its answers by place."""
    start, over, answers = Barrier(THREADS), Event(), [[] for _ in range(THREADS)]

    def ask(number):
        start.wait(20)
        try:
            for turn in count(number * 5):
                place = turn % len(feeds)
                answers[number].append((place, session.predict(feeds[place]).quantiles))
                if over.is_set() or min(map(len, answers)) >= LEAST:
                    return
        finally:
            over.set()  # also after an error, which pytest tells

    threads = [Thread(target=partial(ask, number)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [pair for mine in answers for pair in mine]


@pytest.mark.parametrize("backend", QUICK)
def test_threads_in_the_midst_of_asking_get_the_bits_that_one_gets(bundle, backend, impatient):
    sealed, panel, fitted = bundle
    if BACKENDS.load(backend).explain_unfit(sealed.manifest):
        pytest.skip("it is no model for this backend")
    session = open_session(sealed, backend=backend, strict=True)
    feeds = feeds_of(sealed, panel, fitted, session.inputs)
    wanted = [session.predict(feed).quantiles for feed in feeds]
    session.reset_latency()
    found = ask_together(session, feeds)
    assert len(found) >= THREADS * LEAST
    assert all(np.array_equal(answer, wanted[place]) for place, answer in found)
    assert session.latency()["count"] == len(found)


@pytest.mark.parametrize("wrap", [cached, batching])
def test_what_is_put_around_a_session_keeps_each_thread_s_own_answers(bundle, wrap, impatient):
    sealed, panel, fitted = bundle
    session = open_session(sealed)
    feeds = feeds_of(sealed, panel, fitted, session.inputs)
    wanted = [session.predict(feed).quantiles for feed in feeds]
    around = wrap(session)
    found = ask_together(around, feeds)
    for place, answer in found:  # rows among others are equal within float tolerance
        np.testing.assert_allclose(answer, wanted[place], rtol=1e-5, atol=1e-5)
    counts = around.counts()
    told = counts.hits + counts.misses + counts.joined if wrap is cached else counts.at_once + counts.queued
    assert told == len(found)
    getattr(around, "close", lambda: None)()
