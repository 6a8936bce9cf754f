"""What a bundle's answers cost, and how two sides are judged."""

from types import SimpleNamespace

import numpy as np
import pytest

import tidewright as tw
from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, ConfigError, DataError, UnknownNameError
from tidewright.features.view import View
from tidewright.inference.alike import differ_from_bundle, differ_from_other
from tidewright.inference.session import open_session
from tidewright.inference.timing import Rounds, time_rounds
from tidewright.inference.verdict_ab import compare_rounds, sum_up
from tidewright.models.spec import FeedForward
from tidewright.registry.bundle import save_bundle
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

TASK, PANEL = Task(4), small_panel()
ALIKE = {"batch_size": 1, "apart": 1e-7, "allowed": 1e-5, "level": 0.95}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A network that sees covariates."""
    split, train = split_holdout(PANEL, TASK), TrainSpec(epochs=1, steps=5)
    fitted = fit(FeedForward(hidden=(8,)), panel=PANEL, split=split, task=TASK, view=View(24), train=train)
    return save_bundle(fitted, panel=PANEL, folder=tmp_path_factory.mktemp("sealed") / "network")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def rounds(seconds, cpu=None):
    seconds = np.asarray(seconds, dtype=np.float64)
    return Rounds(seconds, seconds if cpu is None else np.asarray(cpu), {})


def test_every_backend_that_starts_quickly_has_a_row_for_each_size_and_others_their_reason(bundle):
    heard = []
    found = tw.bench(bundle, batch_sizes=[1, 3, 1], seconds=0.02, tell=heard.append)
    assert [(row.backend, row.batch_size) for row in found.rows] == [
        (name, size) for size in (1, 3) for name in ("onnxruntime", "eager", "torchscript")
    ]
    assert all(0 <= row.apart <= bundle.tolerance for row in found.rows)
    assert all(0 < row.p50_ms <= row.p95_ms <= row.p99_ms and row.calls >= 5 for row in found.rows)
    assert found.passed_over["trees"].startswith("feedforward is no forest")
    assert set(found.passed_over) == {"aotinductor", "compiled", "tensorrt", "trees"}
    assert found.table["windows_per_s"].min() > 0
    assert "passed over: trees: feedforward is no forest" in str(found)
    assert "opening eager" in heard
    assert any(line.startswith("batch size 3: onnxruntime and eager and torchscript in turns") for line in heard)
    assert (found.compared, found.verdict) == ((), "")


def test_an_a_b_has_both_sides_a_ratio_and_a_verdict_in_words(bundle):
    found = tw.bench(bundle.folder, ab=True, batch_sizes=[1, 2], seconds=0.05)
    assert (found.baseline, found.optimised) == ("eager", "onnxruntime")
    assert [row.backend for row in found.rows] == ["eager", "onnxruntime"] * 2
    for one in found.compared:
        assert one.time.low <= one.time.value <= one.time.high
        assert (one.time.level, one.rounds >= 30, one.alike) == (0.975, True, True)
        assert one.verdict.startswith(("onnxruntime takes ", "no difference beyond 3% can be told: "))
    assert str(found).splitlines()[-1] == f"verdict: {found.verdict}"


def test_a_cache_is_the_optimised_side_where_it_is_asked_for_and_says_what_it_was_given(bundle):
    found = tw.bench(bundle, ab=True, baseline="onnxruntime", cached=True, batch_sizes=[1], seconds=0.05)
    assert (found.baseline, found.optimised) == ("onnxruntime", "onnxruntime cached")
    assert (found.compared[0].apart, len(found.notes)) == (0.0, 1)
    again = tw.bench(bundle, ab=True, baseline="eager", optimised="eager", batch_sizes=[1], seconds=0.05)
    assert (again.optimised, again.notes) == ("eager again", ())


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"batch_sizes": [0]}, ConfigError, "a batch size is a whole number from 1 to 100000; got 0"),
        ({"batch_sizes": "1,64"}, ConfigError, "batch_sizes are whole numbers"),
        ({"backends": ["eagr"]}, UnknownNameError, "no backend is called 'eagr'. Did you mean 'eager'"),
        ({"backends": ["auto"]}, UnknownNameError, "no backend is called 'auto'"),
        ({"backends": "eager"}, ConfigError, r"backends are names in a list, as \['eager', 'onnxruntime'\]"),
        ({"backends": ["trees"]}, BackendError, "feedforward is no forest"),
        ({"baseline": "eager"}, ConfigError, "are the two sides of an A/B. Ask for ab"),
        ({"cached": True}, ConfigError, "are the two sides of an A/B. Ask for ab"),
        ({"ab": True, "backends": ["eager"]}, ConfigError, "With ab name a baseline and optimised"),
        ({"ab": True, "baseline": "auto"}, UnknownNameError, "no backend is called 'auto'"),
        ({"ab": True, "optimised": "onnx_runtime"}, UnknownNameError, "Did you mean 'onnxruntime'"),
        ({"ab": True, "baseline": "onnxruntime"}, ConfigError, "auto chooses onnxruntime .* nothing to compare"),
        ({"ab": "yes"}, ConfigError, "ab is True or False"),
        ({"seconds": 0}, ConfigError, "seconds is a number of seconds above 0; got 0"),
        ({"tell": 5}, ConfigError, "tell is a function"),
    ],
)
def test_what_was_asked_for_wrongly_says_so(bundle, given, error, told):
    with pytest.raises(error, match=told):
        tw.bench(bundle, **given)


@pytest.mark.parametrize(
    ("ours", "verdict", "words"),
    [
        (1.0, "use b", "b takes 0.5 [0.5, 0.5] of a's time"),
        (4.0, "keep a", "b takes 2 [2, 2] of a's time"),
        (
            1.95,
            "no difference beyond 3% can be told",
            "no difference beyond 3% can be told: b takes 0.975 [0.975, 0.975]",
        ),
    ],
)
def test_a_side_that_always_takes_the_same_share_has_it_as_its_interval(ours, verdict, words):
    noise = np.random.default_rng(0).uniform(1.0, 5.0, 40)  # of the machine, on both
    one = compare_rounds({"a": rounds(noise * 2.0), "b": rounds(noise * ours)}, **ALIKE)
    assert one.verdict.startswith(words)
    assert sum_up([one], baseline="a", optimised="b") == verdict


def test_sides_of_the_same_time_are_not_told_apart_and_sizes_may_differ_in_what_follows():
    draw = np.random.default_rng(1)
    same = compare_rounds({"a": rounds(draw.uniform(1, 2, 60)), "b": rounds(draw.uniform(1, 2, 60))}, **ALIKE)
    less = compare_rounds({"a": rounds(np.ones(60)), "b": rounds(np.full(60, 0.5))}, **ALIKE | {"batch_size": 64})
    assert same.verdict.startswith("no difference beyond 3% can be told: b takes ")
    assert sum_up([same], baseline="a", optimised="b") == "no difference beyond 3% can be told"
    assert (
        sum_up([same, less], baseline="a", optimised="b")
        == "use b at batch 64; no difference beyond 3% can be told at batch 1"
    )


def test_the_processor_s_time_has_a_ratio_of_its_own():
    two = {"a": rounds(np.ones(40)), "b": rounds(np.full(40, 0.5), cpu=np.full(40, 3.0))}
    one = compare_rounds(two, **ALIKE)
    assert (one.time.value, one.cpu.value, one.cpu.low) == (0.5, 3.0, 3.0)
    assert "3 [3, 3] of its CPU" in one.verdict


def test_a_faster_side_with_other_answers_is_not_taken():
    two = {"a": rounds(np.ones(40)), "b": rounds(np.full(40, 0.1))}
    one = compare_rounds(two, **ALIKE | {"apart": 1e-3})
    assert one.verdict.endswith("but answers differ by 1.0e-03, and 1e-05 is allowed: keep a")
    assert sum_up([one], baseline="a", optimised="b") == "keep a: the answers of b are not the same"


def test_rounds_go_in_turns_whose_order_changes_and_what_warms_up_is_not_looked_at():
    asked = []

    def make(name):
        return SimpleNamespace(predict=lambda x: asked.append(name))

    found = time_rounds({"a": make("a"), "b": make("b")}, None, seconds=1e-9, least=4)
    assert "".join(asked) == "aaabbb" + "ab" + "ba" + "ab" + "ba"
    assert [(len(one.wall_s), len(one.cpu_s), one.latency["count"]) for one in found.values()] == [(4, 4, 4)] * 2
    longer = time_rounds({"a": make("a")}, None, seconds=0.02, least=4)
    assert longer["a"].latency["count"] > 4  # more answers fill a turn


class Changed:
    """A session whose answers are `times` those of another, and which refuses windows with a hole where asked to."""

    def __init__(self, session, *, times=1.0, refuses=False):
        self.session, self.times, self.refuses = session, times, refuses

    def predict(self, x):
        if self.refuses and np.isnan(x["target"]).mean() > 0.2:
            raise DataError("holes")
        answer = self.session.predict(x)
        return answer._replace(quantiles=answer.quantiles * np.float32(self.times))


@pytest.mark.parametrize("size", [1, 3, 64])
def test_a_difference_of_one_percent_is_found_and_so_is_a_refusal(bundle, size):
    eager, quick = open_session(bundle, backend="eager"), open_session(bundle, backend="onnxruntime")
    assert differ_from_bundle(quick, bundle, size=size) <= bundle.tolerance
    assert 0.0 < differ_from_other(quick, eager, bundle, size=size) <= bundle.tolerance
    off = Changed(quick, times=1.01)
    assert differ_from_bundle(off, bundle, size=size) == pytest.approx(0.01, rel=0.01)
    assert differ_from_other(off, eager, bundle, size=size) == pytest.approx(0.01, rel=0.01)
    assert differ_from_other(Changed(quick, refuses=True), eager, bundle, size=size) == np.inf
