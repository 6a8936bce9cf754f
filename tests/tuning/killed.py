"""Studies whose processes are killed; a script of its own, for it forks. Prints what a test compares as JSON.

usage: killed.py FOLDER WHAT [ADDRESS], WHAT one of plain, network, together, two
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Assignment, Outcome
from tidewright.tuning.open_store import open_store
from tidewright.tuning.pruners import MedianPruner
from tidewright.tuning.search import Plan, search
from tidewright.tuning.searchers.tpe import TPESearcher
from tidewright.tuning.space import Choice, FloatRange, SearchSpace

SPACE = SearchSpace("bowl", {"x": FloatRange(-1.0, 1.0), "sizes": Choice(((1, 2), (3,)))})
KILLS, STEPS = 50, 3


def bowl(assignment: Assignment) -> Outcome:
    value = assignment.point["x"] ** 2 + len(assignment.point["sizes"])
    for step in range(1, STEPS + 1):
        time.sleep(0.001)
        assignment.report(step, value + 1.0 / step)
    return Outcome((value,))


def make_plan(seed: int, trials: int) -> Plan:
    limits = Limits(time.monotonic(), None, trials, time.monotonic)
    return Plan(SPACE, TPESearcher(), limits, seed, MedianPruner(warmup=2))


def fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)
    raise AssertionError


def run_killed(work: Callable[[], object], draw: random.Random, *, longest_s: float) -> bool:
    """Whether the work was done before it was killed."""
    child = fork(work)
    time.sleep(draw.uniform(0.0, longest_s))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return not os.WIFSIGNALED(status)


def account(trials: Any) -> list[Any]:
    kept = [(t.number, str(t.state), t.values, dict(t.parameters), t.steps, t.error) for t in trials]
    return json.loads(json.dumps(kept))


def kill_plain(folder: Path) -> dict[str, Any]:
    """Studies that are killed again and again at random moments, beside the same ones that were not."""
    open_store(f"sqlite:///{folder}/0.db")  # imports what its children need
    draw, kills, pairs, seed = random.Random(5), 0, [], 0
    while kills < KILLS:
        seed += 1
        store, where = seed, (folder / str(seed) if seed % 2 else f"sqlite:///{folder}/{seed}.db")

        whole = search(bowl, make_plan(seed, 20), store=open_store(None))  # first: it imports what its children need

        def work(where: Any = where, store: int = store) -> None:
            search(bowl, make_plan(store, 20), store=open_store(where, retries=1000))

        longest_s = 0.04
        while not run_killed(work, draw, longest_s=longest_s):
            kills, longest_s = kills + 1, 1.2 * longest_s  # or a busy machine would never come to its end
        pairs.append((account(open_store(where).trials()), account(whole.trials)))
    return {"kills": kills, "pairs": pairs}


def kill_network(folder: Path, *, together: int = 1, ends: Sequence[int] = (3, 1, 6)) -> dict[str, Any]:
    """A network's study whose process ends itself at given events, and then at random moments."""
    import optuna
    import polars as pl
    import safetensors.torch

    import tidewright.training.fit_torch  # before the fork; polars can't be used before it
    from tidewright.data.panel import Panel
    from tidewright.data.splits import split_holdout
    from tidewright.data.task import Task
    from tidewright.training.events import EpochEnded, TrialEnded
    from tidewright.training.spec import TrainSpec
    from tidewright.tuning.tune import tune

    days = [date(2024, 1, 1) + timedelta(days=day) for day in range(150)]
    sold = [50.0 + 10 * (day % 7) + day**0.5 * (day % 3) for day in range(150)]
    task = Task(horizon=7)
    space = SearchSpace("nlinear", {"train.learning_rate": FloatRange(1e-4, 1e-2, log=True)})
    train = TrainSpec(epochs=5, steps=3, batch_size=8)
    log = folder / "epochs.log"

    def study(storage: Path | None, *, at: int | None = None) -> Any:
        heard = []

        def hear(event: Any) -> None:
            if isinstance(event, EpochEnded | TrialEnded):
                heard.append(event)
                with log.open("a") as file:
                    file.write(f"{storage is None} {type(event).__name__} {getattr(event, 'epoch', '')}\n")
                if len(heard) == at:
                    os.kill(os.getpid(), signal.SIGKILL)

        table = pl.DataFrame({"shop": "a", "day": days, "sold": sold})
        panel = Panel.from_table(table, series="shop", time="day", target="sold")
        given: dict[str, Any] = {"panel": panel, "split": split_holdout(panel, task), "task": task, "model": "nlinear"}
        given |= {
            "searcher": "tpe",
            "train": train,
            "trials": 4 if together == 1 else 2 * together,
            "together": together,
            "seed": 1,
            "callbacks": [hear],
            "ledger": folder / "ledger",
        }
        return tune(space, storage=storage, **given)

    _ = optuna, safetensors.torch, tidewright.training.fit_torch
    draw, done, kept = random.Random(1), False, folder / "study"
    for at in ends:
        _, status = os.waitpid(fork(lambda at=at: study(kept, at=at)), 0)
        assert os.WIFSIGNALED(status)
    kills = len(ends)
    while not done and kills < len(ends) + 5:
        done = run_killed(lambda: study(kept), draw, longest_s=0.2 * kills)
        kills += not done
    resumed, whole = study(kept), study(None)
    lines = log.read_text().splitlines()
    files = sorted(str(path.relative_to(kept)) for path in kept.rglob("*.safetensors"))
    weights = [{name: array.tolist() for name, array in one.fitted.tensors().items()} for one in (resumed, whole)]
    return {
        "kills": kills,
        "pairs": [(account(resumed.trials), account(whole.trials))],
        "epochs": [sum(line.startswith(f"{alone} EpochEnded") for line in lines) for alone in (False, True)],
        "best": resumed.best.number,
        "files": files,
        "weights": weights,
        "notes": resumed.notes,
        "bets": [resumed.account.trials, resumed.account.studies],
        "trial_notes": [trial.notes for trial in resumed.trials],
    }


def kill_together(folder: Path) -> dict[str, Any]:
    """The same with steps of four trials of five epochs: killed in an epoch, and while the ends of a step are told."""
    return kill_network(folder, together=4, ends=(7, 21, 1, 3, 2))


def run_two(folder: Path) -> dict[str, Any]:
    """Two processes on one study, on a journal and on SQLite, or at an address."""
    found = {}
    for where in sys.argv[3:] or (folder / "journal", f"sqlite:///{folder}/two.db"):
        ran = folder / f"ran-{len(found)}"
        ran.mkdir()

        def once(assignment: Assignment, ran: Path = ran) -> Outcome:
            with (ran / str(assignment.number)).open("x") as file:  # a second time is an error, and fails the trial
                file.write(str(os.getpid()))
            time.sleep(0.002)
            return bowl(assignment)

        def work(where: Any = where, once: Any = once) -> None:
            search(once, make_plan(1, 20), store=open_store(where))

        open_store(where).close()  # so that both begin at once
        for child in [fork(work), fork(work)]:
            assert os.waitpid(child, 0)[1] == 0
        trials = open_store(where).trials()
        workers = {path.read_text() for path in ran.iterdir()}
        found[str(len(found))] = {"trials": account(trials), "workers": len(workers), "ran": len(list(ran.iterdir()))}
    return found


if __name__ == "__main__":
    what = {"plain": kill_plain, "network": kill_network, "together": kill_together, "two": run_two}[sys.argv[2]]
    print(json.dumps(what(Path(sys.argv[1]))))
