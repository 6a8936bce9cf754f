"""Lists and streams of windows: one call, the order kept, an error that names the item."""

import tracemalloc
from itertools import count, islice

import numpy as np
import pytest

from tests.inference.stub import StubSession
from tests.inference.test_cache import window
from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ColumnError, ConfigError, DataError
from tidewright.inference.batching import batching
from tidewright.inference.cache import cached
from tidewright.inference.items import predict_stream
from tidewright.inference.metrics_text import write_metrics
from tidewright.inference.session import open_session
from tidewright.models.spec import Ridge
from tidewright.registry.bundle import save_bundle
from tidewright.training.fit import fit

TASK = Task(4)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A session, and 20 items for it of one to three windows each."""
    panel = small_panel(covariates=False)
    fitted = fit(Ridge(lookbacks=(24,)), panel=panel, split=split_holdout(panel, TASK), task=TASK)
    bundle = save_bundle(fitted, panel=panel, folder=tmp_path_factory.mktemp("sealed") / "model")
    target, draw = bundle.example()[0].target, np.random.default_rng(0)
    items = [target[draw.integers(0, len(target), draw.integers(1, 4))] for _ in range(20)]
    items[3] = items[3][0]
    return open_session(bundle), items


def test_a_list_is_one_call_with_the_windows_in_order(asked):
    session, items = asked
    singles = np.concatenate([session.predict(item).quantiles for item in items])
    session.reset_latency()
    whole = session.predict(items)
    assert session.latency()["count"] == 1
    np.testing.assert_allclose(whole.quantiles, singles, rtol=1e-5)
    np.testing.assert_allclose(
        session.predict(tuple(items[:2])).quantiles, whole.quantiles[: len(session.predict(items[:2])[0])]
    )


def test_a_stream_gives_each_item_its_own_rows(asked):
    session, items = asked
    for size in (1, 7, 64):
        answers = list(session.predict_stream(iter(items), batch_size=size))
        assert len(answers) == len(items)
        for answer, item in zip(answers, items, strict=True):
            np.testing.assert_allclose(answer.quantiles, session.predict(item).quantiles, rtol=1e-5)


def test_items_by_name_are_joined_by_name():
    stub = StubSession(inputs=("target", "past"))
    items = [{"target": window(n, rows=n), "past": np.full((n, 24, 1), n, np.float32)} for n in (1, 2)]
    items.append({"past": np.full((24, 1), 3, np.float32), "target": window(3)[0]})
    answers = list(predict_stream(stub, items, batch_size=5))
    assert [answer.quantiles[:, 0, 0].tolist() for answer in answers] == [[25], [50, 50], [75]]
    assert len(stub.asked) == 1


@pytest.mark.parametrize("wrap", [cached, batching])
def test_wrapped_sessions_take_lists_and_streams_too(wrap):
    stub = StubSession()
    session = wrap(stub)
    items = [window(1), window(2, rows=2), window(3)[0]]
    for _ in range(2):
        assert session.predict(items).quantiles[:, 0, 0].tolist() == [1, 2, 2, 3]
    assert len(stub.asked) == (1 if wrap is cached else 2)
    assert [answer.quantiles[0, 0, 0] for answer in session.predict_stream(items, batch_size=2)] == [1, 2, 3]


def test_a_stream_asks_for_no_more_than_it_needs():
    asked = []
    endless = (asked.append(n) or window(n) for n in count())
    stub = StubSession()
    stream = predict_stream(stub, endless, batch_size=10)
    assert not asked
    assert [answer.quantiles[0, 0, 0] for answer in islice(stream, 11)] == list(range(11))
    assert len(asked) == 20
    assert len(stub.asked) == 2


def test_a_streams_memory_does_not_grow_with_its_length(asked):
    session, items = asked

    def measure(length):
        endless = (items[n % len(items)] for n in range(length))
        tracemalloc.start()
        total = sum(len(answer.quantiles) for answer in session.predict_stream(endless, batch_size=16))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert total > length
        return peak

    measure(64)
    short, long = measure(200), measure(4000)
    assert long < short + 300_000  # the noted times of answers are a part of it; 3800 answers kept would be more


def test_an_error_names_the_item_and_those_before_it_are_answered():
    stub = StubSession()
    items = [window(1), window(2), window(stub.bad), window(4)]
    stream = predict_stream(stub, [window(0)] * 100 + items, batch_size=25)
    assert [answer.quantiles[0, 0, 0] for answer in islice(stream, 102)] == [0] * 100 + [1, 2]
    with pytest.raises(DataError, match=r"item 102 of the stream: window 0 is bad\."):
        next(stream)


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ([window(1), window(1, width=12)], DataError, r"item 1 has windows of the shape \(12,\) for 'target'"),
        ([window(1), {"past": window(1)}], ColumnError, "item 1 lacks the input 'target'"),
        ([window(1), {"target": window(1), "past": window(1)}], ColumnError, "item 1 has the inputs target, past"),
        ([window(1), "text"], DataError, "item 1 holds str; arrays of numbers are needed"),
        ([window(1), window(1)[:0]], DataError, "item 1 holds {'target': 0} windows"),
        (
            [{"target": window(1), "past": window(1, rows=2)}],
            DataError,
            "item 0 holds {'target': 1, 'past': 2} windows",
        ),
    ],
)
def test_a_list_that_does_not_fit_together_is_told_by_item(asked, items, error, message):
    session, _ = asked
    with pytest.raises(error, match=message):
        session.predict(items)


def test_a_wrong_item_of_a_stream_is_named_too(asked):
    session, items = asked
    with pytest.raises(DataError, match="item 20 holds str"):
        list(session.predict_stream([*items, "text"]))


@pytest.mark.parametrize("size", [0, True, 2.5])
def test_the_batch_size_is_checked_at_once(size):
    with pytest.raises(ConfigError, match="batch_size is a whole number, 1 or more"):
        predict_stream(StubSession(), [], batch_size=size)


@pytest.mark.parametrize("wrap", [cached, batching])
def test_what_is_no_session_is_refused_in_words(wrap):
    with pytest.raises(ConfigError, match=r"a session is needed, got str\. Open a bundle with tw\.open first"):
        wrap("model")


def test_metrics_are_written_of_sessions_by_name(asked):
    with pytest.raises(ConfigError, match="sessions by name are needed, got LocalSession"):
        write_metrics(asked[0])
    with pytest.raises(ConfigError, match="a session is needed, got str"):
        write_metrics({"sales": "model"})
