"""`tune --each`: a search for each series, its page and its models."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.report.pages import read_page
from tests.tuning.test_each import DAYS, make_series
from tidewright.cli.main import _run

NAMES = ["shops.csv", "--series", "shop", "--time", "day", "--target", "sold", "--horizon", "2"]
ASKED = ["--models", "damped", "--each", "--space", "damped.yaml", "--search", "grid", "--trials", "12", "track=false"]
SPACE = """
model: damped
parameters:
  model.damping: {type: choice, choices: [0.0, 1.0]}
  model.recent: {type: choice, choices: [2, 3]}
"""


def test_each_series_is_searched_saved_and_forecast_by_the_model_that_it_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("damped.yaml").write_text(SPACE)
    days = pl.date_range(date(2024, 1, 1), date(2024, 1, 1) + timedelta(days=DAYS - 1), eager=True)
    shops = {shop: make_series(grows=shop == "grown", seed=seed) for seed, shop in enumerate(("a", "b", "grown"))}
    pl.concat(
        pl.DataFrame({"shop": [shop] * DAYS, "day": days, "sold": sold}) for shop, sold in shops.items()
    ).write_csv("shops.csv")
    assert _run(["tune", *NAMES, *ASKED, "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    kept = {row["series"]: row["keeps"] for row in found["series"]}
    assert list(kept) == ["a", "b", "grown"]
    assert kept == {shop: "own" if shop in found["kept"] else "shared" for shop in kept}
    assert all(row["reason"] for row in found["series"] if row["keeps"] == "shared")
    assert {"each", "shared", "naive"} <= set(found["test"])
    page = read_page(Path(found["report"]).read_text())
    words = {"own": "its own", "shared": "the shared one"}
    assert [(row[0], row[1]) for row in page.rows if row[0] in shops][:3] == [(s, words[k]) for s, k in kept.items()]

    assert _run(["predict", found["saved"], "shops.csv", "--json"]) == 0
    said = pl.DataFrame(json.loads(capsys.readouterr().out))
    assert said["shop"].to_list() == ["a", "a", "b", "b", "grown", "grown"]
    assert np.isfinite(said["0.5"].to_numpy()).all()

    assert _run(["tune", *NAMES, *ASKED, "--quiet"]) == 1
    assert "Go on with it: --resume" in capsys.readouterr().err
    assert _run(["tune", *NAMES, *ASKED, "--quiet", "--resume"]) == 0
    shown = capsys.readouterr().out
    for told in (f"{len(found['kept'])} of 3 series keep their own", "on the test", "models   ", "tidewright predict"):
        assert told in shown
    assert _run(["tune", *NAMES, "--each", "--models", "damped", "drift", "track=false"]) == 1
    assert "--each searches one model for each series; got damped, drift" in capsys.readouterr().err
