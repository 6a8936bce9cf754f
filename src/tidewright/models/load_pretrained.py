"""Networks of foundation packages, loaded from a folder without a network connection. Imported when first used.

n windows, L lookback, H horizon, K levels, S samples.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import lru_cache
from io import StringIO
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from tidewright.errors import ConfigError
from tidewright.features.windows import Singles
from tidewright.models.foundation import Network
from tidewright.models.pretrained import CONFIG
from tidewright.models.specs.foundation import Chronos, FoundationSpec
from tidewright.optional import require

SEED = 0  # of the paths that a Chronos-T5 draws for each window
LOADED = 2  # networks that a process keeps
NOISY = "chronos|timesfm|transformers|huggingface_hub|torch"
LOGGING = ("chronos.chronos", "chronos.chronos_bolt", "chronos.chronos2.pipeline")  # modules that log by their path
_ALONE = Lock()  # Python's filters of warnings and torch's generator belong to the whole process


@lru_cache(maxsize=LOADED)
def load_network(spec: FoundationSpec, place: Path, digest: str, device: str) -> Network:
    """The network in a folder whose digest was checked. Raises `MissingExtraError` without its package, `ConfigError`
    for weights that are not its.
    """
    hush = StringIO()  # bars and lines that loading prints
    with _ALONE, _quiet(), redirect_stdout(hush), redirect_stderr(hush):
        return _load_chronos(spec, place, device) if isinstance(spec, Chronos) else _load_timesfm(spec, place, device)


def _load_chronos(spec: Chronos, place: Path, device: str) -> Network:
    chronos = require("chronos", extra="foundation", purpose="the model chronos")
    torch = require("torch", extra="nets", purpose="the model chronos")
    try:
        pipeline = chronos.BaseChronosPipeline.from_pretrained(
            str(place), dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
    except (ValueError, KeyError, AttributeError, AssertionError) as error:
        raise ConfigError(
            f"'{place}' holds no weights of Chronos: {error}. Give the folder of a Chronos-Bolt, Chronos-2 or "
            "Chronos-T5."
        ) from error
    _check_loaded(pipeline.inner_model, place)
    pipeline.inner_model.to(device).eval()
    levels = tuple(float(level) for level in getattr(pipeline, "quantiles", ()))

    def answer(past: Singles, horizon: int) -> Singles:
        given = torch.from_numpy(past)
        with _ALONE, _quiet(), torch.no_grad():
            if not levels:
                return np.concatenate([_draw(torch, pipeline, row, horizon, samples=spec.samples) for row in given])
            wide = isinstance(pipeline, chronos.Chronos2Pipeline)
            found = pipeline.predict(given[:, None] if wide else given, prediction_length=horizon)
            whole = torch.cat(list(found)) if wide else found
        return np.asarray(whole.swapaxes(1, 2).numpy())

    return Network(levels, int(pipeline.model_context_length), int(pipeline.model_prediction_length), answer)


def _draw(torch: Any, pipeline: Any, row: Any, horizon: int, *, samples: int) -> Singles:
    """Paths [1, H, S] of one window: alone, so that they do not depend on the windows beside it, from the same seed."""
    devices = [pipeline.model.device] if pipeline.model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(SEED)
        found = pipeline.predict(row[None], prediction_length=horizon, num_samples=samples)
    return np.asarray(found.swapaxes(1, 2).numpy())


def _load_timesfm(spec: FoundationSpec, place: Path, device: str) -> Network:
    package = require("timesfm3", extra="foundation", purpose="the model timesfm")
    require("torch", extra="nets", purpose="the model timesfm")
    if "input_patch_len" not in json.loads((place / CONFIG).read_text("utf-8")):
        raise ConfigError(f"'{place}' holds no weights of TimesFM 3.0: its {CONFIG} is another's. Give their folder.")
    try:
        forecaster = package.TimesFM3Forecaster.from_pretrained(
            str(place), device=device, local_files_only=True, per_core_batch_size=spec.batch
        )
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ConfigError(f"'{place}' holds no weights of TimesFM 3.0: {error}.") from error
    _check_loaded(forecaster.model, place)
    levels = tuple(float(level) for level in forecaster.config.quantiles)
    patch = int(forecaster.config.input_patch_length)

    def answer(past: Singles, horizon: int) -> Singles:
        out = np.empty((len(past), horizon, len(levels)), np.float32)
        first = np.argmax(~np.isnan(past), axis=1)  # they cut what is missing before it: windows of one size a batch
        sizes = -(-(past.shape[1] - first) // patch)
        with _ALONE, _quiet(), _uncollected(sys.modules[type(forecaster).__module__]):
            for size in np.unique(sizes):
                rows = np.flatnonzero(sizes == size)
                found = forecaster.predict_batch([past[row] for row in rows], horizon, return_quantiles=True)
                out[rows] = np.stack([one.quantiles for one in found])
        return out

    return Network(levels, int(forecaster.global_context), int(forecaster.config.output_patch_length), answer)


def _check_loaded(model: Any, place: Path) -> None:
    """Raises `ConfigError` where a weight of the network is not in the files: both packages would leave it random."""
    from safetensors import safe_open

    held: set[str] = set()
    for path in place.glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            held |= set(file.keys())
    alike: dict[int, set[str]] = {}  # names of one and the same weight
    for name, weight in model.named_parameters(remove_duplicate=False):
        alike.setdefault(weight.data_ptr(), set()).add(name)
    missing = sorted(min(names) for names in alike.values() if not names & held)
    if missing:
        raise ConfigError(
            f"'{place}' holds not all weights of the network: {len(missing)} are missing, the first '{missing[0]}'. "
            "Download it again, or give weights of another."
        )


@contextmanager
def _uncollected(package: Any) -> Iterator[None]:
    """Inside the block TimesFM does not collect all of the process's garbage after each answer, which takes longer."""
    kept = package.try_gc
    package.try_gc = lambda *_: None
    try:
        yield
    finally:
        package.try_gc = kept


@contextmanager
def _quiet() -> Iterator[None]:
    """What these packages warn and log of inside the block (long horizons, their own deprecations) stays unsaid: the
    model's history has its limits.
    """
    loggers = [sys.modules[name].logger for name in LOGGING if name in sys.modules]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=NOISY)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
