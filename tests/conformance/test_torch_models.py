"""What every network of the catalog must do; a new entry of kind "torch" is tested by being there."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError, DataError
from tidewright.features.view import View, fit_static
from tidewright.features.windows import Windows, cut_windows, make_windows, newest_windows
from tidewright.models.build import build_spec
from tidewright.models.spec import MODELS, ModelSpec, Naive
from tidewright.models.torch.fitted import TorchFitted, from_tensors
from tidewright.models.torch.network import ForecastNet, build
from tidewright.models.torch.shape import Shape, shape_of
from tidewright.registry.parity import relative_difference
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.spec import TrainSpec

TORCH = [name for name, entry in MODELS.items() if entry.kind == "torch"]
SMALL = {"feedforward": {"hidden": (24,)}, "lstm": {"hidden": 12, "head": (12,)}}
SMALL |= {
    "resmlp": {"width": 12, "blocks": 2},
    "tsmixer": {"layers": 1, "width": 12, "dropout": 0.1},
    "tide": {"width": 16, "decoder_width": 4, "final_width": 8, "dropout": 0.1},
    "nbeats": {"stacks": ("trend", "generic"), "width": 6, "blocks": 1, "terms": 4, "layers": 2, "degree": 1},
    "sparsetsf": {"period": 2, "hidden": 32},
    "nhits": {"width": 16, "pools": (4, 1), "strides": (4, 1)},
    "transformer": {"d_model": 16, "num_encoder_layers": 1, "dim_feedforward": 24},
    "transformer_encoder": {"d_model": 16, "layers": 1, "dim_feedforward": 24, "head": (12,)},
    "adaptive_transformer": {"d_model": 16, "layers": 1, "dim_feedforward": 24},
    "patchtst": {"patch_len": 4, "stride": 2, "layers": 2, "dim_feedforward": 24, "dropout": 0.1},
    "itransformer": {"d_model": 16, "nhead": 4, "dim_feedforward": 24},
    "tft": {"hidden": 12, "heads": 3},
    "cnn_lstm_transformer": {"width": 16, "conv_layers": 1, "lstm_layers": 1, "transformer_layers": 1},
}
TASK = Task(horizon=4)
QUICK = TrainSpec(epochs=2, steps=6, batch_size=64)
SHAPE = Shape(lookback=10, horizon=4, past=2, known=3, static=2, quantiles=(0.1, 0.5, 0.9))

pytestmark = pytest.mark.parametrize("name", TORCH)


def small_spec(name: str) -> ModelSpec:
    return build_spec(name, SMALL.get(name, {}))


def shape_for(name: str) -> Shape:
    """Two past, three known and two static features, as far as the model takes them."""
    takes = MODELS.load(name).takes
    return replace(SHAPE, **{kind: 0 for kind in ("past", "known", "static") if kind not in takes})


@cache
def make_panel(name: str) -> Panel:
    """Four daily series with a weekly cycle, one shorter than the lookback; the covariates that the model takes."""
    effect = 8.0 if "known" in MODELS.load(name).takes else 0.0
    rng = np.random.default_rng(7)
    tables = []
    for number, length in enumerate((160, 160, 150, 12)):
        days = np.arange(160 - length, 160)
        promo = rng.integers(0, 2, length).astype(float)
        sold = 50.0 * (number + 1) + 10 * np.sin(2 * np.pi * days / 7) + effect * promo + rng.normal(0, 0.5, length)
        sold[rng.random(length) < 0.03] = np.nan
        sold[-1] = 50.0
        tables.append(
            pl.DataFrame(
                {
                    "shop": f"s{number}",
                    "day": pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 6, 8), eager=True)[160 - length :],
                    "sold": sold,
                    "visits": rng.normal(0, 1, length),
                    "promo": promo,
                    "size": float(number),
                    "town": "north" if number % 2 else "south",
                }
            )
        )
    whole = Panel.from_table(
        pl.concat(tables).fill_nan(None),
        series="shop",
        time="day",
        target="sold",
        past=["visits"],
        known=["promo"],
        static=["size", "town"],
    )
    return keep_covariates(whole, MODELS.load(name).takes)


@cache
def make_view(name: str) -> View:
    return View(14, ("weekday",) if "known" in MODELS.load(name).takes else (), fit_static(make_panel(name)))


@cache
def make_split(name: str) -> Split:
    return split_holdout(make_panel(name), TASK, validation=20, test=20)


@cache
def learned(name: str) -> TorchFitted:
    fitted = fit(
        small_spec(name), panel=make_panel(name), split=make_split(name), task=TASK, view=make_view(name), train=QUICK
    )
    assert isinstance(fitted, TorchFitted)
    return fitted


def scored_windows(name: str) -> Windows:
    test = make_split(name).test
    assert test is not None
    return cut_windows(make_panel(name), make_view(name), horizon=TASK.horizon, cutoffs=test, least=1)


def fresh_network(name: str, shape: Shape | None = None) -> ForecastNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = build(small_spec(name), shape or shape_for(name))
        for parameter in network.parameters():  # away from a start that answers nearly nothing
            torch.nn.init.normal_(parameter, std=0.3)
        return network


def draw_inputs(shape: Shape, count: int, *, seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    sizes = {
        "target": (count, shape.lookback),
        "past": (count, shape.lookback, shape.past),
        "known": (count, shape.lookback + shape.horizon, shape.known),
        "static": (count, shape.static),
    }
    inputs = {name: torch.randn(*sizes[name], generator=draw) for name in shape.inputs}
    return inputs | {"target": inputs["target"] * 20 + 100}


def test_quantiles_have_their_shape_and_ascend(name: str) -> None:
    windows = scored_windows(name)
    answer = learned(name).predict(windows)
    assert answer.shape == (len(windows), TASK.horizon, len(TASK.quantiles))
    assert answer.dtype == np.float64
    assert np.isfinite(answer).all()
    assert (np.diff(answer, axis=2) >= 0).all()


def test_crossing_scores_are_put_in_order(name: str) -> None:
    network = fresh_network(name).eval()
    with torch.inference_mode():
        inputs = draw_inputs(shape_for(name), 50)
        scores, _, _ = network.score(**inputs)
        assert (scores.diff(dim=2) < 0).any()  # random weights do cross
        assert (network(**inputs).diff(dim=2) >= 0).all()


def test_the_gradient_reaches_every_parameter(name: str) -> None:
    network = fresh_network(name).train()
    network(**draw_inputs(shape_for(name), 32)).square().sum().backward()
    still = [label for label, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_one_window_alone_gets_what_it_gets_in_a_batch(name: str) -> None:
    windows = scored_windows(name)
    whole = learned(name).predict(windows)
    alone = np.concatenate([learned(name).predict(windows.subset(np.array([k]))) for k in range(len(windows))])
    np.testing.assert_allclose(alone, whole, rtol=1e-5)


def test_asking_changes_nothing_and_repeats_to_the_bit(name: str) -> None:
    fitted, windows = learned(name), scored_windows(name)
    before = {key: value.tobytes() for key, value in fitted.tensors().items()}
    draws = torch.get_rng_state()
    first = fitted.predict(windows)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: fitted.predict(windows), range(8)))
    assert all(answer.tobytes() == first.tobytes() for answer in answers)
    assert {key: value.tobytes() for key, value in fitted.tensors().items()} == before
    assert torch.equal(torch.get_rng_state(), draws)


def test_nothing_after_the_cutoff_but_known_columns_is_seen(name: str) -> None:
    fitted, panel = learned(name), make_panel(name)
    cut = make_windows(panel, make_view(name), horizon=TASK.horizon, rows=panel.ends[:2] - 30)
    y, past = cut.y.copy(), cut.past.copy()
    for row, series in zip(cut.rows, cut.series, strict=True):
        y[row + 1 : cut.offsets[series + 1]] = -1e6
        past[row + 1 : cut.offsets[series + 1]] = -1e6
    assert fitted.predict(replace(cut, y=y, past=past)).tobytes() == fitted.predict(cut).tobytes()
    y[cut.rows] += 1.0
    assert (fitted.predict(replace(cut, y=y)) != fitted.predict(cut)).all(axis=(1, 2)).all()


def test_missing_values_in_any_input_give_finite_answers(name: str) -> None:
    network = fresh_network(name).eval()
    inputs = draw_inputs(shape_for(name), 40)
    hole = torch.Generator().manual_seed(5)
    for value in inputs.values():
        value[torch.rand(value.shape, generator=hole) < 0.5] = float("nan")
    inputs["target"][0] = float("nan")
    inputs["target"][1] = 7.0
    inputs["target"][2, :-1] = float("nan")
    with torch.inference_mode():
        assert network(**inputs).isfinite().all()


def test_a_window_that_does_not_move_is_answered_near_its_level(name: str) -> None:
    network = build(small_spec(name), shape_for(name)).eval()
    network.usual_scale.fill_(2.0)
    inputs = draw_inputs(shape_for(name), 3) | {"target": torch.full((3, SHAPE.lookback), 1e6)}
    with torch.inference_mode():
        assert (network(**inputs) - 1e6).abs().max() < 50.0


@pytest.mark.parametrize("factor", [1e-20, 1e-3, 1e6, 1e20])
def test_the_answer_has_the_units_of_the_target(name: str, factor: float) -> None:
    network = fresh_network(name).eval()
    inputs = draw_inputs(shape_for(name), 10)
    with torch.inference_mode():
        plain = network(**inputs).double() * factor
        scaled = network(**inputs | {"target": (inputs["target"].double() * factor).float()}).double()
    np.testing.assert_allclose(scaled.numpy(), plain.numpy(), rtol=1e-4)


def test_every_input_moves_the_answer(name: str) -> None:
    network = fresh_network(name).eval()
    inputs = draw_inputs(shape_for(name), 6)
    with torch.inference_mode():
        plain = network(**inputs)
        for label, value in inputs.items():
            for column in range(value.shape[-1]):
                moved = value.clone()
                moved[..., column] += 3.0
                assert (network(**inputs | {label: moved}) != plain).any(), f"{label} {column} is not used"


def test_one_seed_gives_the_same_bits_and_another_does_not(name: str) -> None:
    def weights(seed: int) -> dict[str, bytes]:
        fitted = fit(
            small_spec(name),
            panel=make_panel(name),
            split=make_split(name),
            task=TASK,
            view=make_view(name),
            train=replace(QUICK, seed=seed),
        )
        return {key: value.tobytes() for key, value in fitted.tensors().items()}

    torch.rand(3)  # where torch's own generator stands must not matter
    again = weights(0)
    assert again == {key: value.tobytes() for key, value in learned(name).tensors().items()}
    assert (weights(1) != again) == (name != "lear")  # a closed form draws nothing


def test_it_can_learn_a_handful_of_windows_by_heart(name: str) -> None:
    still = {"dropout": 0.0} if "dropout" in {field.name for field in fields(MODELS.load(name))} else {}
    spec = build_spec(name, {**SMALL.get(name, {}), **still})
    shape = replace(shape_for(name), quantiles=(0.5,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(spec, shape)
        inputs, labels = draw_inputs(shape, 6), torch.randn(6, shape.horizon)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
        for _ in range(300):
            optimizer.zero_grad()
            loss = (network.score(**inputs)[0][:, :, 0] - labels).square().mean()
            loss.backward()
            optimizer.step()
    assert float(loss.detach()) < 0.02 * float(labels.var())


def test_a_known_signal_is_learned_better_than_the_naive_floor(name: str) -> None:
    train = TrainSpec(epochs=25, steps=20, batch_size=64, learning_rate=5e-3, patience=25)
    parts = {"panel": make_panel(name), "split": make_split(name), "task": TASK}
    model = fit(small_spec(name), **parts, view=make_view(name), train=train)
    floor = fit(Naive(), **parts)

    def error(fitted: object) -> float:
        windows = cut_windows(make_panel(name), fitted.view, horizon=4, cutoffs=make_split(name).test, least=1)  # type: ignore[attr-defined]
        return float(np.nanmean(np.abs(windows.labels() - fitted.predict(windows)[:, :, 1])))  # type: ignore[attr-defined]

    assert error(model) < 0.5 * error(floor)


def test_a_series_shorter_than_the_lookback_is_learned_and_answered(name: str) -> None:
    panel = make_panel(name)
    short = panel.select(["s0"]).until(int(panel.positions[0]) + 27)
    split = split_holdout(short, TASK, validation=4, test=4)
    view = View(40, (), fit_static(short))
    fitted = fit(small_spec(name), panel=short, split=split, task=TASK, view=view, train=QUICK)
    assert np.isfinite(fitted.predict(newest_windows(short, view, horizon=4))).all()


def test_its_tensors_make_it_again(name: str) -> None:
    fitted, windows = learned(name), scored_windows(name)
    twin = from_tensors(
        fitted.spec,
        task=TASK,
        view=fitted.view,
        shape=fitted.shape,
        tensors=fitted.tensors(),
        history=fitted.history,
    )
    assert twin.predict(windows).tobytes() == fitted.predict(windows).tobytes()
    assert twin.history == fitted.history


def test_other_tensors_are_refused_by_name_and_shape(name: str) -> None:
    fitted = learned(name)
    parts = {"task": TASK, "view": fitted.view, "shape": fitted.shape}
    tensors = fitted.tensors()
    key = next(label for label, value in tensors.items() if label.startswith("core.") and value.size > 1)
    with pytest.raises(BundleError, match=rf"missing \['{key}'\]"):
        from_tensors(fitted.spec, **parts, tensors={k: v for k, v in tensors.items() if k != key})
    with pytest.raises(BundleError, match=r"unknown \['extra'\]"):
        from_tensors(fitted.spec, **parts, tensors=tensors | {"extra": np.zeros(1)})
    with pytest.raises(BundleError, match=rf"{key} .* should be .* got \(1, 1\)"):
        from_tensors(fitted.spec, **parts, tensors=tensors | {key: np.zeros((1, 1), np.float32)})


def test_windows_of_another_view_are_refused(name: str) -> None:
    windows = newest_windows(make_panel(name), View(9), horizon=TASK.horizon)
    with pytest.raises(DataError, match=r"learned from windows of Shape\(lookback=14"):
        learned(name).predict(windows)


@pytest.mark.parametrize("covariates", [True, False], ids=["all inputs", "target alone"])
def test_the_onnx_graph_answers_the_same_for_any_batch(name: str, covariates: bool, tmp_path: Path) -> None:
    import onnxruntime

    shape = shape_for(name) if covariates else replace(SHAPE, past=0, known=0, static=0)
    network = fresh_network(name, shape).eval().requires_grad_(False)
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own deprecations
        program = torch.onnx.export(
            network,
            (),
            kwargs=draw_inputs(shape, 3),
            dynamo=True,
            dynamic_shapes={label: {0: batch} for label in shape.inputs},
            input_names=list(shape.inputs),
            output_names=["quantiles"],
            opset_version=18,
            verbose=False,
        )
    path = tmp_path / "network.onnx"
    program.save(str(path))
    assert list(tmp_path.iterdir()) == [path]  # one graph, with its weights
    session = onnxruntime.InferenceSession(str(path))
    assert [i.name for i in session.get_inputs()] == list(shape.inputs)
    for count in (1, 2, 33):
        inputs = draw_inputs(shape, count, seed=count)
        inputs["target"][0] = float("nan")
        inputs["target"][-1, 2:5] = float("nan")
        inputs["target"][count // 2] = 4.0
        eager = network(**inputs).numpy()
        (compiled,) = session.run(None, {label: value.numpy() for label, value in inputs.items()})
        # relative to the window, as a bundle's parity is: near 0 a float32 answer of 100 - 100 has no digits left
        assert relative_difference(compiled, eager, target=inputs["target"].numpy()) <= 1e-5


def test_the_shape_comes_from_the_windows(name: str) -> None:
    assert shape_of(scored_windows(name), TASK) == learned(name).shape
    assert learned(name).shape.inputs == ("target", *MODELS.load(name).takes)


@pytest.mark.parametrize("horizon", [1, 25], ids=["one step", "longer than the lookback"])
def test_any_horizon_is_answered_and_learned_from(name: str, horizon: int) -> None:
    shape = replace(shape_for(name), horizon=horizon)
    network = build(small_spec(name), shape).train()
    answer = network(**draw_inputs(shape, 8))
    assert answer.shape == (8, horizon, 3)
    assert answer.isfinite().all()
    answer.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_many_series_are_learned_at_once_and_each_is_answered_as_if_alone(name: str) -> None:
    draw = np.random.default_rng(2)
    parts = [
        pl.DataFrame({"shop": f"s{k:02}", "t": np.arange(40), "sold": (k + 1.0) * draw.normal(10, 1, 40)})
        for k in range(60)
    ]
    panel = Panel.from_table(pl.concat(parts), series="shop", time="t", target="sold")
    split = split_holdout(panel, TASK, validation=8, test=8)
    fitted = fit(small_spec(name), panel=panel, split=split, task=TASK, view=View(10), train=QUICK)
    whole = fitted.predict(newest_windows(panel, View(10), horizon=4))
    assert whole.shape == (60, 4, 3)
    some = ["s07", "s59"]
    alone = fitted.predict(newest_windows(panel.select(some), View(10), horizon=4))
    np.testing.assert_allclose(alone, whole[[7, 59]], rtol=1e-5)


def test_columns_that_it_learned_from_are_missed_and_others_are_refused_by_name(name: str) -> None:
    bare = keep_covariates(make_panel(name), ())
    takes = MODELS.load(name).takes
    if takes:
        with pytest.raises(
            DataError, match=rf"{name} learned from windows of Shape\(lookback=14.*Give the view it has"
        ):
            learned(name).predict(newest_windows(bare, View(14), horizon=4))
    for kind in {"past", "known", "static"} - set(takes):
        column = {"past": "visits", "known": "promo", "static": "size"}[kind]
        given = replace(make_panel(name).roles, **{kind: (column,)})
        with pytest.raises(ConfigError, match=rf"{name} takes no {kind} covariates; got {column}"):
            fit(
                small_spec(name),
                panel=replace(make_panel(name), roles=given),
                split=make_split(name),
                task=TASK,
                view=View(14, (), fit_static(replace(make_panel(name), roles=given))),
                train=QUICK,
            )


def test_an_option_out_of_range_is_refused_by_name(name: str) -> None:
    for field in fields(MODELS.load(name)):
        for value in strange_values(field.name, getattr(build_spec(name), field.name)):
            with pytest.raises(ConfigError, match=rf"{name}.*{field.name}|{field.name}.*{name}"):
                build_spec(name, {field.name: value})


def strange_values(option: str, usual: object) -> list[object]:
    """Values that no network can have, whatever the option means."""
    if option == "name":
        return []
    if isinstance(usual, bool):
        return ["maybe"]
    if isinstance(usual, float):
        return [-0.5, float("nan"), float("inf"), *([1.0] if "dropout" in option else [])]
    if isinstance(usual, int) or usual is None:
        return [0, -1, "many"]
    return ["nonsense"] if isinstance(usual, str) else [(0,) * len(usual), (-1,) * len(usual)]  # type: ignore[arg-type]
