"""Processes that teach one network on a GPU: NCCL in a group of one, and two processes that share a card by gloo.

NCCL refuses two processes on one card, so what two do through it is not tested here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.test_distributed import learn, outline
from tidewright.errors import BackendError
from tidewright.runtime import detect_runtime

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU on this machine")

CUDA = "cuda"
ROOT = Path(__file__).parents[2]
ALONE = """
import copy, json, sys
from pathlib import Path
import torch
from tidewright.models.spec import FeedForward
from tidewright.models.torch.network import build
from tidewright.models.torch.shape import Shape
from tidewright.training import team as teams
from tidewright.training.distributed import _join
from tidewright.training.team import Team

folder, device, teams.LEAST_BLOCK = Path(sys.argv[1]), sys.argv[2], 0
_join(device, local=0, init_method=f"file://{folder}/meet", rank=0, world_size=1)
shape = Shape(lookback=16, horizon=4, past=0, known=0, static=0, quantiles=(0.1, 0.5, 0.9))
torch.manual_seed(0)
first = build(FeedForward(hidden=(32, 16), dropout=0.0), shape).to(device)
target, labels = torch.randn(64, 16, device=device), torch.randn(64, 4, device=device)

def loss(network, inputs, labels):
    return (network.score(**inputs)[0] - labels.unsqueeze(2)).square().sum(), labels.numel() * 3

def run(strategy):
    network, measure = copy.deepcopy(first), loss
    if strategy == "ddp":
        measure = Team(0, 2, "ddp", device).link(network, loss)  # of two, of whom one is there
    if strategy == "fsdp":
        teams._shard_weights(network, Team(0, 1, "fsdp", device))
        measure = teams._without_warning(loss)
    optimizer, curve = torch.optim.AdamW(network.parameters(), lr=1e-2, fused=True), []
    for _ in range(20):
        optimizer.zero_grad()
        total, count = measure(network, {"target": target}, labels)
        (total / count).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        curve.append(float(total.detach()) / count)
    return curve

seen = {strategy: run(strategy) for strategy in ("plain", "ddp", "fsdp")}
two = Team(0, 2, "ddp", device)
seen["agreed"] = two.agree(1.5, 2.0)
seen["sum"] = float(two.sum(torch.tensor(3.0, dtype=torch.float64, device=device)))
seen["heard"] = two.hear(b"some words").decode()
normed = Team(0, 2, "ddp", "cuda").shard(build(FeedForward(hidden=(8,), batch_norm=True), shape).to(device))
seen["norms"] = [type(part).__name__ for part in normed.modules() if "Norm" in type(part).__name__]
seen["backend"] = torch.distributed.get_backend()
torch.distributed.destroy_process_group()
(folder / "seen").write_text(json.dumps(seen))
"""
TWO = """
import json, os, sys
from pathlib import Path
import torch
from tests.training.test_distributed import learn, outline
from tidewright.runtime import detect_runtime

folder, device = Path(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo")  # NCCL would want a card each
seen = outline(learn("ddp", runtime=detect_runtime(device)))
(folder / f"seen{os.environ['RANK']}").write_text(json.dumps(seen))
"""


def run_script(text: str, folder: Path, *, processes: int) -> None:
    """A script by torchrun, or as it is."""
    (folder / "run.py").write_text(text)
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    place = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, *launch, str(folder / "run.py"), str(folder), CUDA],
        env=os.environ | place | {"OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_nccl_teaches_in_a_group_of_one_what_one_process_learns(tmp_path: Path) -> None:
    run_script(ALONE, tmp_path, processes=1)
    seen: dict[str, Any] = json.loads((tmp_path / "seen").read_text())
    for strategy in ("ddp", "fsdp"):
        np.testing.assert_allclose(seen[strategy], seen["plain"], rtol=1e-4)
    assert seen["backend"] == ("nccl" if CUDA == "cuda" else "gloo")
    assert (seen["agreed"], seen["sum"], seen["heard"]) == ([1.5, 2.0], 3.0, "some words")
    assert seen["norms"] == ["SyncBatchNorm"]


def test_two_processes_on_one_gpu_learn_what_one_does(tmp_path: Path) -> None:
    run_script(TWO, tmp_path, processes=2)  # by DDP: gloo has no FSDP on a card (torch 2.11 ends with a signal 11)
    first, second = (json.loads((tmp_path / f"seen{rank}").read_text()) for rank in range(2))
    assert first == second
    alone = outline(learn("ddp", runtime=detect_runtime(CUDA)))
    np.testing.assert_allclose(first["curve"], alone["curve"], rtol=1e-3)


def test_more_devices_than_there_are_is_an_error() -> None:
    count = torch.cuda.device_count() + 1
    with pytest.raises(BackendError, match=f"{count} devices were asked for, and there are {count - 1} GPUs"):
        learn("ddp", runtime=detect_runtime(CUDA), devices=count)
