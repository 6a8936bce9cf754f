"""The verb `store` as a user types it."""

import json

import polars as pl
import pytest

from tests.worlds import small_panel
from tidewright.cli.main import _run
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.models.spec import Naive, SeasonalNaive
from tidewright.registry.bundle import save_bundle
from tidewright.training.fit import fit


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two bundles and the table that they learned from."""
    monkeypatch.chdir(tmp_path)
    panel = small_panel()
    split = split_holdout(panel, Task(4))
    for name, spec in (("naive", Naive()), ("seasonal", SeasonalNaive())):
        fitted = fit(spec, panel=panel, split=split, task=Task(4))
        save_bundle(fitted, panel=panel, folder=tmp_path / name, split=split)
    panel.table.write_parquet(tmp_path / "sales.parquet")
    return tmp_path


def ask(capsys, *words: str) -> tuple[int, str, str]:
    code = _run(["store", *words])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_model_s_life_from_registration_to_rollback(folder, capsys):
    assert ask(capsys, "list")[1].startswith("no models in tidewright-store. Register one with")
    assert "version 1 of sales is its champion" in ask(capsys, "register", "sales", "seasonal")[1]
    assert json.loads(ask(capsys, "register", "sales", "naive", "--json")[1])["role"] == "challenger"
    code, _, said = ask(capsys, "promote", "sales")
    assert (code, "give a table of newer actual values" in said) == (1, True)
    code, out, said = ask(capsys, "promote", "sales", "sales.parquet")
    assert (code, out) == (1, "")
    assert "error: version 2 of 'sales' is not promoted" in said
    code, out, _ = ask(capsys, "promote", "sales", "--force", "a trial", "--json")
    assert (code, json.loads(out)["reason"]) == (0, "a trial")
    assert "version 1 of sales is its champion again, in place of 2" in ask(capsys, "rollback", "sales")[1]
    shown = json.loads(ask(capsys, "show", "sales", "--json")[1])
    kinds = [one["what"] for one in shown["history"]]
    assert kinds == ["registered", "registered", "refused", "promoted", "rolled back"]
    assert shown["history"][2]["figures"]["basis"] in ("cutoffs", "series", "none")
    out = ask(capsys, "show", "sales")[1]
    assert "promoted (forced)" in out
    assert [one["version"] for one in json.loads(ask(capsys, "list", "--json")[1])] == [1, 2]


def test_an_unknown_model_is_answered_with_the_near_miss(folder, capsys):
    ask(capsys, "register", "sales", "naive")
    code, _, said = ask(capsys, "show", "sale")
    assert (code, "Did you mean 'sales'?" in said) == (1, True)
    assert pl.read_parquet("sales.parquet").height
