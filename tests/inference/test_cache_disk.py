"""The second level of a cache: files that are right, bounded, and never trusted."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.inference.stub import StubSession
from tests.inference.test_cache import Clock, window
from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.inference.cache import cached
from tidewright.inference.session import open_session
from tidewright.models.spec import Ridge
from tidewright.registry.bundle import save_bundle
from tidewright.runtime import Choice
from tidewright.training.fit import fit


def files(folder):
    return sorted(folder.glob("*"))


def test_an_answer_outlives_the_session(tmp_path):
    first = cached(StubSession(), folder=tmp_path / "kept").predict(window(1, 2))
    stub = StubSession()
    session = cached(stub, folder=tmp_path / "kept")
    again = session.predict(window(1, 2))
    assert not stub.asked
    assert np.array_equal(again.quantiles, first.quantiles)
    assert again[1:] == first[1:]
    assert not again.quantiles.flags.writeable
    assert session.predict(window(1, 2)) is again  # from memory
    counts = session.counts()
    assert (counts.disk.hits, counts.disk.misses, counts.hits, counts.misses) == (1, 0, 1, 1)
    assert counts.disk.bytes == sum(path.stat().st_size for path in files(tmp_path / "kept"))


@pytest.mark.parametrize("change", [{"digest": "e" * 64}, {"inputs": ("past",)}])
def test_another_bundle_has_answers_of_its_own(tmp_path, change):
    cached(StubSession(), folder=tmp_path).predict(window(1))
    stub = StubSession(**change)
    given = {"past": window(1)} if "inputs" in change else window(1)
    cached(stub, folder=tmp_path).predict(given)
    assert len(stub.asked) == 1


@pytest.mark.parametrize(
    ("name", "value"), [("backend", "another"), ("settings", {"threads": Choice("2", "2", "", ())})]
)
def test_another_backend_or_setting_has_answers_of_its_own(tmp_path, name, value):
    cached(StubSession(), folder=tmp_path).predict(window(1))
    stub = StubSession()
    setattr(stub, name, value)
    cached(stub, folder=tmp_path).predict(window(1))
    assert len(stub.asked) == 1


def test_a_bundle_that_is_saved_anew_is_never_answered_by_the_old_one(tmp_path):
    task, rows, answers = Task(4), np.arange(24, dtype=np.float32)[None], []
    for name, panel in (("first", small_panel()), ("second", small_panel(seed=1))):
        fitted = fit(Ridge(lookbacks=(24,)), panel=panel, split=split_holdout(panel, task), task=task)
        bundle = save_bundle(fitted, panel=panel, folder=tmp_path / name)
        session = open_session(bundle)
        for _ in range(2):
            answers.append(cached(session, folder=tmp_path / "kept").predict(rows).quantiles)
        assert np.array_equal(answers[-1], session.predict(rows).quantiles)
    assert np.array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


@pytest.mark.parametrize("place", [0, 25, 60, 150, -1, "cut", "empty", "longer"])
def test_a_file_that_is_damaged_is_counted_and_made_again(tmp_path, place):
    whole = cached(StubSession(), folder=tmp_path).predict(window(3)).quantiles
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    if isinstance(place, int):
        content[place] ^= 1
    path.write_bytes({"cut": content[:-5], "empty": b"", "longer": content + b"1"}.get(place, content))
    stub = StubSession()
    session = cached(stub, folder=tmp_path)
    assert np.array_equal(session.predict(window(3)).quantiles, whole)
    assert len(stub.asked) == 1
    assert (session.counts().disk.damaged, session.counts().disk.misses) == (1, 1)
    assert cached(StubSession(), folder=tmp_path).predict(window(3)).quantiles.tolist() == whole.tolist()
    assert len(files(tmp_path)) == 1


def test_the_age_goes_on_while_no_process_runs(tmp_path):
    clock = Clock()
    cached(StubSession(), folder=tmp_path, ttl_s=60, clock=clock).predict(window(1))
    clock.now += 40
    stub = StubSession()
    session = cached(stub, folder=tmp_path, ttl_s=60, clock=clock)
    session.predict(window(1))
    clock.now += 19
    session.predict(window(1))
    assert not stub.asked
    clock.now += 1
    session.predict(window(1))
    assert len(stub.asked) == 1
    assert session.counts().disk.expiries == 1


def test_the_bytes_on_disk_are_bounded_and_the_least_recently_used_goes_first(tmp_path):
    clock = Clock()
    session = cached(StubSession(), folder=tmp_path, clock=clock)
    session.predict(window(1))
    (path,) = files(tmp_path)
    size = path.stat().st_size
    session = cached(StubSession(), folder=tmp_path, disk_bytes=10 * size + 50, clock=clock)
    for value in range(1, 31):
        clock.now += 1
        session.predict(window(value))
        cached(StubSession(), folder=tmp_path, clock=clock).predict(window(1))  # used all the time
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 10 * size + 50
    assert session.counts().disk.evictions >= 20
    stub = StubSession()
    reader = cached(stub, folder=tmp_path, clock=clock)
    for value in (1, 30, 29):
        reader.predict(window(value))
    assert not stub.asked
    assert cached(StubSession(), folder=tmp_path, disk_bytes=3 * size, clock=clock).counts().disk.bytes <= 3 * size


def test_a_disk_that_cannot_be_written_costs_nothing_but_its_count(tmp_path):
    session = cached(StubSession(), folder=tmp_path / "kept")
    (tmp_path / "kept").rmdir()
    assert session.predict(window(1)).quantiles[0, 0, 0] == 1
    assert session.counts().disk.unwritten == 1
    session.clear()


def test_a_folder_that_others_can_write_to_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    os.chmod(tmp_path / "open", 0o777)
    with pytest.raises(ConfigError, match="can be written to by others"):
        cached(StubSession(), folder=tmp_path / "open")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be made"):
        cached(StubSession(), folder=tmp_path / "file")
    with pytest.raises(ConfigError, match="disk_bytes is a whole number"):
        cached(StubSession(), folder=tmp_path, disk_bytes=0)


def test_a_link_in_the_folder_is_not_followed(tmp_path):
    cached(StubSession(), folder=tmp_path / "kept").predict(window(1))
    (path,) = files(tmp_path / "kept")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    stub = StubSession()
    cached(stub, folder=tmp_path / "kept").predict(window(1))
    assert len(stub.asked) == 1
    assert not path.is_symlink()


def test_threads_share_a_folder(tmp_path):
    def ask(seed):
        session = cached(StubSession(), folder=tmp_path, entries=2, disk_bytes=4000)
        for value in np.random.default_rng(seed).integers(1, 20, 60):
            assert session.predict(window(value)).quantiles[0, 0, 0] == value
        return session.counts().disk.damaged

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(4))) == {0}
    assert not list(tmp_path.glob("*.part"))


def test_clear_empties_the_folder(tmp_path):
    session = cached(StubSession(), folder=tmp_path)
    session.predict(window(1))
    session.clear()
    assert not files(tmp_path)
    assert session.counts().disk.bytes == 0
