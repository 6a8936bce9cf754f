"""Answers leave nothing behind: ten thousand of the fastest backend, a fourth of that of every other."""

import gc
import tracemalloc
from pathlib import Path

import pytest

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.inference.backends.catalog import BACKENDS, SLOW
from tidewright.inference.session import open_session
from tidewright.inference.timing import repeat_example
from tidewright.models.spec import FeedForward
from tidewright.registry.bundle import save_bundle
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

CALLS = {"onnxruntime": 10_000}


@pytest.fixture(scope="module", params=[False, True], ids=["target", "covariates"])
def bundle(request, tmp_path_factory):
    panel, task = small_panel(covariates=request.param), Task(4)
    split, train = split_holdout(panel, task), TrainSpec(epochs=1, steps=5)
    fitted = fit(FeedForward(hidden=(8,)), panel=panel, split=split, task=task, view=View(24), train=train)
    return save_bundle(fitted, panel=panel, folder=tmp_path_factory.mktemp("sealed") / "network")


@pytest.mark.parametrize("backend", [name for name, entry in BACKENDS.items() if entry.kind != SLOW])
def test_thousands_of_answers_leak_nothing(bundle, backend):
    if BACKENDS.load(backend).explain_unfit(bundle.manifest):
        pytest.skip("it is no model for this backend")
    session = open_session(bundle, backend=backend, strict=True)
    given = [repeat_example(bundle, size) for size in (1, 3)]

    def ask(calls):
        for count in range(calls):
            session.predict(given[count % 2])
        session.latency(), session.stages()  # what was noted is counted
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def grow(calls):
        before = tracemalloc.get_traced_memory()[0]
        ask(calls)
        return tracemalloc.get_traced_memory()[0] - before

    ask(500)
    tracemalloc.start()
    try:
        ask(200)
        assert min(grow(250) for _ in range(3)) < 10_000  # what leaks grows every time; what is made once, once
    finally:
        tracemalloc.stop()
    calls = CALLS.get(backend, 2_500)
    before = ask(calls // 2)
    assert ask(calls) - before < 400 * calls  # of answers of 48 bytes and more
