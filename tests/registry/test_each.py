"""A folder of bundles, one for each series that has its own: what it says, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import tidewright as tw
from tidewright.data.simulate import signal_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError, TamperedError
from tidewright.registry.each import is_each, load_each
from tidewright.training.each import EachFitted
from tidewright.training.fit import fit

TASK = Task(horizon=3)


@pytest.fixture(scope="module", name="made")
def make_models() -> tuple[Any, Any, EachFitted]:
    """A panel of three series, its split, and models: one for all and one of the second series."""
    panel = signal_panel(n_series=3, length=200, seed=1)
    split = split_holdout(panel, TASK)
    own = fit(tw.build_spec("damped"), panel=panel.select(["s1"]), split=split, task=TASK)
    return panel, split, EachFitted({"s1": own}, fit(tw.build_spec("naive"), panel=panel, split=split, task=TASK))


@pytest.fixture(name="folder")
def save_models(made: Any, tmp_path: Path) -> Path:
    panel, split, fitted = made
    tw.save_each(fitted, panel=panel, folder=tmp_path / "each", split=split)
    return tmp_path / "each"


def test_what_is_opened_again_says_of_each_series_what_its_own_model_said(made: Any, folder: Path) -> None:
    panel, _, fitted = made
    session = tw.open_each(folder)
    said, before = session.forecast(panel).table, fitted.forecast(panel).table
    assert said["series"].to_list() == before["series"].to_list()
    for level in ("0.1", "0.5", "0.9"):
        assert said[level].to_numpy() == pytest.approx(before[level].to_numpy(), rel=1e-5)
    assert said.filter(said["series"] == "s1")["model"].unique().to_list() == ["damped"]
    assert said.filter(said["series"] != "s1")["model"].unique().to_list() == ["naive"]
    assert session.session_of("new") is session.shared
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json", ".onnx", ".safetensors", ".md"}
    assert (is_each(folder), is_each(folder / "shared")) == (True, False)


def test_every_session_is_opened_with_the_options_that_are_asked_for(folder: Path) -> None:
    session = tw.open_each(folder, backend="onnxruntime", threads=2, arena=False, optimisation="basic")
    for one in (*session.own.values(), session.shared):
        assert {name: one.settings[name].used for name in ("threads", "arena", "optimisation")} == {
            "threads": "2", "arena": "False", "optimisation": "basic",
        }  # fmt: skip
    with pytest.raises(TypeError, match="unexpected keyword argument 'thread'"):
        tw.open_each(folder, thread=2)


def test_a_folder_that_was_changed_is_refused(folder: Path) -> None:
    index = folder / "index" / "manifest.json"
    whole = index.read_text()
    index.write_text(whole.replace('"s1"', '"s2"'))
    with pytest.raises(TamperedError, match="its digest is not that of its content"):
        load_each(folder)
    index.write_text(whole)
    (own,) = (folder / "own").iterdir()
    shutil.rmtree(own)
    shutil.copytree(folder / "shared", own)  # a whole bundle, of another model
    with pytest.raises(TamperedError, match="is not the bundle that its index names"):
        tw.open_each(folder)


def test_what_can_not_be_saved_is_told(made: Any, folder: Path, tmp_path: Path) -> None:
    panel, split, fitted = made
    with pytest.raises(BundleError, match="is there already"):
        tw.save_each(fitted, panel=panel, folder=folder, split=split)
    odd = EachFitted({1.5: fitted.own["s1"]}, fitted.shared)
    with pytest.raises(ConfigError, match=r"text or a whole number; got 1\.5"):
        tw.save_each(odd, panel=panel, folder=tmp_path / "odd", split=split)
    alone = EachFitted(fitted.own)
    tw.save_each(alone, panel=panel, folder=tmp_path / "alone", split=split)
    assert json.loads((tmp_path / "alone" / "index" / "manifest.json").read_text())["shared"] is None
    with pytest.raises(ConfigError, match="'s0' has no model, and there is none for all series"):
        tw.open_each(tmp_path / "alone").forecast(panel)
