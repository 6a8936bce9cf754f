"""The part of the page on the search for better options."""

from __future__ import annotations

from typing import Any

from tidewright.report.blocks import Cell, Column, Picture, Section, Table, Tone, absent
from tidewright.report.draw_models import draw_study
from tidewright.report.metric_words import name_metric
from tidewright.report.numbers import choose_decimals, write_count, write_number, write_percent
from tidewright.tuning.study import Study
from tidewright.tuning.trial import Trial, TrialState
from tidewright.workflows.result import RunResult

MOST_TRIALS = 200
_BETTER = {"lower": "lower is better", "higher": "higher is better", "nearest": "as the distance from its aim"}


def tell_study(result: RunResult) -> Section:
    """The trials of a search, or why there was none."""
    title = "Tuning"
    if result.study is None:
        return Section("tuning", title, "No options were searched in this run.", [absent(_why_none(result))])
    study: Study = result.study
    counts = ", ".join(f"{study.count(state)} {state}" for state in TrialState if study.count(state))
    gain = study.gain
    told = "" if gain is None else f" The best is {write_percent(gain)} better than the default on validation."
    lead = (
        f"{write_count(len(study.trials), 'trial')} of {study.space.model} ({counts}) in "
        f"{study.seconds:.0f} s; {study.reason}."
        f"{told} The test part was not touched."
    )
    if study.account is not None:
        lead += " " + "; ".join(study.account.lines()) + "."
    picture = Picture(
        "tuning-trials",
        draw_study(study),
        f"Validation {name_metric(study.metric)} of each trial, {_BETTER[study.goal.direction]}; "
        "the line is the best so far. Trial 0 is the default. "
        "Trials without a score (pruned, failed) stand at the best one.",
        "Scatter plot of the trials' validation scores with the best so far.",
    )
    return Section("tuning", title, lead, [picture, _trials(study)])


def _why_none(result: RunResult) -> str:
    if not result.settings.tune.enabled:
        return "Tuning was switched off (tune.enabled=false)."
    told = [f"{row.model}: {row.note}" for row in result.leaderboard.rows if "tuned" in row.note]
    return "; ".join(told) if told else "There was no fitted model with a space to search."


def _trials(study: Study) -> Table:
    names = list(dict.fromkeys(name for trial in study.trials for name in trial.parameters))
    decimals = choose_decimals([t.value for t in study.trials if t.value is not None])
    columns = (
        Column("Trial", number=True),
        Column("State"),
        Column(name_metric(study.metric), "validation", number=True),
        *(Column(name) for name in names),
        Column("Time", "s", number=True),
    )
    rows = tuple(
        (
            Cell(str(t.number), value=t.number, mark="best" if t.number == study.best.number else ""),
            Cell(str(t.state), small=t.error or ("cut short by the budget" if t.cut_short else "")),
            _value(study, t, decimals),
            *(
                Cell(_option(t.parameters[name]), value=_order(t.parameters[name]))
                if name in t.parameters
                else _default(t)
                for name in names
            ),
            Cell(write_number(t.seconds, decimals=1), value=t.seconds),
        )
        for t in study.trials[:MOST_TRIALS]
    )
    tones: dict[int, Tone] = {
        n: "good" for n, t in enumerate(study.trials[:MOST_TRIALS]) if t.number == study.best.number
    }
    shown = (
        "all trials" if len(study.trials) <= MOST_TRIALS else f"the first {MOST_TRIALS} of {len(study.trials):,} trials"
    )
    return Table(columns, rows, tones=tones, folded=f"Show {shown} with their options")


def _value(study: Study, trial: Trial, decimals: int) -> Cell:
    if trial.value is None:
        return Cell("no score", tone="muted")
    value = study.goal.show(trial.value)
    return Cell(write_number(value, decimals=decimals), value=value)


def _default(trial: Trial) -> Cell:
    return Cell("default" if trial.number == 0 else "not used", tone="muted")


def _option(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _order(value: Any) -> float | str:
    return float(value) if isinstance(value, int | float) else str(value)
