"""`card.md`: the model, or the estimator, in a page, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidewright.models.estimator import Estimator
from tidewright.models.specs.ensemble import Ensemble, Member
from tidewright.registry.manifest import Manifest, Quantised

LIMITS = (
    "The example in this bundle holds a few real windows of the training table.",
    "A series shorter than the lookback is padded with missing values; its forecast rests on what it has.",
    "Quantiles were learned from the past: they say nothing of changes that the past does not hold.",
    "The forecast starts after the last observed value of each series.",
)

CLASS_LIMITS = (
    LIMITS[0],
    LIMITS[1],
    "Probabilities were learned and calibrated on the past: they say nothing of changes that the past does not hold.",
    "A class that training did not hold has no probability.",
    LIMITS[3],
)


def write_card(manifest: Manifest) -> str:
    """The card's text: what it is, what it learned from, its scores beside others', and what to mind."""
    data, schema, view = manifest.data, manifest.schema, manifest.view
    roles, task = schema.roles, manifest.task
    levels = ", ".join(f"{level:g}" for level in task.quantiles)
    said = (
        f"as the probabilities of {', '.join(map(str, task.classes))}" if task.classes else f"as the quantiles {levels}"
    )
    lines = [
        f"# {manifest.name}",
        "",
        f"A `{manifest.spec.name}` model that forecasts `{roles.target}` {task.horizon} steps ahead "
        f"({schema.frequency.name}) from {view.lookback} past steps, {said}.",
        "",
        *_members(manifest),
        "## Trained on",
        f"{data.series} series, {data.rows} rows, {data.first} to {data.last}.",
        "",
        "## Columns",
        *(f"- {role}: {', '.join(names)}" for role, names in _columns(manifest).items() if names),
        *([f"- made from the times: {', '.join(view.calendar)}"] if view.calendar else []),
        "",
        "## Scores",
        *_scores(manifest.metrics),
        "",
        "## Compiled",
        _compiled(manifest),
        "",
        *_quantised(manifest.quantised),
        "## To mind",
        *(f"- {limit}" for limit in (CLASS_LIMITS if task.classifies else LIMITS)),
        *_lengths(manifest),
        "",
    ]
    return "\n".join(lines)


def write_estimator_card(estimator: Estimator, *, parity: float) -> str:
    """The card's text: what it is, how good it was on series that it had not seen, and what to mind."""
    judgement = estimator.judgement
    rows = [f"| {s.model} | {s.mae:.4g} | {s.rmse:.4g} | {s.bias:.4g} | {s.n} |" for s in judgement.scores]
    chance = "not known" if judgement.p_value is None else f"{judgement.p_value:.3g}"
    notes = [f"- {', '.join(f'{key} {value}' for key, value in note.items())}" for note in estimator.notes]
    lines = [
        f"# {estimator.target}",
        "",
        f"A `{estimator.spec.name}` that estimates `{estimator.target}` of a whole series from "
        f"{len(estimator.features)} features of its shape: {', '.join(estimator.features)}.",
        "",
        "## Scores out of fold, beside the floors",
        "| | MAE | RMSE | bias | series |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
        f"The p-value against the best floor is {chance}. The interval is to hold {estimator.coverage:.0%} "
        f"of series; out of fold it held {judgement.covered:.1%}.",
        "",
        "## Compiled",
        f"The ONNX graph, from features to estimates, differs from the estimator by at most {parity:.2g} (relative).",
        "",
        *(["## Left out", *notes, ""] if notes else []),
        "## To mind",
        "- The scores hold for series like those that it learned from; of others they say nothing.",
        "- The interval has one width for all series.",
        "- The example in this bundle holds the features of a few series.",
        "",
    ]
    return "\n".join(lines)


def _compiled(manifest: Manifest) -> str:
    parity = manifest.parity
    if parity is None:
        return f"There is no graph: {manifest.no_graph}. The eager model answers."
    return (
        f"The ONNX graph differs from the eager model by at most {parity.figure:.2g} (relative), over "
        f"{parity.windows} windows; {parity.limit:g} is allowed."
    )


def _quantised(quantised: Quantised | None) -> list[str]:
    """What the lower precision cost and brought."""
    if quantised is None:
        return []
    q = quantised
    rows = [("size of the graph in KB", q.bytes_before / 1e3, q.bytes_after / 1e3)]
    rows += [(f"us of an answer at batch {size}", q.us_before[size], q.us_after[size]) for size in q.us_before]
    rows.append((f"{q.metric} on {q.windows} windows of validation", q.before, q.after))
    return [
        "## Precision",
        f"{q.layers} layers are {q.precision}; what scales windows and answers is as it was. "
        f"Made of the bundle {q.original[:12]}; {q.metric} was allowed to be worse by {q.share:.2%}. "
        f"Times are of one thread of the machine that made it.{' ' * bool(q.calibration)}{q.calibration}",
        "",
        "| | before | after |",
        "|---|---:|---:|",
        *(f"| {name} | {before:.4g} | {after:.4g} |" for name, before, after in rows),
        "",
    ]


def _lengths(manifest: Manifest) -> list[str]:
    if manifest.lengths is None:
        return []
    shortest, longest = manifest.lengths
    return [
        f"- Windows of {shortest} to {longest} steps are answered as the eager model would; how good these answers are "
        f"was measured at {manifest.view.lookback} alone, which it learned from."
    ]


def _members(manifest: Manifest) -> list[str]:
    """Whose word counts how much in an ensemble."""
    if not isinstance(manifest.spec, Ensemble):
        return []
    rows = [
        f"| {part.model} | {part.weight:.3g} | {_range(part)} | {part.view.lookback} |"
        for part in manifest.spec.members
    ]
    how = "their median" if manifest.spec.combine == "median" else "their weighted mean"
    head = ["| model | weight | by step | past steps |", "|---|---:|---:|---:|"]
    return ["## Members", f"The answer is {how}, level by level.", "", *head, *rows, ""]


def _range(part: Member) -> str:
    """The lowest and the highest weight of a member over the steps."""
    return f"{min(part.steps):.3g} to {max(part.steps):.3g}" if part.steps else "the same"


def _columns(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    roles = manifest.schema.roles
    series = () if roles.series is None else (roles.series,)
    return {
        "series": series,
        "time": (roles.time,),
        "target": (roles.target,),
        "known up to the cutoff": roles.past,
        "known over the horizon": roles.known,
        "one value a series": roles.static,
    }


def _scores(metrics: Mapping[str, Any]) -> list[str]:
    """A table with a row for each group of scores, then what was given by name alone."""
    if not metrics:
        return ["None were given."]
    groups = {name: value for name, value in metrics.items() if isinstance(value, Mapping)}
    single = [f"- {name}: {_number(value)}" for name, value in metrics.items() if name not in groups]
    if not groups:
        return single
    names = list(dict.fromkeys(name for row in groups.values() for name in row))
    head = [f"| | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    rows = [f"| {group} | {' | '.join(_number(row.get(name)) for name in names)} |" for group, row in groups.items()]
    return [*head, *rows, *(["", *single] if single else [])]


def _number(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.4g}"
