"""The parts of the page of a search: what was found, the winner's options, each model's study, how to do it again."""

from __future__ import annotations

import json
import math

from tidewright.models.spec import CLASS_FLOORS, FLOORS
from tidewright.report.about_account import tell_choice, tell_worth
from tidewright.report.about_trials import count_states, list_reasons, list_seconds, list_trials, tell_pictures
from tidewright.report.blocks import Block, Cell, Column, Facts, Row, Section, Table, Tone, Words, absent
from tidewright.report.metric_words import explain_metric, name_metric, score_decimals, write_score
from tidewright.report.numbers import SPACE, write_count, write_number, write_percent, write_seconds
from tidewright.report.reproduce import write_tune_command, write_winner_command
from tidewright.report.trial_marks import write_value
from tidewright.tuning.study import Study
from tidewright.tuning.trial import TrialState
from tidewright.tuning.tried import Tried
from tidewright.workflows.tune_table import Tuned

POINTS = "points are of "  # how the note begins that says what "auto" took
OWN = "default of the model"  # an option that the point of the default does not name


def tell_found(found: Tuned) -> Section:
    """The best of every study beside the floors, and the winner's three scores."""
    winner, study = found.winner, found.studies[found.winner]
    test = found.test.get(found.metric)
    worth: list[Block] = [absent("No account of the search was kept.", title="Validation, corrected and test")]
    if study.account is not None:
        worth = tell_worth(study.account, winner=winner, test=test, interval=found.interval)
    lead = (
        f"{write_count(len(found.studies), 'model')} searched, one study each. Trials learn on train and are judged on "
        "validation; the test part was read once, for the winner and the floors. "
        f"{explain_metric(found.metric, target=found.plan.panel.roles.target)}"
    )
    blocks: list[Block] = [_board(found), *worth]
    if found.failed:
        rows = tuple((Cell(name, tone="strong"), Cell(reason)) for name, reason in found.failed.items())
        blocks.append(Table((Column("Left out"), Column("Why")), rows, sortable=False))
    return Section("found", "What was found", lead, blocks)


def tell_winner(found: Tuned) -> Section:
    """The winner's options beside the default's, and what to type to use them."""
    study = found.studies[found.winner]
    lead = f"Trial {study.best.number} of {found.winner}. The other options stay as they were."
    blocks: list[Block] = [list_changes(study)]
    command = write_winner_command(found.settings, study)
    if command is not None:
        blocks.append(Words((command,), title="Next: seal it, with its forecast", code=True))
    return Section("winner", "The winner's options", lead, blocks)


def tell_one(study: Study, *, name: str, slug: str) -> Section:
    """One model's study: how it was searched, what came of it, and its pictures."""
    tried = Tried.of(study)
    gain = study.gain
    better = "better" if gain is not None and gain >= 0 else "worse"
    told = "" if gain is None else f" The best is {write_percent(abs(gain))} {better} than the default, trial 0."
    lead = (
        f"{write_count(len(study.trials), 'trial')} ({count_states(tried)}) in {write_seconds(study.seconds)}; it "
        f"stopped because {study.reason}.{told} The test part was not touched."
    )
    reasons = list_reasons(tried)
    blocks: list[Block] = [_facts(study)]
    blocks.append(Row((list_seconds(tried, whole=study.seconds), *([] if reasons is None else [reasons]))))
    blocks += [*tell_pictures(tried, slug=slug), list_trials(tried)]
    if study.notes:
        blocks.append(Words(study.notes, title="Notes"))
    return Section(slug, f"The search of {name}", lead, blocks)


def tell_again(found: Tuned) -> Section:
    """The command, and what goes on with the search."""
    command = write_tune_command(found.settings, found.words)
    lead = f"Run {found.run}, seed {found.settings.seed}. The studies are kept in {found.folder}."
    if command is None:
        note = "The table was handed over in memory, so that no command can name it."
        return Section("reproduce", "Do it again, and go on", lead, [absent(note)])
    more = f"{command} --resume"
    blocks = [
        Words((command,), title="The same search again", code=True),
        Words((more,), title="Go on with it, with more trials or after an interruption", code=True),
    ]
    return Section("reproduce", "Do it again, and go on", lead, blocks)


def list_changes(study: Study) -> Table:
    """The best trial's options beside those of trial 0, the default."""
    default = next((trial.parameters for trial in study.trials if trial.number == 0), {})
    best = study.best.parameters
    rows: list[tuple[Cell, ...]] = []
    tones: dict[int, Tone] = {}
    for name in (one for one in study.space.names if one in best or one in default):
        before = write_value(default[name]) if name in default else OWN
        after = write_value(best[name]) if name in best else "not there"
        same = name in default and name in best and json.dumps(default[name]) == json.dumps(best[name])
        if not same:
            tones[len(rows)] = "good"
        rows.append(
            (Cell(name), Cell(before, tone="muted"), Cell(after, tone="strong"), Cell("" if same else "changed"))
        )
    caption = "" if tones else "The default is the best that was found."
    columns = (Column("Option"), Column("Default", "trial 0"), Column("Best", f"trial {study.best.number}"), Column(""))
    return Table(columns, tuple(rows), tones=tones, caption=caption, sortable=False)


def _board(found: Tuned) -> Table:
    metric = found.metric
    decimals = score_decimals(metric, [study.shown for study in found.studies.values()])
    entries = [(study.value, _study_row(found, name, decimals), name) for name, study in found.studies.items()]
    for name, floor in found.floors.items():
        cells = (
            Cell(name, small="floor" if name in FLOORS or name in CLASS_FLOORS else "without a forecast", tone="muted"),
            _number(metric, floor.validation, decimals),
            Cell("nothing chosen", tone="muted"),
            _number(metric, floor.test.get(metric, math.nan), decimals),
            *(Cell("", value=0) for _ in range(4)),
        )
        entries.append((floor.badness, cells, name))
    entries.sort(key=lambda one: one[0])
    columns = (
        Column("Model"),
        Column(f"Validation {name_metric(metric)}", "best trial", number=True),
        Column("Corrected", "for having been chosen", number=True),
        Column("Test", "scored once", number=True),
        *(Column(head, number=True) for head in ("Trials", "Pruned", "Failed")),
        Column("Time", "wall s", number=True),
    )
    tones: dict[int, Tone] = {n: "good" for n, (_, _, name) in enumerate(entries) if name == found.winner}
    caption = "Sorted by validation score. A click on a head sorts by that column."
    return Table(columns, tuple(cells for _, cells, _ in entries), tones=tones, caption=caption)


def _study_row(found: Tuned, name: str, decimals: int) -> tuple[Cell, ...]:
    study, metric, won = found.studies[name], found.metric, name == found.winner
    test = found.test.get(metric) if won else None
    account = study.account
    told = [tell_choice(account)] if account is not None and account.seeds else []
    spread = "; ".join(told + [f"sd {write_number(sd)} over {of}" for of, (_, sd) in study.spread.items()])
    counts = len(study.trials), study.count(TrialState.PRUNED), study.count(TrialState.FAILED)
    return (
        Cell(name, mark="winner" if won else "", tone="strong"),
        _number(metric, study.shown, decimals, small=spread),
        Cell("no account", tone="muted") if account is None else _number(metric, account.corrected, decimals),
        Cell("not scored", tone="muted") if test is None else _number(metric, test, decimals),
        *(Cell(f"{count:,}", value=count) for count in counts),
        Cell(write_number(study.seconds, decimals=1), value=study.seconds),
    )


def _number(metric: str, value: float, decimals: int, *, small: str = "") -> Cell:
    return Cell(write_score(metric, value, decimals=decimals), value=value, small=small)


def _facts(study: Study) -> Facts:
    """How the study was searched, as far as it is known."""
    asked = study.asked
    chosen = next((note for note in study.notes if note.startswith(POINTS)), "").removeprefix(POINTS).removesuffix(".")
    items = [("Space", Cell(write_count(len(study.space.names), "option"), small=_size(study)))]
    if asked:
        items.append(("Points from", Cell(str(asked["searcher"]), small=chosen)))
        items.append(("Pruner", Cell(str(asked["pruner"]))))
    if asked.get("trials") is not None:
        items.append(("Trials", Cell(f"{len(study.trials):,}", small=f"asked for: {asked['trials']:,}")))
    if asked.get("budget_s") is not None:
        share = write_percent(study.seconds / asked["budget_s"], decimals=0)
        small = f"{share} of the {write_seconds(asked['budget_s'])} that it was given"
        items.append(("Budget", Cell(write_seconds(study.seconds), small=small)))
    if study.spread:
        told = (
            f"mean {write_number(mean)}, sd {write_number(sd)} over {of}" for of, (mean, sd) in study.spread.items()
        )
        judged = f"{write_count(study.folds, 'fold')}, {write_count(study.seeds, 'seed')}"
        items.append(("Each trial judged on", Cell(judged, small=f"the best: {'; '.join(told)}")))
    score = f"{name_metric(study.metric)} {write_score(study.metric, study.shown)}"
    items.append(("Best trial", Cell(f"{study.best.number}", small=score)))
    return Facts(tuple(items))


def _size(study: Study) -> str:
    size = study.space.size
    return "some of them continuous" if math.isinf(size) else f"at most {size:,.0f}{SPACE}points"
