"""`tidewright bench`: the result on stdout, progress on stderr, and what was asked for wrongly."""

import json

import pytest

from tests.serving.running import save_ridge
from tidewright.cli.main import _run

QUICK = ["--batch-sizes", "1,2", "--seconds", "0.02"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run, with its bundle."""
    place = tmp_path_factory.mktemp("run")
    save_ridge(place / "bundle")
    return str(place)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_table_is_on_stdout_and_progress_on_stderr(run, capsys):
    assert _run(["bench", run, *QUICK, "--backends", "eager,onnxruntime"]) == 0
    told = capsys.readouterr()
    assert [line.split()[:2] for line in told.out.splitlines()[2:]] == [
        ["eager", "1"], ["onnxruntime", "1"], ["eager", "2"], ["onnxruntime", "2"],
    ]  # fmt: skip
    assert "opening eager" in told.err
    assert "batch size 2: eager and onnxruntime in turns, 0.02 s" in told.err


def test_an_a_b_is_json_where_that_is_asked_for_and_quiet_where_that_is(run, capsys):
    words = ["bench", f"{run}/bundle", "--ab", "--baseline", "onnxruntime", "--optimised", "eager", "--json", "--quiet"]
    assert _run([*words, *QUICK]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["baseline"], found["optimised"], told.err) == ("onnxruntime", "eager", "")
    assert [one["batch_size"] for one in found["compared"]] == [1, 2]
    assert {"value", "low", "high", "level"} == set(found["compared"][0]["time"])
    assert _run([*words, *QUICK, "--cached"]) == 0
    assert json.loads(capsys.readouterr().out)["optimised"] == "eager cached"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--batch-sizes", "1,x"], "batch sizes are whole numbers with commas, as 1,64; got '1,x'"),
        (["--batch-sizes", "0"], "a batch size is a whole number from 1 to 100000; got 0"),
        (["--backends", "onnxruntim"], "Did you mean 'onnxruntime'?"),
        (["--cached"], "Ask for ab, or leave them out"),
        (["--seconds", "-1"], "seconds is a number of seconds above 0"),
    ],
)
def test_what_was_asked_for_wrongly_says_so(run, capsys, words, told):
    assert _run(["bench", run, *words]) == 1
    assert told in capsys.readouterr().err


def test_a_bundle_that_is_not_there_is_named(capsys):
    assert _run(["bench", "nowhere"]) == 1
    assert "there is no bundle at 'nowhere'" in capsys.readouterr().err
