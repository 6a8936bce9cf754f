"""An estimator's bundle gives back its bits, opens without what trained it, and refuses what was changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import tidewright as tw
from tests.training.test_fit_estimator import QUICK, fitted, world
from tidewright.errors import BundleError, ParityError, TamperedError
from tidewright.features.shape import shape_table
from tidewright.models.estimator import pick_features
from tidewright.models.specs.estimators import ESTIMATORS
from tidewright.registry.estimator_bundle import load_estimator, save_estimator
from tidewright.registry.verify import CARD, EXAMPLE, GRAPH, MANIFEST, WEIGHTS, read_verified, seal
from tidewright.registry.write import write_folder
from tidewright.training.fit_estimator import fit_estimator

every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("estimators")
    return {name: save_estimator(fitted(name), panel=world(), folder=root / name).folder for name in ESTIMATORS}


@every_estimator
def test_what_was_saved_comes_back_bit_for_bit(name: str, folders: dict[str, Path]) -> None:
    bundle, other = load_estimator(folders[name]), world(20, seed=5)
    assert bundle.estimator.estimate(other).equals(fitted(name).estimate(other))
    for field in ("spec", "shape", "features", "target", "coverage", "judgement", "notes"):
        assert getattr(bundle.estimator, field) == getattr(fitted(name), field), field
    assert f"| {name} |" in bundle.card
    assert "| mean |" in bundle.card


@every_estimator
def test_the_graph_answers_as_the_estimator_does(name: str, folders: dict[str, Path]) -> None:
    bundle = load_estimator(folders[name])
    inputs = pick_features(shape_table(world(50, seed=6), spec=bundle.estimator.shape), bundle.estimator.features)
    inputs[3, :30] = np.nan  # too little is measured
    inputs[4, ::3] = np.nan
    session = ort.InferenceSession(bundle.graph, providers=["CPUExecutionProvider"])
    for count in (1, 50):
        made = session.run(None, {"features": inputs[:count]})[0]
        np.testing.assert_allclose(made, bundle.estimator.predict(inputs[:count]), rtol=1e-5, atol=1e-6)
    assert np.isnan(made[3]).all()
    assert bundle.parity <= 1e-5


def test_a_bundle_opens_and_estimates_where_what_trained_it_is_not_installed(folders: dict[str, Path]) -> None:
    code = (
        "import sys\n"
        "for name in ('sklearn', 'lightgbm', 'torch', 'onnxruntime'): sys.modules[name] = None\n"
        "import tidewright as tw\n"
        "from tidewright.data.simulate import fractional_panel\n"
        "panel = fractional_panel(hursts=[0.3, 0.8], length=200, seed=1)\n"
        f"for folder in {[str(folder) for folder in folders.values()]}:\n"
        "    low, high = tw.load_estimator(folder).estimator.estimate(panel)['estimate']\n"
        "    assert low < 0.5 < high\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("file", [MANIFEST, GRAPH, WEIGHTS, EXAMPLE, CARD])
def test_a_changed_byte_is_refused_and_the_file_is_named(file: str, tmp_path: Path) -> None:
    folder = save_estimator(fitted("svr"), panel=world(), folder=tmp_path / "svr").folder
    assert {path.name for path in folder.iterdir()} == {MANIFEST, GRAPH, WEIGHTS, EXAMPLE, CARD}
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(TamperedError, match=file.replace(".", r"\.")):
        load_estimator(folder)


def forge(folder: Path, place: Path, **changed: object) -> Path:
    """The bundle with another manifest, sealed properly."""
    content = read_verified(folder)
    plain = {key: value for key, value in content.manifest.items() if key not in ("digest", "files")}
    write_folder(seal({**plain, **changed}, content.files), place)
    return place


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"estimator": {"name": "os.system", "options": {}}}, "no estimator is called 'os.system'"),
        ({"estimator": {"name": "svr", "options": {"cost": -1.0}}}, "is wrong"),
        ({"estimator": "svr"}, "does not name an estimator"),
        ({"features": ["dfa"]}, "Train the model anew|features"),
        ({"features": ["dfaa"]}, "no feature is called 'dfaa'"),
        ({"coverage": 3.0}, "can't be"),
        ({"shape": {"levels": 99}}, "is wrong"),
        ({"format": 7}, "this bundle has the format 7"),
    ],
)
def test_a_manifest_that_describes_no_estimator_is_refused(changed, message, folders, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BundleError, match=message):
        load_estimator(forge(folders["svr"], tmp_path / "forged", **changed))


def test_weights_of_another_estimator_do_not_give_the_example(folders: dict[str, Path], tmp_path: Path) -> None:
    content = read_verified(folders["svr"])
    other = fit_estimator("svr", world(60, seed=8), target="hurst")
    from tidewright.registry.bundle import write_tensors

    plain = {key: value for key, value in content.manifest.items() if key not in ("digest", "files")}
    write_folder(seal(plain, {**content.files, WEIGHTS: write_tensors(other.tensors())}), tmp_path / "mixed")
    with pytest.raises(ParityError, match="does not give the answer of the bundle's example"):
        load_estimator(tmp_path / "mixed")


def test_an_estimator_is_not_opened_as_a_forecaster_nor_the_other_way(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"estimator and forecasts nothing\. Open it with tidewright"):
        tw.open(folders["svr"])
    assert json.loads((folders["svr"] / "manifest.json").read_text())["target"] == "hurst"


def test_an_existing_folder_is_replaced_only_when_asked_to(tmp_path: Path) -> None:
    save_estimator(fitted("svr"), panel=world(), folder=tmp_path / "one")
    with pytest.raises(BundleError, match="exists already"):
        save_estimator(fitted("svr"), panel=world(), folder=tmp_path / "one")
    other = fit_estimator(QUICK["svr"], world(60, seed=8), target="hurst")
    assert save_estimator(other, panel=world(), folder=tmp_path / "one", overwrite=True).digest


def test_without_a_test_against_the_floors_the_bundle_says_so(tmp_path: Path) -> None:
    panel = world(40)
    groups = {name: number % 5 for number, name in enumerate(panel.series_ids)}
    bundle = save_estimator(
        fit_estimator("svr", panel, target="hurst", groups=groups), panel=panel, folder=tmp_path / "few"
    )
    assert bundle.estimator.judgement.p_value is None
    assert "The p-value against the best floor is not known" in bundle.card
