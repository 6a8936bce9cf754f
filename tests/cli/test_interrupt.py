"""Ctrl-C on a terminal: what a search leaves there, and what goes on."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.worlds import small_table
from tidewright.cli.main import _interrupted
from tidewright.tracking.local import list_runs
from tidewright.tuning.kept import list_studies, read_kept
from tidewright.tuning.trial import Trial, TrialState

PATIENCE_S = 100.0
SHOW, HIDE = b"\x1b[?25h", b"\x1b[?25l"  # the cursor
OWN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
LINE = ["sales.csv", "--series", "shop", "--time", "hour", "--target", "sold", "--horizon", "4"]
ASKED = ["--models", "damped", "--search", "random", "--pruner", "none", "--trials", "900", "track=false"]


def type_until(words: list[str], *, said: str, folder: Path) -> tuple[int, bytes, bool]:
    """Runs a command on a terminal of its own and types Ctrl-C when it says something like that: its exit code, what it
    wrote, and whether the terminal is as it was."""
    near, far = pty.openpty()
    before = termios.tcgetattr(far)
    command = [sys.executable, "-c", OWN, sys.executable, "-m", "tidewright", *words]
    process = subprocess.Popen(command, cwd=folder, stdin=far, stdout=far, stderr=far, start_new_session=True)
    written, typed, end = b"", False, time.monotonic() + PATIENCE_S
    while process.poll() is None or select.select([near], [], [], 0)[0]:
        assert time.monotonic() < end, written
        if select.select([near], [], [], 0.02)[0]:
            written += os.read(near, 65536)
        if not typed and re.search(said.encode(), written):
            os.write(near, b"\x03")
            typed = True
    after = termios.tcgetattr(far)
    os.close(near)
    os.close(far)
    return process.returncode, written, after == before


def kept_trials(folder: Path) -> list[Trial]:
    (study,) = list_studies(folder / "tidewright-runs")
    return [trial for trial in read_kept(study).trials if trial.state is not TrialState.RUNNING]


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_leaves_the_terminal_as_it_was_and_the_line_it_names_repeats_no_trial(
    workers: int, tmp_path: Path
) -> None:
    small_table(covariates=False).write_csv(tmp_path / "sales.csv")
    words = ["tune", *LINE, *ASKED, "--workers", str(workers)]
    written, told = interrupt(words, said=r"\d complete", folder=tmp_path)
    assert told.endswith(f"kept. Go on with: {shlex.join(['tidewright', *words, '--resume'])}")
    before = kept_trials(tmp_path)
    again = shlex.split(told.partition("Go on with: tidewright ")[2])
    written, told_again = interrupt(again, said=r"from before[\s\S]*\d running", folder=tmp_path)
    assert f"{len(before)} trials are there from before" in written
    assert told_again == told
    ended = {trial.number for trial in before}
    assert [trial for trial in kept_trials(tmp_path) if trial.number in ended] == before
    newest, oldest = list_runs(tmp_path / "tidewright-runs").runs
    assert (newest.state, oldest.state) == ("interrupted", "interrupted")
    events = (tmp_path / "tidewright-runs" / newest.id / "events.jsonl").read_text().splitlines()
    begun = {event["number"] for event in map(json.loads, events) if event["event"] == "TrialStarted"}
    assert begun
    assert not begun & ended


def interrupt(words: list[str], *, said: str, folder: Path) -> tuple[str, str]:
    """What an interrupted command wrote, and its last line."""
    code, written, same = type_until(words, said=said, folder=folder)
    assert (code, same) == (130, True), written
    assert written.rfind(SHOW) > written.rfind(HIDE) > 0
    assert b"Traceback" not in written
    text = written.decode().replace("\r\n", "\n")
    return text, text.splitlines()[-1]


def test_a_password_is_not_repeated_by_an_interrupt() -> None:
    told = _interrupted(["tune", "sales.csv", "--storage", "postgresql://me:secret@host/base"])
    assert "secret" not in told
    assert told.endswith("the same line and --resume")
    assert _interrupted(["predict", "bundle", "sales.csv"]) == "interrupted."
