"""`Stakes`: what a run tried, kept in the ledger of all trials on the same data, and what its winner is worth then."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidewright.training.evaluate import Evaluation
from tidewright.training.trade import Trading
from tidewright.tuning.account import Account, settle
from tidewright.tuning.goals import find_goal, judge
from tidewright.tuning.ledger import StudyLedger, open_ledger, subject_of
from tidewright.tuning.study import Study
from tidewright.workflows.field import Field

LEDGER = "ledger"  # in the folder of runs


class Stakes:
    """The bets of one run. The same bets in the same order are kept once, so a run that goes on adds nothing twice."""

    def __init__(self, ring: Field, *, metric: str, run: str) -> None:
        self.goal = find_goal(metric)
        last = int(ring.split.validation.positions[-1]) + ring.split.horizon
        self._panel = ring.panel.until(last)
        subject = subject_of(self._panel, task=ring.task, metric=metric)
        self.kept = StudyLedger(open_ledger(place_ledger(ring.settings.folder), subject=subject), study=run)
        self._count = 0
        self._numbers: dict[str, int] = {}

    @property
    def models(self) -> frozenset[str]:
        """Those with a bet that may win."""
        return frozenset(self._numbers)

    def add(
        self, judged: Evaluation | None, *, model: str, key: str, options: Mapping[str, Any], best: bool = True
    ) -> None:
        """Keeps a try by what it said of validation (None: it failed, and is no bet); `best`: it is its model's best so
        far."""
        number, self._count = self._count, self._count + 1
        if judged is None:
            return
        found = judge(judged, goal=self.goal, panel=self._panel, trading=Trading())
        if not math.isfinite(found.value):
            return
        told: dict[str, Any] = {"positions": found.positions, "parts": found.parts, "model": model, "key": key}
        self.kept.add(number, options, state="complete", score=found.value, **told)
        if best:
            self._numbers[model] = number

    def settle(self, winner: str, study: Study | None) -> Account | None:
        """The account of the winner, from all bets on the same data; None where it is none of them."""
        place = (self.kept.study, self._numbers.get(winner, -1))
        if winner not in self._numbers and study is not None and study.account is not None:
            place = (study.account.study, study.account.number)
        return settle(
            self.kept.ledger.bets(),
            study=place[0],
            number=place[1],
            goal=self.goal,
            subject=self.kept.ledger.subject,
            per_year=self._panel.frequency.periods_per_year,
        )


def place_ledger(folder: str | Path) -> Path:
    """Where the ledger lies in a folder of runs."""
    return Path(folder) / LEDGER
