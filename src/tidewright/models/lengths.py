"""Windows of other lengths than a model learned from, where it allows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tidewright.errors import ConfigError
from tidewright.features.view import MOST_STEPS
from tidewright.models.calibrated import Calibrated
from tidewright.models.conformal import Conformal
from tidewright.models.fitted import Fitted
from tidewright.models.logged import Logged
from tidewright.models.spec import kind_of

FIXED = {
    "floor": "it is a formula over these",
    "class_floor": "it is a formula over these",
    "trees": "its cells are made of these",
    "statistical": "it is fitted on these anew, and has no graph",
    "foundation": "it was asked for these, and has no graph",
    "ensemble": "its members see parts of these",
}  # by kind


def allow_lengths(fitted: Fitted, lengths: tuple[int, int]) -> Fitted:
    """The same model, which also answers windows from the shortest to the longest length.

    Its weights are the same; nothing is learned. Raises `ConfigError` where a weight or a formula belongs to a step,
    and for lengths that the model has no answer to, or that leave out the one it learned from.
    """
    if isinstance(fitted, Conformal | Logged | Calibrated):
        inner: Any = fitted
        found: Fitted = replace(inner, inner=allow_lengths(fitted.inner, lengths))
        return found
    why = FIXED.get(kind_of(fitted.spec))
    if why is None:
        from tidewright.models.torch.lengths import explain_fixed

        why = explain_fixed(fitted.spec)
    if why:
        raise ConfigError(
            f"{fitted.spec.name} takes windows of {fitted.view.lookback} steps alone: {why}. Leave `lengths` out, or "
            "learn again with another lookback."
        )
    _check(fitted, lengths)
    network: Any = fitted
    return replace(network, lengths=lengths)  # type: ignore[no-any-return]  # the same class again


def _check(fitted: Fitted, lengths: Any) -> None:
    from tidewright.models.torch.lengths import widest_lengths

    lookback = fitted.view.lookback
    least, most = widest_lengths(fitted.spec, lookback)
    whole = isinstance(lengths, tuple | list) and len(lengths) == 2 and all(type(n) is int for n in lengths)
    if not whole or not least <= lengths[0] <= lookback <= lengths[1] or lengths[1] > (most or MOST_STEPS):
        end = f"at most {most}, which is how far it sees" if most else f"at most {MOST_STEPS}"
        raise ConfigError(
            f"lengths are the shortest and the longest window: for this {fitted.spec.name} from {least} up to its own "
            f"{lookback} steps, and from these to {end}; got {lengths!r}. Give two such numbers."
        )
