"""The winner sealed as a bundle, opened again, checked and timed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.features.windows import Windows, newest_windows
from tidewright.inference.session import Session, open_session
from tidewright.models.fitted import Fitted
from tidewright.registry.bundle import save_bundle
from tidewright.workflows.result import Serving

CALLS, EAGER_CALLS = 300, 30
MOST_S = 3.0  # of answers that are timed: a model that fits each window is slow


def seal(
    fitted: Fitted,
    *,
    name: str,
    panel: Panel,
    split: Split,
    folder: Path,
    scores: Mapping[str, Mapping[str, float]],
    run: str,
    season: int,
    strict: bool,
    overwrite: bool = False,
) -> tuple[Serving, Session]:
    """Saves the bundle, opens it and times one-row answers, compiled and eager."""
    bundle = save_bundle(
        fitted,
        panel=panel,
        folder=folder,
        name=name,
        split=split,
        metrics=scores,
        run=run,
        season=season,
        overwrite=overwrite,
    )
    session = open_session(folder, strict=strict)
    windows = newest_windows(panel, fitted.view, horizon=fitted.task.horizon).subset(np.array([0]))
    inputs = _inputs(windows, bundle.manifest.widths.inputs)
    session.predict(inputs)
    session.reset_latency()
    ends = time.monotonic() + MOST_S
    for _ in range(CALLS):
        session.predict(inputs)
        if time.monotonic() > ends:
            break
    serving = Serving(
        path=folder,
        digest=bundle.digest,
        backend=session.backend,
        parity=bundle.parity,
        tolerance=bundle.tolerance,
        latency_ms=session.latency(),
        eager_ms=_time_eager(fitted, windows),
        backend_reason=session.choice.reason,
        settings=", ".join(f"{name} {choice.used}" for name, choice in session.settings.items()),
    )
    session.reset_latency()
    return serving, session


def _inputs(windows: Windows, names: Iterable[str]) -> dict[str, Any]:
    batch = windows.batch()
    return {name: getattr(batch, name) for name in names}


def _time_eager(fitted: Fitted, windows: Windows) -> float:
    """The median of some eager answers, in milliseconds."""
    spans = []
    ends = time.monotonic() + MOST_S
    for _ in range(EAGER_CALLS):
        started = time.perf_counter()
        fitted.predict(windows)
        spans.append(1e3 * (time.perf_counter() - started))
        if time.monotonic() > ends:
            break
    return float(np.median(spans))
