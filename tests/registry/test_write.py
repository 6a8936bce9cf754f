"""A folder written whole or not at all: kills at every step and at random moments, a full disk, other
writers.
"""

import json
import os
import resource
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import pytest

from tidewright.errors import BundleError
from tidewright.registry.verify import CARD, EXAMPLE, GRAPH, MANIFEST, WEIGHTS, read_verified, seal
from tidewright.registry.write import write_folder

KILLER = Path(__file__).with_name("kill_writer.py")


def version(text: str, size: int = 200_000) -> dict[str, bytes]:
    files = {GRAPH: text.encode() * size, WEIGHTS: text.encode(), EXAMPLE: b"", CARD: b"card"}
    return seal({"text": text}, files)


@pytest.fixture
def sources(tmp_path):
    places = []
    for text in "ab":
        write_folder(version(text), tmp_path / "sources" / text)
        places.append(tmp_path / "sources" / text)
    return places


def whole(folder: Path) -> str:
    """Which version stands there; raises when it is none."""
    content = read_verified(folder)
    text = content.manifest["text"]
    assert content.files[GRAPH] == text.encode() * 200_000
    return text


def kill(how, sources, place):
    command = [sys.executable, str(KILLER), how, *map(str, sources), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_kill_at_any_step_of_a_write_leaves_the_old_version_or_the_new_one(tmp_path, sources):
    report = kill("steps", sources, tmp_path / "shelf" / "bundle")
    first, second = report["found"]
    assert min(len(first), len(second)) > 20
    assert first == sorted(first, key=["nothing", "b"].index)  # no step back once the new version is there
    assert second == sorted(second, key=["a", "b"].index)
    assert set(first) == {"nothing", "b"}
    assert set(second) == {"a", "b"}
    assert report["left"] == ["bundle"]


def test_a_kill_at_a_random_moment_leaves_a_whole_version_and_the_next_write_cleans_up(tmp_path, sources):
    report = kill("moments", sources, tmp_path / "shelf" / "bundle")
    assert {"a", "b"} <= set(report["found"][0]) <= {"nothing", "a", "b"}
    assert report["left"] == ["bundle"]


def test_two_writers_and_a_reader_see_whole_versions_only(tmp_path):
    place, stop = tmp_path / "bundle", threading.Event()
    write_folder(version("a"), place)

    def write(text):
        while not stop.is_set():
            write_folder(version(text), place, overwrite=True)

    writers = [threading.Thread(target=write, args=(text,)) for text in "ab"]
    for writer in writers:
        writer.start()
    try:
        reads = (whole(place) for _ in range(5000))
        seen = set(islice(reads, 60))
        while seen != {"a", "b"}:
            seen.add(next(reads))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert seen == {"a", "b"}
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_disk_that_refuses_leaves_the_old_version_and_nothing_else(tmp_path):
    place = tmp_path / "bundle"
    write_folder(version("a"), place)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(BundleError, match=r"could not be written: File too large. What stood there before is"):
            write_folder(version("b"), place, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert whole(place) == "a"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_stands_there_is_replaced_only_when_asked_and_only_when_it_is_a_bundle(tmp_path):
    place = tmp_path / "bundle"
    write_folder(version("a"), place)
    with pytest.raises(BundleError, match=r"exists already\. Give another folder, or overwrite=True"):
        write_folder(version("b"), place)
    assert whole(place) == "a"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letters.txt").write_text("dear")
    with pytest.raises(BundleError, match="is no bundle, so it is not replaced"):
        write_folder(version("b"), tmp_path / "mine", overwrite=True)
    (tmp_path / "link").symlink_to(place)
    with pytest.raises(BundleError, match="is no bundle, so it is not replaced"):
        write_folder(version("b"), tmp_path / "link", overwrite=True)


def test_a_live_writer_s_folder_is_not_taken_for_a_leftover(tmp_path):
    from tidewright.registry.write import _lock, delete_leftovers

    live, dead = tmp_path / ".bundle.0.partial", tmp_path / ".bundle.1.partial"
    other = tmp_path / ".bundle2.0.partial"
    for folder in (live, dead, other):
        folder.mkdir()
        (folder / MANIFEST).write_text("half")
    handle = _lock(live)
    try:
        delete_leftovers(tmp_path / "bundle")
    finally:
        os.close(handle)
    assert live.exists()
    assert other.exists()
    assert not dead.exists()
