"""Day-ahead electricity prices of BE and DE: the last 20 days, one window a day, two covariates known.

How a model learns here stands in benchmarks/results/choices_prices.jsonl, where choose_prices.py keeps what it found on
validation. It chooses on the 364 days before the test, learning from all before those; the models that are tested learn
from all but the 91 days before the test, by which they stop.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from board_fit import DATA, LEVELS, learn
from board_trials import best_own

from tidewright.data.border import read_table
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.data.task import Task
from tidewright.features.windows import cut_windows
from tidewright.metrics.accuracy import Scored, past_scale, score
from tidewright.models.fitted import Fitted
from tidewright.models.spec import FLOORS
from tidewright.training.ensemble import fit_ensemble
from tidewright.training.fit import keep_covariates

DAY, TEST, CHOOSING, STOPPING = 24, 20, 364, 91  # hours; days
TASK = Task(horizon=DAY, quantiles=LEVELS)
PLACES = ("BE", "DE")
PRICE_NOTE = """\
On BE and DE the options of each model come from `benchmarks/results/choices_prices.jsonl`:
`benchmarks/choose_prices.py` tried a few, one seed, and took those with the least validation MASE, as a share of the
seasonal naive's, the mean of both markets, over the 364 days before the test (a year: every season once, Christmas
too). The models that are tested learned from all but the last 91 days before the test, by which they stopped; the test
was scored once for each model and seed. Not blind: first test scores of lightgbm (0.685 and 1.420), ridge and seasonal
were known. "ensemble" is the plain mean of members of the same seed, one bundle; which these are was chosen likewise,
and its CPU seconds are those of all of them. lear is solved and draws nothing: its seeds are one. Twenty windows are
few: what is best on a year of validation is not best here. Trials by hand on the same validation came before, and
shaped the candidates. CPU seconds are of learning, on one thread.
"""


@dataclass(frozen=True, eq=False)
class Part:
    """A market up to the end of its validation part, for `days` days of it; with the test, all of it."""

    panel: Panel
    split: Split


@cache
def open_price(place: str, *, days: int, test: bool) -> Part:
    """The market without its last 20 days, or with them; one validation window a day."""
    table = read_table(DATA / "electricity_prices" / f"{place}.parquet")
    table = table if test else table.head(len(table) - TEST * DAY)
    known = [name for name in table.columns if name not in ("date", "OT")]
    panel = Panel.from_table(table, time="date", target="OT", known=known)
    first, last = panel.span
    tested = last - TEST * DAY if test else last
    begin = tested - days * DAY
    cutoffs = Cutoffs(begin, tested - DAY, DAY)
    rest = Cutoffs(tested, last - DAY, DAY) if test else None
    return Part(panel, Split(Cutoffs(first + DAY - 1, begin - DAY), cutoffs, rest, DAY, DAY, 0))


def learn_price(name: str, part: Part, *, own: dict[str, Any], seed: int) -> Fitted:
    """A model fitted with options of its own, "stride" the hours between two windows that it learns from."""
    whole = part.split
    train = Cutoffs(whole.train.first, whole.train.last, int(own.get("stride", 1)))
    split = Split(train, whole.validation, None, DAY, DAY, 0)
    return learn(name, settings={"": own}, panel=part.panel, split=split, task=TASK, season=DAY, seed=seed)


def judge_price(fitted: Fitted, part: Part, *, cutoffs: Cutoffs) -> float:
    """MASE over daily windows; the scale is the mean absolute difference at lag 24 of each window's past."""
    panel = part.panel
    windows = cut_windows(keep_covariates(panel, fitted.spec.takes), fitted.view, horizon=DAY, cutoffs=cutoffs, least=1)
    scale = past_scale(panel.target, offsets=panel.offsets, season=DAY, series=windows.series, ends=windows.rows + 1)
    scored = Scored(windows.labels(), fitted.predict(windows), levels=LEVELS, scale=scale)
    return float(score(scored, ["mase"])["mase"])


def run_price(name: str, *, place: str, seed: int) -> dict[str, float]:
    """A model learned as chosen, on the days that it stopped by and on the 20 days of the test."""
    part = open_price(place, days=STOPPING, test=True)
    mixed = name == "ensemble"
    fitted, cpu = (
        mix_members(part, own=best_own("prices", name), seed=seed) if mixed else learn_member(name, part, seed=seed)
    )
    assert part.split.test is not None
    found = {"validation MASE": judge_price(fitted, part, cutoffs=part.split.validation)}
    return found | {"MASE": judge_price(fitted, part, cutoffs=part.split.test), "cpu_s": cpu}


def judge_options(name: str, own: dict[str, Any]) -> dict[str, float]:
    """Validation MASE of both markets as a share of the seasonal naive's, their mean first; no test is opened."""
    found: dict[str, float] = {}
    for place in PLACES:
        part = open_price(place, days=CHOOSING, test=False)
        mixed = name == "ensemble"
        fitted = mix_members(part, own=own, seed=0)[0] if mixed else learn_price(name, part, own=own, seed=0)
        found[f"validation {place}"] = judge_price(fitted, part, cutoffs=part.split.validation)
    shares = [found[f"validation {place}"] / naive_price(place) for place in PLACES]
    return {"share of seasonal naive": float(np.mean(shares))} | found


def mix_members(part: Part, *, own: dict[str, Any], seed: int) -> tuple[Fitted, float]:
    """The mean of the "members" that the options name, and the CPU seconds of all of it."""
    asked = [learn_member(member, part, seed=seed) for member in own["members"]]
    started = time.process_time()
    split = Split(part.split.train, part.split.validation, None, DAY, DAY, 0)
    fitted = fit_ensemble([one for one, _ in asked], panel=part.panel, split=split, rule="mean", season=DAY)
    return fitted, time.process_time() - started + sum(cpu for _, cpu in asked)


@cache
def learn_member(name: str, part: Part, *, seed: int) -> tuple[Fitted, float]:
    """A model learned as chosen, and its CPU seconds."""
    own, started = {} if name in FLOORS else best_own("prices", name), time.process_time()
    return learn_price(name, part, own=own, seed=seed), time.process_time() - started


@cache
def naive_price(place: str) -> float:
    """The seasonal naive's validation MASE."""
    part = open_price(place, days=CHOOSING, test=False)
    fitted = learn_price("seasonal", part, own={"model": {"period": DAY}}, seed=0)
    return judge_price(fitted, part, cutoffs=part.split.validation)
