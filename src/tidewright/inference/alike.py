"""How far answers are apart: from the bundle's own, and of two sessions. N windows, H horizon, Q quantiles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tidewright.errors import DataError
from tidewright.features.windows import Batch, Singles
from tidewright.inference.session import Session
from tidewright.models.specs.ensemble import Ensemble
from tidewright.registry.bundle import Bundle
from tidewright.registry.difference import relative_difference
from tidewright.registry.manifest import Manifest
from tidewright.registry.trial_windows import hard_windows, take


def differ_from_bundle(session: Session, bundle: Bundle, *, size: int) -> float:
    """The largest relative difference from the answer in the bundle's example, asked for `size` windows at a time."""
    batch, answer = bundle.example()
    rows = np.arange(max(size, len(answer))) % len(answer)
    asked = take(batch, rows)
    ours = _answer(session, asked, bundle.manifest, size=size)
    return relative_difference(ours, answer[rows], target=_target(asked, bundle.manifest))


def differ_from_other(ours: Session, theirs: Session, bundle: Bundle, *, size: int) -> float:
    """The largest relative difference of two sessions, on the bundle's example and on hard windows made of it (holes,
    constants, huge and tiny values); infinite where only one of them answers.

    Hard windows are left out of a bundle of lower precision, which was judged on validation windows alone.
    """
    manifest, worst = bundle.manifest, 0.0
    moved = np.float32(_find_offset(manifest))
    for batch in _list_windows(bundle):
        answers = [_answer_or_refuse(one, batch, manifest, size=size) for one in (ours, theirs)]
        if answers[0] is None or answers[1] is None:
            worst = worst if answers[0] is answers[1] else float("inf")
            continue
        target = _target(batch, manifest)
        target = None if target is None else target + moved
        worst = max(worst, relative_difference(answers[0] + moved, answers[1] + moved, target=target))
    return worst


def _list_windows(bundle: Bundle) -> Iterator[Batch]:
    real, _ = bundle.example()
    yield real
    if bundle.manifest.quantised is None:
        yield from (batch for _, batch in hard_windows(real))


def _answer_or_refuse(session: Session, batch: Batch, manifest: Manifest, *, size: int) -> Singles | None:
    """The answers; None where the session refuses the windows, as it may hard ones."""
    try:
        return _answer(session, batch, manifest, size=size)
    except DataError:
        return None


def _answer(session: Session, batch: Batch, manifest: Manifest, *, size: int) -> Singles:
    """The quantiles [N, H, Q], asked for `size` windows at a time."""
    feed = {name: np.ascontiguousarray(getattr(batch, name)) for name in manifest.widths.inputs}
    parts = []
    for start in range(0, len(batch.target), size):
        part = {name: array[start : start + size] for name, array in feed.items()}
        parts.append(session.predict(part["target"] if len(part) == 1 else part).quantiles)
    return np.concatenate(parts)


def _target(batch: Batch, manifest: Manifest) -> npt.NDArray[np.float32] | None:
    return None if manifest.task.classifies else batch.target


def _find_offset(manifest: Manifest) -> float:
    """What is added before a logarithm, the most of all members: answers are as exact as they are large with that."""
    members = manifest.spec.members if isinstance(manifest.spec, Ensemble) else ()
    return max(view.log or 0.0 for view in (manifest.view, *(member.view for member in members)))
