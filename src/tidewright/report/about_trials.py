"""What a page says of the trials of one search: its pictures, why trials ended early, and all of them as a table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tidewright.report.blocks import Block, Cell, Column, Picture, Table, Tone, absent
from tidewright.report.draw_options import (
    MOST_AXES,
    MOST_PANELS,
    choose_options,
    draw_option_importance,
    draw_parallel,
    draw_slices,
)
from tidewright.report.draw_trials import choose_reports, draw_front, draw_history, draw_reports
from tidewright.report.metric_words import name_metric, score_decimals, write_score
from tidewright.report.numbers import SPACE, write_count, write_number, write_percent
from tidewright.report.trial_marks import BETTER, MOST_DRAWN, mark_trials, name_plain, say_thinned, write_value
from tidewright.tuning.goals import Goal
from tidewright.tuning.importance import FEWEST, OptionImportance, weigh_options
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tried import Tried

MOST_TRIALS = 200  # rows of the table
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", re.IGNORECASE)


def tell_pictures(tried: Tried, *, slug: str) -> list[Block]:
    """The pictures of a search: their names begin with `slug`. What can't be drawn says why."""
    if not tried.trials:
        return [absent("No trial was made.")]
    blocks: list[Block] = [_history(tried, slug, objective) for objective in range(len(tried.goals))]
    if len(tried.goals) > 1 and tried.scored:
        blocks.append(_front(tried, slug))
    found = [weigh_options(tried, objective=objective) for objective in range(len(tried.goals))]
    blocks += [_importance(tried, one, f"{slug}-importance-{n}", n) for n, one in enumerate(found)]
    options = choose_options(tried, found[0])
    if not tried.scored or not options:
        why = "No trial is complete" if not tried.scored else "No option of the space varies"
        blocks.append(absent(f"{why}, so there is no score to draw over an option.", title="Score by option"))
    else:
        blocks += [*([_slices(tried, slug, options)] if len(tried.goals) == 1 else []), _parallel(tried, slug, options)]
    blocks.append(_reports(tried, slug))
    return blocks


def count_states(tried: Tried) -> str:
    """How the trials ended, in words.

    >>> from tidewright.tuning.space import SearchSpace
    >>> count_states(Tried(SearchSpace("f", {}), (Trial(0, TrialState.FAILED), Trial(1, TrialState.FAILED)), ()))
    '2 failed'
    """
    return ", ".join(f"{tried.count(state)} {state}" for state in TrialState if tried.count(state))


def list_reasons(tried: Tried) -> Table | None:
    """Why trials were pruned or failed, those that differ in numbers alone counted together; None where none was."""
    ended = [trial for trial in tried.trials if trial.state in (TrialState.PRUNED, TrialState.FAILED)]
    if not ended:
        return None
    counts = Counter((trial.state, _NUMBER.sub("#", trial.error)) for trial in ended)
    first = {(trial.state, _NUMBER.sub("#", trial.error)): trial for trial in reversed(ended)}
    rows = tuple(
        (
            Cell(f"{count:,}", value=count),
            Cell(str(state), tone="bad" if state is TrialState.FAILED else ""),
            Cell(first[state, said].error or "no reason was kept", small=f"trial {first[state, said].number}"),
        )
        for (state, said), count in counts.most_common()
    )
    columns = (Column("Trials", number=True), Column("Ended"), Column("Why", "the first of them"))
    return Table(columns, rows, caption="Trials without a score.", sortable=False)


def list_seconds(tried: Tried, *, whole: float | None = None) -> Table:
    """Where the time went: what the trials of each state took, and what is left of the `whole` search."""
    told: list[tuple[str, int | None, float]] = [
        (str(state), tried.count(state), sum(trial.seconds for trial in tried.trials if trial.state is state))
        for state in TrialState
        if tried.count(state)
    ]
    spent = sum(seconds for _, _, seconds in told)
    if whole is not None and whole >= spent:
        told.append(("choosing, keeping and waiting", None, whole - spent))
    total = max(spent, whole or 0.0) or 1.0
    rows = tuple(
        (
            Cell(name),
            Cell("", value=0) if count is None else Cell(f"{count:,}", value=count),
            Cell(write_number(seconds, decimals=1), value=seconds),
            Cell(write_percent(seconds / total, decimals=0), value=seconds),
        )
        for name, count, seconds in told
    )
    columns = (Column("Time spent on"), Column("Trials", number=True), Column("Time", "s", number=True))
    note = ""
    if whole is not None and whole < spent:
        note = f"Trials were made at the same time: {spent:,.0f}{SPACE}s of them in {whole:,.0f}{SPACE}s."
    return Table((*columns, Column("Share", number=True)), rows, caption=note, sortable=False)


def list_trials(tried: Tried) -> Table:
    """Every trial with its options, its scores and why it ended, folded away."""
    shown = tried.trials[:MOST_TRIALS]
    there = {name for trial in shown for name in trial.parameters}
    names = [name for name in tried.space.names if name in there]
    decimals = [_decimals(goal, tried, n) for n, goal in enumerate(tried.goals)]
    best = None if tried.best is None else tried.best.number
    columns = (
        Column("Trial", number=True),
        Column("State"),
        *(Column(name_metric(goal.name), "validation", number=True) for goal in tried.goals),
        *(Column(name) for name in names),
        Column("Time", "s", number=True),
    )
    rows = tuple(
        (
            Cell(str(trial.number), value=trial.number, mark="best" if trial.number == best else ""),
            Cell(str(trial.state), small="; ".join(_remarks(trial))),
            *(_score(trial, n, goal, decimals[n]) for n, goal in enumerate(tried.goals)),
            *(_option(trial, name) for name in names),
            Cell(write_number(trial.seconds, decimals=1), value=trial.seconds),
        )
        for trial in shown
    )
    tones: dict[int, Tone] = {n: "good" for n, trial in enumerate(shown) if trial.number == best}
    told = (
        "all trials" if len(shown) == len(tried.trials) else f"the first {MOST_TRIALS} of {len(tried.trials):,} trials"
    )
    return Table(columns, rows, tones=tones, folded=f"Show {told} with their options")


def _history(tried: Tried, slug: str, objective: int) -> Picture:
    goal, count = tried.goals[objective], len(tried.scored)
    far = " What is far worse than the rest stands at the edge, its score in the text beside the pointer."
    without = [str(s) for s in (TrialState.PRUNED, TrialState.FAILED, TrialState.RUNNING) if tried.count(s)]
    where = "stand at the best one" if count else "are all there is"
    stand = f" Trials without a score ({', '.join(without)}) {where}." if without else ""
    return Picture(
        f"{slug}-history-{objective}",
        draw_history(tried, objective=objective),
        f"Validation {name_plain(goal)} of each trial, {BETTER[goal.direction]}; the line is the best so far.{stand}"
        f"{far if mark_trials(tried, objective=objective).far.any() else ''}"
        f"{say_thinned(min(count, MOST_DRAWN), of=count)}",
        f"Scatter plot of the validation scores of {write_count(count, 'trial')} with the best so far.",
        title=f"Trial by trial: {name_plain(goal)}" if len(tried.goals) > 1 else "Trial by trial",
    )


def _front(tried: Tried, slug: str) -> Picture:
    names = " and ".join(name_plain(goal) for goal in tried.goals)
    return Picture(
        f"{slug}-front",
        draw_front(tried),
        f"{names} at once. On the front (blue) no trial is as good in all and better in one; the grey ones are beaten."
        f"{say_thinned(min(len(tried.scored), MOST_DRAWN), of=len(tried.scored))}",
        f"Scatter plot of the trials by {names}, with the front of those that none beats.",
        title="What can be had at once",
    )


def _importance(tried: Tried, found: OptionImportance, name: str, objective: int) -> Block:
    of = f" for {name_plain(tried.goals[objective])}" if len(tried.goals) > 1 else ""
    title = f"What mattered{of}"
    if not found.shares:
        few = "; ".join(_group(found.left_out))
        return absent(f"No importance of options: {found.reason or few or 'none of them varies'}.", title=title)
    branch = [f"{option} in {count}" for option, count in found.within.items() if count < max(found.within.values())]
    inside = f" Options of a branch are judged among the trials that have them: {', '.join(branch)}." if branch else ""
    left = f" Left out: {'; '.join(_group(found.left_out))}." if found.left_out else ""
    best, share = next(iter(found.shares.items()))
    return Picture(
        name,
        draw_option_importance(found),
        f"The share of the score's variance over the space that each option makes alone (fANOVA of "
        f"{max(found.within.values()):,} complete trials), with its standard error; the rest is of options together "
        f"and of chance. Few trials say little: {FEWEST} are the least.{inside}{left}",
        f"Bar chart of the options by importance; {best} is first with {write_percent(share, decimals=0)}.",
        title=title,
    )


def _slices(tried: Tried, slug: str, options: tuple[str, ...]) -> Picture:
    left = f" The {MOST_PANELS} most important of {len(options)} options." if len(options) > MOST_PANELS else ""
    count = len(tried.scored)
    return Picture(
        f"{slug}-slices",
        draw_slices(tried, options=options[:MOST_PANELS]),
        f"Validation {name_plain(tried.goals[0])} over each option by itself, {BETTER[tried.goals[0].direction]}; "
        "later trials are darker, the orange diamond is the best. A trial without an option is not drawn over it."
        f"{left}{say_thinned(min(count, MOST_DRAWN), of=count)}",
        f"Scatter plots of the score over {', '.join(options[:MOST_PANELS])}.",
        title="Score by option",
        least=640,
    )


def _parallel(tried: Tried, slug: str, options: tuple[str, ...]) -> Picture:
    left = f" The {MOST_AXES} most important of {len(options)} options." if len(options) > MOST_AXES else ""
    count = len(tried.scored)
    return Picture(
        f"{slug}-parallel",
        draw_parallel(tried, options=options[:MOST_AXES]),
        "Each line is a trial on its way through the options to its score; the best fifth is darkest, the best trial "
        f"orange. Axes with a logarithmic range are logarithmic.{left}{say_thinned(min(count, MOST_DRAWN), of=count)}",
        f"Parallel coordinates of {write_count(count, 'trial')} over {', '.join(options[:MOST_AXES])} and the score.",
        title="All options at once",
        least=90 * (min(len(options), MOST_AXES) + 1),
    )


def _reports(tried: Tried, slug: str) -> Block:
    figure = draw_reports(tried)
    title = "On the way"
    if figure is None:
        return absent("No trial reported anything before its end.", title=title)
    told = [trial for trial in tried.trials if trial.finite_steps]
    return Picture(
        f"{slug}-reports",
        figure,
        "What each trial reported after its epochs or folds, which is what pruning goes by; values that are no number "
        f"are left out.{say_thinned(len(choose_reports(told)), of=len(told))}",
        f"Line chart of what {write_count(len(told), 'trial')} reported by epoch or fold.",
        title=title,
    )


def _group(left_out: Any) -> Iterable[str]:
    """Options that share a reason, together."""
    for reason in dict.fromkeys(left_out.values()):
        yield f"{', '.join(name for name, said in left_out.items() if said == reason)} ({reason})"


def _decimals(goal: Goal, tried: Tried, objective: int) -> int:
    return score_decimals(goal.name, [trial.values[objective] for trial in tried.scored])


def _score(trial: Trial, objective: int, goal: Goal, decimals: int) -> Cell:
    if not trial.values:
        return Cell("no score", tone="muted")
    value = goal.show(trial.values[objective])
    return Cell(write_score(goal.name, value, decimals=decimals), value=value)


def _option(trial: Trial, name: str) -> Cell:
    if name not in trial.parameters:
        return Cell("default" if trial.number == 0 else "not there", tone="muted")
    value = trial.parameters[name]
    return Cell(write_value(value), value=float(value) if isinstance(value, int | float) else str(value))


def _remarks(trial: Trial) -> list[str]:
    return [*filter(None, [trial.error, "cut short by the budget" if trial.cut_short else ""]), *trial.notes]
