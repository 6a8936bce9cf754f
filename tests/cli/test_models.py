"""The list of models, and the advice for a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.worlds import small_table
from tidewright.cli.main import app
from tidewright.cli.models import list_models
from tidewright.models.spec import MODELS

NAMES = ["--series", "shop", "--time", "hour", "--target", "sold"]


def test_every_model_says_what_it_is_for_what_it_takes_and_how_large_it_is() -> None:
    done = CliRunner().invoke(app, ["models", "--json"])
    assert done.exit_code == 0
    rows = {row["model"]: row for row in json.loads(done.stdout)}
    assert list(rows) == list(MODELS)
    assert rows["ridge"]["takes"] == []
    assert rows["ridge"]["weights"] == 96 * 24
    assert rows["lstm"]["takes"] == ["past", "known", "static"]
    # four gates of 64 units that read value, mask, 2 past and 3 known; a head of 64; 24 steps of 3 quantiles
    gates, head = 4 * 64 * (2 + 2 + 3 + 64 + 2), (64 + 24 * 3 + 2) * 64 + 64
    assert rows["lstm"]["weights"] == gates + head + (64 + 1) * 24 * 3
    assert all(row["what"] for row in rows.values())
    assert all(row["weights"] > 0 for row in rows.values() if row["family"] == "torch")


def test_the_list_for_people_names_the_shape_that_was_counted_at() -> None:
    done = CliRunner().invoke(app, ["models"])
    assert done.exit_code == 0
    assert "lookback 96, horizon 24" in done.stdout
    assert "target alone" in done.stdout
    assert all(row["model"] in done.stdout for row in list_models())


@pytest.mark.parametrize("as_json", [True, False])
def test_a_table_gets_advice_that_cites_it(tmp_path: Path, as_json: bool) -> None:
    table = tmp_path / "sales.csv"
    small_table(covariates=False).write_csv(table)
    words = ["models", "--for", str(table), *NAMES, "--horizon", "4", *(["--json"] if as_json else [])]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    if as_json:
        found = json.loads(done.stdout)
        assert found[0]["why"]
        assert {one["model"] for one in found} <= set(MODELS)
    else:
        assert done.stdout.startswith("1. ")
        assert "horizon 4; to measure it: tidewright run" in done.stdout


def test_options_of_a_table_without_a_table_are_an_error() -> None:
    done = CliRunner().invoke(app, ["models", "--horizon", "4"])
    assert done.exit_code == 1
    assert "--for" in str(done.exception)
