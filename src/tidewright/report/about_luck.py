"""What a tear sheet says of luck: how sure the Sharpe ratio is, alone and after all that was tried."""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

from tidewright.metrics.selection import Overfitting
from tidewright.portfolio.inference import (
    DeflatedSharpe,
    SharpeSample,
    deflated_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    sample_sharpe,
)
from tidewright.report.about_trials import count_states, list_trials
from tidewright.report.blocks import Block, Cell, Facts, Section, Words, absent
from tidewright.report.numbers import write_count, write_number, write_percent, write_probability
from tidewright.report.sheet import Sheet
from tidewright.report.sheet_margins import list_margins
from tidewright.tuning.account import Account
from tidewright.tuning.study import Study
from tidewright.tuning.tried import Tried
from tidewright.workflows.deflate import deflate

PROOF = 0.95  # the probability below which luck is not ruled out
PROOF_TEXT = write_percent(PROOF, decimals=0)


@dataclass(frozen=True, slots=True)
class Luck:
    """What is known of the luck in a Sharpe ratio a period; `deflated` is None where the trials are not known.

    `probability` is that the true ratio is above 0 if nothing else was tried, `record` how many bars prove that.
    """

    sample: SharpeSample
    probability: float
    record: float
    deflated: DeflatedSharpe | None
    overfitting: Overfitting | None
    study: Study | Tried | Account | None


def find_luck(
    sheet: Sheet,
    *,
    trials: float | None,
    study: Study | Tried | Account | None,
    trial_variance: float | None,
    overfitting: Overfitting | None,
) -> Luck:
    """What luck leaves of the strategy's Sharpe ratio; a number of trials that is given goes before the study's."""
    sample = sample_sharpe(sheet.ours, risk_free=sheet.risk_free)
    account = study.account if isinstance(study, Study) else study if isinstance(study, Account) else None
    if overfitting is None and account is not None and account.metric == "sharpe":
        overfitting = account.overfitting
    return Luck(
        sample=sample,
        probability=probabilistic_sharpe(sample),
        record=minimum_track_record(sample, confidence=PROOF),
        deflated=None if math.isnan(sample.sharpe) else _deflate(sheet, sample, trials, study, trial_variance),
        overfitting=overfitting,
        study=study,
    )


def tell_luck(sheet: Sheet, luck: Luck, *, margins: pl.DataFrame | None) -> Section:
    """The box, the margins over what else could be held, and every trial where a study is given."""
    items = [_tell_ratio(sheet), _tell_alone(luck), _tell_record(sheet, luck), *_tell_after(sheet, luck)]
    if luck.overfitting is not None and math.isfinite(luck.overfitting.probability):
        chance = luck.overfitting
        told = (
            f"share of {chance.ways:,} ways to halve the time in which the best of {chance.trials} is below the median"
        )
        items.append(("Probability of overfitting", Cell(
            write_percent(chance.probability, decimals=0), tone="bad" if chance.probability >= 0.5 else "", small=told,
        )))  # fmt: skip
    blocks: list[Block] = [Facts(tuple(items))]
    if margins is None:
        blocks.append(absent("Neither a floor nor a benchmark was given, so there is nothing that it is better than."))
    else:
        blocks.append(list_margins(margins, name=sheet.name))
    if luck.deflated is None:
        blocks.append(
            absent(
                "How many strategies were tried before this one is not known, so its Sharpe ratio is not deflated: the "
                "best of many without skill looks good too. Pass trials= or study=."
            )
        )
    if luck.overfitting is None:
        blocks.append(absent("No probability of overfitting: it takes the returns of all that was tried (tw.pbo)."))
    return Section("luck", "Is it luck?", _verdict(luck), (*blocks, *_list_tried(luck)))


def write_luck(luck: Luck) -> dict[str, object]:
    """The box as plain data; ratios a period."""
    after, chance = luck.deflated, luck.overfitting
    return {
        "sharpe_a_period": luck.sample.sharpe,
        "periods": luck.sample.periods,
        "skew": luck.sample.skew,
        "kurtosis": luck.sample.kurtosis,
        "probabilistic_sharpe": luck.probability,
        "minimum_track_record": luck.record,
        "deflated_sharpe": None if after is None else after.probability,
        "trials": None if after is None else after.trials,
        "hurdle_a_period": None if after is None else after.hurdle,
        "probability_of_overfitting": None if chance is None else chance.probability,
    }


def _deflate(
    sheet: Sheet,
    sample: SharpeSample,
    trials: float | None,
    study: Study | Tried | Account | None,
    variance: float | None,
) -> DeflatedSharpe | None:
    if trials is None and isinstance(study, Study | Account):
        if isinstance(study, Study) and study.account is None:
            return None
        return deflate(sheet.ours, study=study, trial_variance=variance, risk_free=sheet.risk_free).deflated
    if trials is None and isinstance(study, Tried):
        trials = max(len(study.trials), 1)
    if trials is None:
        return None
    spread = 1.0 / (sample.periods - 1) if variance is None else variance
    return deflated_sharpe(sample, trials=trials, trial_variance=spread)


def _tell_ratio(sheet: Sheet) -> tuple[str, Cell]:
    summary = sheet.summaries[sheet.name]
    found = summary.intervals["sharpe"]
    low, high = (write_number(end, decimals=2) for end in (found.low, found.high))
    between = f"{low} to {high} at {write_percent(found.level, decimals=0)}"
    return "Sharpe ratio, a year", Cell(write_number(summary["sharpe"], decimals=2), small=between)


def _tell_alone(luck: Luck) -> tuple[str, Cell]:
    told = "that the true ratio is above 0, had nothing else been tried"
    return "Probabilistic Sharpe ratio", Cell(write_probability(luck.probability), small=told)


def _tell_record(sheet: Sheet, luck: Luck) -> tuple[str, Cell]:
    enough = luck.record <= luck.sample.periods
    text = f"{math.ceil(luck.record):,} bars" if math.isfinite(luck.record) else "none is long enough"
    years = luck.record / sheet.periods_per_year
    many = f", {years:.1f} years" if math.isfinite(years) else ""
    small = f"to say at {PROOF_TEXT} that it is above 0; there are {luck.sample.periods:,}"
    return "Minimum track record", Cell(f"{text}{many}", tone="" if enough else "bad", small=small)


def _tell_after(sheet: Sheet, luck: Luck) -> list[tuple[str, Cell]]:
    if luck.deflated is None:
        return []
    hurdle = write_number(luck.deflated.hurdle * math.sqrt(sheet.periods_per_year), decimals=2)
    sure = luck.deflated.probability >= PROOF
    trials = write_number(luck.deflated.trials, decimals=0 if luck.deflated.trials == int(luck.deflated.trials) else 1)
    return [
        ("Deflated Sharpe ratio", Cell(
            write_probability(luck.deflated.probability), tone="" if sure else "bad",
            small=f"that it is above what the best of {trials} without skill would show",
        )),
        ("What luck alone would show", Cell(hurdle, small=f"Sharpe a year, best of {trials}")),
    ]  # fmt: skip


def _verdict(luck: Luck) -> str:
    if math.isnan(luck.probability):
        return "The returns don't vary, so nothing can be said."
    if luck.deflated is None:
        sure = "would be more than luck" if luck.probability >= PROOF else "may be luck"
        return f"Had nothing else been tried, the Sharpe ratio {sure}; how much was tried is not known."
    if luck.deflated.probability >= PROOF:
        return f"The Sharpe ratio is above what luck shows after all that was tried, at {PROOF_TEXT}."
    return f"Luck is not ruled out at {PROOF_TEXT}: as many tries without skill may show such a Sharpe ratio."


def _list_tried(luck: Luck) -> list[Block]:
    if luck.study is None:
        return []
    blocks: list[Block] = []
    account = luck.study.account if isinstance(luck.study, Study) else luck.study
    if isinstance(account, Account):
        blocks.append(Words(tuple(account.lines()), title="The account of the trials"))
    if isinstance(luck.study, Study | Tried):
        tried = Tried.of(luck.study)
        told = f"{write_count(len(tried.trials), 'trial')} ({count_states(tried) or 'none'})."
        blocks += [Words((told,), title="The trial ledger"), *([list_trials(tried)] if tried.trials else [])]
    return blocks
