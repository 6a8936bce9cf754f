"""Steps in fewer digits: what stays float32, what is recorded, and the way back to float32."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_torch_loop import BASE, TASK, VIEW, base_bits, bits, learn, make_panel, make_split
from tidewright.errors import BackendError, FallbackWarning
from tidewright.features.windows import cut_windows
from tidewright.models.build import build_spec
from tidewright.models.spec import NETWORKS, FeedForward
from tidewright.models.torch.heads import StudentHead
from tidewright.models.torch.network import ForecastNet, build
from tidewright.models.torch.shape import Shape, shape_of
from tidewright.runtime import Choice, Runtime, detect_runtime, find_obstacle
from tidewright.training import measured
from tidewright.training.gather import open_source
from tidewright.training.gradients import find_gradients
from tidewright.training.losses import HEADS, open_loss
from tidewright.training.precision import Means, multiply_in, open_means

SHAPE = Shape(lookback=32, horizon=4, past=0, known=0, static=0, quantiles=(0.1, 0.5, 0.9))


def runtime_in(name: str, *, strict: bool = False) -> Runtime:
    """A runtime in a precision, whatever this processor has."""
    return replace(detect_runtime("cpu", strict=strict), precision=Choice(name, name, "asked for"))


def facts(fitted: Any, name: str) -> list[Any]:
    return [record.get(name, "") for record in fitted.history]


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_it_is_computed_in_what_was_asked_for_and_comes_back_in_float32(name: str) -> None:
    fitted = learn(runtime=runtime_in(name))
    assert facts(fitted, "precision") == [name] * 4
    assert {tensor.dtype.name for tensor in fitted.tensors().values()} == {"float32"}
    assert bits(fitted) != base_bits()
    close = learn()
    for ours, theirs in zip(facts(fitted, "validation_loss"), facts(close, "validation_loss"), strict=True):
        assert ours == pytest.approx(theirs, rel=0.02)


def test_the_layers_alone_are_reduced() -> None:
    seen: dict[str, torch.dtype] = {}
    torch.manual_seed(0)
    network = build(FeedForward(hidden=(8,)), SHAPE, head="student")
    network.core.register_forward_pre_hook(lambda _, inputs: seen.update(into=inputs[0].dtype))
    network.core.hidden[0].register_forward_hook(lambda *parts: seen.update(layer=parts[2].dtype))
    target = torch.randn(16, 32) * 100
    scores, mean, scale = open_means("bfloat16").lend(network).score(target=target)
    exact = network.score(target)
    assert seen == {"into": torch.float32, "layer": torch.float32}  # the last call, in float32
    network.core.hidden[0].register_forward_hook(lambda *parts: seen.update(layer=parts[2].dtype))
    open_means("bfloat16").lend(network).score(target=target)
    assert seen == {"into": torch.float32, "layer": torch.bfloat16}
    assert scores.dtype == torch.float32
    assert torch.equal(mean, exact[1])
    assert torch.equal(scale, exact[2])
    assert not torch.equal(scores, exact[0])
    assert isinstance(open_means("bfloat16").lend(network).head, StudentHead)


def test_float32_asks_the_network_itself() -> None:
    network = build(FeedForward(hidden=(8,)), SHAPE)
    assert Means().lend(network) is network
    assert bits(learn(runtime=detect_runtime("cpu", precision="float32"))) == base_bits()


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_network_learns_in_bfloat16_what_it_learns_in_float32(name: str) -> None:
    torch.manual_seed(0)
    network = build(build_spec(name), SHAPE).eval()  # no dropout: the gradients are to be compared
    labels = torch.randn(24, 4)

    class Given:
        def batch(self, index: torch.Tensor) -> Any:
            return {"target": torch.sin(torch.arange(32.0) / 3 + index[:, None])}, labels[index]

    found = []
    for means in (Means(), open_means("bfloat16")):
        network.zero_grad()
        measure = open_loss("quantile", SHAPE.quantiles, complete=True)
        find_gradients(means.lend(network), torch.arange(24), source=Given(), measure=measure)  # type: ignore[arg-type]
        found.append(torch.cat([w.grad.flatten() for w in network.parameters() if w.grad is not None]))
    assert {part.dtype for part in found} == {torch.float32}
    assert float(torch.nn.functional.cosine_similarity(*found, dim=0)) > 0.98


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_a_run_in_it_goes_on_with_the_same_bits(name: str, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(event: Any) -> None:
        if getattr(event, "epoch", 0) == 2:
            raise Stop

    parts: dict[str, Any] = {"runtime": runtime_in(name), "checkpoint": tmp_path / "point"}
    with pytest.raises(Stop):
        learn(callbacks=[stop], **parts)
    assert bits(learn(**parts)) == bits(learn(runtime=runtime_in(name)))


def test_the_scale_of_float16_is_in_the_checkpoint() -> None:
    one, other = open_means("float16"), open_means("float16")
    optimizer = torch.optim.SGD([weight := torch.nn.Parameter(torch.ones(1))], lr=1.0)
    one.scale((weight * float("inf")).sum()).backward()  # type: ignore[no-untyped-call]
    one.descend(optimizer, [weight], clip=1.0)
    assert weight.tolist() == [1.0]  # the step was skipped
    other.unpack(one.pack())
    assert other.scaler is not None
    assert other.scaler.get_scale() == 2.0**15
    assert open_means("bfloat16").pack() == {}


def explode(monkeypatch: pytest.MonkeyPatch, *, epoch: int) -> None:
    """Reduced scores are infinite from an epoch on."""
    from tidewright.training import batches

    honest = batches.run_epoch

    def run(learner: Any, course: Any, **options: Any) -> float:
        answer = honest(learner, course, **options)
        return float("inf") if learner.means.reduced and len(options["history"]) + 1 >= epoch else answer

    monkeypatch.setattr(batches, "run_epoch", run)


def test_an_epoch_that_fails_is_done_again_in_float32_and_so_are_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    explode(monkeypatch, epoch=3)
    with pytest.warns(FallbackWarning, match="no longer finite in bfloat16 in epoch 3: float32 is used from"):
        fitted = learn(runtime=runtime_in("bfloat16"))
    assert facts(fitted, "precision") == ["bfloat16", "bfloat16", "float32", "float32"]
    assert ["epoch 3" in why for why in facts(fitted, "fallback")] == [False, False, True, False]
    with pytest.raises(BackendError, match=r"epoch 3: float32 is used .* leave strict out"):
        learn(runtime=runtime_in("bfloat16", strict=True))


def test_a_fallback_from_the_first_epoch_on_gives_the_bits_of_float32(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    explode(monkeypatch, epoch=1)
    with pytest.warns(FallbackWarning, match="epoch 1") as told:
        fitted = learn(runtime=runtime_in("bfloat16"), checkpoint=tmp_path / "point")
    assert len(told) == 1
    assert bits(fitted) == base_bits()  # weights, optimiser, shuffle and draws all came back
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learn(runtime=runtime_in("bfloat16"), checkpoint=tmp_path / "point")


def test_numbers_that_leave_float16_end_in_float32() -> None:
    """Real overflow: a weight of 1e5 is infinite in float16 and nothing special in bfloat16."""
    network = build(FeedForward(hidden=(8,)), SHAPE)
    with torch.no_grad():
        network.core.answer.weight.fill_(1e5)
    target = torch.randn(16, 32)
    assert not open_means("float16").lend(network).score(target=target)[0].isfinite().all()
    assert open_means("bfloat16").lend(network).score(target=target)[0].isfinite().all()
    assert open_means("float16").explain_failure(float("nan"), 1.0)
    assert not open_means("float16").explain_failure(1.0, 1.0)
    assert not Means().explain_failure(float("nan"))


def test_a_scale_that_has_fallen_below_one_is_a_failure() -> None:
    means = open_means("float16")
    means.unpack({"precision.scale": torch.tensor([0.5, 0.0])})
    means.scale(torch.zeros(()))  # the scale is made at the first use
    assert "whatever the loss was scaled by" in means.explain_failure(1.0, 1.0)


@pytest.mark.parametrize(
    ("times", "chosen"), [((10.0, 5.0), "bfloat16"), ((10.0, 9.5), "float32"), ((5.0, 10.0), "float32")]
)
def test_fastest_takes_fewer_digits_only_for_a_clear_gain(
    times: tuple[float, float], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "find_obstacle", lambda name, **_: "" if name in ("float32", "bfloat16") else "none")
    monkeypatch.setattr(measured.Trial, "time", lambda _, steps: dict(zip(steps, times, strict=True)))
    fitted = learn(runtime=detect_runtime("cpu", precision="fastest"))
    assert facts(fitted, "precision") == [chosen] * 4
    note = f"float32 {times[0]:.3g} ms a step, bfloat16 {times[1]:.3g} ms a step: {chosen} is used"
    assert facts(fitted, "measured") == [note, "", "", ""]
    if chosen == "float32":
        assert bits(fitted) == base_bits()


def test_timing_a_networks_steps_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "CLEAR", 0.0)  # nothing is that fast
    assert bits(learn(runtime=detect_runtime("cpu", precision="fastest"))) == base_bits()


def test_a_run_that_goes_on_keeps_the_precision_that_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measured, "find_obstacle", lambda name, **_: "" if name in ("float32", "bfloat16") else "none")
    monkeypatch.setattr(measured.Trial, "time", lambda _, steps: dict.fromkeys(steps, 1.0) | {"bfloat16": 0.1})
    parts: dict[str, Any] = {"runtime": detect_runtime("cpu", precision="fastest"), "checkpoint": tmp_path / "point"}
    first = learn(deadline=0.0, **parts)
    assert facts(first, "precision") == ["bfloat16"]
    monkeypatch.undo()
    monkeypatch.setattr(measured.Trial, "time", None)  # is not asked again
    assert facts(learn(**parts), "precision") == ["bfloat16"] * 4


def test_cuda_multiplies_as_it_is_told_and_as_before_after_it() -> None:
    backends: Any = torch.backends
    settings = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
    before = [one.fp32_precision for one in settings]
    for kind in ("tf32", "ieee"):
        with multiply_in(kind, device="cuda"):
            assert [one.fp32_precision for one in settings] == [kind] * 3
        assert [one.fp32_precision for one in settings] == before
    with multiply_in("tf32", device="cpu"):
        assert [one.fp32_precision for one in settings] == before


def test_a_network_that_learned_in_bfloat16_is_exported_as_it_is(tmp_path: Path) -> None:
    from tidewright.registry.export import to_onnx

    fitted = learn(runtime=runtime_in("bfloat16"))
    graph = to_onnx(fitted)
    assert b"bfloat16" not in graph.SerializeToString().lower()


@pytest.mark.parametrize("loss", ["mse", "student", "mixture", "crps", "gaussian"])
def test_every_loss_is_lowered_in_bfloat16(loss: Any) -> None:
    train = replace(BASE, loss=loss, epochs=6, steps=12)
    history = learn(train, runtime=runtime_in("bfloat16")).history
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_the_loss_of_counts_takes_it_too() -> None:
    windows = cut_windows(make_panel(), VIEW, horizon=3, cutoffs=make_split().train)
    torch.manual_seed(0)
    network = build(FeedForward(hidden=(8,)), shape_of(windows, TASK), head=HEADS["negative_binomial"])
    measure = open_loss("negative_binomial", TASK.quantiles, complete=False)
    source = open_source(windows)
    inputs, labels = source.batch(torch.arange(16))
    lent: ForecastNet = open_means("bfloat16").lend(network)
    with torch.no_grad():
        ours, theirs = (float(measure(asked, inputs, labels.abs().round())[0]) for asked in (lent, network))
    assert ours == pytest.approx(theirs, rel=0.02)
    assert find_obstacle("float32", device="cpu") == ""
