"""The command with words as a user types them: as a program, and in this process, for a program imports for seconds."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

from tidewright.cli.main import _run


def start_tidewright(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What the program answers and writes, with all that the packages below it write."""
    asked = [sys.executable, "-m", "tidewright", *words]
    return subprocess.run(asked, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def tidewright(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same of a call; warnings are told on stderr, as a program's are."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(cwd), redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.resetwarnings()
        code = _run([*words])
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
