"""Foundation models from weights on disk: tiny random ones, made here and saved as their packages do."""

from __future__ import annotations

import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

from tests.tiny_weights import MAKERS, tiny_weights
from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, BundleError, ConfigError, MissingExtraError
from tidewright.features.separate import to_windows
from tidewright.features.view import View
from tidewright.features.windows import Batch
from tidewright.inference.session import open_session
from tidewright.models.build import build_spec
from tidewright.models.foundation import DIGEST, Foundation, take_levels
from tidewright.models.load_pretrained import load_network
from tidewright.models.pretrained import digest_weights
from tidewright.models.specs.foundation import Chronos, TimesFM
from tidewright.registry.bundle import load_bundle, save_bundle
from tidewright.registry.difference import relative_difference
from tidewright.registry.rebuild import rebuild
from tidewright.registry.trial_windows import hard_windows, real_windows, take
from tidewright.training.fit import fit

TASK = Task(12, (0.05, 0.1, 0.5, 0.75, 0.9))  # beyond their own horizon and their own levels
PANEL = small_panel(covariates=False)
PARTS: dict[str, Any] = {"panel": PANEL, "split": split_holdout(PANEL, TASK), "task": TASK}
every_network = pytest.mark.parametrize("name", MAKERS)


def learn(name: str, **options: Any) -> Any:
    given = {"weights": tiny_weights(name), **options}
    return fit(build_spec("timesfm" if name == "timesfm" else "chronos", given), **PARTS)


def ask(model: Foundation, batch: Batch) -> np.ndarray:
    return model.predict(to_windows(batch, horizon=TASK.horizon))


def real_of(model: Foundation, *, most: int = 8) -> Batch:
    return real_windows(PANEL, model.view, horizon=TASK.horizon, most=most)


@every_network
def test_it_answers_finite_ascending_quantiles_on_real_windows_and_hard_ones(name: str) -> None:
    model = learn(name)
    real = real_of(model, most=4)
    for case, batch in (("real", real), *hard_windows(real)):
        if case == "64 windows":
            continue
        answer = ask(model, batch)
        assert answer.shape == (len(batch.target), 12, 5)
        assert np.isfinite(answer).all(), case
        assert (np.diff(answer, axis=2) >= 0).all(), case


@every_network
def test_a_window_alone_is_answered_as_among_others_and_twice_alike(name: str) -> None:
    model = learn(name, batch=3)
    real = real_of(model)
    whole = ask(model, real)
    assert np.array_equal(ask(model, real), whole)
    alone = np.concatenate([ask(model, take(real, slice(k, k + 1))) for k in range(len(real.target))])
    assert relative_difference(alone, whole, target=real.target) <= 2e-6


@every_network
def test_a_missing_value_is_no_zero_and_a_window_without_any_is_nan(name: str) -> None:
    model = learn(name)
    real = take(real_of(model), slice(0, 2))
    holes = real.target.copy()
    holes[0, 5:9] = np.nan
    empty = real.target.copy()
    empty[1] = np.nan
    answers = [ask(model, replace(real, target=target)) for target in (real.target, holes, empty)]
    zeros = ask(model, replace(real, target=np.nan_to_num(holes)))
    assert not np.array_equal(answers[1][0], zeros[0])
    assert np.isnan(answers[2][1]).all()
    assert relative_difference(answers[2][:1], answers[0][:1], target=real.target[:1]) <= 2e-6


def test_chronos_2_answers_as_its_package_does_at_its_own_levels() -> None:
    from chronos import BaseChronosPipeline

    model = learn("chronos2")
    own = replace(model, task=Task(12, (0.05, 0.5, 0.9)))
    real = real_of(model, most=4)
    pipeline = BaseChronosPipeline.from_pretrained(tiny_weights("chronos2"), dtype=torch.float32)
    given = torch.from_numpy(real.target)[:, None]
    theirs, _ = pipeline.predict_quantiles(given, prediction_length=12, quantile_levels=pipeline.quantiles)
    wanted = np.sort(torch.cat(theirs).numpy(), axis=2)[:, :, [0, 5, 9]]
    np.testing.assert_allclose(ask(own, real), wanted, rtol=1e-6)


def test_the_draws_of_chronos_t5_leave_torchs_generator_alone() -> None:
    model = learn("chronos_t5")
    real = take(real_of(model), slice(0, 1))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = ask(model, real)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert np.array_equal(ask(model, real), first)


def test_levels_between_and_beyond_a_networks_own_are_exact_for_a_normal_distribution() -> None:
    own, wanted = (0.1, 0.3, 0.5, 0.8), (0.02, 0.1, 0.25, 0.5, 0.75, 0.95)
    answer = norm(3.0, 2.0).ppf(own)[None, None].astype(np.float32)
    found = take_levels(answer, own=own, wanted=wanted)
    np.testing.assert_allclose(found[0, 0], norm(3.0, 2.0).ppf(wanted), rtol=1e-5)
    assert found[0, 0, 1] == np.float64(answer[0, 0, 0])


def test_samples_give_their_quantiles() -> None:
    draws = np.random.default_rng(0).normal(size=(2, 3, 50)).astype(np.float32)
    found = take_levels(draws, own=(), wanted=(0.1, 0.5))
    np.testing.assert_allclose(found[1, 2], np.quantile(draws[1, 2], (0.1, 0.5)), rtol=1e-6)


def test_the_history_says_what_it_is_and_the_lookback_ends_where_the_network_does() -> None:
    model = learn("chronos", context=5000)
    record = model.history[0]
    assert model.view == View(64)
    assert (record["own_context"], record["own_horizon"], len(record["own_levels"])) == (64, 8, 9)
    assert record["weights_sha256"] == model.digest == digest_weights(Path(tiny_weights("chronos")))
    assert record["seconds_a_window"] > 0
    assert learn("chronos", context=24).view == View(24)


def test_more_samples_are_other_quantiles() -> None:
    model = learn("chronos_t5", samples=8)
    real = take(real_of(model), slice(0, 1))
    assert not np.array_equal(ask(model, real), ask(learn("chronos_t5", samples=12), real))


def test_nothing_is_asked_of_a_network_and_nothing_is_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in MAKERS:
        tiny_weights(name)
    load_network.cache_clear()
    capfd.readouterr()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in MAKERS:
        learn(name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("spec", "source"), [(Chronos(), "amazon/chronos-bolt-small"), (TimesFM(), "timesfm-3.0")])
def test_without_weights_the_message_says_what_to_download(spec: Any, source: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"needs weights on disk, and none are given\. Download .*{source}"):
        fit(spec, **PARTS)
    with pytest.raises(ConfigError, match=rf"'{tmp_path}' holds no config\.json .*hf download .*\[foundation\]"):
        fit(replace(spec, weights=str(tmp_path)), **PARTS)


@pytest.mark.parametrize(("name", "other"), [("chronos", "timesfm"), ("timesfm", "chronos")])
def test_weights_of_another_kind_are_refused(name: str, other: str) -> None:
    with pytest.raises(ConfigError, match=r"holds no weights of (Chronos|TimesFM)"):
        fit(build_spec(name, {"weights": tiny_weights(other)}), **PARTS)


@pytest.mark.parametrize("name", ["chronos", "timesfm"])
def test_a_weight_that_is_missing_is_not_left_random(name: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / name
    shutil.copytree(tiny_weights(name), folder)
    held = load_file(folder / "model.safetensors")
    lost = max(name for name in held if "embed" not in name and "shared" not in name)  # those have other names, too
    save_file({key: value for key, value in held.items() if key != lost}, folder / "model.safetensors")
    with pytest.raises(ConfigError, match=rf"1 are missing, the first '{lost}'"):
        learn(name, weights=str(folder))


@pytest.mark.parametrize(("name", "package"), [("chronos", "chronos"), ("timesfm", "timesfm3")])
def test_without_its_package_the_extra_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_weights(name)
    load_network.cache_clear()
    monkeypatch.setattr("tidewright.optional.has", lambda module: module != package)
    with pytest.raises(MissingExtraError, match=rf"needs the package '{package}'.*\[foundation\]"):
        learn(name)


@pytest.fixture
def moving(tmp_path: Path) -> tuple[Path, Path]:
    """A bundle, and the folder of its weights, which may be moved."""
    weights = tmp_path / "shelf" / "bolt"
    shutil.copytree(tiny_weights("chronos"), weights)
    model = learn("chronos", weights=str(weights))
    save_bundle(model, panel=PANEL, folder=tmp_path / "bundle")
    return tmp_path / "bundle", weights


def test_a_bundle_holds_the_digest_of_the_weights_and_where_they_were(moving: tuple[Path, Path]) -> None:
    folder, weights = moving
    bundle = load_bundle(folder)
    assert bundle.manifest.spec.weights == str(weights)  # type: ignore[attr-defined]
    assert bundle.tensors()[DIGEST].tobytes().hex() == digest_weights(weights)
    assert "chronos is the network of another package" in bundle.manifest.no_graph
    assert open_session(bundle).backend == "eager"


def test_other_weights_in_their_place_are_refused(moving: tuple[Path, Path]) -> None:
    folder, weights = moving
    path = weights / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"are not those that this bundle was written with: sha256 .* instead of"):
        open_session(folder)


def test_weights_that_moved_are_found_on_the_shelf(moving: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, weights = moving
    shelf = weights.parent.rename(weights.parents[1] / "elsewhere")
    with pytest.raises(BundleError, match=r"are not at .*name the folder above it in .*TIDEWRIGHT_WEIGHTS"):
        open_session(folder)
    monkeypatch.setenv("TIDEWRIGHT_WEIGHTS", str(shelf))
    assert open_session(folder).backend == "eager"


def test_a_bundle_without_the_digest_is_refused(moving: tuple[Path, Path]) -> None:
    bundle = load_bundle(moving[0])
    for tensors in ({}, {DIGEST: np.zeros(32)}, {**bundle.tensors(), "extra": np.zeros(1)}):
        with pytest.raises(BundleError, match=f"holds just the array '{DIGEST}'"):
            rebuild(bundle.manifest, tensors)


def test_a_bundle_opens_not_without_the_package(moving: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidewright.optional.has", lambda module: module != "chronos")
    with pytest.raises(BackendError, match=r"needs the package 'chronos'.*\[foundation\]"):
        open_session(moving[0])
