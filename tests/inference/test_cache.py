"""A session that keeps its answers: right ones, few of them, made once."""

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inference.stub import StubSession
from tidewright.errors import ConfigError, DataError
from tidewright.inference.cache import cached
from tidewright.inference.cache_memory import OVERHEAD


class Clock:
    """Seconds that a test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def window(*values, rows=1, width=24):
    """Windows whose last values are given, zeros before them."""
    x = np.zeros((rows, width), np.float32)
    if values:
        x[:, -len(values) :] = values
    return x


def test_an_answer_is_made_once_and_is_the_sessions():
    stub = StubSession()
    session = cached(stub)
    first = session.predict(window(1, 2))
    assert session.predict(window(1, 2)) is first
    assert np.array_equal(first.quantiles, StubSession().predict(window(1, 2)).quantiles)
    assert len(stub.asked) == 1
    counts = session.counts()
    assert (counts.hits, counts.misses, counts.entries) == (1, 1, 1)
    assert counts == session.counts()
    assert counts.bytes == 96 + 24 + OVERHEAD


def test_a_kept_answer_cannot_be_changed():
    session = cached(StubSession())
    answer = session.predict(window(1))
    with pytest.raises(ValueError, match="read-only"):
        answer.quantiles[0, 0, 0] = 5
    with pytest.raises(ValueError, match="read-only"):
        answer.point[0, 0] = 5


def test_an_input_that_is_changed_afterwards_is_another_one():
    session = cached(StubSession())
    x = window(1)
    before = session.predict(x).quantiles[0, 0, 0]
    x[0, 0] = 7
    assert session.predict(x).quantiles[0, 0, 0] == before + 7


@pytest.mark.parametrize("width", [4, 16, 24, 100])
def test_inputs_with_the_same_end_are_told_apart(width):
    stub = StubSession()
    session = cached(stub)
    windows = [window(width=width)] * 2
    for place in range(width):
        x = window(width=width)
        x[0, place] = place + 1
        windows += [x, x]
    totals = [session.predict(x).quantiles[0, 0, 0] for x in windows]
    assert totals == [x.sum() for x in windows]
    assert len(stub.asked) == width + 1
    assert session.counts().hits == width + 1


def test_the_same_bytes_in_another_type_or_shape_are_another_input():
    session = cached(StubSession())
    x = np.arange(24, dtype=np.float32)[None] + 1
    assert session.predict(x.view(np.int32)).quantiles[0, 0, 0] > 1e9
    assert session.predict(x).quantiles[0, 0, 0] == 300
    assert session.predict(x.reshape(2, 12)).quantiles.shape == (2, 2, 3)
    assert session.predict(x[0]).quantiles.shape == (1, 2, 3)
    with pytest.raises(DataError, match=r"has the shape \(1, 24, 1\)"):
        session.predict(x[:, :, None])
    big_endian = x.astype(">f4")
    assert session.predict(big_endian).quantiles[0, 0, 0] == 300
    assert session.counts().hits == 0


def test_a_strided_input_is_the_one_that_it_shows():
    session = cached(StubSession())
    wide = np.arange(48, dtype=np.float32).reshape(1, 48)
    assert session.predict(wide[:, ::2]).quantiles[0, 0, 0] == wide[:, ::2].sum()
    assert session.predict(wide[:, 1::2]).quantiles[0, 0, 0] == wide[:, 1::2].sum()
    assert session.predict(np.ascontiguousarray(wide[:, ::2])).quantiles[0, 0, 0] == wide[:, ::2].sum()
    assert session.counts().hits == 1


def test_inputs_by_name_are_kept_in_any_order():
    stub = StubSession(inputs=("target", "past"))
    session = cached(stub)
    past = np.ones((1, 24, 2), np.float32)
    first = session.predict({"target": window(1), "past": past})
    assert session.predict({"past": past, "target": window(1)}) is first
    assert session.predict({"target": window(1), "past": past * 2}).quantiles[0, 0, 0] == 97
    assert len(stub.asked) == 2


def test_what_is_no_array_is_left_to_the_session():
    stub = StubSession()
    session = cached(stub)
    for _ in range(2):
        assert session.predict([[1.0, 2.0]]).quantiles[0, 0, 0] == 3
    with pytest.raises(ValueError, match="could not convert"):
        session.predict(np.full((1, 3), "a"))
    assert session.counts().entries == 0


def test_the_least_recently_used_goes_first():
    stub = StubSession()
    session = cached(stub, entries=3)
    for value in (1, 2, 3, 1, 4):  # 2 goes
        session.predict(window(value))
    stub.asked.clear()
    for value in (1, 3, 4):
        session.predict(window(value))
    assert not stub.asked
    session.predict(window(2))
    assert len(stub.asked) == 1
    assert session.counts().evictions == 2


def test_the_bytes_of_inputs_and_answers_are_bounded():
    session = cached(StubSession(), most_bytes=10 * (96 + 24 + OVERHEAD))
    for value in range(50):
        session.predict(window(value + 1))
        assert session.counts().bytes <= 10 * (96 + 24 + OVERHEAD)
    assert session.counts().entries == 10
    session.predict(window(1, rows=1000))  # larger than all
    assert session.counts().entries == 10


def test_an_answer_is_let_go_when_its_time_is_over():
    stub, clock = StubSession(), Clock()
    session = cached(stub, ttl_s=60, clock=clock)
    session.predict(window(1))
    clock.now += 59.9
    session.predict(window(1))
    assert len(stub.asked) == 1
    clock.now += 0.1
    session.predict(window(1))
    assert len(stub.asked) == 2
    counts = session.counts()
    assert (counts.hits, counts.misses, counts.expiries, counts.entries) == (1, 2, 1, 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.sampled_from([0.0, 0.4, 1.1])), max_size=60), st.integers(1, 6))
def test_it_behaves_as_a_plain_list_of_the_last_used(steps, entries):
    """Inputs 0 to 11 in three groups of the same end; a time to live of one second."""
    stub, clock = StubSession(), Clock()
    session = cached(stub, entries=entries, ttl_s=1.0, clock=clock)
    model, hits = OrderedDict(), 0
    for number, wait in steps:
        clock.now += wait
        x = window(number % 3)
        x[0, 0] = number // 3
        answer = session.predict(x)
        assert answer.quantiles[0, 0, 0] == x.sum()
        if number in model and clock.now < model[number]:
            hits += 1
            model.move_to_end(number)
            continue
        model.pop(number, None)
        model[number] = clock.now + 1.0
        while len(model) > entries:
            model.popitem(last=False)
    counts = session.counts()
    assert (counts.hits, counts.misses) == (hits, len(steps) - hits)
    assert counts.entries == len(model)
    session.clear()
    assert (session.counts().entries, session.counts().bytes) == (0, 0)


def ask_together(session, windows):
    """The answer, or the error, of each window, asked for by threads that wait at one place before."""
    barrier = Barrier(len(windows))

    def ask(x):
        barrier.wait()
        try:
            return session.predict(x)
        except DataError as error:
            return error

    with ThreadPoolExecutor(len(windows)) as pool:
        return list(pool.map(ask, windows))


def wait_for(found):
    """Until it is so: the tests' threads do it meanwhile."""
    for _ in range(10_000_000):
        if found():
            return
    raise AssertionError("it never came about")


def flying(session):
    """How many inputs are being answered, by two, and how many threads wait for them."""
    return sum(map(len, list(session._flights.values())))


def test_identical_requests_in_parallel_are_made_once():
    gate = Event()
    stub = StubSession(before=lambda x: gate.wait(10))
    session = cached(stub)
    opener = Thread(target=lambda: (wait_for(lambda: flying(session) == 2 + 7), gate.set()))
    opener.start()
    answers = ask_together(session, [window(5)] * 8)
    opener.join()
    assert len(stub.asked) == 1
    assert all(answer is answers[0] for answer in answers)
    counts = session.counts()
    assert (counts.misses, counts.joined, counts.hits) == (1, 7, 0)
    assert not session._flights


def test_an_error_reaches_all_that_wait_and_is_not_kept():
    gate = Event()
    stub = StubSession(before=lambda x: gate.wait(10))
    session = cached(stub)
    opener = Thread(target=lambda: (wait_for(lambda: flying(session) == 2 + 7), gate.set()))
    opener.start()
    answers = ask_together(session, [window(stub.bad)] * 8)
    opener.join()
    assert len(stub.asked) == 1
    assert [str(answer) for answer in answers] == ["window 0 is bad."] * 8
    assert (session.counts().misses, session.counts().entries) == (1, 0)
    stub.bad = 7.0
    assert session.predict(window(1e6)).quantiles[0, 0, 0] == 1e6
    assert not session._flights


def test_an_interrupted_thread_makes_the_others_ask_again():
    gate, stopped = Event(), []

    def interrupt(x):
        gate.wait(10)
        if not stopped:
            stopped.append(x)
            raise KeyboardInterrupt

    session = cached(StubSession(before=interrupt))
    told = []

    def ask():
        try:
            told.append(session.predict(window(1)).quantiles[0, 0, 0])
        except KeyboardInterrupt:
            told.append("stopped")

    threads = [Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: flying(session) == 2 + 2)
    gate.set()
    for thread in threads:
        thread.join()
    assert sorted(map(str, told)) == ["1.0", "1.0", "stopped"]


def test_many_threads_get_right_answers_from_a_small_cache():
    stub = StubSession()
    session = cached(stub, entries=5)
    draw = np.random.default_rng(0)

    def ask(seed):
        for number in np.random.default_rng(seed).integers(0, 12, 300):
            x = window(number % 3)
            x[0, 0] = number // 3
            if session.predict(x).quantiles[0, 0, 0] != x.sum():
                return "wrong"
        return "right"

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, draw.integers(0, 1000, 8).tolist())) == {"right"}
    counts = session.counts()
    assert counts.entries <= 5
    assert counts.hits + counts.misses + counts.joined == 2400
    assert len(stub.asked) == counts.misses
    memory = session._memory
    assert counts.bytes == sum(entry[4] for entry in memory.entries.values())
    assert sum(memory.doubled.values()) == sum(len(key) > 64 for key in memory.entries)


def test_everything_else_is_the_sessions():
    stub = StubSession()
    session = cached(stub)
    assert (session.backend, session.choice, session.model, session.digest) == (
        "stub",
        stub.choice,
        "stub",
        stub.digest,
    )
    assert (session.task, session.inputs, session.fitted) == (stub.task, ("target",), "fitted")
    assert session.settings is stub.settings
    assert session.read("table") == ("read", "table")
    assert session.forecast("panel", cutoffs=3) == ("forecast", "panel", 3)
    session.predict(window(1))
    session.predict(window(1))
    assert session.latency()["count"] == 1
    session.reset_latency()
    assert session.latency()["count"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"entries": 0}, "entries is a whole number, 1 or more; got 0"),
        ({"most_bytes": True}, "most_bytes is a whole number"),
        ({"ttl_s": 0}, "ttl_s is a number of seconds above 0, or None; got 0"),
        ({"ttl_s": float("nan")}, "ttl_s is a number"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        cached(StubSession(), **options)
