"""The files in deploy/ say what the server has: its flags, its paths, its limits."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from tests.serving.running import running
from tests.worlds import small_panel
from tidewright.cli.main import app
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.models.spec import Naive
from tidewright.registry.bundle import save_bundle
from tidewright.serving.client import Client
from tidewright.serving.options import read_limits
from tidewright.training.fit import fit

DEPLOY = Path(__file__).parents[1] / "deploy"
KEY = "a-key-of-sixteen-or-more"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    panel, task, folder = small_panel(covariates=False), Task(4), tmp_path_factory.mktemp("models")
    fitted = fit(Naive(), panel=panel, split=split_holdout(panel, task), task=task)
    save_bundle(fitted, panel=panel, folder=folder / "sales", name="sales")
    return folder


def read_pod() -> dict[str, Any]:
    deployment = next(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def commands() -> dict[str, list[str]]:
    """The arguments of `tidewright serve` in each file."""
    docker = re.search(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    unit = re.search(
        r"^ExecStart=\S+/tidewright serve (.*)$", (DEPLOY / "tidewright.service").read_text(), re.MULTILINE
    )
    assert docker is not None
    assert unit is not None
    args = read_pod()["containers"][0]["args"]
    return {"docker": ast.literal_eval(docker[1]), "kubernetes": args, "systemd": unit[1].split()}


@pytest.mark.parametrize("place", ["docker", "kubernetes", "systemd"])
def test_the_server_has_every_flag_that_is_written_there(place: str) -> None:
    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    context = serve.make_context("serve", [str(word) for word in commands()[place]])
    assert context.params["port"] == 8000
    assert [path.name for path in context.params["bundles"]] == ["models"]
    read_limits(context.params["limit"] or [])


def test_the_probes_of_kubernetes_are_paths_that_answer_without_a_key(models: Path) -> None:
    pod = read_pod()
    (server,) = pod["containers"]
    paths = {name: server[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    with running([models], keys=(KEY,)) as up:
        assert {name: up.ask(path).status for name, path in paths.items()} == dict.fromkeys(paths, 200)
        assert up.ask("/v2/models").status == 401
    pause = int(server["lifecycle"]["preStop"]["exec"]["command"][1])
    (limit,) = [word for word in server["args"] if str(word).startswith("drain_s")]
    assert pod["terminationGracePeriodSeconds"] > pause + read_limits([limit]).drain_s


def test_the_command_of_the_container_serves_and_drains(models: Path) -> None:
    words = ["0" if word == "8000" else word for word in commands()["docker"]]
    asked = [sys.executable, "-m", "tidewright", "serve", str(models), *words[1:]]
    environment = {**os.environ, "TIDEWRIGHT_API_KEYS": KEY}
    with subprocess.Popen(asked, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            lines = iter(server.stderr.readline, "")
            port = next(found[1] for line in lines if (found := re.search(r"serving at http://[^\s;]*:(\d+)", line)))
            client = Client(f"http://127.0.0.1:{port}", key=KEY)
            assert client.models()
            client.close()
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=30)
        finally:
            server.kill()
    assert server.returncode == 0


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not on this machine")
    text = (DEPLOY / "tidewright.service").read_text().replace("/opt/tidewright/bin/tidewright", sys.executable)
    (tmp_path / "tidewright.service").write_text(text)
    asked = [program, "verify", "--man=no", str(tmp_path / "tidewright.service")]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert "tidewright.service" not in done.stderr, done.stderr


def test_the_other_files_can_be_read() -> None:
    (service,) = yaml.safe_load_all((DEPLOY / "kserve.yaml").read_text())
    assert service["kind"] == "InferenceService"
    ast.parse((DEPLOY / "ray_serve.py").read_text())
