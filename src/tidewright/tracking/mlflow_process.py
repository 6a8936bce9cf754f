"""A process that writes what it is told to MLflow: lines of JSON in, one line with the outcome out.

A process of its own keeps the seconds that MLflow needs to begin, its chatter and its failures away from the
training. When the teller is gone without a word of farewell, the run is ended as killed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "OMP_NUM_THREADS": "1",
    "PYTHONWARNINGS": "ignore",
}


def serve(lines: SimpleQueue[str]) -> dict[str, str]:
    """Writes the lines to MLflow; gives its id of the run and the first failure, each empty where there is
    none."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    outcome = {"run": "", "failure": ""}
    try:
        _write(lines, outcome)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        outcome["failure"] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return outcome


def _write(lines: SimpleQueue[str], outcome: dict[str, str]) -> None:
    from tidewright.tracking.mlflow_log import MlflowLog

    first = json.loads(lines.get())
    log = MlflowLog(Path(first["folder"]), experiment=first["experiment"])
    outcome["run"] = log.start(first["run"])
    while line := lines.get():
        said = json.loads(line)
        if "finish" in said:
            log.finish(said["finish"])
            return
        log.hear(said)
        if lines.empty():
            log.flush()
    log.abandon()


def _drain(stream: IO[str], lines: SimpleQueue[str]) -> None:
    """Takes every line as soon as it comes, so that the teller never waits; an empty line is the end."""
    for line in stream:
        lines.put(line)
    lines.put("")


def main() -> None:
    """The process: reads stdin, answers on stdout."""
    answer: IO[str] = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes with the errors
    lines: SimpleQueue[str] = SimpleQueue()
    Thread(target=_drain, args=(sys.stdin, lines), daemon=True).start()
    answer.write(json.dumps(serve(lines)) + "\n")
    answer.flush()
    os._exit(0)  # nothing is left to do, and tearing MLflow down takes a while


if __name__ == "__main__":
    main()
