"""The part of the page on the search for better options."""

from __future__ import annotations

from tidewright.report.about_trials import count_states, list_trials, tell_pictures
from tidewright.report.blocks import Section, absent
from tidewright.report.numbers import write_count, write_percent
from tidewright.report.page import slug_of
from tidewright.tuning.study import Study
from tidewright.tuning.tried import Tried
from tidewright.workflows.result import RunResult


def tell_study(result: RunResult) -> Section:
    """The trials of a search, or why there was none."""
    title = "Tuning"
    if result.study is None:
        return Section("tuning", title, "No options were searched in this run.", [absent(_why_none(result))])
    study: Study = result.study
    tried = Tried.of(study)
    gain = study.gain
    told = (
        "" if gain is None else f" The best is {write_percent(gain)} better than the default (trial 0) on validation."
    )
    lead = (
        f"{write_count(len(study.trials), 'trial')} of {study.space.model} ({count_states(tried)}) in "
        f"{study.seconds:.0f} s; {study.reason}."
        f"{told} The test part was not touched."
    )
    if study.account is not None:
        lead += " " + "; ".join(study.account.lines()) + "."
    return Section(
        "tuning", title, lead, [*tell_pictures(tried, slug=f"tuning-{slug_of(study.space.model)}"), list_trials(tried)]
    )


def _why_none(result: RunResult) -> str:
    if not result.settings.tune.enabled:
        return "Tuning was switched off (tune.enabled=false)."
    told = [f"{row.model}: {row.note}" for row in result.leaderboard.rows if "tuned" in row.note]
    return "; ".join(told) if told else "There was no fitted model with a space to search."
