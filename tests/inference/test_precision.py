"""In which precision a bundle is opened, and what is said where it can't be had."""

import json

import numpy as np
import pytest

from tidewright import runtime
from tidewright.data.simulate import signal_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, ConfigError
from tidewright.features.view import View
from tidewright.inference import choose
from tidewright.inference.session import open_session
from tidewright.models.build import build_spec
from tidewright.registry.bundle import save_bundle
from tidewright.registry.quantise import quantise
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

PANEL, TASK = signal_panel(n_series=3, length=220, seed=1), Task(3)
SPLIT = split_holdout(PANEL, TASK)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """A network and a floor in float32, and the network in int8."""
    place = tmp_path_factory.mktemp("precision")
    found = {}
    for name, options in (("feedforward", {"hidden": (16,)}), ("ridge", {})):
        fitted = fit(
            build_spec(name, options),
            panel=PANEL,
            split=SPLIT,
            task=TASK,
            view=View(12),
            train=TrainSpec(epochs=1, steps=10) if options else None,
        )
        found[name] = save_bundle(fitted, panel=PANEL, folder=place / name, split=SPLIT)
    lower = {"precision": "int8", "panel": PANEL, "split": SPLIT, "share": 0.5}
    return found | {"int8": quantise(found["feedforward"], folder=place / "int8", **lower)}


@pytest.fixture
def bfloat(monkeypatch):
    """A processor that has bfloat16, whatever this one has."""
    monkeypatch.setattr(runtime, "read_cpu_flags", lambda: frozenset({"avx512_bf16"}))


def test_by_default_it_is_what_the_bundle_is_and_that_is_recorded(sealed):
    for name, own in (("feedforward", "float32"), ("ridge", "float32"), ("int8", "int8")):
        for asked in ("auto", own):
            session = open_session(sealed[name], precision=asked)
            assert (session.backend, session.settings["precision"].used) == ("onnxruntime", own)
            assert not session.settings["precision"].fallback


def test_a_network_answers_in_half_precision_and_says_how_near(sealed, bfloat):
    session = open_session(sealed["feedforward"], precision="bfloat16", strict=True)
    assert (session.backend, session.settings["precision"].used) == ("eager", "bfloat16")
    assert "in bfloat16 the example's answers differ by" in session.choice.reason
    assert "0.02 is allowed" in session.choice.reason
    assert any(
        "onnxruntime answers in float32 here; backend='eager' is who" in one for one in session.choice.passed_over
    )
    x = sealed["feedforward"].example()[0].target
    full = open_session(sealed["feedforward"]).predict(x).quantiles
    half = session.predict(x).quantiles
    assert not np.array_equal(half, full)
    assert np.abs(half - full).max() <= 0.05 * np.abs(full).max()


def test_half_precision_that_moves_the_answers_too_far_is_refused_with_the_figures(sealed, bfloat, monkeypatch):
    monkeypatch.setitem(choose.HALVES, "bfloat16", 1e-9)
    with pytest.raises(BackendError, match=r"differs by .* and 1e-09 is allowed\. Leave out precision 'bfloat16'"):
        open_session(sealed["feedforward"], precision="bfloat16")


def test_what_the_processor_lacks_is_refused_and_never_another_precision(sealed, monkeypatch):
    with pytest.raises(BackendError, match="no float16 on cpu: "):
        open_session(sealed["feedforward"], precision="float16")
    monkeypatch.setattr(runtime, "read_cpu_flags", lambda: frozenset({"sse2"}))
    with pytest.raises(BackendError, match="no bfloat16 on cpu: this processor has no instructions for it"):
        open_session(sealed["feedforward"], precision="bfloat16")


@pytest.mark.parametrize("asked", ["int8", "int8-static"])
def test_int8_is_not_made_without_validation_windows_but_the_call_that_makes_it_is_told(sealed, asked):
    with pytest.raises(BackendError, match=rf"tw.quantise\(bundle, precision='{asked}', panel=..., folder=...\) asks"):
        open_session(sealed["feedforward"], precision=asked)


def test_other_refusals_say_what_to_do(sealed, bfloat):
    with pytest.raises(BackendError, match=f"'feedforward' is int8. .*made of, {sealed['feedforward'].digest[:12]}"):
        open_session(sealed["int8"], precision="bfloat16")
    with pytest.raises(BackendError, match="bfloat16 is for networks alone: ridge is a formula"):
        open_session(sealed["ridge"], precision="bfloat16")
    with pytest.raises(ConfigError, match=r"precision is auto, float32, .* or int8-static; got 'fp8'"):
        open_session(sealed["ridge"], precision="fp8")
    with pytest.raises(BackendError, match="eager answers in float32 here, and int8 was asked for"):
        open_session(sealed["int8"], precision="int8", backend="eager", strict=True)


def test_the_original_in_float32_is_had_from_a_lower_bundle_s_weights(sealed):
    session = open_session(sealed["int8"], precision="float32")
    assert (session.backend, session.settings["precision"].used) == ("eager", "float32")
    x = sealed["int8"].example()[0].target
    full = open_session(sealed["feedforward"]).predict(x).quantiles
    assert np.allclose(session.predict(x).quantiles, full, rtol=1e-5)
    with pytest.warns(UserWarning, match="eager answers instead of onnxruntime"):
        open_session(sealed["int8"], precision="float32", backend="onnxruntime")


def test_figures_are_remembered_by_precision_and_those_of_before_are_still_found(sealed):
    from tidewright.inference.options import SessionOptions

    assert "precision" not in json.dumps(SessionOptions().to_dict())
    assert SessionOptions(precision="bfloat16").to_dict()["precision"] == "bfloat16"
