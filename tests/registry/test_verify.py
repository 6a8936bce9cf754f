"""Every byte of a bundle counts, and no file of it may be more than a plain file of the right size."""

import json
import os
import zipfile
from hashlib import sha256

import numpy as np
import pytest

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, TamperedError
from tidewright.inference.session import open_session
from tidewright.models.spec import Ridge
from tidewright.registry.bundle import load_bundle, read_tensors, save_bundle
from tidewright.registry.verify import CARD, EXAMPLE, GRAPH, MANIFEST, REFERENCE, WEIGHTS, read_verified, seal
from tidewright.training.fit import fit

FILES = (MANIFEST, GRAPH, WEIGHTS, EXAMPLE, CARD, REFERENCE)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    panel = small_panel()
    task = Task(4)
    fitted = fit(Ridge(lookbacks=(24,)), panel=panel, split=split_holdout(panel, task), task=task)
    bundle = save_bundle(fitted, panel=panel, folder=tmp_path_factory.mktemp("sealed") / "ridge")
    found = {path.name: path.read_bytes() for path in bundle.folder.iterdir()}
    assert set(found) == set(FILES)  # none of them is left out of what follows
    return found


def lay(files, folder):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_is_refused_and_the_file_is_named(tmp_path, files, name):
    folder = lay(files, tmp_path / "bundle")
    content = files[name]
    draw = np.random.default_rng(0)
    places = draw.choice(len(content), min(len(content), 400), False)
    for place in {*range(min(len(content), 100)), *map(int, places), len(content) - 1}:
        flipped = bytearray(content)
        flipped[place] ^= 1 << draw.integers(8)
        (folder / name).write_bytes(flipped)
        with pytest.raises(TamperedError, match=name.replace(".", r"\.")):
            read_verified(folder)
    (folder / name).write_bytes(content)
    read_verified(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_lengthened_or_missing_is_refused_and_named(tmp_path, files, name):
    folder = lay(files, tmp_path / "bundle")
    for content in (files[name][:-1], files[name][: len(files[name]) // 2], b"", files[name] + b"\0"):
        (folder / name).write_bytes(content)
        with pytest.raises(TamperedError, match=name.replace(".", r"\.")):
            load_bundle(folder)
    (folder / name).unlink()
    with pytest.raises(TamperedError, match=name.replace(".", r"\.")):
        load_bundle(folder)


def test_a_stranger_among_the_files_is_refused(tmp_path, files):
    folder = lay({**files, "run_me.py": b"print()"}, tmp_path / "bundle")
    with pytest.raises(TamperedError, match=r"'run_me.py' is not in the manifest"):
        load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
def test_links_folders_and_pipes_are_refused(tmp_path, files, name):
    folder = lay(files, tmp_path / "bundle")
    outside = tmp_path / "outside"
    outside.write_bytes(files[name])
    makers = (
        lambda place: place.symlink_to(outside),
        lambda place: os.link(outside, place),
        lambda place: place.mkdir(),
        os.mkfifo,
    )
    for make in makers:
        place = folder / name
        place.unlink() if not place.is_dir() else place.rmdir()
        make(place)
        with pytest.raises(TamperedError, match=r"no plain file|a hard link"):
            load_bundle(folder)


def reseal(files, change):
    """A forger's bundle: the manifest changed, and every digest made to fit."""
    manifest = json.loads(files[MANIFEST])
    change(manifest)
    text = json.dumps({key: value for key, value in manifest.items() if key != "digest"}, sort_keys=True, indent=1)
    body = text.removeprefix("{\n").encode()
    return {**files, MANIFEST: b'{\n "digest": "' + sha256(body).hexdigest().encode() + b'",\n' + body}


def rename_file(name):
    def change(manifest):
        manifest["files"][name] = manifest["files"].pop(CARD)

    return change


def put(*path, value):
    def change(manifest):
        for key in path[:-1]:
            manifest = manifest[key]
        manifest[path[-1]] = value

    return change


@pytest.mark.parametrize("name", ["../card.md", "/etc/passwd", "sub/card.md", "CARD.md", ""])
def test_a_manifest_can_t_point_outside_its_folder(tmp_path, files, name):
    with pytest.raises(TamperedError, match=r"does not list just model\.onnx"):
        load_bundle(lay(reseal(files, rename_file(name)), tmp_path / "bundle"))


@pytest.mark.parametrize("size", [10**15, -1, 1.5, True, "many", None])
def test_a_size_that_can_t_be_is_refused_before_anything_is_read(tmp_path, files, size):
    with pytest.raises(TamperedError, match=r"says that model\.onnx has"):
        load_bundle(lay(reseal(files, put("files", GRAPH, "size", value=size)), tmp_path / "bundle"))


def test_a_manifest_of_a_gigabyte_is_not_read(tmp_path, files):
    folder = lay(files, tmp_path / "bundle")
    with (folder / MANIFEST).open("r+b") as file:
        file.truncate(1 << 30)  # sparse: it takes no room
    with pytest.raises(TamperedError, match=r"manifest\.json was changed: it has 1073741824 bytes"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("format", value=2), "has the format 2; this Tidewright reads 1"),
        (put("model", "name", value="os.system"), "no model is called 'os.system'"),
        (put("model", "name", value="lstm"), "no option of lstm is called"),
        (put("model", "options", "lookbacks", value="rm -rf"), "ridge.lookbacks"),
        (put("model", value=[]), "does not name a model"),
        (put("task", "horizon", value=0), "horizon"),
        (put("task", "horizon", value=10**12), "'task.horizon' holds a number"),
        (put("view", "lookback", value=0), "'view.lookback' holds a number"),
        (put("schema", "frequency", "count", value=0), "'schema.frequency.count' holds"),
        (put("schema", "frequency", "unit", value="fortnight"), "'schema.frequency.unit' is wrong"),
        (put("widths", "past", value=3), "the manifest says"),
    ],
)
def test_a_forged_manifest_is_data_and_is_checked_as_data(tmp_path, files, change, message):
    with pytest.raises(BundleError, match=message):
        load_bundle(lay(reseal(files, change), tmp_path / "bundle"))


def test_a_forged_example_is_refused_when_the_bundle_is_opened(tmp_path, files):
    from safetensors.numpy import load, save

    example = load(files[EXAMPLE])
    example["answer"] = example["answer"] * 1.01
    forged = {**files, EXAMPLE: save(example)}
    manifest = {k: v for k, v in json.loads(files[MANIFEST]).items() if k not in ("digest", "files")}
    folder = lay(seal(manifest, {k: v for k, v in forged.items() if k != MANIFEST}), tmp_path / "bundle")
    with pytest.raises(BundleError, match="does not give the answer of the bundle's example"):
        open_session(folder, strict=True)


def test_a_deeply_nested_manifest_is_refused(tmp_path, files):
    body = b' "files": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    manifest = b'{\n "digest": "' + sha256(body).hexdigest().encode() + b'",\n' + body
    with pytest.raises(TamperedError, match="no JSON"):
        load_bundle(lay({**files, MANIFEST: manifest}, tmp_path / "bundle"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.pt2", "an archive of torch, which holds code or pickles and is never loaded"),
        ("model.ts", "an archive of torch"),
        ("model.pkl", "a pickle, which runs what its writer wished"),
        ("model.zip", "an archive, whose names can lead outside its folder"),
        ("model.txt", "there is no bundle at"),
    ],
)
def test_a_file_of_code_is_refused_with_what_to_give_in_its_place(tmp_path, name, message):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("../../outside.txt", "slipped")
    with pytest.raises(BundleError, match=f"{message}.*Give the folder"):
        load_bundle(tmp_path / name)
    assert not (tmp_path.parents[1] / "outside.txt").exists()


def test_weights_that_say_they_are_larger_than_they_are_are_refused(tmp_path, files):
    header = json.dumps({"spread": {"dtype": "F64", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 8]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(8)
    with pytest.raises(BundleError, match=r"weights\.safetensors holds no tensors"):
        read_tensors(weights, name=WEIGHTS)
    endless = (1 << 60).to_bytes(8, "little") + header
    with pytest.raises(BundleError, match=r"weights\.safetensors holds no tensors"):
        read_tensors(endless, name=WEIGHTS)


def test_where_there_is_no_bundle_the_message_says_so(tmp_path):
    with pytest.raises(BundleError, match="there is no bundle at"):
        load_bundle(tmp_path / "nothing")
    with pytest.raises(TamperedError, match=r"has no manifest\.json"):
        load_bundle(tmp_path)
