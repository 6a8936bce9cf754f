"""Where trees are boosted: on the GPU that the runtime found and was asked for, where the library can; else on the CPU.

LightGBM's wheel from PyPI has no CUDA, and boosts on an H200 through OpenCL. XGBoost and CatBoost were not run on a
GPU, and no figure of these models here comes from one.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from tidewright.errors import BackendError, FallbackWarning
from tidewright.optional import require
from tidewright.runtime import Runtime

Record = Mapping[str, Any]


def settle_device(model: str, runtime: Runtime | None, *, goals: int) -> tuple[str, tuple[Record, ...]]:
    """The library's own word for where it boosts, and a record for the history where that is not what was asked for.

    "cpu" without a runtime, or with one on the CPU. Warns of a fallback (`FallbackWarning`), which is an error
    (`BackendError`) when the runtime is strict.
    """
    if runtime is None or runtime.device.used != "cuda":
        return "cpu", ()
    word, obstacle = _FINDERS[model](goals)
    if not obstacle:
        return word, ()
    text = f"{model}: cuda was asked for, cpu is used: {obstacle}."
    if runtime.strict:
        raise BackendError(f"{text} Ask for the device cpu, or leave strict out.")
    warnings.warn(text, FallbackWarning, stacklevel=2)
    return "cpu", ({"device": "cpu", "asked": "cuda", "reason": obstacle},)


def _find_lightgbm(goals: int) -> tuple[str, str]:
    """LightGBM says nothing of what it was built with: a model of nothing is tried, with CUDA, then with OpenCL."""
    lightgbm = require("lightgbm", extra="trees", purpose="the model lightgbm")
    told = ""
    for word in ("cuda", "gpu"):
        options = {"device_type": word, "verbosity": -1}
        try:
            with redirect_stdout(io.StringIO()):
                data = lightgbm.Dataset(np.arange(40.0)[:, None], np.arange(40.0), params=options)
                lightgbm.Booster(options, data).update()
        except lightgbm.basic.LightGBMError as error:
            told = told or str(error).splitlines()[0].rstrip(".")
        else:
            return word, ""
    return "cpu", f"its build here can't ({told})"


def _find_xgboost(goals: int) -> tuple[str, str]:
    xgboost = require("xgboost", extra="boosters", purpose="the model xgboost")
    there = bool(xgboost.build_info()["USE_CUDA"])
    return "cuda", "" if there else "its build here has no CUDA (put xgboost in xgboost-cpu's place)"


def _find_catboost(goals: int) -> tuple[str, str]:
    if goals > 1:
        return "CPU", "its loss of several quantiles runs on the CPU alone"
    count = require("catboost.utils", extra="boosters", purpose="the model catboost").get_gpu_device_count()
    return "GPU", "" if count else "it finds no GPU"


_FINDERS = {"lightgbm": _find_lightgbm, "xgboost": _find_xgboost, "catboost": _find_catboost}
