"""What the machine has, what is used, and that nothing is fallen back to in silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from tidewright import runtime as module
from tidewright.errors import BackendError, ConfigError, FallbackWarning
from tidewright.runtime import (
    Precision,
    apply_threads,
    count_cores,
    detect_runtime,
    read_cpu_flags,
    read_quota,
)


@pytest.fixture
def _no_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "NVIDIA", (tmp_path / "none",))


@pytest.mark.usefixtures("_no_driver")
def test_a_machine_without_a_driver_computes_on_the_cpu_and_says_why() -> None:
    choice = detect_runtime().device
    assert (choice.requested, choice.used, choice.fallback) == ("auto", "cpu", False)
    assert choice.reason == "equal seeds give equal bits"
    assert choice.passed_over == ("cuda: this machine has no NVIDIA driver",)


@pytest.mark.usefixtures("_no_driver")
def test_cuda_that_is_not_there_is_warned_of_and_recorded() -> None:
    with pytest.warns(FallbackWarning, match=r"cuda was asked for, cpu is used: this machine has no NVIDIA driver"):
        found = detect_runtime("cuda")
    assert [choice.requested for choice in found.fallbacks] == ["cuda"]


@pytest.mark.usefixtures("_no_driver")
def test_cuda_that_is_not_there_is_an_error_when_strict() -> None:
    with pytest.raises(BackendError, match=r"cuda was asked for, .* Ask for cpu or auto, or leave strict out"):
        detect_runtime("cuda", strict=True)


def test_a_driver_without_a_usable_gpu_is_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    monkeypatch.setattr(module, "NVIDIA", (tmp_path,))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(FallbackWarning, match="finds no usable GPU"):
        assert detect_runtime("cuda").device.used == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert detect_runtime("cuda").device.used == "cuda"
    assert detect_runtime().device.passed_over == ("cuda: its sums are not bit-repeatable; ask for it by name",)
    assert detect_runtime("cpu").device.used == "cpu"


def test_threads_are_one_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "count_cores", lambda: (4, "the affinity mask"))
    choice = detect_runtime("cpu").threads
    assert choice.used == "1"
    assert choice.passed_over == ("4: the affinity mask allows 4 cores",)
    assert detect_runtime("cpu", threads=3).threads.used == "3"
    with pytest.warns(FallbackWarning, match="9 was asked for, 4 is used: the affinity mask allows 4 cores"):
        assert detect_runtime("cpu", threads=9).threads.used == "4"


@pytest.mark.parametrize("threads", [0, -1, True, "two"])
def test_threads_that_make_no_sense_are_refused(threads: object) -> None:
    with pytest.raises(ConfigError, match="threads is auto or a number, 1 or more; got"):
        detect_runtime("cpu", threads=threads)  # type: ignore[arg-type]


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="the device is auto, cpu or cuda; got 'gpu'"):
        detect_runtime("gpu")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_the_control_group_is_read(files: dict[str, str], cores: float | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_quota(tmp_path) == cores


def test_the_smallest_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(module, "read_quota", lambda: None)
    assert count_cores() == (8, "the affinity mask")
    monkeypatch.setattr(module, "read_quota", lambda: 2.5)
    assert count_cores() == (2, "the cgroup quota")
    monkeypatch.setattr(module, "read_quota", lambda: 0.5)
    assert count_cores() == (1, "the cgroup quota")


def test_threads_come_back_as_they_were_even_after_an_error() -> None:
    import torch

    before = torch.get_num_threads()
    seen = []

    def fail() -> None:
        with apply_threads(2):
            seen.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == [2]
    assert torch.get_num_threads() == before
    with apply_threads(detect_runtime("cpu")):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_threads_of_one_caller_do_not_reach_another() -> None:
    import torch

    before, seen = torch.get_num_threads(), []

    def other() -> None:
        with apply_threads(2):
            seen.append(torch.get_num_threads())

    with apply_threads(1):
        caller = threading.Thread(target=other)
        caller.start()
        caller.join()
        assert torch.get_num_threads() == 1
    assert seen == [2]
    assert torch.get_num_threads() == before


def test_memory_is_kept_inside_the_block_and_given_back_after_it() -> None:
    if module._open_glibc() is None:
        pytest.skip("this C library is not glibc")
    code = (
        "import resource, numpy as np\n"
        "from tidewright.runtime import keep_memory\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(5): np.ones(2**23)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "plain = faults()\n"
        "with keep_memory():\n"
        "    faults()\n"
        "    kept = faults()\n"
        "print(plain, kept, faults())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    plain, kept, after = map(int, done.stdout.split())
    assert kept < plain / 10
    assert after > plain / 10


def test_memory_is_left_alone_where_the_c_library_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "confstr", lambda _: None)
    with module.keep_memory():
        assert module._open_glibc() is None


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(module, "read_cpu_flags", lambda: read_cpu_flags(path))
    return path


def test_float32_is_used_unless_another_precision_is_asked_for() -> None:
    choice = detect_runtime("cpu").precision
    assert (choice.requested, choice.used, choice.fallback) == ("auto", "float32", False)
    assert "fastest, which measures" in choice.passed_over[0]
    assert detect_runtime("cpu", precision="float32").precision.used == "float32"


def test_bfloat16_is_used_where_the_processor_has_it(flags: Path) -> None:
    for line in ("flags\t\t: fpu avx512_bf16 sse", "Features\t: fp asimd bf16"):
        flags.write_text(f"processor\t: 0\n{line}\n")
        assert detect_runtime("cpu", precision="bfloat16").precision.used == "bfloat16"
    flags.unlink()  # another system: nothing is known
    assert detect_runtime("cpu", precision="bfloat16").precision.used == "bfloat16"
    flags.write_text("flags\t\t: fpu avx512f\n")
    with pytest.warns(FallbackWarning, match="bfloat16 was asked for, float32 is used: this processor has no instr"):
        assert detect_runtime("cpu", precision="bfloat16").precision.fallback
    assert detect_runtime("cpu", precision="fastest").precision.passed_over[1].startswith("bfloat16: this processor")


@pytest.mark.parametrize(("precision", "reason"), [("tf32", "NVIDIA's tensor cores"), ("float16", "no LSTM in it")])
def test_what_a_cpu_lacks_is_a_recorded_fallback(precision: Precision, reason: str) -> None:
    with pytest.warns(FallbackWarning, match=rf"{precision} was asked for, float32 is used: .*{reason}"):
        found = detect_runtime("cpu", precision=precision)
    assert [choice.requested for choice in found.fallbacks] == [precision]
    with pytest.raises(BackendError, match="Ask for float32 or auto"):
        detect_runtime("cpu", precision=precision, strict=True)


@pytest.mark.parametrize(
    ("capability", "used"),
    [((9, 0), ["tf32", "bfloat16", "float16"]), ((7, 5), ["float32", "float32", "float16"]), ((6, 1), ["float32"] * 3)],
)
def test_what_a_gpu_has_depends_on_its_capability(
    capability: tuple[int, int], used: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    monkeypatch.setattr(module, "NVIDIA", (tmp_path,))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    for name, expected in zip(("tf32", "bfloat16", "float16"), used, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            assert detect_runtime("cuda", precision=name).precision.used == expected  # type: ignore[arg-type]


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    assert detect_runtime("cpu").compile.used == "never"
    monkeypatch.setattr(module.shutil, "which", lambda _: "/usr/bin/g++")
    assert detect_runtime("cpu", compile="measured").compile.used == "measured"
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    with pytest.warns(FallbackWarning, match=r"never is used: there is no C\+\+ compiler"):
        assert detect_runtime("cpu", compile="measured").compile.used == "never"
    with pytest.raises(BackendError, match="Ask for never, or leave strict out"):
        detect_runtime("cpu", compile="measured", strict=True)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"precision": "half"}, "the precision is auto, float32, tf32, bfloat16, float16 or fastest; got 'half'"),
        ({"compile": "always"}, "the compile is never or measured; got 'always'"),
    ],
)
def test_an_unknown_word_is_refused(option: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        detect_runtime("cpu", **option)  # type: ignore[arg-type]


def test_the_record_is_plain_data() -> None:
    record = detect_runtime("cpu", threads=1).to_dict()
    assert json.loads(json.dumps(record))["device"]["used"] == "cpu"
    assert set(record) == {"device", "precision", "framework", "threads", "compile", "strict"}


def test_detecting_without_a_driver_does_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from tidewright import runtime; "
        f"runtime.NVIDIA = (pathlib.Path({str(tmp_path / 'none')!r}),); runtime.detect_runtime(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
