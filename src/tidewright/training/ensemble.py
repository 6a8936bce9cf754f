"""`fit_ensemble`: weights for models that have learned, chosen by how they did on validation.

N windows, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.errors import ConfigError
from tidewright.features.view import StaticEncoding, View
from tidewright.features.windows import Doubles
from tidewright.metrics.accuracy import Scored, find_metric, score
from tidewright.models.conformal import innermost
from tidewright.models.ensemble import EnsembleFitted
from tidewright.models.fitted import Fitted
from tidewright.models.floors import Floor
from tidewright.models.spec import kind_of
from tidewright.models.specs.ensemble import Ensemble, Member
from tidewright.training.compare import usable_metric
from tidewright.training.evaluate import Evaluation, evaluate
from tidewright.training.fit import keep_covariates

Rule = Literal["greedy", "mean"]
ROUNDS = 40  # of the greedy choice at most: weights are multiples of one 40th or more
LEAST_GAIN = 1e-4  # of the score, below which a member is not added
CELLS = 4_000_000  # forecast numbers that a choice is made on: windows are taken evenly


@dataclass(frozen=True, eq=False, slots=True)
class Chosen:
    """The weights [K] of K models, 0 for those left out, what led to them, and how many mixtures were compared."""

    weights: Doubles
    history: tuple[Mapping[str, Any], ...]
    tried: int


def fit_ensemble(
    members: Sequence[Fitted],
    *,
    panel: Panel,
    split: Split,
    rule: Rule = "greedy",
    metric: str = "mase",
    cutoffs: Cutoffs | None = None,
    season: int | None = None,
) -> EnsembleFitted:
    """A weighted mean of fitted models, floors among them if they are given, as one `Fitted` and one bundle.

    "greedy" begins with the best one and adds, again and again, the member whose word makes the mean better by
    `metric` (Caruana, Niculescu-Mizil, Crew, Ksikes 2004); a member that is never added is left out. "mean" gives all
    the same weight. Both are judged at the cutoffs of the validation part, where networks stopped early too, so the
    score there is a little kind. Members answer the same task; `panel` has the covariates of all of them.
    Raises `ConfigError`.
    """
    check_members(members)
    cutoffs = split.validation if cutoffs is None else cutoffs
    shortest = min(member.view.lookback for member in members)
    judged = [
        evaluate(
            member,
            panel=keep_covariates(panel, member.spec.takes),
            split=split,
            cutoffs=cutoffs,
            season=season,
            shortest=shortest,
        )
        for member in members
    ]
    return compose(members, choose_weights(judged, rule=rule, metric=metric), panel=panel)


def choose_weights(judged: Sequence[Evaluation], *, rule: Rule = "greedy", metric: str = "mase") -> Chosen:
    """Weights for models that were scored on the same windows. Raises `ConfigError` for another rule."""
    if rule not in get_args(Rule):
        raise ConfigError(explain_unknown("rule", rule, get_args(Rule)))
    if rule == "mean":
        return Chosen(np.full(len(judged), 1.0 / len(judged)), ({"rule": "mean"},), 1)
    metric, _ = usable_metric(metric, judged)
    rows = _evenly(judged[0])
    each = [one.forecast[rows] for one in judged]
    scored = _rows_of(judged[0].scored, rows)
    total, counts = np.zeros_like(each[0]), np.zeros(len(judged))
    best, history, tried = np.inf, [], 0
    for size in range(1, ROUNDS + 1):
        found = [_badness(replace(scored, forecast=(total + one) / size), metric) for one in each]
        tried += len(found)
        place = int(np.argmin(found))
        if not found[place] < best - LEAST_GAIN * abs(best if np.isfinite(best) else 0.0):
            break
        best, total = found[place], total + each[place]
        counts[place] += 1
        history.append({"round": size, "added": judged[place].model, metric: found[place]})
    return Chosen(counts / counts.sum(), tuple(history), tried)


def compose(members: Sequence[Fitted], chosen: Chosen, *, panel: Panel) -> EnsembleFitted:
    """The ensemble of the members whose weight is above 0."""
    kept = [(member, weight) for member, weight in zip(members, chosen.weights, strict=True) if weight > 0]
    calendar = tuple(dict.fromkeys(name for member, _ in kept for name in member.view.calendar))
    encodings = {member.view.static for member, _ in kept if member.view.static.columns}
    if len(encodings) > 1:
        raise ConfigError(
            "the members of an ensemble encode static columns alike; these don't. Fit them on the same panel and split."
        )
    static = encodings.pop() if encodings else StaticEncoding()
    view = View(max(member.view.lookback for member, _ in kept), calendar, static)
    parts = tuple(_describe(member, float(weight), view=view, panel=panel) for member, weight in kept)
    fitted = tuple(member for member, _ in kept)
    return EnsembleFitted(Ensemble(members=parts), fitted[0].task, view, fitted, chosen.history)


def blend(judged: Sequence[Evaluation], weights: Sequence[float], *, model: str) -> Evaluation:
    """What the ensemble says and how it scores, from its members' evaluations on the same windows."""
    forecast = sum(weight * one.forecast for one, weight in zip(judged, weights, strict=True) if weight > 0)
    assert isinstance(forecast, np.ndarray)
    first = judged[0]
    return Evaluation(model, first.windows, forecast, replace(first.scored, forecast=forecast))


def check_members(members: Sequence[Fitted]) -> None:
    """Raises `ConfigError` unless there are two, of one task, and none is an ensemble itself."""
    if len(members) < 2:
        raise ConfigError(f"an ensemble is made of two models at least; got {len(members)}. Fit more.")
    if len({member.task for member in members}) > 1:
        raise ConfigError("the members of an ensemble answer the same horizon and quantiles. Fit them for one task.")
    if any(kind_of(member.spec) == "ensemble" for member in members):
        raise ConfigError("an ensemble is no member of another. Give its members instead.")


def _describe(member: Fitted, weight: float, *, view: View, panel: Panel) -> Member:
    """A member's record: where its columns stand among those that the ensemble sees."""
    takes, own = member.spec.takes, len(panel.roles.known)
    waves = [own + 2 * view.calendar.index(name) + wave for name in member.view.calendar for wave in (0, 1)]
    options = asdict(member.spec)  # type: ignore[call-overload]  # every spec is a dataclass
    inner = innermost(member)
    return Member(
        model=options.pop("name"),
        options=options,
        view=member.view,
        weight=weight,
        season=inner.season if isinstance(inner, Floor) else panel.frequency.season,
        past=tuple(range(len(panel.roles.past))) if "past" in takes else (),
        known=tuple([*range(own), *waves]) if "known" in takes else (),
        static=tuple(range(view.static.encode(panel).shape[1])) if member.view.static.columns else (),
    )


def _badness(scored: Scored, metric: str) -> float:
    return find_metric(metric).badness(score(scored, [metric])[metric], scored=scored)


def _evenly(judged: Evaluation) -> npt.NDArray[np.int64]:
    count = len(judged.forecast)
    most = max(CELLS // judged.forecast[0].size, 1)
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _rows_of(scored: Scored, rows: npt.NDArray[np.int64]) -> Scored:
    def some(values: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
        return None if values is None else values[rows]

    return replace(
        scored,
        actual=scored.actual[rows],
        forecast=scored.forecast[rows],
        scale=some(scored.scale),
        scale_squared=some(scored.scale_squared),
        series=some(scored.series),
    )
