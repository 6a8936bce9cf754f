"""`fit_ensemble`: one model of several that have learned, weighted by how they did on validation.

K models, H horizon.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np

from tidewright.catalog import explain_unknown
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.data.task import refuse_classes
from tidewright.errors import ConfigError
from tidewright.features.view import StaticEncoding, View, keep_schema
from tidewright.features.windows import Doubles
from tidewright.models.conformal import innermost
from tidewright.models.ensemble import EnsembleFitted
from tidewright.models.fitted import Fitted
from tidewright.models.floors import Floor
from tidewright.models.logged import plain
from tidewright.models.spec import kind_of
from tidewright.models.specs.ensemble import MOST_MEMBERS, Combine, Ensemble, Member
from tidewright.models.statistical import Statistical
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import read_panel
from tidewright.training.weigh import RULES, Chosen, Rule, choose_weights, weigh_alike

Weight = Doubles | float  # of a member: by step [H], or one for all steps


def fit_ensemble(
    members: Sequence[Fitted],
    *,
    panel: Panel,
    split: Split,
    rule: Rule = "greedy",
    metric: str = "mase",
    per_step: bool = False,
    cutoffs: Cutoffs | None = None,
    season: int | None = None,
) -> EnsembleFitted:
    """Fitted models, floors among them if they are given, as one `Fitted` and one bundle.

    "greedy" begins with the best one and adds, again and again, the member whose word makes the mean better by
    `metric` (Caruana, Niculescu-Mizil, Crew, Ksikes 2004); a member that is never added is left out. "inverse" weighs
    by one over the score, "stacking" by what makes the loss least (see `stack`), drawn towards equal weights. "mean"
    gives all the same weight, and "median" takes the middle answer. All but the last two are chosen at the cutoffs of
    the validation part. "stacking" and "inverse", and any rule with `per_step`, are judged there in time: six blocks,
    each by weights from those before, the short first one by equal ones; how far weights are drawn together, and may
    differ by step, is what did best so (the history says it). The score of "greedy" there is a little kind, as is that
    of networks, which stopped early by it.

    Members answer the same task; `panel` has the covariates of all of them. One that is a weighted ensemble itself, as
    `fit_seeds` makes, joins with its members. Raises `ConfigError`, and `ColumnError` or `FrequencyError` for a member
    that learned from another panel.
    """
    for member in members:
        refuse_classes(member.task, "an ensemble")
    if rule not in RULES:
        raise ConfigError(explain_unknown("rule", rule, RULES))
    check_members(members, combine="median" if rule == "median" else "mean")
    if rule in ("mean", "median") and not per_step:
        return compose(members, weigh_alike(len(members), combine=rule), panel=panel)
    shortest = min(member.view.lookback for member in members)
    judged = [
        evaluate(
            member,
            panel=read_panel(member, panel),
            split=split,
            cutoffs=split.validation if cutoffs is None else cutoffs,
            season=season,
            shortest=shortest,
        )
        for member in members
    ]
    return compose(members, choose_weights(judged, rule=rule, metric=metric, per_step=per_step), panel=panel)


def compose(members: Sequence[Fitted], chosen: Chosen, *, panel: Panel) -> EnsembleFitted:
    """The ensemble of the members whose weight is above 0."""
    kept = [(one, chosen.at(place)) for place, one in enumerate(members) if chosen.weights[place] > 0]
    parts = [pair for one, weight in kept for pair in _open(one, weight)]
    if len(parts) > MOST_MEMBERS:
        raise ConfigError(f"an ensemble has at most {MOST_MEMBERS} members; got {len(parts)} in all. Bring fewer.")
    calendar = tuple(dict.fromkeys(name for member, _ in parts for name in member.view.calendar))
    encodings = {member.view.static for member, _ in parts if member.view.static.columns}
    if len(encodings) > 1:
        raise ConfigError(
            "the members of an ensemble encode static columns alike; these don't. Fit them on the same panel and split."
        )
    static = encodings.pop() if encodings else StaticEncoding()
    for member, _ in parts:
        read_panel(member, panel)  # raises for one of another panel
    takes = {kind for member, _ in parts for kind in member.spec.takes}
    view = keep_schema(View(max(member.view.lookback for member, _ in parts), calendar, static), panel, takes=takes)
    seen = view.read(panel)
    by_step = any(isinstance(weight, np.ndarray) for _, weight in parts)
    horizon = parts[0][0].task.horizon
    told = tuple(
        _describe(member, np.broadcast_to(weight, horizon) if by_step else weight, view=view, panel=seen)
        for member, weight in parts
    )
    fitted = tuple(member for member, _ in parts)
    return EnsembleFitted(Ensemble(members=told, combine=chosen.combine), fitted[0].task, view, fitted, chosen.history)


def join(
    members: Sequence[Fitted], *, panel: Panel, split: Split, rule: Rule, metric: str, season: int | None
) -> EnsembleFitted:
    """Models that were learned alike, joined by a rule of `fit_ensemble`; or the one that is left."""
    if len(members) == 1 or rule == "mean":
        return compose(members, weigh_alike(len(members)), panel=panel)
    return fit_ensemble(members, panel=panel, split=split, rule=rule, metric=metric, season=season)


def check_members(members: Sequence[Fitted], *, combine: Combine = "mean") -> None:
    """Raises `ConfigError` unless there are two, of one task, and none is an ensemble that can't be taken apart."""
    if not isinstance(members, Sequence) or not all(hasattr(member, "predict") for member in members):
        raise ConfigError(f"an ensemble is made of a sequence of fitted models; got {members!r:.80}. Fit them first.")
    if len(members) < 2:
        raise ConfigError(f"an ensemble is made of two models at least; got {len(members)}. Fit more.")
    if len({member.task for member in members}) > 1:
        raise ConfigError("the members of an ensemble answer the same horizon and quantiles. Fit them for one task.")
    for member in members:
        if kind_of(member.spec) != "ensemble":
            continue
        if combine == "median" or not isinstance(member, EnsembleFitted) or member.spec.combine == "median":
            raise ConfigError(
                "an ensemble joins another with its members, where both are weighted means; a median, or one that was "
                "made conformal, is not taken apart. Give its members instead."
            )


def _open(member: Fitted, weight: Weight) -> Iterator[tuple[Fitted, Weight]]:
    """The member with its weight, or its own members with their shares of it."""
    if not isinstance(member, EnsembleFitted):
        yield member, weight
        return
    for part, inner in zip(member.spec.members, member.members, strict=True):
        yield inner, weight * (np.array(part.steps) if part.steps else part.weight)


def _describe(member: Fitted, weight: Weight, *, view: View, panel: Panel) -> Member:
    """A member's record: where its columns stand among those that the ensemble sees."""
    own, seen = len(panel.roles.known), read_panel(member, panel).roles
    waves = [own + 2 * view.calendar.index(name) + wave for name in member.view.calendar for wave in (0, 1)]
    options = asdict(member.spec)  # type: ignore[call-overload]  # every spec is a dataclass
    inner = plain(innermost(member))
    return Member(
        model=options.pop("name"),
        options=options,
        view=replace(member.view, schema=None),  # that of the ensemble, at the places below
        weight=float(np.mean(weight)),
        season=inner.season if isinstance(inner, (Floor, Statistical)) else panel.frequency.season,
        past=tuple(panel.roles.past.index(name) for name in seen.past),
        known=(*(panel.roles.known.index(name) for name in seen.known), *waves),
        static=tuple(range(view.static.encode(panel).shape[1])) if member.view.static.columns else (),
        steps=tuple(weight.tolist()) if isinstance(weight, np.ndarray) else (),
    )
