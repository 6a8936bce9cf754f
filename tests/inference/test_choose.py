"""How a backend is chosen: what is measured, what is remembered, and what is said of it."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, ConfigError, FallbackWarning, ParityError, UnknownNameError
from tidewright.features.view import View
from tidewright.inference import choose, private_folder, verdicts
from tidewright.inference.backends import networks, onnxruntime, torchscript
from tidewright.inference.backends.backend import Backend
from tidewright.inference.backends.catalog import BACKENDS
from tidewright.inference.options import SessionOptions
from tidewright.inference.session import Answerer, open_session
from tidewright.models.spec import FeedForward, Ridge
from tidewright.models.specs.recurrent import GRU
from tidewright.registry.bundle import save_bundle
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

TASK = Task(4)
PANEL = small_panel(covariates=False)


@pytest.fixture(scope="module")
def ridge(tmp_path_factory):
    fitted = fit(Ridge(lookbacks=(24,)), panel=PANEL, split=split_holdout(PANEL, TASK), task=TASK)
    return save_bundle(fitted, panel=PANEL, folder=tmp_path_factory.mktemp("sealed") / "ridge")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    spec, train = FeedForward(hidden=(8,)), TrainSpec(epochs=1, steps=5)
    split = split_holdout(PANEL, TASK)
    fitted = fit(spec, panel=PANEL, split=split, task=TASK, view=View(24), train=train)
    return save_bundle(fitted, panel=PANEL, folder=tmp_path_factory.mktemp("sealed") / "network")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tidewright" / "backends"


@pytest.fixture
def timed(monkeypatch):
    """What would be measured: seconds by label, told here; gives the list of what was asked."""
    figures, asked = {"onnxruntime": 2e-5, "eager": 9e-5, "torchscript": 1e-5, "onnxruntime on cuda": 3e-5}, []
    figures |= {"compiled": 5e-6, "aotinductor": 6e-6}

    def time_sessions(sessions, bundle, *, batch_sizes):
        asked.append(sorted(sessions))
        return {name: tuple(figures[name] * n for n in batch_sizes) for name in sessions}

    monkeypatch.setattr(choose, "time_sessions", time_sessions)
    return asked


def test_where_one_backend_starts_quickly_nothing_is_timed_and_nothing_kept(network, cache, timed):
    session = open_session(network)
    assert (session.backend, session.choice.reason) == ("onnxruntime", "the compiled graph comes first")
    assert "torchscript: not measured: measure='all' does, or its name" in session.choice.passed_over
    assert (timed, cache.exists()) == ([], False)


def test_the_fastest_of_those_measured_answers_and_the_others_stand_with_their_figures(network, cache, timed):
    session = open_session(network, measure=["onnxruntime", "eager", "torchscript"], batch_sizes=(1, 4))
    assert session.backend == "torchscript"
    assert session.choice.reason == "the fastest of 3 just now: 10.0 us at batch 1, 40.0 us at batch 4"
    assert session.choice.passed_over[:2] == (
        "onnxruntime: 20.0 us at batch 1, 80.0 us at batch 4",
        "eager: 90.0 us at batch 1, 360.0 us at batch 4",
    )
    assert timed == [["eager", "onnxruntime", "torchscript"]]


def test_a_verdict_is_remembered_and_is_what_a_plain_call_goes_by(network, cache, timed):
    open_session(network, measure=["onnxruntime", "torchscript"])
    again = open_session(network, measure=["onnxruntime", "torchscript"])
    assert len(timed) == 1
    assert again.choice.reason.startswith("the fastest of 2 when it was measured here: 10.0 us at batch 1")
    assert open_session(network).backend == "torchscript"
    assert open_session(network, measure=["onnxruntime"]).backend == "onnxruntime"  # just those that are named
    assert open_session(network, remember=False).backend == "onnxruntime"
    assert open_session(network, backend="eager").backend == "eager"
    assert len(timed) == 1


def test_other_options_sizes_bundles_and_machines_are_other_verdicts(network, ridge, cache, timed, monkeypatch):
    both = {"measure": ["onnxruntime", "eager"]}
    open_session(network, **both)
    open_session(network, **both, batch_sizes=(1,))
    open_session(network, **both, arena=False)
    open_session(ridge, **both)
    monkeypatch.setattr(verdicts, "describe_machine", lambda: {"cpu": "another"})
    open_session(network, **both)
    assert len(timed) == 5
    assert len(list(cache.iterdir())) == 5
    open_session(network, **both, remember=False)
    assert (len(timed), len(list(cache.iterdir()))) == (6, 5)


def test_a_plain_call_never_compiles_for_long_also_where_that_was_measured_as_the_fastest(
    network, cache, timed, monkeypatch
):
    started = []

    def start(bundle, *, options):
        started.append(options)
        return torchscript.start(bundle, options=options)

    for name in ("compiled", "aotinductor"):
        module = f"tidewright.inference.backends.{name}"
        real = BACKENDS.load(name)
        assert not real.is_ready(network, SessionOptions(device="cpu"))
        monkeypatch.setattr(f"{module}.BACKEND", replace(real, start=start))
    open_session(network, measure=["onnxruntime", "compiled", "aotinductor"])
    assert len(started) == 2
    plain = open_session(network)
    assert (plain.backend, len(started)) == ("onnxruntime", 2)
    assert "but for what would compile for long now: 20.0 us" in plain.choice.reason
    assert plain.choice.passed_over[0].startswith("compiled: 5.0 us at batch 1")
    asked = open_session(network, measure=["onnxruntime", "compiled", "aotinductor"])
    assert (asked.backend, len(started)) == ("compiled", 3)


def damage(path):
    path.write_bytes(path.read_bytes()[:-9])


def forge(path):
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "machine": {"cpu": "another"}}))


def fill(path):
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "seconds": {"eager": [1e-9, float("nan")]}}))


def share(path):
    path.chmod(0o666)


def link(path):
    path.rename(path.with_suffix(".other"))
    path.symlink_to(path.with_suffix(".other"))


def swell(path):
    path.write_bytes(b" " * (verdicts.MOST_BYTES + 1))


@pytest.mark.parametrize("harm", [damage, forge, fill, share, link, swell])
def test_a_verdict_that_is_damaged_or_not_ours_is_ignored_aloud(ridge, cache, timed, harm):
    open_session(ridge, measure=["onnxruntime", "eager"])
    harm(next(cache.iterdir()))
    with pytest.warns(FallbackWarning, match=r"is ignored, and the backends are measured anew"):
        session = open_session(ridge, measure=["onnxruntime", "eager"])
    assert "just now" in session.choice.reason
    assert len(timed) == 2


def test_a_folder_that_others_can_write_to_keeps_nothing_and_says_so(ridge, cache, timed):
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    with pytest.warns(FallbackWarning, match=r"could not be kept: .* can be written to by others"):
        open_session(ridge, measure=["onnxruntime", "eager"])
    assert list(cache.iterdir()) == []


def test_a_user_without_a_home_keeps_nothing_and_hears_so_only_where_there_was_something_to_keep(
    ridge, timed, monkeypatch
):
    def refuse():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(private_folder.Path, "home", refuse)
    assert open_session(ridge).backend == "onnxruntime"
    with pytest.warns(FallbackWarning, match="could not be kept: this user has no home"):
        open_session(ridge, measure=["onnxruntime", "eager"])


def test_what_was_fastest_and_serves_no_more_is_followed_by_the_next(network, cache, timed, monkeypatch):
    open_session(network, measure=["onnxruntime", "torchscript"])

    def refuse(bundle, *, options):
        raise BackendError("gone")

    gone = Backend(lambda manifest: "", lambda device: "", refuse)
    monkeypatch.setattr("tidewright.inference.backends.torchscript.BACKEND", gone)
    session = open_session(network)
    assert (session.backend, session.choice.passed_over[0]) == ("onnxruntime", "torchscript: gone")
    with pytest.warns(FallbackWarning, match="onnxruntime answers instead of torchscript. torchscript: gone"):
        assert open_session(network, backend="torchscript").backend == "onnxruntime"
    with pytest.raises(BackendError, match="gone"):
        open_session(network, backend="torchscript", strict=True)
    with pytest.raises(BackendError, match="gone"):
        open_session(network, measure=["onnxruntime", "torchscript"], strict=True)


def test_a_backend_that_answers_otherwise_never_answers(network, cache, timed, monkeypatch):
    def start(bundle, *, options):
        return Answerer(lambda feed: np.zeros((len(feed["target"]), 4, len(TASK.quantiles)), np.float32))

    monkeypatch.setattr(
        "tidewright.inference.backends.torchscript.BACKEND", Backend(lambda manifest: "", lambda device: "", start)
    )
    with pytest.warns(FallbackWarning, match="torchscript does not give the answer of the bundle's example"):
        session = open_session(network, measure=["onnxruntime", "torchscript"])
    assert (session.backend, timed) == ("onnxruntime", [])
    with pytest.raises(ParityError, match="Export the model again"):
        open_session(network, backend="torchscript", strict=True)


def test_cuda_that_is_not_there_is_replaced_aloud_and_refused_when_strict(ridge, network):
    for name in ("onnxruntime", "eager", "torchscript", "aotinductor", "compiled", "tensorrt"):
        with pytest.raises(BackendError, match="this machine has no NVIDIA driver"):
            open_session(network, backend=name, device="cuda", strict=True)
    with pytest.warns(FallbackWarning, match="onnxruntime answers instead of onnxruntime on cuda. .*no NVIDIA driver"):
        session = open_session(ridge, device="cuda")
    device = session.settings["device"]
    assert (device.requested, device.used, device.fallback) == ("cuda", "cpu", True)
    assert device.reason == "this machine has no NVIDIA driver"


def test_where_there_is_a_driver_the_gpu_is_measured_beside_the_processor(ridge, cache, timed, monkeypatch):
    """With a provider that answers; no GPU was at hand to try the real one."""
    monkeypatch.setattr(choose, "explain_no_driver", lambda: "")
    monkeypatch.setattr(onnxruntime, "explain_no_driver", lambda: "")
    session = open_session(ridge, remember=False)
    told = session.choice.passed_over[0]
    assert told.startswith("onnxruntime on cuda: the installed onnxruntime has no CUDAExecutionProvider")
    started = onnxruntime.start

    def start(bundle, *, options):
        return started(bundle, options=options.on("cpu"))

    fake = Backend(onnxruntime.explain_unfit, lambda device: "", start)
    monkeypatch.setattr("tidewright.inference.backends.onnxruntime.BACKEND", fake)
    session = open_session(ridge)
    assert timed == [["onnxruntime", "onnxruntime on cuda"]]
    assert session.choice.passed_over[0].startswith("onnxruntime on cuda: 30.0 us at batch 1")
    assert session.settings["device"].used == "cpu"


def test_a_provider_that_onnx_runtime_gives_up_on_is_no_silent_fallback(ridge):
    said = pytest.warns(UserWarning, match="CUDAExecutionProvider")
    refused = pytest.raises(BackendError, match=r"does not give CUDAExecutionProvider, but CPUExecutionProvider")
    with said, refused:
        onnxruntime.start(ridge, options=SessionOptions(device="cuda"))


def test_options_are_recorded_and_reach_the_backend(ridge, network):
    session = open_session(ridge, threads=2, arena=False, optimisation="basic")
    used = {name: choice.used for name, choice in session.settings.items()}
    wanted = {"device": "cpu", "providers": "CPUExecutionProvider", "threads": "2", "optimisation": "basic"}
    assert used == {**wanted, "arena": "False", "precision": "float32"}
    rows = ridge.example()[0].target
    plain = open_session(ridge)
    assert plain.settings["optimisation"].used == "all"
    assert np.allclose(session.predict(rows).quantiles, plain.predict(rows).quantiles, rtol=1e-6)
    assert open_session(network, backend="torchscript", threads=2).settings["threads"].used == "2"


def test_threads_that_a_backend_does_not_take_are_said_and_refused_when_strict(ridge):
    with pytest.warns(FallbackWarning, match="threads=2 was asked for, and eager takes 1 alone"):
        assert open_session(ridge, backend="eager", threads=2).settings["threads"].fallback
    with pytest.raises(BackendError, match="Ask for that, or for another backend"):
        open_session(ridge, backend="eager", threads=2, strict=True)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"device": "gpu"}, ConfigError, "device is auto, cpu or cuda; got 'gpu'"),
        ({"optimisation": "most"}, ConfigError, "optimisation is none, basic, extended or all"),
        ({"arena": 1}, ConfigError, "arena is True or False"),
        ({"threads": True}, ConfigError, "threads is a whole number"),
        ({"batch_sizes": ()}, ConfigError, "batch_sizes are whole numbers"),
        ({"batch_sizes": 4}, ConfigError, "batch_sizes are whole numbers"),
        ({"batch_sizes": (0,)}, ConfigError, "a batch size is a whole number from 1 to"),
        ({"measure": []}, ConfigError, "measure names no backend"),
        ({"measure": "quik"}, UnknownNameError, "no backend is called 'quik'. Did you mean 'quick'"),
        ({"measure": ["torchscrpt"]}, UnknownNameError, "Did you mean 'torchscript'"),
    ],
)
def test_options_that_can_t_be_are_refused(ridge, options, kind, message):
    with pytest.raises(kind, match=message):
        open_session(ridge, **options)


def test_without_a_c_compiler_that_is_said(network, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    for name in ("aotinductor", "compiled"):
        with pytest.raises(BackendError, match=r"there is no C\+\+ compiler \(no-such-compiler\)"):
            open_session(network, backend=name, strict=True)


@pytest.mark.parametrize("backend", ["aotinductor", "compiled"])
def test_a_gru_that_would_be_written_out_in_many_steps_is_not_compiled(tmp_path, backend, monkeypatch):
    monkeypatch.setattr(networks, "MOST_STEPS", 8)
    gru, train = GRU(hidden=2, head=(2,), bidirectional=True), TrainSpec(epochs=1, steps=1)
    split = split_holdout(PANEL, TASK)
    fitted = fit(gru, panel=PANEL, split=split, task=TASK, view=View(12), train=train)
    bundle = save_bundle(fitted, panel=PANEL, folder=tmp_path / "gru")
    with pytest.raises(BackendError, match=r"gru would be written out in 24 steps, .*; 8 are allowed\. Ask for auto"):
        open_session(bundle, backend=backend, strict=True)
    assert [text for text in open_session(bundle).choice.passed_over if "written out in 24 steps" in text]
    short = replace(bundle.manifest, view=View(4))  # 8 steps
    assert BACKENDS.load(backend).explain_unfit(short) == ""


def test_the_real_stopwatch_tells_seconds_of_each_batch_size(ridge, cache):
    session = open_session(ridge, measure=["onnxruntime", "eager"], batch_sizes=(1, 3))
    seconds = json.loads(next(cache.iterdir()).read_bytes())["seconds"]
    assert set(seconds) == {"onnxruntime", "eager"}
    assert all(0 < one < 1 for each in seconds.values() for one in each)
    assert session.latency()["count"] == 0


def test_a_network_s_plain_session_does_not_import_torch(network, cache):
    code = f"""
import sys
from tidewright.inference.session import open_session
session = open_session({str(network.folder)!r})
sys.exit(", ".join(sorted({{"torch", "lightgbm", "pandas", "numba"}} & set(sys.modules))) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_cache_is_where_the_user_says_and_nobody_else_can_write(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = private_folder.open_folder("new")
    assert folder == tmp_path / "tidewright" / "new"
    assert folder.stat().st_mode & 0o777 == 0o700
    private_folder.write_own(folder / "file", b"content")
    assert private_folder.read_own(folder / "file", most=7) == b"content"
    with pytest.raises(OSError, match="more than 6 bytes"):
        private_folder.read_own(folder / "file", most=6)
    os.mkfifo(folder / "pipe")
    with pytest.raises(OSError, match="no plain file"):
        private_folder.read_own(folder / "pipe", most=9)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert private_folder.find_cache().is_absolute()
    (tmp_path / "tidewright").rename(tmp_path / "moved")
    (tmp_path / "tidewright").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(BackendError, match="can't be made"):
        private_folder.open_folder("new")


@pytest.mark.parametrize("name", ["torchscript", "compiled"])
def test_what_a_compiler_of_torch_refuses_is_told_in_its_first_line(network, monkeypatch, name):
    def refuse(*given, **options):
        raise ValueError("no such operator\nand a long report")

    monkeypatch.setattr("torch.jit.trace", refuse)
    monkeypatch.setattr("torch.compile", lambda module, **options: refuse)
    with pytest.raises(BackendError, match=r"can't have feedforward: no such operator\. Ask for auto, or eager\.$"):
        open_session(network, backend=name, strict=True)
