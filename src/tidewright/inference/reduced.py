"""Fewer digits for a network's answers: only where the machine has them, answers stay near and it is faster."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from tidewright.errors import BackendError, FallbackWarning
from tidewright.inference.backends.networks import (
    answer_with,
    explain_no_network,
    explain_no_torch,
    in_precision,
    open_network,
)
from tidewright.inference.local_session import LocalSession
from tidewright.inference.opened import OpenedModel
from tidewright.inference.timing import time_sessions
from tidewright.registry.bundle import Bundle
from tidewright.runtime import Choice, find_obstacle

FULL, LIMIT = "float32", 0.02  # the largest relative difference of the example's answers
_WORDS = {"cpu": ("bfloat16",), "cuda": ("bfloat16", "float16")}


@dataclass(frozen=True, eq=False, slots=True)
class ReducedPrecision:
    """What was tried with a model and what came of it: `difference` of the example's answers, relative, and `speed_up`
    over what answers otherwise (above 1: faster); None where nothing was measured.
    """

    choice: Choice
    difference: float | None = None
    speed_up: float | None = None

    def get_performance_stats(self) -> dict[str, Any]:
        """The same as plain data."""
        told = {"requested": self.choice.requested, "used": self.choice.used, "reason": self.choice.reason}
        return told | {"difference": self.difference, "limit": LIMIT, "speed_up": self.speed_up}


def explain_no_reduced(device: str) -> str:
    """Why no precision but float32 is of use on a device (cpu, cuda) here; empty where one is."""
    why = explain_no_torch()
    return why or ("" if _find_word(device) else find_obstacle(_WORDS[device][0], device=device))


def reduce_precision(
    model: OpenedModel, *, rows: int, obstacle: str = "", strict: bool = False
) -> tuple[OpenedModel, ReducedPrecision]:
    """The model, answering in fewer digits if that wins by the mean logarithm over one row and so many, and the record.

    An `obstacle` that is known of is recorded. A model that has no such form is a fallback: warned of, or a
    `BackendError` when `strict`.
    """
    if obstacle:
        return model, ReducedPrecision(Choice("mixed", FULL, obstacle))
    bundle, why = model.bundle, "a graph alone stays in the precision that it was exported in"
    if bundle is not None:
        why = explain_no_network(bundle.manifest)
    if bundle is None or why:
        if strict:
            raise BackendError(f"mixed precision was asked for, and {why}. Leave it or strict out.")
        warnings.warn(f"mixed precision was asked for, {FULL} is used: {why}.", FallbackWarning, stacklevel=3)
        return model, ReducedPrecision(Choice("mixed", FULL, why))
    return _measure(model, bundle, rows=rows)


def _measure(model: OpenedModel, bundle: Bundle, *, rows: int) -> tuple[OpenedModel, ReducedPrecision]:
    device = model.describe()["device"]
    word = _find_word(device)
    session = _open(bundle, device=device, word=word, settings=model.session.settings)
    apart = _compare(session, bundle)
    if not apart <= LIMIT:
        why = f"the example's answers differ by {apart:.3g} (relative) in {word}; {LIMIT:g} is allowed"
        return model, ReducedPrecision(Choice("mixed", FULL, why, (word,)), apart)
    pair: dict[str, Any] = {FULL: model.session, word: session}
    seconds = time_sessions(pair, bundle, batch_sizes=(1, rows))
    ratios = [full / half for full, half in zip(seconds[FULL], seconds[word], strict=True)]
    gain = float(prod(ratios) ** (1 / len(ratios)))
    told = ", ".join(f"{one:.2f} times as fast at batch {n}" for one, n in zip(ratios, (1, rows), strict=True))
    if gain <= 1.0:
        return model, ReducedPrecision(Choice("mixed", FULL, f"{word} does not win: {told}", (word,)), apart, gain)
    found = ReducedPrecision(Choice("mixed", word, f"{word} wins: {told}", (FULL,)), apart, gain)
    return replace(model, session=session), found


def _find_word(device: str) -> str:
    return next((word for word in _WORDS[device] if not find_obstacle(word, device=device)), "")


def _open(bundle: Bundle, *, device: str, word: str, settings: Any) -> LocalSession:
    """The network itself under torch's autocast, which keeps in float32 what needs the digits."""
    opened = open_network(bundle, device=device)
    answer = in_precision(opened, word)
    choice = Choice("mixed", "eager", f"the network in {word}")
    kept = {**settings, "precision": Choice("mixed", word, "the device has it")}
    return LocalSession(bundle, choice=choice, answerer=answer_with(answer, opened, threads=1), settings=kept)


def _compare(session: LocalSession, bundle: Bundle) -> float:
    from tidewright.registry.difference import relative_difference

    batch, wanted = bundle.example()
    feed = {name: np.ascontiguousarray(getattr(batch, name)) for name in bundle.manifest.widths.inputs}
    target = None if bundle.manifest.task.classifies else batch.target
    return float(relative_difference(session.predict(feed).quantiles, wanted, target=target))
