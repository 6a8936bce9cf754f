"""A call of a counted function is the function's own, whoever answers it."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np
import pytest

import tidewright as tw
from tidewright.errors import ConfigError, FallbackWarning
from tidewright.inference.jit import compiler as compiling
from tidewright.inference.jit import hot as counting

FEE = 0.5
LONG = np.arange(3000.0)


def weigh(x: Any, scale: Any = 2.0, *, fee: Any = 0.25) -> Any:
    total = 0.0
    for i in range(len(x)):
        total += scale * x[i] - fee
    return total


def charge(x: Any) -> Any:
    total = 0.0
    for i in range(len(x)):
        total += FEE * x[i]
    return total


def check(x: Any, limit: Any) -> Any:
    total = 0.0
    for i in range(len(x)):
        if x[i] > limit:
            raise ValueError("above the limit")
        total += x[i]
    return total


def compile_hot(function: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, tw.JITCompiler]:
    """The function wrapped, called with these arguments until its verdict is there."""
    compiler = tw.JITCompiler(**{"min_calls": 2, "payback": 0.0, **options})
    fast = compiler.wrap(function)
    for _ in range(2):
        fast(*args)
    assert compiler.wait(120)
    return fast, compiler


def describe(compiler: tw.JITCompiler, place: int = 0) -> dict[str, Any]:
    """What the statistics say of the only function."""
    (forms,) = compiler.get_performance_stats()["functions"].values()
    found: dict[str, Any] = forms[place]
    return found


def test_a_hot_function_is_compiled_and_gives_the_same_with_the_same_type() -> None:
    fast, compiler = compile_hot(weigh, LONG)
    answer, expected = fast(LONG), weigh(LONG)
    form = describe(compiler)
    assert (form["state"], form["compiled_calls"], form["calls"]) == ("compiled", 1, 3)
    assert form["arguments"] == "float64[C, 1d], float, float"
    assert answer == pytest.approx(expected, rel=1e-12)
    assert type(answer) is type(expected) is np.float64
    assert form["speed_up"] > 1
    assert form["compile_seconds"] > 0
    assert json.loads(json.dumps(compiler.get_performance_stats()))["compiled"] == 1


def test_arguments_by_name_defaults_and_wrong_calls_are_as_pythons() -> None:
    fast, compiler = compile_hot(weigh, LONG)
    assert fast(x=LONG, fee=0.25) == fast(LONG, 2.0) == fast(LONG)
    assert fast(LONG, fee=1.5, scale=3.0) == pytest.approx(weigh(LONG, 3.0, fee=1.5))
    assert describe(compiler)["compiled_calls"] == 4
    for args, kwargs in [((), {}), ((LONG, 2.0, 0.5), {}), ((LONG,), {"x": LONG}), ((LONG,), {"unknown": 1})]:
        with pytest.raises(TypeError) as plain:
            weigh(*args, **kwargs)
        with pytest.raises(TypeError) as ours:
            fast(*args, **kwargs)
        assert str(ours.value) == str(plain.value)


def test_other_kinds_of_arguments_are_interpreted_until_they_are_hot_themselves() -> None:
    fast, compiler = compile_hot(weigh, LONG)
    kinds: list[Any] = [LONG.astype(np.float32), LONG[::2], LONG.astype(">f8"), LONG.astype(np.int64), [1.0, 2.0]]
    kinds += [LONG.reshape(-1, 1), np.ma.masked_array(LONG, LONG > 5), LONG.view(np.recarray)]
    for x in kinds:
        answer, expected = fast(x), weigh(x)
        assert type(answer) is type(expected)
        assert np.array_equal(answer, expected)
    assert isinstance(fast(LONG, np.float64(2.0)), np.float64)
    stats = compiler.get_performance_stats()
    assert (stats["compiled"], stats["compiled_calls"]) == (1, 0)
    reasons = [form["reason"] for form in stats["functions"][f"{__name__}.weigh"] if form["state"] == "refused"]
    assert len(reasons) == 4
    assert any("'x' is a list" in reason for reason in reasons)
    assert any("native byte order" in reason for reason in reasons)


def test_an_array_whose_dtype_is_an_equal_copy_is_of_the_same_kind() -> None:
    fast, compiler = compile_hot(weigh, LONG)
    copied = LONG.copy()
    copied.dtype = np.dtype("f8", metadata={"unit": "day"})
    assert copied.dtype is not LONG.dtype
    assert fast(copied) == fast(LONG)
    assert describe(compiler)["compiled_calls"] == 2


def test_a_value_from_outside_that_changes_is_heeded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, compiler = compile_hot(charge, LONG)
    assert fast(LONG) == pytest.approx(0.5 * LONG.sum())
    assert describe(compiler)["compiled_calls"] == 1
    monkeypatch.setitem(charge.__globals__, "FEE", 2.0)
    assert fast(LONG) == pytest.approx(2.0 * LONG.sum())
    form = describe(compiler)
    assert form["state"] == "dropped"
    assert "'FEE'" in form["reason"]


def test_a_cell_of_a_closure_that_changes_is_heeded_at_once() -> None:
    rate = 1.0

    def price(n: int) -> float:
        total = 0.0
        for i in range(n):
            total += rate * i
        return total

    fast, compiler = compile_hot(price, 3000)
    before = fast(3000)
    rate = 2.0
    assert fast(3000) == 2 * before
    assert "'rate'" in describe(compiler)["reason"]


def test_what_the_function_raises_is_raised_as_it_is() -> None:
    fast, compiler = compile_hot(check, LONG, 1e9)
    for _ in range(3):
        with pytest.raises(ValueError, match="above the limit") as raised:
            fast(LONG, 5.0)
        assert raised.value.__context__ is None
        assert raised.traceback[-1].name == "check"
    form = describe(compiler)
    assert (form["state"], form["answered_again"]) == ("compiled", 3)
    for _ in range(10):
        with pytest.raises(ValueError, match="above the limit"):
            fast(LONG, 5.0)
    assert "answered again" in describe(compiler)["reason"]
    assert fast(LONG, 1e9) == check(LONG, 1e9)


def test_sixteen_threads_compile_once_and_every_call_is_counted() -> None:
    compiler = tw.JITCompiler(min_calls=5, payback=0.0)
    fast = compiler.wrap(weigh)
    expected, found = weigh(LONG), []
    start = threading.Barrier(16)

    def work() -> None:
        start.wait()
        found.extend(fast(LONG) for _ in range(20))
        compiler.wait()
        found.extend(fast(LONG) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = compiler.get_performance_stats()
    assert stats["calls"] == len(found) == 640
    assert set(found) == {expected}
    assert stats["compiled"] == 1
    assert len(stats["functions"][f"{__name__}.weigh"]) == 1
    assert stats["compile_seconds"] >= describe(compiler)["compile_seconds"]
    assert describe(compiler)["compiled_calls"] >= 320 - describe(compiler)["measured_again"]


def test_of_more_forms_than_the_cache_holds_the_one_called_least_goes() -> None:
    compiler = tw.JITCompiler(min_calls=1, cache_size=2, payback=0.0)
    fast = compiler.wrap(weigh)
    narrow, whole = LONG.astype(np.float32), LONG[::2]
    for x, times in [(LONG, 5), (whole, 1)]:
        fast(x)
        compiler.wait()
        for _ in range(times):
            fast(x)
    assert compiler.get_performance_stats()["compiled"] == 2
    fast(LONG, 3.0, fee=np.float64(0.5))
    compiler.wait()
    stats = compiler.get_performance_stats()
    forms = {form["arguments"]: form for form in stats["functions"][f"{__name__}.weigh"]}
    assert set(forms) == {"float64[C, 1d], float, float", "float64[C, 1d], float, np.float64"}
    assert (stats["compiled"], stats["evicted"], stats["calls"]) == (2, 1, 9)
    assert fast(whole) == weigh(whole)  # counted anew
    assert type(fast(narrow)) is type(weigh(narrow))


def test_a_function_of_many_kinds_of_arguments_keeps_a_bounded_number() -> None:
    compiler = tw.JITCompiler(min_calls=10**6)
    fast = compiler.wrap(lambda x: x)
    for number in range(counting.KINDS + 5):
        made = type(f"Number{number}", (float,), {})
        fast(made(1.0))
    (forms,) = compiler.get_performance_stats()["functions"].values()
    assert len(forms) == counting.KINDS + 1
    assert forms[-1]["reason"] == f"more than {counting.KINDS} kinds of arguments"
    assert forms[-1]["calls"] == 5


def test_a_form_that_stops_winning_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, compiler = compile_hot(weigh, LONG[:200], share=1.0)
    assert describe(compiler)["state"] == "compiled"
    clock = iter(range(10**6))
    now = [0, 1, 3]  # interpreted 1 s, compiled 2 s
    monkeypatch.setattr(counting, "perf_counter", lambda: float(now[next(clock) % 3]))
    answers = {fast(LONG[:200]) for _ in range(10 * counting.LEAST_GAP)}
    form = describe(compiler)
    assert form["state"] == "dropped"
    assert "stopped winning" in form["reason"]
    assert answers == {weigh(LONG[:200])}


def test_measuring_again_takes_a_bounded_share_of_calls() -> None:
    fast, compiler = compile_hot(weigh, LONG[:500], share=1.0)
    for _ in range(1000):
        fast(LONG[:500])
    form = describe(compiler)
    assert 1 <= form["measured_again"] <= 1 + 1000 // counting.LEAST_GAP
    assert form["compiled_calls"] + form["measured_again"] == 1000


def test_an_answer_that_becomes_wrong_is_never_taken_where_it_is_looked_at() -> None:
    fast, compiler = compile_hot(weigh, LONG)
    (owned,) = compiler._functions
    (form,) = owned.forms()
    form.entry, form.due_at, form.check_at = (lambda *row: 1.0), 0, 0
    with pytest.warns(FallbackWarning, match="weigh is interpreted again"):
        assert fast(LONG) == weigh(LONG)
    assert describe(compiler)["state"] == "dropped"


def test_what_takes_no_time_is_not_counted_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "perf_counter", lambda: 0.0)
    compiler = tw.JITCompiler(min_calls=10)
    fast = compiler.wrap(lambda x: x)
    for _ in range(compiling.ENOUGH + 10):
        fast(1.0)
    assert "nothing is to be won" in describe(compiler)["reason"]
    assert compiler.tracker.hottest() == []


def test_generators_and_open_ended_parameters_are_interpreted_and_counted() -> None:
    compiler = tw.JITCompiler(min_calls=1, payback=0.0)

    @tw.jit_if_hot(compiler=compiler)
    def walk(n: int) -> Any:
        yield from range(n)

    @tw.jit_if_hot(compiler=compiler)
    def add(*numbers: float) -> float:
        return sum(numbers)

    assert [list(walk(3)), add(1.0, 2.0)] == [[0, 1, 2], 3.0]
    forms = [form for found in compiler.get_performance_stats()["functions"].values() for form in found]
    assert [form["calls"] for form in forms] == [1, 1]
    assert sorted(form["reason"][:15] for form in forms) == ["it is a generat", "it takes any nu"]


def test_a_recursive_function_is_right_and_interpreted() -> None:
    @tw.jit_if_hot(min_calls=2, compiler=tw.JITCompiler(payback=0.0))
    def count(n: int) -> int:
        return n if n < 2 else count(n - 1) + count(n - 2)

    assert count(12) == 144
    compiler = count.compiler  # type: ignore[attr-defined]
    compiler.wait()
    assert count(12) == 144
    assert describe(compiler)["state"] == "refused"


def test_methods_are_interpreted_and_static_ones_compiled() -> None:
    compiler = tw.JITCompiler(min_calls=2, payback=0.0)

    class Rule:
        limit = 3.0

        @compiler.wrap
        def above(self, x: float) -> bool:
            return x > self.limit

        @staticmethod
        @compiler.wrap
        def total(n: int) -> int:
            found = 0
            for i in range(n):
                found += i
            return found

    for _ in range(3):
        assert Rule().above(4.0) is True
        assert Rule.total(3000) == 4498500
        compiler.wait()
    above, total = compiler.get_performance_stats()["functions"].values()
    if above[0]["arguments"] == "int":
        above, total = total, above
    assert "'self' is a Rule" in above[0]["reason"]
    assert (total[0]["state"], total[0]["compiled_calls"]) == ("compiled", 1)
    assert type(Rule.total(3000)) is int


@pytest.mark.parametrize("wrong", [len, int, staticmethod(weigh), 3])
def test_only_functions_written_in_python_are_wrapped(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="only functions written in Python"):
        tw.jit_if_hot(wrong)


@pytest.mark.parametrize("options", [{"cache_size": 0}, {"share": 0.0}, {"share": 2.0}, {"min_calls": 0}])
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        tw.JITCompiler(**options)


def test_each_option_changes_what_happens() -> None:
    compiler = tw.JITCompiler(min_calls=3, payback=0.0)
    own = compiler.wrap(check, min_calls=1)
    shared = compiler.wrap(weigh)
    own(LONG, 1e9)
    for _ in range(2):
        shared(LONG)
    compiler.wait()
    assert compiler.get_performance_stats()["functions"][f"{__name__}.check"][0]["state"] == "compiled"
    assert compiler.get_performance_stats()["functions"][f"{__name__}.weigh"][0]["state"] == "cold"
    patient = tw.JITCompiler(min_calls=1, payback=1e9)
    fast = patient.wrap(weigh)
    assert fast(LONG) == weigh(LONG)
    assert describe(patient)["state"] == "cold"


@pytest.mark.parametrize("least", [2, 7, 16, 20, 33])
def test_the_call_that_reaches_min_calls_asks_for_the_compilation(least: int) -> None:
    compiler = tw.JITCompiler(min_calls=least, payback=0.0)
    fast = compiler.wrap(lambda x: {x: x})
    for _ in range(least - 1):
        fast(1.0)
    compiler.wait()
    assert describe(compiler)["state"] == "cold"
    fast(1.0)
    compiler.wait()
    assert describe(compiler)["state"] == "refused"


def test_a_function_that_is_no_more_is_not_held() -> None:
    compiler = tw.JITCompiler()
    fast = compiler.wrap(lambda x: x)
    gone = ref(fast.__wrapped__)  # type: ignore[attr-defined]
    fast(1.0)
    del fast
    gc.collect()  # the function and its wrapper hold each other
    assert gone() is None
    assert compiler.get_performance_stats()["functions"] == {}
