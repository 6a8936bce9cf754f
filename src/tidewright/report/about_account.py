"""The part of the page on what was tried: the winner's validation score, corrected for the choice, beside its test."""

from __future__ import annotations

import math

from tidewright.metrics.bootstrap import Interval
from tidewright.report.blocks import Block, Cell, Column, Facts, Picture, Row, Table
from tidewright.report.draw_account import draw_account
from tidewright.report.metric_words import name_metric, score_decimals, write_score
from tidewright.report.numbers import write_count, write_number, write_percent
from tidewright.tuning.account import Account
from tidewright.workflows.result import RunResult


def tell_account(result: RunResult) -> list[Block]:
    """The winner's three scores side by side, and what they rest on; nothing where the run has no account."""
    if result.account is None:
        return []
    row = result.leaderboard.row(result.leaderboard.winner)
    test = row.test[result.leaderboard.metric]
    return tell_worth(result.account, winner=row.model, test=test, interval=row.interval)


def tell_worth(account: Account, *, winner: str, test: float | None, interval: Interval | None) -> list[Block]:
    """What a winner is worth after all that was tried; `test` is None where it wasn't scored there."""
    scored = math.nan if test is None else test
    picture = Picture(
        "account",
        draw_account(account, test=scored, interval=interval),
        f"{name_metric(account.metric)} of {winner}: the validation score {tell_choice(account)}, the same corrected "
        "for the choice, and the test score.",
        "Dot plot of the winner's validation, corrected and test scores.",
    )
    return [_scores(account, winner=winner, test=test), Row((picture, _facts(account)))]


def tell_choice(account: Account | None) -> str:
    """What a validation score is of."""
    fresh = 0 if account is None else account.seeds
    return f"over {write_count(fresh, 'fresh seed')}" if fresh else "as it was chosen by"


def _scores(account: Account, *, winner: str, test: float | None) -> Table:
    decimals = score_decimals(account.metric, [account.score, account.score if test is None else test])
    cells = (
        Cell("not scored", tone="muted")
        if value is None
        else Cell(write_score(account.metric, value, decimals=decimals), value=value)
        for value in (account.score, account.corrected, test)
    )
    columns = (
        Column("Winner"),
        Column("Validation", tell_choice(account), number=True),
        Column("Corrected", "for having been chosen", number=True),
        Column("Test", "scored once", number=True),
    )
    told = "The best of many tries looks better than it is. The corrected score is what the best try on one part of "
    told += "validation scores on the rest of it, over all ways to part it; the test was not used for it."
    if account.reason:
        told = f"The score is not corrected: {account.reason}."
    return Table(columns, ((Cell(winner, tone="strong"), *cells),), caption=told, sortable=False)


def _facts(account: Account) -> Facts:
    studies = write_count(account.studies, "study") if account.studies == 1 else f"{account.studies:,} studies and runs"
    items = [
        ("Tried on these data", Cell(f"{write_count(account.trials, 'trial')} in {studies}", small=_compared(account))),
    ]
    if math.isfinite(account.effective):
        text = write_number(account.effective, decimals=1)
        items.append(("Worth as many independent ones", Cell(text, small="since tries that move together are one bet")))
    chance = account.overfitting
    if math.isfinite(chance.probability):
        ways = f"over {chance.ways:,} ways to halve validation"
        items.append(("Probability of overfitting", Cell(write_percent(chance.probability, decimals=0), small=ways)))
    if account.earlier:
        told = write_count(sum(one.trials for one in account.earlier if one.counted), "trial")
        small = "; ".join(str(one) for one in account.earlier)
        items.append(("Of these in studies that gave the first points", Cell(told, small=small)))
    return Facts((*items, *_skill(account)), title="What was tried")


def _skill(account: Account) -> list[tuple[str, Cell]]:
    """What luck leaves of a strategy's Sharpe ratio."""
    skill = account.skill
    if skill is None:
        return []
    record = (
        f"{math.ceil(skill.track_record):,} periods" if math.isfinite(skill.track_record) else "none is long enough"
    )
    luck = "the chance that it is above the best that as many trials without skill would show"
    return [
        ("Deflated Sharpe ratio", Cell(write_percent(skill.deflated.probability, decimals=0), small=luck)),
        ("Track record that proves it above 0", Cell(record, small=f"there are {skill.periods:,}")),
    ]


def _compared(account: Account) -> str:
    return f"{account.compared:,} of them judged at the winner's {account.positions:,} cutoffs"
