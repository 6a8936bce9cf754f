"""`update`: a fitted model brought up to newer rows, from what it knows already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.errors import ConfigError
from tidewright.models.calibrated import Calibrated
from tidewright.models.conformal import Conformal
from tidewright.models.ensemble import EnsembleFitted
from tidewright.models.fitted import Fitted
from tidewright.models.logged import Logged
from tidewright.models.spec import kind_of
from tidewright.models.specs.lear import Lear
from tidewright.models.specs.tabular import Tabular
from tidewright.models.trees import TreesFitted
from tidewright.runtime import Runtime
from tidewright.training.conformal import conformalise
from tidewright.training.events import Callback
from tidewright.training.fit import check_horizon, fit, read_panel
from tidewright.training.fit_trees import fit_trees
from tidewright.training.logs import log_panel
from tidewright.training.spec import TrainSpec

ADDING = ("lightgbm", "xgboost", "catboost")
GENTLE = TrainSpec(learning_rate=2e-4, epochs=10, patience=3)  # a fifth of the usual rate: what is known is not lost


def update(
    fitted: Fitted,
    *,
    panel: Panel,
    split: Split,
    train: TrainSpec | None = None,
    season: int | None = None,
    callbacks: Sequence[Callback] = (),
    deadline: float | None = None,
    runtime: Runtime | None = None,
) -> Fitted:
    """The same model after newer rows: the same spec, view and task, learned on the parts of `split`, which ends later.

    A network goes on from its weights, gently (`train`; by default a fifth of the usual rate for at most 10 epochs,
    the loss that its head was learned by), and keeps them where no epoch does better on validation: the first
    record of its history has the `loss_before`. Boosted trees (LightGBM and XGBoost; CatBoost with the loss mean or
    median, or recursive) add trees to their own, as long as they better validation. Floors, lear and the others are
    learned anew with the choices that they had made, and the first record of their history says so. An ensemble's
    members are updated one by one and keep their weights. A conformal model is calibrated anew. `panel` has the
    columns of the panel that the model was fitted on, and may have other series; a level of a static column that
    training did not have stays unseen. Raises `ConfigError`, what `fit` raises, and `ColumnError` or
    `FrequencyError` for a panel with other columns or another frequency.
    """
    check_horizon(fitted.task, split)
    panel = read_panel(fitted, panel)
    asked: dict[str, Any] = {"panel": panel, "split": split, "season": season}
    learning: dict[str, Any] = {"train": train, "callbacks": callbacks, "deadline": deadline, "runtime": runtime}
    if isinstance(fitted, Conformal | Logged | EnsembleFitted):
        return _update_within(fitted, asked, learning)
    if kind_of(fitted.spec) == "torch" and not isinstance(fitted.spec, Lear):
        return _go_on(fitted, panel=panel, split=split, **learning)
    if isinstance(fitted, TreesFitted) and _can_add(fitted.spec):
        return fit_trees(
            fitted.spec, panel=panel, split=split, task=fitted.task, view=fitted.view, season=fitted.inputs.season,
            train=train, callbacks=callbacks, deadline=deadline, start=fitted,
        )  # fmt: skip
    if kind_of(fitted.spec) in ("floor", "class_floor"):
        return _tell_anew(fit(fitted.spec, **asked, task=fitted.task, callbacks=callbacks))
    return _tell_anew(
        fit(
            fitted.spec, **asked, task=fitted.task, view=fitted.view, train=train, callbacks=callbacks,
            deadline=deadline,
        )
    )  # fmt: skip


def _can_add(spec: Tabular) -> bool:
    """Whether a model's library adds trees to what is known: CatBoost only where there is one output."""
    single = spec.points and spec.strategy != "multi"
    return spec.name in ADDING and (spec.name != "catboost" or single)


def _tell_anew(fitted: Any) -> Fitted:
    """The model with a record of how it was updated."""
    record = {"updated": "learned anew, with the choices that it had made"}
    if isinstance(fitted, Calibrated):
        return replace(fitted, note={**record, **fitted.note})
    found: Fitted = replace(fitted, history=(record, *fitted.history))
    return found


def _update_within(
    fitted: Conformal | Logged | EnsembleFitted, asked: Mapping[str, Any], learning: Mapping[str, Any]
) -> Fitted:
    """A model made of others, after these."""
    panel, split = asked["panel"], asked["split"]
    if isinstance(fitted, Conformal):
        inner = update(fitted.inner, **asked, **learning)
        return conformalise(inner, panel=panel, split=split, method=fitted.method, unit=fitted.unit)
    if isinstance(fitted, Logged):
        logs, _ = log_panel(panel, fitted.view, split=split)
        return replace(fitted, inner=update(fitted.inner, **{**asked, "panel": logs}, **learning))
    members = tuple(
        update(member, **{**asked, "panel": read_panel(member, panel)}, **learning) for member in fitted.members
    )
    return replace(fitted, members=members, history=({"updated": len(members)}, *fitted.history))


def _go_on(
    fitted: Fitted,
    *,
    panel: Panel,
    split: Split,
    train: TrainSpec | None,
    callbacks: Sequence[Callback],
    deadline: float | None,
    runtime: Runtime | None,
) -> Fitted:
    """The network after some more epochs."""
    from tidewright.models.torch.fitted import TorchFitted
    from tidewright.models.torch.heads import head_of
    from tidewright.training.fit_torch import learn_lesson, prepare
    from tidewright.training.losses import HEADS, check_labels

    tensors = fitted.tensors()
    head, components = head_of(tensors)
    train = train or _usual(head, components, losses=HEADS)
    if HEADS[train.loss] != head:
        fitting = [loss for loss, gives in HEADS.items() if gives == head]
        raise ConfigError(
            f"this {fitted.spec.name} was learned to give a {head}, which the loss {train.loss} does not. Take one of: "
            f"{', '.join(fitting)}."
        )
    lesson = prepare(panel, split, task=fitted.task, view=fitted.view, train=train)
    check_labels(train.loss, lesson.training.y[lesson.rows])
    network, history = learn_lesson(
        fitted.spec, lesson, task=fitted.task, view=fitted.view, train=train, head=head, callbacks=tuple(callbacks),
        deadline=deadline, runtime=runtime, start=tensors,
    )  # fmt: skip
    return TorchFitted(fitted.spec, fitted.task, fitted.view, network.shape, network, history)


def _usual(head: str, components: int | None, *, losses: Mapping[str, str]) -> TrainSpec:
    loss: Any = next(loss for loss, gives in losses.items() if gives == head)
    return replace(GENTLE, loss=loss, components=components)
