"""The verb `serve` as a process: it says where it listens, answers, and stops when it is told to."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import pytest


@contextmanager
def command(*words, **environment):
    """`tidewright serve` in a process of its own; gives the process, its URL, and the lines that it said before."""
    given = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    words = [sys.executable, "-m", "tidewright", "serve", *map(str, words)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=given) as process:
        try:
            lines, found = [], None
            while found is None:
                lines.append(process.stderr.readline())
                assert lines[-1], "".join(lines)
                found = re.match(r"serving at (\S+);", lines[-1])
            yield process, found[1], lines
        finally:
            if process.poll() is None:
                process.kill()


def get(url, headers=None):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
        return answer.read()


def test_the_command_serves_until_it_is_told_to_stop_and_logs_lines_of_json(ridge):
    with command(ridge.folder, "--port", "0", "--limit", "rows=3", "--log-requests") as (process, url, lines):
        assert json.loads(get(f"{url}/readyz")) == {"ready": True}
        assert json.loads(get(f"{url}/v2/models/sales"))["name"] == "sales"
        asked = {"inputs": [{"name": "target", "shape": [1, 24], "datatype": "FP32", "data": [1.5] * 24}]}
        request = urllib.request.Request(f"{url}/v2/models/sales/infer", data=json.dumps(asked).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["model_name"] == "sales"
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=20)[1]
    assert process.returncode == 0
    loaded = json.loads(lines[0])
    assert (loaded["event"], loaded["model"], loaded["digest"]) == ("loaded", "sales", ridge.digest[:12])
    told = [json.loads(line) for line in rest.splitlines()]
    asked = next(one for one in told if one["event"] == "request")
    assert (asked["path"], asked["status"], asked["rows"]) == ("/v2/models/sales/infer", 200, 1)
    assert "1.5" not in rest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{here}/nothing"], "there is no bundle in"),
        (["{bundle}", "--host", "0.0.0.0"], "no key is set. Put one or more into TIDEWRIGHT_API_KEYS"),
        (["{bundle}", "--limit", "row=1"], "no limit is called 'row'. Did you mean 'rows'"),
        (["{bundle}", "--host", "192.0.2.1"], "TIDEWRIGHT_API_KEYS"),
    ],
)
def test_what_can_t_be_served_is_told_with_its_remedy(ridge, tmp_path, capsys, words, message):
    from tidewright.cli.main import _run

    given = [word.format(here=tmp_path, bundle=ridge.folder) for word in words]
    assert _run(["serve", *given]) == 1
    assert message in capsys.readouterr().err
