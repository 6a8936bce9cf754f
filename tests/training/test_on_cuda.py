"""What a GPU must do: the same as the CPU, but for the order of sums; and its own ways of failing."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conformance.networks import (
    QUICK,
    SHAPE,
    TASK,
    TORCH,
    draw_inputs,
    fresh_network,
    make_panel,
    make_split,
    make_view,
    scored_windows,
    shape_for,
    small_spec,
)
from tests.training.test_positions import learn as learn_positions
from tests.training.test_positions import world
from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, FallbackWarning
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.models.spec import LSTM, FeedForward, LightGBM, ModelSpec
from tidewright.models.specs.convolutional import TCN
from tidewright.models.torch.fitted import TorchFitted
from tidewright.registry.export import to_onnx
from tidewright.registry.parity import relative_difference
from tidewright.runtime import Runtime, detect_runtime
from tidewright.training import fit_torch, measured
from tidewright.training.fit import fit
from tidewright.training.gather import open_source
from tidewright.training.population import fit_population
from tidewright.training.precision import multiply_in
from tidewright.training.spec import TrainSpec
from tidewright.tuning.space import FloatRange, SearchSpace
from tidewright.tuning.tune import tune

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU on this machine")

CUDA = "cuda"
BASE = TrainSpec(epochs=3, steps=8, batch_size=32, learning_rate=5e-3)
PLAIN = FeedForward(hidden=(16, 8), dropout=0.0)
ALIKE = 1e-3  # relative: sums of float32 in another order, through all layers
CURVE = 0.02  # of a loss after some steps of AdamW, which grow rounding
LOSSES = ("mse", "mae", "huber", "gaussian", "crps", "student", "mixture")


@pytest.fixture(autouse=True)
def _own_memory() -> Iterator[None]:
    """A test that takes the card's memory leaves it to the next one, whole."""
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def on_cuda(**asked: Any) -> Runtime:
    return detect_runtime(CUDA, **asked)


def learn(spec: ModelSpec = PLAIN, train: TrainSpec = BASE, *, runtime: Runtime | None = None, **more: Any) -> Any:
    panel, task = small_panel(covariates=False), Task(horizon=3)
    split = split_holdout(panel, task, validation=24, test=24)
    asked = {"panel": panel, "split": split, "task": task, "view": View(24)} | more
    return fit(spec, train=train, runtime=runtime or on_cuda(), **asked)


@cache
def learn_here() -> TorchFitted:
    found = learn(runtime=detect_runtime("cpu"))
    assert isinstance(found, TorchFitted)
    return found


def curve(fitted: Any, name: str = "train_loss") -> list[float]:
    return [record[name] for record in fitted.history]


def plain(name: str) -> ModelSpec:
    """A network of the catalog that draws nothing: a GPU has draws of its own."""
    spec: Any = small_spec(name)
    return replace(spec, **{field.name: 0.0 for field in fields(spec) if "dropout" in field.name})


@pytest.mark.parametrize("name", TORCH)
def test_a_network_says_there_what_it_says_here(name: str) -> None:
    shape = replace(shape_for(name), lookback=SHAPE.lookback)
    network, inputs = fresh_network(name, shape).eval(), draw_inputs(shape, 50)
    there = copy.deepcopy(network).to(CUDA)
    with multiply_in("ieee", device=CUDA), torch.inference_mode():
        ours = there(**{key: values.to(CUDA) for key, values in inputs.items()}).cpu().numpy()
        theirs = network(**inputs).numpy()
    assert np.abs(ours - theirs).max() <= ALIKE * np.abs(theirs - theirs.mean()).max()


@pytest.mark.parametrize("name", TORCH)
def test_a_network_learns_there_what_it_learns_here_and_its_graph_says_it_too(name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="graphs are run by ONNX Runtime")
    parts: dict[str, Any] = {"panel": make_panel(name), "split": make_split(name), "task": TASK}
    parts |= {"view": make_view(name), "train": QUICK}
    ours = fit(plain(name), runtime=on_cuda(), **parts)
    theirs = fit(plain(name), runtime=detect_runtime("cpu"), **parts)
    assert np.isfinite(curve(ours)).all()
    assert curve(ours) == pytest.approx(curve(theirs), rel=CURVE)
    assert curve(ours, "validation_loss") == pytest.approx(curve(theirs, "validation_loss"), rel=CURVE)
    assert isinstance(ours, TorchFitted)
    windows = scored_windows(name)
    batch = windows.batch()
    session = onnxruntime.InferenceSession(to_onnx(ours).SerializeToString(), providers=["CPUExecutionProvider"])
    (said,) = session.run(None, {key: getattr(batch, key) for key in ours.shape.inputs})
    assert relative_difference(said, ours.predict(windows), target=batch.target) < 1e-4


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_the_same_there(loss: Any) -> None:
    train = replace(BASE, loss=loss)
    ours, theirs = learn(train=train), learn(train=train, runtime=detect_runtime("cpu"))
    assert curve(ours)[0] == pytest.approx(curve(theirs)[0], rel=CURVE)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "adam"},
        {"optimizer": "sgd"},
        {"optimizer": "rmsprop"},
        {"accumulate": 3},
        {"ema": 0.9},
        {"schedule": "onecycle", "warmup": 0.2},
    ],
)
def test_every_way_to_learn_is_the_same_there(change: dict[str, Any]) -> None:
    train = replace(BASE, **change)
    ours, theirs = learn(train=train), learn(train=train, runtime=detect_runtime("cpu"))
    assert curve(ours)[0] == pytest.approx(curve(theirs)[0], rel=CURVE)


def test_blocks_that_are_computed_again_change_nothing_there() -> None:
    spec = build_spec("resmlp", {"width": 16, "blocks": 2, "dropout": 0.2})
    ours, theirs = learn(spec, replace(BASE, recompute=True)), learn(spec)
    assert curve(ours) == pytest.approx(curve(theirs), rel=1e-3)  # the draws of dropout too


def test_positions_are_learned_there() -> None:
    ours, theirs = (learn_positions(world(0, 0.3), runtime=runtime) for runtime in (on_cuda(), detect_runtime("cpu")))
    assert curve(ours)[0] == pytest.approx(curve(theirs)[0], rel=CURVE)


def test_windows_are_no_copies_there() -> None:
    from tidewright.data.splits import Cutoffs
    from tidewright.features.windows import cut_windows

    panel = small_panel(covariates=False)
    first, last = panel.span
    windows = cut_windows(panel, View(48), horizon=12, cutoffs=Cutoffs(first + 48, last - 12))
    source, here = open_source(windows, device=CUDA), open_source(windows)
    assert source.target.untyped_storage().nbytes() == here.target.untyped_storage().nbytes()
    index = torch.randperm(len(source))
    ours, theirs = source.batch(index.to(CUDA)), here.batch(index)
    assert torch.equal(ours[0]["target"].cpu().nan_to_num(), theirs[0]["target"].nan_to_num())
    assert torch.equal(ours[1].cpu().nan_to_num(), theirs[1].nan_to_num())


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["feedforward", "lstm", "tcn", "patchtst", "tft"])
def test_fewer_digits_learn_nearly_the_same(name: str, precision: Any) -> None:
    runtime = on_cuda(precision=precision)
    ours, theirs = learn(plain(name), runtime=runtime), learn(plain(name))
    assert [record["precision"] for record in ours.history] == [precision] * BASE.epochs
    assert curve(ours)[0] == pytest.approx(curve(theirs)[0], rel=0.05)
    assert {values.dtype.name for values in ours.tensors().values()} <= {"float32", "float64", "int64"}


def test_numbers_that_overflow_in_float16_are_learned_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = fit_torch.fit_scalings

    def start_far(network: Any, *parts: Any, **named: Any) -> None:
        honest(network, *parts, **named)
        with torch.no_grad():
            network.core.answer.weight.fill_(1e5)  # infinite in float16

    monkeypatch.setattr(fit_torch, "fit_scalings", start_far)
    with pytest.warns(FallbackWarning, match=r"in float16 .*epoch 1: float32 is used from that epoch on"):
        fitted = learn(runtime=on_cuda(precision="float16"))
    assert [record["precision"] for record in fitted.history] == ["float32"] * BASE.epochs
    assert "float16" in fitted.history[0]["fallback"]
    assert curve(fitted) == curve(learn())  # from what was before that epoch
    with pytest.raises(BackendError, match="float16"):
        learn(runtime=on_cuda(precision="float16", strict=True))


def test_the_fastest_precision_is_measured_there() -> None:
    fitted = learn(FeedForward(hidden=(2048, 2048)), runtime=on_cuda(precision="fastest"))
    words = fitted.history[0]["measured"]
    assert all(f"{name} " in words for name in ("float32", "tf32", "bfloat16"))
    assert words.endswith(f"{fitted.history[0]['precision']} is used")


@pytest.mark.parametrize("asked", [{"precision": "fastest"}, {"ema": 0.9}])
def test_a_copied_recurrent_network_is_in_one_piece_there(asked: dict[str, Any]) -> None:
    train = replace(BASE, ema=asked.get("ema", 0.0))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")  # cuDNN's of weights that it puts together at every call
        fitted = learn(LSTM(hidden=8, head=()), train, runtime=on_cuda(precision=asked.get("precision", "auto")))
    assert len(fitted.history) == BASE.epochs
    assert [str(one.message) for one in told] == []


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_a_network_is_compiled_there(precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="torch.compile needs it on a GPU")
    monkeypatch.setattr(measured, "COMPILING_S", 0.0)
    monkeypatch.setattr(measured, "CLEAR", 1e9)  # whatever it gains
    torch.compiler.reset()
    fitted = learn(runtime=on_cuda(compile="measured", precision=precision))
    assert [record["compiled"] for record in fitted.history] == [False, True, True], fitted.history[1]["measured"]
    assert curve(fitted) == pytest.approx(curve(learn(runtime=on_cuda(precision=precision))), rel=0.05)


def test_a_convolution_is_compiled_there_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="torch.compile needs it on a GPU")
    monkeypatch.setattr(measured, "COMPILING_S", 0.0)
    monkeypatch.setattr(measured, "CLEAR", 1e9)
    torch.compiler.reset()
    fitted = learn(TCN(num_channels=(8, 8), dropout=0.0), runtime=on_cuda(compile="measured"))
    assert [record["compiled"] for record in fitted.history] == [False, True, True], fitted.history[1]["measured"]


def test_a_run_goes_on_from_its_checkpoint_there(tmp_path: Path) -> None:
    for precision in ("float32", "float16"):
        runtime, point = on_cuda(precision=precision), tmp_path / precision
        for deadline in (0.0, None):  # an epoch, and the others
            found = learn(LSTM(hidden=8, head=(), dropout=0.3), runtime=runtime, checkpoint=point, deadline=deadline)
        whole = learn(LSTM(hidden=8, head=(), dropout=0.3), runtime=runtime)
        assert curve(found) == pytest.approx(curve(whole), rel=1e-3)


def test_memory_that_ends_is_survived_there() -> None:
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**27) / whole)
    train = replace(BASE, epochs=1, steps=1, batch_size=768)
    spec = LSTM(hidden=256, head=(), dropout=0.0)
    with pytest.warns(FallbackWarning, match=r"memory ran out in epoch 1; it begins anew with accumulate"):
        fitted = learn(spec, train)
    assert fitted.history[0]["accumulate"] > 1
    torch.cuda.set_per_process_memory_fraction(1.0)
    assert curve(fitted) == pytest.approx(curve(learn(spec, train)), rel=1e-3)


def test_a_batch_size_is_found_there() -> None:
    fitted = learn(train=replace(BASE, batch_size="auto"))
    sizes = [tried for tried in fitted.history[0]["batch_tried"] if tried.get("peak_bytes")]
    assert len(sizes) > 1
    assert fitted.history[0]["batch_size"] in [tried["batch_size"] for tried in sizes]


def test_a_population_is_there_what_each_is_alone() -> None:
    panel, task = small_panel(covariates=False), Task(horizon=3)
    asked: dict[str, Any] = {"panel": panel, "split": split_holdout(panel, task, validation=24, test=24)}
    asked |= {"task": task, "view": View(24), "runtime": on_cuda()}
    trains = [replace(BASE, seed=seed, learning_rate=1e-3 * (seed + 1)) for seed in range(4)]
    together = fit_population(PLAIN, trains=trains, way="batched", **asked)
    for member, train in zip(together.fitted, trains, strict=True):
        alone = fit(PLAIN, train=train, **asked)
        assert curve(member) == pytest.approx(curve(alone), rel=ALIKE)
    dropped = fit_population(replace(PLAIN, dropout=0.2), trains=trains, way="batched", **asked)
    assert np.isfinite([curve(member) for member in dropped.fitted]).all()


def test_trees_are_boosted_there_or_say_why_not() -> None:
    pytest.importorskip("lightgbm", reason="it is boosted by LightGBM")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fitted = learn(LightGBM(rounds=3))
    fell = [str(one.message) for one in told if one.category is FallbackWarning]
    assert [one.partition(":")[0] for one in fell] == ["lightgbm"] * ("asked" in fitted.history[0])


def test_two_workers_share_a_gpu() -> None:
    panel, task = small_panel(covariates=False), Task(horizon=3)
    study = tune(
        SearchSpace("feedforward", {"train.learning_rate": FloatRange(1e-4, 1e-2, log=True)}),
        panel=panel,
        split=split_holdout(panel, task, validation=24, test=24),
        task=task,
        model=PLAIN,
        view=View(24),
        train=BASE,
        trials=4,
        workers=2,
        ledger=False,
        learn=partial(fit, runtime=on_cuda()),
    )
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
