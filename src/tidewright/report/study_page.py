"""The page of a search: of several models on a table, or of one study alone."""

from __future__ import annotations

import math
from pathlib import Path

from tidewright.report.about_account import tell_choice, tell_worth
from tidewright.report.about_data import tell_data, tell_split
from tidewright.report.about_trials import count_states, list_reasons, list_seconds, list_trials, tell_pictures
from tidewright.report.about_tune import list_changes, tell_again, tell_found, tell_one, tell_winner
from tidewright.report.blocks import Block, Row, Section, Tile
from tidewright.report.metric_words import name_metric, write_score
from tidewright.report.numbers import UNDEFINED, write_count, write_grid, write_seconds
from tidewright.report.page import Page, slug_of, write_page
from tidewright.report.trial_marks import name_plain
from tidewright.tuning.study import Study
from tidewright.tuning.trial import TrialState
from tidewright.tuning.tried import Tried
from tidewright.workflows.tune_table import Tuned


def write_search_page(found: Tuned, path: Path) -> Path:
    """Writes the page of what `tidewright tune` found, and gives back its path."""
    return write_page(collect_search(found), path)


def write_study_page(study: Study | Tried, path: str | Path) -> Path:
    """Writes the page of one study, finished or not, and gives back its path: its pictures, its trials and, of a
    `Study`, what its best score is worth. `read_tried` reads a study that is kept somewhere."""
    return write_page(collect_study(study), Path(path))


def collect_search(found: Tuned) -> Page:
    """All that the page of a search of models says."""
    study = found.studies[found.winner]
    count = len(found.studies)
    best = f"{found.winner} is the best of {count} models" if count > 1 else f"The best options of {found.winner}"
    return Page(
        title=f"Tidewright search {found.run}",
        eyebrow=f"search {found.run} · {write_seconds(sum(one.seconds for one in found.studies.values()))}",
        headline="No model beat its floor" if found.advice else best,
        reason=found.advice or _sentence(found),
        subject=_subject(found),
        tiles=_tiles(study, winner=found.winner, test=found.test.get(found.metric)),
        sections=(
            tell_found(found),
            tell_winner(found),
            *_studies(found),
            tell_data(found.plan),
            tell_split(found.plan),
            tell_again(found),
        ),
    )


def collect_study(study: Study | Tried) -> Page:
    """All that the page of one study says."""
    tried = Tried.of(study)
    model = tried.space.model
    names = " and ".join(name_plain(goal) for goal in tried.goals)
    best = tried.best
    score = "" if best is None else f"; the best {name_plain(tried.goals[0])} is {_score(tried)} (trial {best.number})"
    return Page(
        title=f"Tidewright study of {model}",
        eyebrow=f"study of {model}",
        headline=f"What was tried of {model}" if best is not None else f"No trial of {model} is complete",
        reason=f"{write_count(len(tried.trials), 'trial')} ({count_states(tried) or 'none'}){score}.",
        subject=f"Made as good as can be: {names}, on validation.",
        tiles=_tiles(study, winner=model, test=None) if isinstance(study, Study) else (),
        sections=_one_study(study) if isinstance(study, Study) else (_tell_tried(tried),),
    )


def _one_study(study: Study) -> tuple[Section, ...]:
    model = study.space.model
    blocks: list[Block] = [list_changes(study)]
    if study.account is not None:
        blocks += tell_worth(study.account, winner=model, test=None, interval=None)
    lead = f"Trial {study.best.number} beside the default, and what its score is worth after all that was tried."
    return (
        Section("winner", "The best options", lead, blocks),
        tell_one(study, name=model, slug=f"study-{slug_of(model)}"),
    )


def _tell_tried(tried: Tried) -> Section:
    """Trials alone, without what a study knows beside them."""
    slug = f"study-{slug_of(tried.space.model)}"
    reasons = list_reasons(tried)
    blocks: list[Block] = [Row((list_seconds(tried), *([] if reasons is None else [reasons])))] if tried.trials else []
    blocks += [*tell_pictures(tried, slug=slug), *([list_trials(tried)] if tried.trials else [])]
    running = tried.count(TrialState.RUNNING)
    lead = f"{write_count(running, 'trial')} of them still running." if running else "Every trial that is kept."
    return Section(slug, f"The search of {tried.space.model}", lead, blocks)


def _studies(found: Tuned) -> list[Section]:
    """The winner's first, the others in the order of their scores; no two have one name."""
    ranked = sorted(found.studies, key=lambda name: found.studies[name].value)
    slugs = {name: f"study-{slug_of(name)}" for name in ranked}
    twice = len(set(slugs.values())) < len(slugs)
    return [
        tell_one(found.studies[name], name=name, slug=f"{slugs[name]}-{place}" if twice else slugs[name])
        for place, name in enumerate(ranked)
    ]


def _tiles(study: Study, *, winner: str, test: float | None) -> tuple[Tile, ...]:
    metric, account = study.metric, study.account
    corrected = UNDEFINED if account is None else write_score(metric, account.corrected)
    on_test = "not scored" if test is None else write_score(metric, test)
    tried = "" if account is None else f"{account.trials:,} on these data in all"
    return (
        Tile("Winner", winner, f"trial {study.best.number}"),
        Tile(f"Validation {name_metric(metric)}", write_score(metric, study.shown), tell_choice(account)),
        Tile("Corrected", corrected, "for having been chosen"),
        Tile("Test", on_test, "scored once" if test is not None else "the study never reads it"),
        Tile("Trials", f"{len(study.trials):,}", tried),
    )


def _score(tried: Tried) -> str:
    goal = tried.goals[0]
    assert tried.value is not None
    return write_score(goal.name, goal.show(tried.value))


def _sentence(found: Tuned) -> str:
    study, metric = found.studies[found.winner], found.metric
    text = f"{name_metric(metric)} {write_score(metric, study.shown)} on validation"
    account = study.account
    if account is not None and math.isfinite(account.corrected):
        text += f", {write_score(metric, account.corrected)} corrected for the choice"
    if (test := found.test.get(metric)) is not None:
        text += f", {write_score(metric, test)} on the test"
    for floor, one in found.floors.items():
        return f"{text}; the best floor, {floor}, has {write_score(metric, one.validation)} on validation."
    return f"{text}."


def _subject(found: Tuned) -> str:
    panel, source = found.plan.panel, found.settings.data.path
    what = f"{Path(source).name}: " if source else "Recipe market: " if found.settings.recipe == "market" else ""
    return (
        f"{what}{panel.n_series:,} series of {panel.roles.target}, {write_count(len(panel.table), 'row')}, every "
        f"{write_grid(panel.frequency)}; {write_count(found.plan.task.horizon, 'step')} ahead"
    )
