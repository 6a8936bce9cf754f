"""The code of the ML Framework Guide, as it stands there but for the import lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch

from tidewright import runtime
from tidewright.errors import FallbackWarning, FitError
from tidewright.models.torch.dropout import Dropout

IMPORTS = """
from tidewright import (
    PyTorchModelFactory,
    ModelConfig,
    ArchitectureType
)
"""

USAGE = """
# Create model factory
factory = PyTorchModelFactory(device="cuda")

# Configure model
config = ModelConfig(
    architecture_type=ArchitectureType.FEED_FORWARD,
    input_size=100,
    hidden_sizes=[64, 32, 16],
    output_size=1,
    dropout_rate=0.2,
    use_batch_norm=True,
    activation="relu"
)

# Create model
model = factory.create_model(config)

# Test architecture
train_data = (X_train, y_train)
val_data = (X_val, y_val)

performance = factory.test_architecture(
    config=config,
    train_data=train_data,
    val_data=val_data,
    epochs=10,
    batch_size=32,
    learning_rate=0.001
)

# Export to ONNX
factory.export_to_onnx(
    model=model,
    input_shape=(1, 100),  # (batch_size, input_size)
    output_path="model.onnx"
)
"""

WORKFLOW_MODEL = """
# 1. Create model factory
factory = PyTorchModelFactory(device="cuda")

# 2. Create model configuration
config = ModelConfig(
    architecture_type=ArchitectureType.FEED_FORWARD,
    input_size=100,
    hidden_sizes=[64, 32, 16],
    output_size=1,
    dropout_rate=0.2,
    use_batch_norm=True
)

# 3. Create model
model = factory.create_model(config)
"""

WORKFLOW_EXPORT = """
# 5. Export to ONNX
factory.export_to_onnx(
    model=model,
    input_shape=(1, 100),
    output_path="model.onnx"
)
"""

TRIAL_MODEL = """
def create_model(dropout_rate=0.2, **kwargs):
    from tidewright import ModelConfig, ArchitectureType
    config = ModelConfig(
        architecture_type=ArchitectureType.FEED_FORWARD,
        input_size=100,
        hidden_sizes=[64, 32, 16],
        output_size=1,
        dropout_rate=dropout_rate
    )
    factory = PyTorchModelFactory()
    return factory.create_model(config)
"""

TRAINER_IMPORTS = """
from tidewright import (
    AutoTrainer,
    AutoTrainerConfig,
    HyperparameterSpace,
    OptimizerType
)
"""

TRAINER = """
# Create configuration
config = AutoTrainerConfig(
    search_method="grid",  # "grid", "random", "bayesian"
    max_trials=50,
    metric="sharpe",  # "sharpe", "sortino", "accuracy", "loss"
    maximize_metric=True,
    early_stopping_patience=5,
    min_epochs=10,
    max_epochs=100
)

# Create hyperparameter space
hyperparameter_space = HyperparameterSpace(
    learning_rates=[1e-4, 5e-4, 1e-3, 5e-3, 1e-2],
    batch_sizes=[16, 32, 64, 128, 256],
    optimizers=[OptimizerType.ADAM, OptimizerType.ADAMW, OptimizerType.SGD],
    dropout_rates=[0.0, 0.1, 0.2, 0.3],
    weight_decay=[0.0, 1e-5, 1e-4]
)

config.hyperparameter_space = hyperparameter_space

# Create trainer
trainer = AutoTrainer(config=config)
"""

OPTIMIZE = """
# Optimize
best_result = trainer.optimize(
    model_factory=create_model,
    train_data=(X_train, y_train),
    val_data=(X_val, y_val),
    symbol="BTC-USD"
)

print(f"Best learning rate: {best_result.learning_rate}")
print(f"Best batch size: {best_result.batch_size}")
print(f"Best optimizer: {best_result.optimizer}")
print(f"Best validation metric: {best_result.val_metric}")
"""

WORKFLOW_TRAINER = """
# 4. Auto-train with hyperparameter optimization
trainer = AutoTrainer(config=AutoTrainerConfig())
best_result = trainer.optimize(
    model_factory=lambda **kwargs: factory.create_model(config),
    train_data=(X_train, y_train),
    val_data=(X_val, y_val)
)
"""

INFERENCE_IMPORTS = """
from tidewright import (
    CompiledInferenceLayer,
    InferenceBackend
)
"""

INFERENCE = """
# Create inference layer
inference = CompiledInferenceLayer(
    backend=InferenceBackend.ONNX,
    device="cuda"  # or "cpu"
)

# Load model
inference.load_model("model.onnx")

# Warm up
inference.warm_up(num_iterations=10, batch_size=1)

# Single prediction
features = np.random.randn(1, 100).astype(np.float32)
result = inference.predict(features)

print(f"Prediction: {result.prediction}")
print(f"Latency: {result.latency_ms:.2f} ms")
print(f"Backend: {result.backend.value}")

# Batch prediction
features_list = [np.random.randn(1, 100).astype(np.float32) for _ in range(10)]
results = inference.batch_predict(features_list, batch_size=4)

# Get latency statistics
stats = inference.get_latency_stats()
print(f"Mean latency: {stats['mean_ms']:.2f} ms")
print(f"P95 latency: {stats['p95_ms']:.2f} ms")
"""

WORKFLOW_INFERENCE = """
# 6. Deploy with compiled inference
inference = CompiledInferenceLayer(backend=InferenceBackend.ONNX)
inference.load_model("model.onnx")
inference.warm_up()

# 7. Run inference
result = inference.predict(features)
"""


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arrays that the guide takes for granted, in a folder of their own, on a machine without a GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime, "NVIDIA", (tmp_path / "none",))
    draw = np.random.default_rng(0)
    features = draw.normal(size=(1500, 100))
    labels = 3.0 + features[:, 0] - 2.0 * features[:, 1] + 0.1 * draw.normal(size=1500)
    return {"X_train": features[:1200], "y_train": labels[:1200], "X_val": features[1200:], "y_val": labels[1200:]}


def run(block: str, scope: dict[str, Any]) -> None:
    exec(compile(block, "document 000", "exec"), scope)


def error_of(graph: Path, scope: dict[str, Any]) -> float:
    """The mean squared error of an exported graph on the validation rows."""
    session = ort.InferenceSession(graph.read_bytes(), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[1:] == [100]
    found = session.run(None, {session.get_inputs()[0].name: scope["X_val"].astype(np.float32)})[0]
    return float(np.square(found[:, 0] - scope["y_val"]).mean())


def test_the_usage_block_exports_the_model_that_it_has_trained(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.warns(FallbackWarning, match="cuda was asked for, cpu is used: this machine has no NVIDIA driver"):
        run(IMPORTS + USAGE, given)
    performance = given["performance"]
    assert performance.r2 > 0.8
    assert performance.parameters == sum(p.numel() for p in given["model"].parameters())
    assert error_of(tmp_path / "model.onnx", given) == pytest.approx(performance.val_loss, rel=1e-4)
    for rows in (1, 32):
        batch = torch.randn(rows, 100, generator=torch.Generator().manual_seed(rows))
        graph = ort.InferenceSession((tmp_path / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
        with torch.no_grad():
            eager = given["model"](batch).numpy()
        np.testing.assert_allclose(graph.run(None, {"features": batch.numpy()})[0], eager, rtol=1e-4, atol=1e-5)


def test_the_factory_steps_of_the_complete_workflow_refuse_an_untrained_model_and_export_a_trained_one(
    given: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.warns(FallbackWarning, match="cuda was asked for"):
        run(IMPORTS + WORKFLOW_MODEL, given)
    with pytest.raises(FitError, match="this model has not learned anything"):
        run(WORKFLOW_EXPORT, given)
    assert not (tmp_path / "model.onnx").exists()
    found = given["factory"].test_architecture(
        given["config"], (given["X_train"], given["y_train"]), (given["X_val"], given["y_val"])
    )
    run(WORKFLOW_EXPORT, given)
    assert error_of(tmp_path / "model.onnx", given) == pytest.approx(found.val_loss, rel=1e-4)


def test_the_inference_block_answers_as_the_model_that_was_exported(
    given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    given |= {"np": np}
    with pytest.warns(FallbackWarning, match="cuda was asked for, cpu is used"):
        run(IMPORTS + USAGE, given)
    with pytest.warns(FallbackWarning, match="runs on the cpu instead of cuda: this machine has no NVIDIA driver"):
        run(INFERENCE_IMPORTS + INFERENCE, given)
    rows = [given["features"], *given["features_list"]]
    with torch.no_grad():
        wanted = given["model"](torch.from_numpy(np.concatenate(rows))).numpy()
    found = [given["result"], *given["results"]]
    np.testing.assert_allclose(np.concatenate([one.prediction for one in found]), wanted, rtol=1e-4, atol=1e-4)
    assert given["stats"]["count"] == 1 + 3  # ten rows, four at a time
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"Prediction: {given['result'].prediction}"
    assert said[2] == "Backend: onnx"
    assert [line.split(":")[0] for line in said[3:]] == ["Mean latency", "P95 latency"]


def test_the_trial_function_makes_a_model_with_its_dropout(given: dict[str, Any]) -> None:
    run(IMPORTS + TRIAL_MODEL, given)
    for share in (0.0, 0.3):
        model = given["create_model"](dropout_rate=share, learning_rate=0.1)
        dropped = {part.share for part in model.modules() if isinstance(part, Dropout)}
        assert dropped == ({share} if share else set())
        assert model(torch.zeros(2, 100)).shape == (2, 1)


@pytest.mark.slow
def test_the_trainer_block_searches_and_says_what_was_best(
    given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    scope = {name: values[:160] for name, values in given.items()}
    scope |= {"y_train": 0.01 * scope["y_train"], "y_val": 0.01 * scope["y_val"]}  # returns
    run(TRAINER_IMPORTS + TRAINER + TRIAL_MODEL + IMPORTS, scope)
    with pytest.warns(FallbackWarning, match="the grid has 900 points, more than max_trials=50"):
        run(OPTIMIZE, scope)
    best = scope["best_result"]
    assert best.trials.height == 50
    assert best.trials["sharpe"].drop_nulls().is_sorted(descending=True)
    assert best.val_metric == best.trials["sharpe"][0]
    assert capsys.readouterr().out.splitlines() == [
        f"Best learning rate: {best.learning_rate}",
        f"Best batch size: {best.batch_size}",
        f"Best optimizer: {best.optimizer}",
        f"Best validation metric: {best.val_metric}",
    ]
    assert str(best.optimizer) in ("adam", "adamw", "sgd")


@pytest.mark.slow
def test_the_complete_workflow_exports_the_network_that_the_trainer_taught(
    given: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.warns(FallbackWarning, match="cuda was asked for"):
        run(IMPORTS + WORKFLOW_MODEL, given)
    given |= {"X_train": given["X_train"][:160], "y_train": given["y_train"][:160]}
    run(TRAINER_IMPORTS + WORKFLOW_TRAINER, given)
    run(WORKFLOW_EXPORT, given)
    assert error_of(tmp_path / "model.onnx", given) == pytest.approx(given["best_result"].val_metric, rel=1e-4)
    given["features"] = given["X_val"][:3]
    run(INFERENCE_IMPORTS + WORKFLOW_INFERENCE, given)
    with torch.no_grad():
        wanted = given["best_result"].model(torch.from_numpy(given["features"].astype(np.float32))).numpy()
    np.testing.assert_allclose(given["result"].prediction, wanted, rtol=1e-4, atol=1e-4)
