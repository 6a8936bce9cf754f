"""`tidewright doctor` says which backends can answer here, and why others can't."""

from tidewright import runtime
from tidewright.cli.doctor import examine
from tidewright.inference.backends import onnxruntime
from tidewright.inference.backends.catalog import BACKENDS


def test_every_backend_is_told_with_what_it_lacks_on_each_device(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "NVIDIA", (tmp_path / "none",))
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(onnxruntime, "has", lambda package: False)
    told = {row["backend"]: row for row in examine()["backends"]}
    assert list(told) == list(BACKENDS)
    assert told["onnxruntime"]["cpu"].startswith("onnxruntime is not installed")
    assert told["aotinductor"]["cpu"] == "there is no C++ compiler (no-such-compiler)"
    assert (told["eager"]["cpu"], told["eager"]["cuda"]) == ("yes", "this machine has no NVIDIA driver")
    assert {row["starts"] for row in told.values()} == {"quick", "heavy", "slow"}
