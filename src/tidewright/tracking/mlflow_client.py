"""`MlflowRecord`: the near side of `mlflow_process`; telling it costs microseconds and never waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from threading import Thread
from typing import IO, Any

from tidewright.errors import MissingExtraError
from tidewright.optional import has
from tidewright.tracking.mlflow_process import ENVIRONMENT
from tidewright.tracking.plain import dump, to_plain
from tidewright.tracking.run import Run, RunState

FINISH_S = 60.0


class MlflowRecord:
    """Keeps one run in the folder's MLflow store. Every verb raises `OSError` when the other side is gone."""

    name = "MLflow"

    def __init__(self, folder: Path, *, experiment: str, finish_s: float = FINISH_S) -> None:
        """`finish_s` is how long `finish` waits for MLflow to have written everything."""
        self._folder, self._experiment, self._finish_s = folder, experiment, finish_s
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None

    def start(self, run: Run) -> Run:
        """Starts the process and returns at once."""
        if not has("mlflow"):  # not `require`, which would import it here
            raise MissingExtraError(
                "tracking with MLflow needs the package 'mlflow'. Install it with: pip install 'tidewright[tracking]'"
            )
        self._errors = TemporaryFile()  # noqa: SIM115  (the process writes to it until it ends)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tidewright.tracking.mlflow_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,  # Ctrl-C is for the training alone
        )
        self._say({"folder": str(self._folder.resolve()), "experiment": self._experiment, "run": to_plain(run)})
        return run

    def hear(self, event: Mapping[str, Any]) -> None:
        """Passes an event on."""
        self._say(event)

    def finish(self, run: Run) -> str:
        """Passes the last record on, waits for all to be written, and gives MLflow's id of the run; an interrupted
        run is not waited for: the process writes the rest by itself."""
        if self._process is None:
            return ""
        self._say({"finish": to_plain(run)})
        if run.state is RunState.INTERRUPTED:
            process, self._process = self._process, None
            Thread(target=process.communicate, daemon=True).start()
            return ""
        return self._close()

    def _say(self, data: Mapping[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            raise BrokenPipeError("the process that writes to MLflow was not started")
        try:
            self._process.stdin.write(dump(data) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            self._close()  # its answer says more than a broken pipe
            raise BrokenPipeError("the process that writes to MLflow ended too soon") from error

    def _close(self) -> str:
        """Waits for the process's answer: MLflow's id of the run, or an `OSError` with its failure."""
        process, self._process = self._process, None
        if process is None:
            return ""
        try:
            said, _ = process.communicate(timeout=self._finish_s)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.communicate()
            raise TimeoutError(f"MLflow had not written everything after {self._finish_s:g} s") from error
        finally:
            last_words = self._last_words()
        try:
            outcome = json.loads(said)
        except ValueError as error:
            raise BrokenPipeError(f"the process that writes to MLflow died: {last_words}") from error
        if outcome["failure"]:
            raise OSError(outcome["failure"])
        return str(outcome["run"])

    def _last_words(self) -> str:
        if self._errors is None:
            return ""
        with self._errors as file:
            file.seek(0)
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
        self._errors = None
        return lines[-1] if lines else "it said nothing"
