"""Bundles of models that have no graph: sealed, checked and opened like others, and asked through the eager model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, BundleError, FallbackWarning, ParityError, TamperedError
from tidewright.inference.session import open_session
from tidewright.models.spec import FeedForward, Naive
from tidewright.models.specs.statistical import AutoETS, Croston
from tidewright.models.statistical import Statistical
from tidewright.registry.bundle import load_bundle, save_bundle
from tidewright.registry.verify import CARD, EXAMPLE, GRAPH, MANIFEST, REFERENCE, WEIGHTS, read_verified, seal
from tidewright.training.conformal import conformalise
from tidewright.training.ensemble import fit_ensemble
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.spec import TrainSpec

TASK = Task(4)
PANEL = small_panel()
BARE = keep_covariates(PANEL, ())
SPLIT = split_holdout(PANEL, TASK)
ETS = AutoETS(season=1, form="ANN", history=30)


def learn(spec: Any) -> Any:
    panel = PANEL if isinstance(spec, FeedForward) else BARE
    return fit(spec, panel=panel, split=SPLIT, task=TASK, train=TrainSpec(epochs=1, steps=4))


@pytest.fixture(scope="module")
def smoothing() -> Any:
    return learn(ETS)


def test_it_holds_all_but_the_graph_and_says_why(smoothing: Any, tmp_path: Path) -> None:
    bundle = save_bundle(smoothing, panel=BARE, folder=tmp_path / "b")
    assert {path.name for path in (tmp_path / "b").iterdir()} == {MANIFEST, WEIGHTS, EXAMPLE, CARD, REFERENCE}
    assert bundle.manifest.no_graph == "auto_ets fits every window anew when it answers"
    assert (bundle.parity, bundle.tolerance) == (None, 1e-3)
    assert "There is no graph: auto_ets fits every window anew" in bundle.card
    assert "statsforecast" in bundle.manifest.versions
    with pytest.raises(BundleError, match=r"has no ONNX graph: auto_ets .*Ask its eager model"):
        _ = bundle.graph


def test_a_session_takes_the_eager_model_and_says_why_without_a_warning(smoothing: Any, tmp_path: Path) -> None:
    save_bundle(smoothing, panel=BARE, folder=tmp_path / "b")
    session = open_session(tmp_path / "b", strict=True)
    assert (session.backend, session.choice.fallback) == ("eager", False)
    assert "the bundle has no graph: auto_ets fits" in session.choice.reason
    with pytest.warns(FallbackWarning, match="eager answers instead of onnxruntime"):
        assert open_session(tmp_path / "b", backend="onnxruntime").choice.fallback


def test_without_statsforecast_it_opens_not_and_the_extra_is_named(
    smoothing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_bundle(smoothing, panel=BARE, folder=tmp_path / "b")
    save_bundle(learn(Croston()), panel=BARE, folder=tmp_path / "c")
    monkeypatch.setattr("tidewright.optional.has", lambda name: name != "statsforecast")
    with pytest.raises(BackendError, match=r"needs the package 'statsforecast'.*'tidewright\[statistics\]'"):
        open_session(tmp_path / "b")
    assert open_session(tmp_path / "c").backend == "eager"  # its formula is here


def test_a_graph_too_many_or_too_few_is_refused(smoothing: Any, tmp_path: Path) -> None:
    save_bundle(smoothing, panel=BARE, folder=tmp_path / "b")
    save_bundle(learn(Naive()), panel=BARE, folder=tmp_path / "n")
    content = {name: read_verified(tmp_path / name, spare=(GRAPH,)) for name in "bn"}
    graph = content["n"].files[GRAPH]
    forged = {
        "b": {**content["b"].files, GRAPH: graph},
        "n": {k: v for k, v in content["n"].files.items() if k != GRAPH},
    }
    for name, word in (("b", "holds"), ("n", "lacks")):
        plain = {key: value for key, value in content[name].manifest.items() if key not in ("files", "digest")}
        for file, data in seal(plain, forged[name]).items():
            (tmp_path / name / file).write_bytes(data)
        if GRAPH not in forged[name]:
            (tmp_path / name / GRAPH).unlink()
        with pytest.raises(BundleError, match=f"{word} {GRAPH}, against its manifest"):
            load_bundle(tmp_path / name)


def test_a_changed_byte_is_refused(smoothing: Any, tmp_path: Path) -> None:
    save_bundle(smoothing, panel=BARE, folder=tmp_path / "b")
    path = tmp_path / "b" / EXAMPLE
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(TamperedError, match=EXAMPLE):
        load_bundle(tmp_path / "b")


def test_a_model_that_is_another_when_read_again_is_not_sealed(
    smoothing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Statistical.predict
    calls: list[int] = []

    def drifting(self: Statistical, windows: Any) -> Any:
        calls.append(1)
        return plain(self, windows) * (1.0 + 0.01 * len(calls))

    monkeypatch.setattr(Statistical, "predict", drifting)
    with pytest.raises(ParityError, match="'auto_ets' made again from its bundle differs from itself by"):
        save_bundle(smoothing, panel=BARE, folder=tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("around", ["ensemble", "conformal"])
def test_what_is_made_of_it_has_no_graph_either(smoothing: Any, tmp_path: Path, around: str) -> None:
    if around == "ensemble":
        fitted: Any = fit_ensemble([smoothing, learn(FeedForward(hidden=(8,)))], panel=PANEL, split=SPLIT, rule="mean")
    else:
        fitted = conformalise(smoothing, panel=BARE, split=SPLIT)
    bundle = save_bundle(fitted, panel=PANEL, folder=tmp_path / "b")
    session = open_session(bundle, strict=True)
    assert session.backend == "eager"
    table = PANEL.extend(TASK.horizon).table.with_columns(pl.col("price").fill_null(1.5))
    assert np.isfinite(session.forecast(table).table.select("0.1", "0.5", "0.9").to_numpy()).all()
