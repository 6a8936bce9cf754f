"""The factory: what it makes, teaches, compares, exports and keeps, and what it says of wrong fields and data."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch

from tidewright import runtime
from tidewright.errors import (
    BackendError,
    BundleError,
    ConfigError,
    DataError,
    FallbackWarning,
    FitError,
    TamperedError,
)
from tidewright.models.classic import ArchitectureType, ModelConfig
from tidewright.workflows.factory import PyTorchModelFactory

STEPS, WIDTH = 11, 3
SEQUENTIAL = [ArchitectureType.LSTM, ArchitectureType.HYBRID, ArchitectureType.CNN_LSTM]
CHANGES: dict[str, Any] = {
    "architecture_type": ArchitectureType.CNN_LSTM,
    "input_size": WIDTH,
    "hidden_sizes": [7],
    "output_size": 2,
    "dropout_rate": 0.6,
    "use_batch_norm": False,
    "activation": "tanh",
    "lstm_hidden_size": 6,
    "lstm_num_layers": 1,
    "lstm_bidirectional": True,
    "cnn_channels": [4, 6],
    "cnn_kernel_sizes": [3, 4],
}


def config_of(kind: ArchitectureType, **options: Any) -> ModelConfig:
    small: dict[str, Any] = {} if kind is ArchitectureType.FEED_FORWARD else {"lstm_hidden_size": 8}
    if "cnn_channels" in ModelConfig(kind, 1, [1]).to_dict():
        small |= {"cnn_channels": [8, 8]}
    width = STEPS * WIDTH if kind is ArchitectureType.FEED_FORWARD else WIDTH
    return ModelConfig(kind, width, [16], **{**small, **options})


def sequences(count: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Steps in odd units whose weighted last values, and an early one, make the label."""
    draw = np.random.default_rng(seed).normal(size=(count, STEPS, WIDTH))
    label = 500.0 + 40.0 * (draw[:, -1, 0] - 0.5 * draw[:, -3, 1] + 0.3 * draw[:, 2, 2])
    return (draw * [1.0, 1000.0, 0.01] + [0.0, 5000.0, 1.0]).astype(np.float32), label


def answer(config: ModelConfig) -> torch.Tensor:
    """What a seeded network says in training mode, so that dropout counts."""
    model = PyTorchModelFactory().create_model(config).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        result: torch.Tensor = model(torch.randn(9, STEPS, WIDTH)).detach()
        return result


@pytest.mark.parametrize("kind", list(ArchitectureType))
def test_a_known_relation_in_odd_units_is_learned(kind: ArchitectureType) -> None:
    config = config_of(kind, dropout_rate=0.0)
    train, held = sequences(400), sequences(200, seed=1)
    found = PyTorchModelFactory().test_architecture(config, train, held, epochs=15, learning_rate=0.01)
    assert found.r2 > 0.6
    assert found.rmse == pytest.approx(found.val_loss**0.5)
    assert found.parameters == sum(p.numel() for p in found.model.parameters())


def test_an_equal_seed_gives_equal_bits_and_another_other_ones() -> None:
    config, train, held = config_of(ArchitectureType.HYBRID), sequences(60), sequences(60, seed=1)
    losses = [
        PyTorchModelFactory().test_architecture(config, train, held, epochs=2, seed=seed).val_loss for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_scores_agree_with_numpy_on_the_labels_scale() -> None:
    held = sequences(100, seed=1)
    found = PyTorchModelFactory().test_architecture(config_of(ArchitectureType.LSTM), sequences(100), held, epochs=2)
    with torch.no_grad():
        error = found.model(torch.from_numpy(held[0])).numpy()[:, 0] - held[1]
    assert found.mae == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert found.val_loss == pytest.approx(np.square(error).mean(), rel=1e-5)
    assert found.r2 == pytest.approx(1 - np.square(error).mean() / held[1].var(), rel=1e-5)


@pytest.mark.parametrize("name", [field.name for field in fields(ModelConfig)])
def test_every_field_of_a_config_that_changes_is_seen(name: str) -> None:
    plain = ModelConfig(ArchitectureType.HYBRID, WIDTH, [16])
    if name == "input_size":
        assert PyTorchModelFactory().create_model(replace(plain, input_size=9)).input_mean.shape == (9,)
        return
    changed = replace(plain, **{name: CHANGES[name]})
    first, second = answer(plain), answer(changed)
    assert first.shape != second.shape or not torch.equal(first, second)


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("feed_forward", {"lstm_hidden_size": 8}),
        ("feed_forward", {"lstm_num_layers": 2}),
        ("feed_forward", {"lstm_bidirectional": False}),
        ("feed_forward", {"cnn_channels": [8]}),
        ("lstm", {"cnn_kernel_sizes": [3]}),
    ],
)
def test_a_field_that_the_architecture_ignores_is_an_error(kind: Any, extra: dict[str, Any]) -> None:
    name = next(iter(extra))
    with pytest.raises(ConfigError, match=rf"{kind} has no {name}; got .* Leave it out, or take"):
        ModelConfig(kind, 4, [8], **extra)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture_type": "lsmt"}, "no architecture is called 'lsmt'. Did you mean 'lstm'"),
        ({"activation": "rellu"}, "Did you mean 'relu'"),
        ({"input_size": 0}, "input_size is a whole number, 1 or more; got 0"),
        ({"hidden_sizes": "64"}, "hidden_sizes is a list of sizes"),
        ({"hidden_sizes": [8, -1]}, "hidden_sizes is a whole number, 1 or more; got -1"),
        ({"dropout_rate": 1.0}, "dropout_rate is a share from 0 to below 1"),
        ({"cnn_channels": [4, 4, 4]}, "each convolution has channels and a kernel"),
    ],
)
def test_a_wrong_field_is_named_with_its_remedy(options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"architecture_type": "hybrid", "input_size": 4, "hidden_sizes": [8]} | options
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**given)


@pytest.mark.parametrize("kind", list(ArchitectureType))
def test_a_config_goes_through_plain_data_without_loss(kind: ArchitectureType) -> None:
    config = config_of(kind)
    assert ModelConfig(**json.loads(json.dumps(config.to_dict()))) == config


def test_a_bidirectional_lstm_weighs_what_the_formula_says() -> None:
    config = ModelConfig(
        ArchitectureType.LSTM, 5, [6], use_batch_norm=False, lstm_hidden_size=7, lstm_bidirectional=True
    )
    first, second = 2 * 4 * 7 * (5 + 7 + 2), 2 * 4 * 7 * (14 + 7 + 2)
    parameters = sum(p.numel() for p in PyTorchModelFactory().create_model(config).parameters())
    assert parameters == first + second + (14 * 6 + 6) + (6 + 1)


def test_pooling_leaves_the_lstm_of_cnn_lstm_a_quarter_of_the_steps() -> None:
    for kind, steps in ((ArchitectureType.HYBRID, STEPS), (ArchitectureType.CNN_LSTM, 3)):
        body = PyTorchModelFactory().create_model(config_of(kind)).body
        assert body[0](torch.zeros(2, STEPS, WIDTH)).shape == (2, steps, 8)  # type: ignore[index]


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        ((50, STEPS, 4), (50,), r"lstm reads \[N, T, 3\]; train_data has shape \(50, 11, 4\)"),
        ((50, STEPS * WIDTH), (50,), r"Reshape the features to steps, or take feed_forward"),
        ((50, STEPS, WIDTH), (50, 2), r"output_size is 1; train_data has labels of shape \(50, 2\)"),
        ((50, STEPS, WIDTH), (49,), r"with the same N"),
        ((1, STEPS, WIDTH), (1,), r"train_data has 1 rows; 2 are the least"),
    ],
)
def test_data_of_another_shape_are_refused(features: Any, labels: Any, message: str) -> None:
    factory = PyTorchModelFactory()
    with pytest.raises(DataError, match=message):
        factory.test_architecture(
            config_of(ArchitectureType.LSTM), (np.ones(features), np.ones(labels)), sequences(20), epochs=1
        )


def test_a_missing_number_is_refused_with_its_place() -> None:
    features, labels = sequences(20)
    features[4, 2, 1] = np.nan
    with pytest.raises(
        DataError, match=r"train_data: 1 of the features are no finite numbers, the first at \[4, 2, 1\]"
    ):
        PyTorchModelFactory().test_architecture(config_of(ArchitectureType.LSTM), (features, labels), sequences(20))
    with pytest.raises(DataError, match=r"is a pair \(features, labels\); got ndarray"):
        PyTorchModelFactory().test_architecture(config_of(ArchitectureType.LSTM), features, sequences(20))  # type: ignore[arg-type]


def test_tensors_give_what_arrays_give() -> None:
    config, train, held = config_of(ArchitectureType.FEED_FORWARD), sequences(80), sequences(40, seed=1)
    arrays = PyTorchModelFactory().test_architecture(config, train, held, epochs=2)
    tensors = [(torch.tensor(x), torch.tensor(y, dtype=torch.float32)) for x, y in (train, held)]
    assert PyTorchModelFactory().test_architecture(config, *tensors, epochs=2).val_loss == arrays.val_loss


def test_architectures_are_compared_lowest_loss_first_on_the_same_data() -> None:
    configs = [config_of(kind, dropout_rate=0.0) for kind in (*SEQUENTIAL, ArchitectureType.FEED_FORWARD)]
    table = PyTorchModelFactory().compare_architectures(configs, sequences(200), sequences(80, seed=1), epochs=3)
    assert sorted(table["config"]) == [0, 1, 2, 3]
    assert table["val_loss"].is_sorted()
    assert table["val_loss"].n_unique() == 4
    assert [configs[place].architecture_type for place in table["config"]] == table["architecture"].to_list()


@pytest.mark.parametrize("kind", list(ArchitectureType))
def test_the_trained_model_is_exported_with_a_free_batch(kind: ArchitectureType, tmp_path: Path) -> None:
    factory, config = (
        PyTorchModelFactory(),
        config_of(kind, lstm_bidirectional=True) if kind in SEQUENTIAL else config_of(kind),
    )
    model = factory.create_model(config)
    form = (STEPS, WIDTH) if config.sequential else (STEPS * WIDTH,)
    (features, labels), held = sequences(120), sequences(40, seed=1)
    found = factory.test_architecture(
        config, (features.reshape(-1, *form), labels), (held[0].reshape(-1, *form), held[1]), epochs=2
    )
    assert found.model is model
    path = factory.export_to_onnx(model, input_shape=(1, *form), output_path=tmp_path / "deep" / "model.onnx")
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    for rows in (1, 5, 40):
        batch = held[0].reshape(-1, *form)[:rows]
        with torch.no_grad():
            eager = model(torch.from_numpy(batch)).numpy()
        got = session.run(None, {"features": batch})[0]
        np.testing.assert_allclose(got, eager, rtol=1e-5)
    assert abs(got - held[1][:, None]).mean() < 100  # near 500, where an untrained network would say 0


def test_an_untrained_model_is_not_exported_unless_asked_for(tmp_path: Path) -> None:
    factory = PyTorchModelFactory()
    model = factory.create_model(ModelConfig(ArchitectureType.FEED_FORWARD, 4, [8]))
    with pytest.raises(FitError, match="this model has not learned anything"):
        factory.export_to_onnx(model, input_shape=(1, 4), output_path=tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
    assert factory.export_to_onnx(model, input_shape=(1, 4), output_path=tmp_path / "m.onnx", untrained=True).exists()
    with torch.no_grad():  # a loop of one's own
        next(model.parameters()).add_(0.1)
    factory.export_to_onnx(model, input_shape=(1, 4), output_path=tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match=r"input_shape begins with the batch"):
        factory.export_to_onnx(model, input_shape=(4,), output_path=tmp_path / "m.onnx")


def test_a_gpu_that_is_not_there_is_warned_of_and_recorded_and_refused_when_strict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runtime, "NVIDIA", (tmp_path / "none",))
    with pytest.warns(FallbackWarning, match="cuda was asked for, cpu is used"):
        factory = PyTorchModelFactory(device="cuda")
    found = factory.test_architecture(config_of(ArchitectureType.LSTM), sequences(20), sequences(20), epochs=1)
    assert (found.runtime.device.requested, found.runtime.device.used) == ("cuda", "cpu")
    with pytest.raises(BackendError, match="cuda was asked for"):
        PyTorchModelFactory(device="cuda", strict=True)
    with pytest.raises(ConfigError, match="the device is auto, cpu or cuda; got 'gpu'"):
        PyTorchModelFactory(device="gpu")


def test_versions_come_back_to_the_bit_and_a_rollback_goes_one_back(tmp_path: Path) -> None:
    factory, config = PyTorchModelFactory(), config_of(ArchitectureType.HYBRID)
    saved = [factory.create_model(config, seed=seed) for seed in range(3)]
    assert [factory.save_version(m, tmp_path / "m", notes={"seed": k}) for k, m in enumerate(saved)] == [1, 2, 3]
    for expected, number in ((3, None), (2, 2), (1, 1)):
        found = factory.load_version(tmp_path / "m", number=number)
        assert (found.number, found.config, found.notes) == (expected, config, {"seed": expected - 1})
        for name, tensor in saved[expected - 1].state_dict().items():
            assert torch.equal(found.model.state_dict()[name], tensor)
    assert factory.rollback(tmp_path / "m") == 2
    assert factory.load_version(tmp_path / "m").number == 2
    assert factory.save_version(saved[0], tmp_path / "m") == 4
    assert factory.rollback(tmp_path / "m", number=1) == 1
    with pytest.raises(ConfigError, match=r"version 1 of .* is the oldest"):
        factory.rollback(tmp_path / "m")
    with pytest.raises(ConfigError, match=r"there is no version 9 in .* There are: 1, 2, 3, 4"):
        factory.load_version(tmp_path / "m", number=9)
    assert sorted(p.name for p in (tmp_path / "m" / "v0001").iterdir()) == ["manifest.json", "weights.safetensors"]


def test_a_version_whose_bytes_changed_is_refused(tmp_path: Path) -> None:
    factory = PyTorchModelFactory()
    factory.save_version(factory.create_model(config_of(ArchitectureType.LSTM)), tmp_path)
    for name in ("weights.safetensors", "manifest.json"):
        path = tmp_path / "v0001" / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
        with pytest.raises(TamperedError, match=name):
            factory.load_version(tmp_path)
        path.write_bytes(whole)
    factory.load_version(tmp_path)
    with pytest.raises(BundleError, match="no version was saved"):
        factory.load_version(tmp_path / "nothing")


def flat(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(count, 6))
    return features, 4.0 * features[:, 0] - features[:, 1] + 0.1 * draw.normal(size=count)


START = ModelConfig("feed_forward", 6, [8], use_batch_norm=False)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda f: f.create_model({"input_size": 3}), "made from a ModelConfig; got dict"),
        (lambda f: f.create_model(START, seed=-1), r"seed is a whole number from 0 to 2\*\*63 - 1; got -1"),
        (lambda f: f.create_model(START, seed="a"), "seed is a whole number .* got 'a'"),
        (lambda f: f.export_to_onnx(None), "the model is a torch module; got NoneType"),
        (lambda f: f.export_to_onnx(f.create_model(START), input_shape=6, untrained=True), r"input_shape .* got 6"),
        (
            lambda f: f.export_to_onnx(f.create_model(START), input_shape=(1, 5), untrained=True),
            r"does not take an input of shape \(1, 5\)",
        ),
        (
            lambda f: f.export_to_onnx(f.create_model(START), input_shape=(1, 6), output_path=".", untrained=True),
            r"\. is a folder\. Name a file in it",
        ),
        (lambda f: f.save_version(f.create_model(START), "v", notes={"a": object()}), "notes are plain data"),
        (
            lambda f: f.test_architecture(START, flat(9, seed=0), flat(9, seed=0), epochs=2.5),
            "epochs is a whole number",
        ),
        (
            lambda f: f.test_architecture(START, flat(9, seed=0), flat(9, seed=0), learning_rate="x"),
            "learning_rate is a",
        ),
        (lambda f: replace(START, dropout_rate=None), "dropout_rate is a share .* got None"),
        (lambda f: replace(START, use_batch_norm="yes"), "use_batch_norm is True or False; got 'yes'"),
    ],
)
def test_what_a_newcomer_gets_wrong_is_named(ask: Any, message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        ask(PyTorchModelFactory())


def test_sizes_from_an_array_are_numbers_too() -> None:
    config = ModelConfig("feed_forward", np.int64(6), [np.int64(8)])  # type: ignore[arg-type,list-item]
    assert config.to_dict() == ModelConfig("feed_forward", 6, [8]).to_dict()
    assert json.dumps(config.to_dict())


def test_numbers_that_float32_cannot_hold_are_named() -> None:
    features, labels = flat(20, seed=0)
    with pytest.raises(DataError, match=r"20 of the labels are no finite numbers.*float32 ends at 3e38"):
        PyTorchModelFactory().test_architecture(START, (features, labels + 1e39), flat(9, seed=0))
