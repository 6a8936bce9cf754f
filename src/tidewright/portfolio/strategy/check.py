"""`check_strategy`: does a strategy file look ahead?"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tidewright.data.dated import Dated, read_dated
from tidewright.portfolio.lookahead import Lookahead, check_lookahead
from tidewright.portfolio.lookahead.check import CUTS
from tidewright.portfolio.strategy.process import Isolation, StrategyProcess, open_strategy
from tidewright.portfolio.strategy.weights import TIME, align_weights, to_table


@dataclass(frozen=True, slots=True)
class StrategyCheck:
    """The verdict on a strategy file, by its sha256, and what it ran under."""

    file: str
    sha256: str
    verdict: Lookahead
    isolation: Isolation

    def to_dict(self) -> dict[str, Any]:
        """The check as plain data."""
        told = {"file": self.file, "sha256": self.sha256, "isolation": asdict(self.isolation)}
        return {**told, **self.verdict.to_dict()}


def check_strategy(
    file: str | Path,
    prices: Any,
    *,
    rows: int = CUTS,
    seed: int = 0,
    timeout_s: float = 60.0,
    memory_gib: float = 8.0,
) -> StrategyCheck:
    """Whether the weights that a strategy file decides depend on prices after the bar of the decision.

    `prices` are a table or a file that `read_dated` reads, or what it gave. The strategy runs in a process of its own
    (`open_strategy`), and `check_lookahead` changes its future.
    """
    table = to_table(prices if isinstance(prices, Dated) else read_dated(prices))
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest() if Path(file).is_file() else ""
    with open_strategy(file, timeout_s=timeout_s, memory_gib=memory_gib) as strategy:
        verdict = check_lookahead(lambda given: _ask(strategy, given), table, time=TIME, rows=rows, seed=seed)
        return StrategyCheck(str(file), digest, verdict, strategy.isolation)


def _ask(strategy: StrategyProcess, table: pl.DataFrame) -> pl.DataFrame:
    """The answer as a table with a column for each asset; an asset that it does not name has no weight."""
    answer = strategy.decide(table)
    assets = tuple(name for name in table.columns if name != TIME)
    values, _ = align_weights(answer, assets)
    columns = {name: values[:, at] for at, name in enumerate(assets)}
    return pl.DataFrame(columns if answer.times is None else {TIME: answer.times, **columns})
