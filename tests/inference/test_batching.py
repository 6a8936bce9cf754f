"""A session that many callers share: each gets its own rows, every request ends, nothing waits for nothing."""

import asyncio
import os
import random
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread, get_ident

import numpy as np
import pytest

from tests.inference.stub import StubSession
from tests.inference.test_cache import Clock, wait_for, window
from tidewright.errors import ConfigError, DataError, RequestError
from tidewright.inference.batching import batching
from tidewright.inference.cache import cached


class Held(StubSession):
    """A session whose first answer waits until the test lets it go."""

    def __init__(self, **options):
        super().__init__(before=self.hold, **options)
        self.begun, self.gate = Event(), Event()

    def hold(self, x):
        if not self.begun.is_set():
            self.begun.set()
            assert self.gate.wait(10)


def hold_up(session, stub):
    """A thread that has the session answer a window, and is in it."""
    thread = Thread(target=lambda: session.predict(window(1)))
    thread.start()
    assert stub.begun.wait(10)
    return thread


def queue_up(session, windows, **options):
    """Futures of requests that wait, in this order."""
    pool = ThreadPoolExecutor(len(windows))
    futures = []
    for number, x in enumerate(windows):
        futures.append(pool.submit(session.predict, x, **options))
        wait_for(lambda n=number: session.counts().waiting == n + 1)
    pool.shutdown(wait=False)
    return futures


def sums(futures):
    return [future.result(10).quantiles[:, 0, 0].tolist() for future in futures]


def test_alone_it_runs_at_once_on_the_callers_thread():
    threads = []
    stub = StubSession(before=lambda x: threads.append(get_ident()))
    with batching(stub) as session:
        answers = [session.predict(window(value)) for value in (1, 2)]
        assert [answer.latency_ms for answer in answers] == [1.0, 1.0]  # the session's own answers
        assert threads == [get_ident()] * 2
        counts = session.counts()
        assert (counts.at_once, counts.queued, counts.runs, counts.waiting) == (2, 0, 0, 0)
        assert not session._pool._threads


def test_what_has_queued_is_the_next_run_and_each_gets_its_own_rows():
    stub = Held()
    with batching(stub) as session:
        first = hold_up(session, stub)
        futures = queue_up(session, [window(2), window(3, rows=2), np.float32([0, 4] * 12), window(5)])
        stub.gate.set()
        assert sums(futures) == [[2], [3, 3], [48], [5]]
        first.join()
        assert [len(x) for x in stub.asked] == [1, 5]
        counts = session.counts()
        assert (counts.at_once, counts.queued, counts.runs, counts.largest, counts.rows) == (1, 4, 1, 5, 5)
        answers = [future.result() for future in futures]
        assert all(answer.quantiles.base is None for answer in answers)
        assert session.stages()["queue"]["count"] == 4
        assert session.predict(window(9)).quantiles[0, 0, 0] == 9  # idle again
        assert session.counts().at_once == 2


def test_a_run_has_no_more_rows_than_it_may_and_a_larger_request_runs_alone():
    stub = Held()
    with batching(stub, rows=4) as session:
        first = hold_up(session, stub)
        futures = queue_up(session, [window(1, rows=n) for n in (3, 1, 2, 9, 1)])
        stub.gate.set()
        assert sums(futures) == [[1] * n for n in (3, 1, 2, 9, 1)]
        first.join()
        assert [len(x) for x in stub.asked] == [1, 4, 2, 9, 1]


def test_windows_of_other_types_and_shapes_run_apart():
    stub = Held()
    with batching(stub) as session:
        first = hold_up(session, stub)
        given = [window(1), window(2, width=12), window(3).astype(np.float64), window(4), window(5, width=12)]
        futures = queue_up(session, given)
        stub.gate.set()
        assert sums(futures) == [[1], [2], [3], [4], [5]]
        first.join()
        assert [(len(x), x.shape[1], x.dtype.name) for x in stub.asked[1:]] == [
            (2, 24, "float32"),
            (2, 12, "float32"),
            (1, 24, "float64"),
        ]


def test_inputs_by_name_are_joined_by_name_and_crooked_ones_run_alone():
    stub = Held(inputs=("target", "past"))
    with batching(stub) as session:
        first = hold_up(session, stub)
        given = [{"target": window(n), "past": np.full((1, 24, 2), n, np.float32)} for n in (1, 2)]
        given.append({"past": np.full((1, 24, 2), 3, np.float32), "target": window(3)})
        crooked = {"target": window(4, rows=2), "past": np.zeros((1, 24, 2), np.float32)}
        futures = queue_up(session, [*given, crooked, {"target": window(5)[0], "past": np.zeros((24, 2), np.float32)}])
        stub.gate.set()
        assert sums(futures[:3]) == [[49], [98], [147]]
        first.join()
        assert len(stub.asked[1]["target"]) == 3
        for future in futures[3:]:
            future.exception(10)
        assert len(stub.asked) == 4


def test_a_bad_window_fails_its_caller_alone():
    stub = Held()
    with batching(stub) as session:
        first = hold_up(session, stub)
        futures = queue_up(session, [window(2), window(stub.bad), window(3, rows=2)])
        stub.gate.set()
        first.join()
        with pytest.raises(DataError, match=r"window 0 is bad\."):  # the window's place in its own request
            futures[1].result(10)
        assert sums([futures[0], futures[2]]) == [[2], [3, 3]]
        assert session.counts().parted == 1
        assert session.predict(window(7)).quantiles[0, 0, 0] == 7


def test_higher_priorities_run_first_and_equals_in_their_order():
    stub = Held()
    with batching(stub, rows=1) as session:
        first = hold_up(session, stub)
        with ThreadPoolExecutor(4) as pool:
            futures = []
            for number, priority in enumerate((0, 1, 0, 2)):
                futures.append(pool.submit(session.predict, window(number + 2), priority=priority))
                wait_for(lambda n=number: session.counts().waiting == n + 1)
            stub.gate.set()
            sums(futures)
        first.join()
        assert [x.sum() for x in stub.asked] == [1, 5, 3, 2, 4]


def test_a_full_queue_refuses_with_advice():
    stub = Held()
    with batching(stub, queue=2) as session:
        first = hold_up(session, stub)
        futures = queue_up(session, [window(2), window(3)])
        with pytest.raises(RequestError, match=r"2 requests wait already\. Ask again later") as told:
            session.predict(window(4))
        assert (told.value.status, told.value.retry_after_s, session.counts().refused) == (429, 1, 1)
        stub.gate.set()
        assert sums(futures) == [[2], [3]]
        first.join()


def test_a_deadline_that_passes_in_the_queue_ends_the_wait_and_is_not_run():
    stub, clock = Held(), Clock()
    with batching(stub, clock=clock, timeout_s=600) as session:
        first = hold_up(session, stub)
        futures = queue_up(session, [window(2), window(3)])
        late = queue_up_one(session, window(4), timeout_s=6000, waiting=3)
        clock.now += 600
        stub.gate.set()
        for future in futures:
            with pytest.raises(RequestError, match="the deadline passed before the answer") as told:
                future.result(10)
            assert told.value.status == 504
        assert sums([late]) == [[4]]
        first.join()
        assert [len(x) for x in stub.asked] == [1, 1]
        assert session.counts().expired == 2


def queue_up_one(session, x, *, waiting, **options):
    pool = ThreadPoolExecutor(1)
    future = pool.submit(session.predict, x, **options)
    wait_for(lambda: session.counts().waiting == waiting)
    pool.shutdown(wait=False)
    return future


def test_who_waits_longer_than_its_deadline_is_told_while_the_run_goes_on():
    stub = Held()
    with batching(stub, queue=1) as session:
        first = hold_up(session, stub)
        with pytest.raises(RequestError, match="the deadline passed"):
            session.predict(window(2), timeout_s=0.001)
        future = queue_up(session, [window(3)])  # the one that went makes room
        stub.gate.set()
        assert sums(future) == [[3]]
        first.join()
        assert (len(stub.asked), session.counts().expired, session.counts().cancelled) == (2, 1, 0)


def test_closing_refuses_what_waits_and_lets_what_runs_end():
    stub = Held()
    session = batching(stub)
    first = hold_up(session, stub)
    futures = queue_up(session, [window(2), window(3)])
    session.close()
    for future in futures:
        with pytest.raises(RequestError, match="the session is closed") as told:
            future.result(10)
        assert told.value.status == 503
    with pytest.raises(RequestError, match="the session is closed"):
        session.predict(window(4))
    stub.gate.set()
    first.join()
    session.close()


def test_an_error_of_any_kind_reaches_its_caller_and_the_session_goes_on():
    stub = StubSession()
    with batching(stub) as session:
        for error in (ZeroDivisionError("mine"), TimeoutError("mine"), MemoryError("mine")):

            def fail(x, error=error):
                raise error

            stub.before = fail
            with pytest.raises(type(error), match="mine"):
                session.predict(window(1))
            with pytest.raises(type(error), match="mine"):
                asyncio.run(session.ask(window(1)))
        stub.before = lambda x: None
        assert session.predict(window(1)).quantiles[0, 0, 0] == 1


def test_many_are_awaited_on_one_loop_in_few_runs():
    stub = StubSession()

    async def ask_all(session):
        answers = await asyncio.gather(*[session.ask(window(value)) for value in range(40)])
        return [answer.quantiles[0, 0, 0] for answer in answers]

    with batching(stub) as session:
        assert asyncio.run(ask_all(session)) == list(range(40))
        assert session.counts().queued == 40
        assert len(stub.asked) < 20


def test_who_is_cancelled_leaves_the_queue_and_who_is_late_is_told():
    stub = Held()

    async def go(session):
        first = asyncio.create_task(session.ask(window(1)))
        await asyncio.to_thread(stub.begun.wait, 10)
        tasks = [asyncio.create_task(session.ask(window(value))) for value in (2, 3)]
        late = asyncio.create_task(session.ask(window(4), timeout_s=0.001))
        while session.counts().waiting < 3:
            await asyncio.sleep(0)
        tasks[0].cancel()
        with pytest.raises(RequestError, match="the deadline passed"):
            await late
        stub.gate.set()
        assert (await first).quantiles[0, 0, 0] == 1
        assert (await tasks[1]).quantiles[0, 0, 0] == 3
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]

    with batching(stub) as session:
        asyncio.run(go(session))
        counts = session.counts()
    assert [x.sum() for x in stub.asked] == [1, 3]
    assert (counts.cancelled, counts.expired) == (1, 1)


BAD = StubSession().bad


def judge(x, call):
    """What became of a request, in a word."""
    try:
        answer = call()
    except DataError:
        return "bad" if (x == BAD).any() else "wrong"
    except RequestError as error:
        return error.status if error.status in (429, 504) else "wrong"
    right = np.array_equal(answer.quantiles[:, 0, 0], x.sum(axis=1)) and not (x == BAD).any()
    return "right" if right else "wrong"


def make_request(draw):
    value = BAD if draw.random() < 0.05 else float(draw.randrange(1, 1000))
    return window(value, rows=draw.randrange(1, 4), width=draw.choice([12, 24]))


def ask_some(session, seed):
    """60 requests of one thread."""
    draw, told = random.Random(seed), []
    for _ in range(60):
        x, timeout_s, priority = make_request(draw), draw.choice([None, None, 10, 1e-4]), draw.randrange(3)
        told.append(judge(x, lambda x=x, t=timeout_s, p=priority: session.predict(x, priority=p, timeout_s=t)))
    return told


async def ask_more(session, seed):
    """60 requests of one loop, five at a time; some are cancelled, sooner or later."""
    draw, told = random.Random(seed), []

    async def ask_one(x):
        task = asyncio.create_task(session.ask(x, timeout_s=draw.choice([None, 10])))
        if draw.random() < 0.3:
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        told.append("cancelled" if task.cancelled() else judge(x, task.result))

    for _ in range(12):
        await asyncio.gather(*[ask_one(make_request(draw)) for _ in range(5)])
    return told


@pytest.mark.parametrize(("rows", "queue", "runs", "seed"), [(1, 4, 1, 0), (8, 99, 1, 1), (5, 8, 3, 2), (64, 50, 2, 3)])
def test_whatever_comes_every_request_ends_with_its_own_answer_or_its_own_error(rows, queue, runs, seed):
    """Threads and one loop ask at once, with bad windows, deadlines, cancellations and a queue that fills."""
    stub = StubSession(before=lambda x: os.sched_yield())
    with batching(stub, rows=rows, queue=queue, runs=runs) as session:
        with ThreadPoolExecutor(7) as pool:
            done = [pool.submit(ask_some, session, seed * 100 + number) for number in range(6)]
            done.append(pool.submit(lambda: asyncio.run(ask_more(session, seed))))
            told = [word for future in done for word in future.result(60)]
        assert len(told) == 7 * 60
        assert "wrong" not in told
        assert {"right", "bad", "cancelled"} <= set(told)
        wait_for(lambda: len(session._tokens) == runs)  # a run gives its place back after its last answer
        assert (session.counts().waiting, len(session._tokens)) == (0, runs)
        assert session.counts().queued > 20


def test_it_wraps_and_is_wrapped_and_is_the_sessions_else():
    stub = StubSession()
    with batching(cached(stub)) as session:
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
        kept = cached(session)
        assert kept.predict(window(1)) is kept.predict(window(1))
        assert session.latency()["count"] == 1
        session.reset_latency()
        assert session.latency()["count"] == 0


@pytest.mark.parametrize("name", ["rows", "queue", "runs"])
def test_options_are_checked(name):
    with pytest.raises(ConfigError, match=f"{name} is a whole number, 1 or more; got 0"):
        batching(StubSession(), **{name: 0})
    with pytest.raises(ConfigError, match="timeout_s is a number of seconds above 0"):
        batching(StubSession(), timeout_s=-1)


@pytest.mark.parametrize("wrong", [{"timeout_s": -1}, {"timeout_s": "soon"}, {"priority": "high"}])
def test_a_request_s_options_are_checked_also_where_it_need_not_wait(wrong):
    with batching(StubSession()) as session, pytest.raises(ConfigError, match=f"{next(iter(wrong))} is a"):
        session.predict(window(1), **wrong)
