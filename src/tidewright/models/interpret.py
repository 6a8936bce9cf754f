"""`interpret`: which variables and which times a Temporal Fusion Transformer used, by name.

N windows, L lookback, H horizon, V variables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Roles
from tidewright.errors import ConfigError, DataError
from tidewright.features.calendar import calendar_labels
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows
from tidewright.models.fitted import Fitted
from tidewright.models.logged import Logged

CHUNK = 256  # windows read at once: bounds the memory of what a network remembers of them
Steps = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Selection:
    """How much each of V variables counted: `by_step` [T, V], a mean over windows whose rows sum to one, at `steps` [T]
    (0 is the cutoff, the horizon is from 1 on)."""

    names: tuple[str, ...]
    steps: Steps
    by_step: Doubles

    @property
    def weights(self) -> Doubles:
        """The mean over the steps [V]; it sums to one."""
        return np.asarray(self.by_step.mean(axis=0))

    @property
    def largest(self) -> str:
        """The variable that counted most."""
        return self.names[int(np.argmax(self.weights))]


@dataclass(frozen=True, eq=False, slots=True)
class Interpretation:
    """What a model used of `count` windows: its selections (`static` is None where it has no such column), and the
    `attention` [H, L + H] that each step of the horizon paid to each time, 0 after the step itself.

    Weights say what the model used, not what causes what; two columns that tell the same share a weight at will.
    """

    model: str
    count: int
    static: Selection | None
    past: Selection
    future: Selection
    attention: Doubles

    @property
    def selections(self) -> dict[str, Selection]:
        """The selections that there are, by their part: static, past, future."""
        parts = {"static": self.static, "past": self.past, "future": self.future}
        return {part: selection for part, selection in parts.items() if selection is not None}

    @property
    def steps(self) -> Steps:
        """The times that attention is paid to, as steps from the cutoff [L + H]: 1 - L to H."""
        return np.concatenate([self.past.steps, self.future.steps])

    @property
    def by_time(self) -> Doubles:
        """The attention paid to each time [L + H], a mean over the horizon; it sums to one."""
        return np.asarray(self.attention.mean(axis=0))

    @property
    def by_lag(self) -> Doubles:
        """The attention paid to what was `lag` steps before [L + H], lags from 0 on, a mean over the horizon.

        It sums to one. The last H lags are reached by some steps of the horizon only.
        """
        horizon, width = self.attention.shape
        lags = (width - horizon) + np.arange(horizon)[:, None] - np.arange(width)
        inside = lags >= 0
        return np.asarray(np.bincount(lags[inside], weights=self.attention[inside], minlength=width) / horizon)


def interpret(fitted: Fitted, windows: Windows, *, roles: Roles) -> Interpretation:
    """What the model used of these windows, the names of its columns taken from the panel's `roles`.

    Text columns have a variable a level ("town=north"), calendar cycles a sine and a cosine, holidays the next one
    and the last one. Raises `ConfigError` for a model that doesn't say what it uses, `DataError` for windows or roles
    unlike those it learned from.
    """
    from tidewright.models.torch.explain import read_windows
    from tidewright.models.torch.fitted import TorchFitted, check_windows

    if isinstance(fitted, Logged):
        return interpret(fitted.inner, fitted.log_windows(windows), roles=roles)
    if not isinstance(fitted, TorchFitted) or fitted.spec.name != "tft":
        raise ConfigError(f"{fitted.spec.name} does not say which variables and times it uses. Fit a tft.")
    check_windows(windows, fitted.shape, spec=fitted.spec, task=fitted.task)
    if not len(windows):
        raise DataError("there is no window to interpret; got 0. Give one or more.")
    schema = fitted.view.schema
    learned = roles if schema is None else schema.roles
    names = name_variables(roles, fitted.view)
    shape = fitted.shape
    found = {part: len(names[part]) for part in ("past", "known", "static")}
    wanted = {"past": shape.past, "known": shape.known, "static": shape.static}
    if found != wanted:
        raise DataError(f"the model learned from columns {wanted}; the roles name {found}. Give its panel's roles.")
    if any(set(getattr(roles, kind)) != set(getattr(learned, kind)) for kind in ("past", "known")):
        raise DataError(f"the model learned from {learned}; got {roles}. Give its panel's roles.")
    roles, names = learned, name_variables(learned, fitted.view)
    means = read_windows(fitted, windows, chunk=CHUNK)
    back, ahead = np.arange(1 - shape.lookback, 1), np.arange(1, shape.horizon + 1)
    target = (roles.target, f"{roles.target} observed")
    return Interpretation(
        model=fitted.spec.name,
        count=len(windows),
        static=Selection(names["static"], np.zeros(1, dtype=np.int64), means["static"]) if shape.static else None,
        past=Selection((*target, *names["past"], *names["known"]), back, means["past"]),
        future=Selection(names["known"] or ("step",), ahead, means["future"]),
        attention=means["attention"],
    )


def name_variables(roles: Roles, view: View) -> dict[str, tuple[str, ...]]:
    """The names of the past, known and static features that a view makes of columns, in a network's order.

    >>> name_variables(Roles(time="day", target="sold", known=("promo",)), View(7, ("weekday",)))["known"]
    ('promo', 'weekday sine', 'weekday cosine')
    """
    static = tuple(
        label
        for name, levels in view.static.columns
        for label in ([f"{name}={level}" for level in levels] if levels else [name])
    )
    return {"past": roles.past, "known": (*roles.known, *calendar_labels(view.calendar)), "static": static}
