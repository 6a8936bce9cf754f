"""`tidewright export`: a graph as a file, a bundle of lower precision, and what was asked for wrongly."""

import json

import pytest

from tests.worlds import small_panel, small_table
from tidewright.cli.main import _run
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.registry.bundle import load_bundle, save_bundle
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

TASK = Task(4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a table and a bundle of a network that learned from it."""
    place = tmp_path_factory.mktemp("export")
    small_table(rows=160, covariates=False).write_csv(place / "sales.csv")
    panel = small_panel(rows=160, covariates=False)
    split = split_holdout(panel, TASK)
    train = TrainSpec(epochs=1, steps=10)
    model = fit(build_spec("nlinear"), panel=panel, split=split, task=TASK, view=View(24), train=train)
    save_bundle(model, panel=panel, folder=place / "model", split=split)
    return place


def test_the_graph_is_written_as_it_stands_in_the_bundle_and_nothing_is_replaced(folder, capsys):
    words = ["export", str(folder / "model"), "--out", str(folder / "model.onnx"), "--json"]
    assert _run(words) == 0
    told = json.loads(capsys.readouterr().out)
    graph = (folder / "model.onnx").read_bytes()
    assert graph == load_bundle(folder / "model").graph
    assert told["bytes"] == len(graph)
    assert _run(words) == 1
    assert "can't be written: File exists. Name a new file" in capsys.readouterr().err


def test_a_bundle_of_lower_precision_is_made_with_its_figures(folder, capsys):
    words = ["export", str(folder / "model"), "--precision", "int8", "--data", str(folder / "sales.csv")]
    assert _run([*words, "--out", str(folder / "low"), "--share", "0.2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    made = load_bundle(folder / "low")
    assert (told["digest"], told["precision"], told["share"]) == (made.digest, "int8", 0.2)
    assert told["original"] == load_bundle(folder / "model").digest
    assert _run([*words, "--out", str(folder / "again"), "--share", "0.2"]) == 0
    out = capsys.readouterr().out
    assert "layers are int8; the graph has" in out
    assert "batch 64:" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "model.txt"], r"a graph is a file that ends in .onnx; got 'model.txt'"),
        (["--out", "low", "--precision", "int8"], "Name it with --data"),
        (["--out", "low.onnx", "--share", "0.1"], "--data and --share belong to --precision"),
        (["--out", "low", "--precision", "int4", "--data", "sales.csv"], "int4"),
    ],
)
def test_what_was_asked_for_wrongly_says_so(folder, capsys, monkeypatch, words, told):
    monkeypatch.chdir(folder)
    assert _run(["export", "model", *words]) == 1
    assert told in capsys.readouterr().err
