"""A strategy file runs apart: it is asked and answers with data, has no network, and ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tidewright.data.dated import Dated
from tidewright.errors import AllocationError
from tidewright.portfolio.strategy import TEMPLATE, Answer, Isolation, check_strategy, decide_weights, open_strategy
from tidewright.portfolio.strategy.child import refuse, split_answer
from tidewright.portfolio.strategy.weights import place_weights, to_table

DAYS = np.arange("2023-01-01", "2023-12-31", dtype="datetime64[D]").astype("datetime64[us]")
VALUES = 100.0 * np.cumprod(1.0 + np.random.default_rng(0).normal(0.0, 0.01, (len(DAYS), 3)), axis=0)
PRICES = Dated(DAYS, ("A", "B", "C"), VALUES)
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str) -> Path:
        path = tmp_path / "strategy.py"
        path.write_text(text)
        return path

    return put


def test_the_template_decides_each_month_and_does_not_look_ahead(write: Write) -> None:
    file = write(TEMPLATE)
    with open_strategy(file) as strategy:
        plan = decide_weights(strategy, PRICES)
    assert len(plan.decided) == 8  # once half a year is there, and at the first bar of each month
    assert plan.targets.sum(axis=1) == pytest.approx(np.ones(8))
    found = check_strategy(file, PRICES)
    assert found.verdict.clean, found.verdict.explain()
    assert len(found.sha256) == 64
    assert found.to_dict()["isolation"]["cpu_s"] == 600
    assert found.to_dict()["clean"] is True


def test_a_strategy_that_knows_tomorrow_is_caught(write: Write) -> None:
    file = write("TABLE = 'pandas'\ndef decide(p):\n    return (p.shift(-1) > p).astype(float) / 3\n")
    found = check_strategy(file, to_table(PRICES), rows=2)
    assert (found.verdict.kind, found.verdict.reach) == ("look-ahead", 1)


def test_what_it_learned_from_one_table_is_gone_at_the_next(write: Write) -> None:
    """A model that is fitted once, on all of the first table, would hide its look-ahead from every further call."""
    text = "import kept, numpy as np\nTABLE = 'numpy'\nmine = []\ndef decide(p):\n    mine.append(p.mean())\n"
    text += "    kept.THEIRS.append(p.mean())\n    return np.sign(p - (mine[0] + kept.THEIRS[0]) / 2) / 3\n"
    file = write(text)
    file.with_name("kept.py").write_text("THEIRS = []\n")
    found = check_strategy(file, PRICES, rows=2)
    assert found.verdict.kind == "look-ahead"


def test_what_it_prints_and_its_folder_and_environment_are_its_own(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEWRIGHT_API_KEYS", "secret")
    text = """
import os, numpy as np
import helper
TABLE = "numpy"
print("not an answer")
def decide(p):
    print("nor this")
    assert "TIDEWRIGHT_API_KEYS" not in os.environ
    open("written", "w").write("x")
    open(os.devnull, "w").write("x")
    return np.full(p.shape, helper.SHARE)
"""
    file = write(text)
    file.with_name("helper.py").write_text("SHARE = 0.25\n")
    with open_strategy(file) as strategy:
        assert (strategy.decide(to_table(PRICES)).values == 0.25).all()
    assert {one.name for one in file.parent.iterdir()} == {"strategy.py", "helper.py"}


def test_there_is_no_network_for_native_code_either(write: Write) -> None:
    """Where the kernel gives it a network of its own, a server on this machine can't be reached by libc itself."""
    text = """
import ctypes, struct, numpy as np
TABLE = "numpy"
libc = ctypes.CDLL(None, use_errno=True)
def decide(p):
    pipe = libc.socket(2, 1, 0)
    address = struct.pack("<H", 2) + struct.pack(">H", PORT) + bytes([127, 0, 0, 1]) + bytes(8)
    return np.full(p.shape, float(libc.connect(pipe, address, 16)))
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        file = write(text.replace("PORT", str(server.getsockname()[1])))
        with open_strategy(file) as strategy:
            if strategy.isolation.network != "own empty network":
                pytest.skip(f"the kernel gives no network of its own here: {strategy.isolation.reason}")
            assert (strategy.decide(to_table(PRICES)).values == -1.0).all()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import socket; socket.create_connection(('localhost', 1))", r"PermissionError: a strategy has no network"),
        ("import subprocess; subprocess.run(['ls'])", "starts and ends no processes"),
        ("raise ValueError('boom')", r"strategy\.py' failed: ValueError: boom\n.*line 3, in decide"),
        ("return {'A': 1.0}", "decide gave dict; it gives an array"),
        ("import os; os._exit(3)", "ended itself, with status 3, before it answered"),
        ("raise SystemExit", "ended itself, with status 0, before it answered"),
        ("print('x' * 5000); raise ValueError('boom')", r"failed: ValueError: boom\n  x{300}\n"),
        ("import ctypes; ctypes.string_at(0)", "was ended by SIGSEGV"),
        ("import numpy; return numpy.ones(2**40)", "Unable to allocate"),
        ("return prices.to_numpy()[:, 0]", "Cannot cast|could not convert|must be|failed"),
    ],
)
def test_a_strategy_that_fails_says_why(write: Write, body: str, message: str) -> None:
    with (
        open_strategy(write(f"TABLE = 'polars'\ndef decide(prices):\n    {body}\n")) as strategy,
        pytest.raises(AllocationError, match=f"(?s){message}"),
    ):
        strategy.decide(to_table(PRICES))


def test_one_that_does_not_end_is_ended(write: Write) -> None:
    file = write("import os\ndef decide(prices):\n    while True: pass\n")
    with (
        open_strategy(file, timeout_s=0.2) as strategy,
        pytest.raises(AllocationError, match=r"no answer within 0\.2 s"),
    ):
        strategy.decide(to_table(PRICES))
    assert strategy._process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(strategy._process.pid, 0)


def test_one_that_prints_without_end_is_told_in_a_line(write: Write) -> None:
    file = write("def decide(prices):\n    while True: print('x' * 2**16)\n")
    with (
        open_strategy(file, file_mib=1) as strategy,
        pytest.raises(AllocationError, match=r"printed more than the 1 MiB that are kept\. Print less\.$"),
    ):
        strategy.decide(to_table(PRICES))


@pytest.mark.parametrize(
    "body",
    [
        "os.remove(OURS)",
        "open(OURS, 'w')",
        "os.truncate(OURS, 0)",
        "os.rename(OURS, OURS + '2')",
        "os.mkdir(OURS + '3')",
        "prices.write_parquet(OURS)",  # native code
    ],
)
def test_it_changes_no_file_outside_of_its_folder(write: Write, tmp_path: Path, body: str) -> None:
    ours = tmp_path / "ours.txt"
    ours.write_text("mine")
    file = write(f"import os\nOURS = {str(ours)!r}\ndef decide(prices):\n    {body}\n    return prices * 0\n")
    with open_strategy(file) as strategy:
        if "may be changed" in strategy.isolation.files:
            pytest.skip(f"the kernel guards no files here: {strategy.isolation.files}")
        with pytest.raises(AllocationError, match="Permission denied"):
            strategy.decide(to_table(PRICES))
    assert ours.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours.txt", "strategy.py"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "defines no function decide"),
        ("TABLE = 'dask'\ndef decide(p): ...\n", "it is one of polars, pandas, numpy"),
        ("def decide(:\n", r"(?s)SyntaxError(?!.*child\.py)"),
    ],
)
def test_a_file_that_is_no_strategy_is_told(write: Write, text: str, message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        open_strategy(write(text))


def test_limits_and_files_are_checked(tmp_path: Path, write: Write) -> None:
    with pytest.raises(AllocationError, match="there is no strategy"):
        open_strategy(tmp_path / "none.py")
    with pytest.raises(AllocationError, match="memory_gib is 0"):
        open_strategy(write(TEMPLATE), memory_gib=0)


def test_the_hook_refuses_sockets_and_programs_alone() -> None:
    for event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "subprocess.Popen", "os.fork", "os.kill"):
        with pytest.raises(PermissionError):
            refuse(event, ())
    for event in ("open", "import", "compile", "os.listdir"):
        refuse(event, ())


def test_isolation_without_a_namespace_says_so() -> None:
    told = str(
        Isolation(
            "refused by the interpreter",
            "Operation not permitted",
            "may be changed (why)",
            600,
            8 << 30,
            64 << 20,
            60.0,
        )
    )
    assert "network: refused by the interpreter (Operation not permitted); files: may be changed (why);" in told


def test_an_answer_of_any_kind_is_split_into_names_times_and_numbers() -> None:
    table = pl.DataFrame({"time": DAYS[:2], "A": [1, None]})
    names, times, values = split_answer(table)
    assert (names, times.tolist(), values.tolist()[0]) == (["A"], DAYS[:2].tolist(), [1.0])
    names, times, values = split_answer(table.to_pandas().set_index("time"))
    assert (names, times.astype("datetime64[us]").tolist()) == (["A"], DAYS[:2].tolist())
    assert split_answer(np.ones((2, 1)))[:2] == (None, None)


def test_weights_are_put_on_the_bars_and_what_was_done_is_told() -> None:
    times = np.array(["2022-01-01", "2023-01-05T12:00", "2023-01-05T18:00", "2023-02-01"], dtype="datetime64[us]")
    given = Answer(np.array([[1.0], [0.2], [0.3], [np.nan]]), ("B",), times)
    plan = place_weights(given, PRICES)
    assert plan.targets.tolist() == [[0.0, 0.3, 0.0]]
    assert plan.decided.astype("datetime64[D]").astype(str).tolist() == ["2023-01-05"]
    assert plan.notes == (
        "no weights for A, C (2 assets): 0",
        "1 decisions outside of the prices' dates are left out",
        "1 decisions gave way to a later one before the same fill",
        "1 decisions between two bars are those of the bar before, and filled at the one after",
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Answer(np.ones((len(DAYS), 2)), None, None), "gave 2 columns for 3 assets"),
        (Answer(np.ones((len(DAYS), 1)), ("D",), None), "no asset of the prices is called 'D'"),
        (Answer(np.full((len(DAYS), 3), np.nan), None, None), "no row decides anything"),
    ],
)
def test_weights_that_fit_no_prices_are_told(given: Answer, message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        place_weights(given, PRICES)


def test_rows_without_times_are_bars(write: Write) -> None:
    with (
        open_strategy(write("TABLE = 'numpy'\ndef decide(p):\n    return p[1:]\n")) as strategy,
        pytest.raises(AllocationError, match="decide gave 363 rows for 364 bars"),
    ):
        decide_weights(strategy, PRICES)
    with pytest.raises(AllocationError, match="an asset is called 'time'"):
        to_table(Dated(DAYS, ("time", "B", "C"), VALUES))


def test_a_missing_weight_beside_numbers_is_0_and_counted() -> None:
    weights = np.array([[0.5, np.nan, 0.2]] * 2 + [[np.nan] * 3] * (len(DAYS) - 2))
    plan = place_weights(Answer(weights, None, None), PRICES)
    assert plan.targets.tolist() == [[0.5, 0.0, 0.2]] * 2
    assert plan.notes == ("2 of 6 weights in rows that decide are missing: 0",)
