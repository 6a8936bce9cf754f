"""Results for people on stdout, and as plain data for machines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # a verb imports what it shows; --help must not
    from tidewright.training.compare import Leaderboard, Row
    from tidewright.tuning.account import Account
    from tidewright.workflows.judge import Judged
    from tidewright.workflows.result import Decision, RunResult, Serving
    from tidewright.workflows.search_record import Search

MOST_TRIES = 20  # shown; the report has all
NEVER_BROKEN = 12  # characters of a cell
WIDTH = 140  # of what is no terminal
ASIDE = ("mase", "wape", "rmse", "coverage")
ASIDE_CLASSES = ("brier", "accuracy", "macro_f1", "calibration_error")


def show_result(result: RunResult, *, report: Path, sheet: Path | None = None) -> None:
    """The run, from the data verdict to the next command."""
    from tidewright.data.findings import explain

    console = wide_console()
    grid = result.panel.frequency.name
    head = f"{result.panel.n_series} series, {grid}, horizon {result.task.horizon}, season {result.season}"
    console.rule(head, align="left")
    console.print(explain(result.verdict), markup=False, highlight=False)
    console.rule("split", align="left")
    console.print(result.split.explain(result.panel), markup=False, highlight=False)
    console.rule("leaderboard", align="left")
    console.print(_board(result.leaderboard))
    console.print(Text(result.leaderboard.reason, style="bold"))
    _show_notes(console, result.leaderboard)
    if result.search is not None:
        _show_search(console, result.search)
    if result.account is not None:
        _show_account(console, result, result.account)
    console.rule("bundle", align="left")
    _show_bundle(console, result.serving)
    if result.decision is not None:
        _show_decision(console, result.decision)
    for note in result.notes:
        console.print(f"note: {note.kind}: {note.used}: {note.reason}", markup=False, highlight=False)
    console.rule(f"{result.seconds:.0f} s", align="left")
    if result.forecast is not None:
        from tidewright.workflows.result import FORECAST

        console.print(f"forecast  {result.folder / FORECAST}", markup=False, highlight=False, soft_wrap=True)
    if sheet is not None:
        console.print(f"tear sheet  {sheet}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"report  {report}\nnext    {result.next_command}", markup=False, highlight=False, soft_wrap=True)


def _show_notes(console: Console, board: Leaderboard) -> None:
    for row in board.rows:
        if row.note:
            console.print(f"{row.model}: {row.note}", markup=False, highlight=False)
    for name, reason in board.failed.items():
        console.print(f"left out: {name}: {reason}", markup=False)


def _show_account(console: Console, result: RunResult, account: Account) -> None:
    """What the winner is worth after all that was tried, beside its test score."""
    console.rule("what was tried", align="left")
    test = result.leaderboard.row(result.leaderboard.winner).test[account.metric]
    for line in (*account.lines(), f"{account.metric} {_number(test)} on the test"):
        console.print(line, markup=False, highlight=False)


def _show_search(console: Console, search: Search) -> None:
    """What a preset tried, the best first, what it passed over, and why it stopped."""
    console.rule(f"preset {search.preset}", align="left")
    told = f"{len(search.attempts)} tries on {search.folds} fold{'s' if search.folds > 1 else ''}"
    again = f", {search.resumed} steps of them before it was interrupted" if search.resumed else ""
    console.print(f"{told}{again}; it stopped because {search.reason}.", markup=False, highlight=False)
    ranked = sorted(search.attempts, key=lambda one: math.inf if one.score is None else one.score)
    rows = [
        {
            "try": f"{one.model}, {one.what}",
            f"{search.metric} validation": _number(one.score),
            "s": f"{one.seconds:.1f}",
            "at s": f"{one.at:.0f}",
            "": one.error or one.note,
        }
        for one in ranked[:MOST_TRIES]
    ]
    show_table(rows, title="tries, the best first" if len(ranked) <= MOST_TRIES else f"the best {MOST_TRIES} tries")
    for reason, names in search.passed_over_by_reason().items():
        console.print(f"passed over: {', '.join(names)}: {reason}", markup=False, highlight=False)


def _show_bundle(console: Console, serving: Serving) -> None:
    times = ", ".join(f"{name} {serving.latency_ms[f'{name}_ms']:.3f} ms" for name in ("p50", "p95", "p99"))
    told = serving.backend_reason
    if serving.parity is not None:
        told = f"off eager by {serving.parity:.1e} of a window at most (allowed {serving.tolerance:.0e})"
    lines = (
        str(serving.path),
        f"digest {serving.digest}",
        f"{serving.backend}: {told}",
        f"one row: {times}; eager {serving.eager_ms:.3f} ms",
    )
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def show_evaluation(judged: Judged) -> None:
    """A bundle's scores beside its floors'."""
    of_classes = "log_loss" in next(iter(judged.scores.values()))
    shown = ("log_loss", *ASIDE_CLASSES) if of_classes else ("mae", *ASIDE)
    rows = [
        {"model": name, **{key: _number(scores.get(key)) for key in shown}} for name, scores in judged.scores.items()
    ]
    show_table(rows, title=f"{judged.windows} windows, {judged.first} to {judged.last}")


def show_table(rows: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """Rows with the same keys, as a table; what is as short as a number is never broken."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    texts = [["" if value is None else str(value) for value in row.values()] for row in rows]
    for name, column in zip(rows[0], zip(*texts, strict=True), strict=True):
        widest = max(map(len, column))
        words = max(map(len, str(name).split()), default=0)
        table.add_column(str(name), overflow="fold", min_width=max(words, widest if widest <= NEVER_BROKEN else 0))
    for row in texts:
        table.add_row(*map(Text, row))
    wide_console().print(table)


def wide_console() -> Console:
    """The terminal; a pipe or a file has `WIDTH` columns, since nothing there wraps by itself."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def to_plain(value: Any) -> Any:
    """A value as JSON takes it: NaN and infinities become null, paths and times text."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (str, int, bool)) or value is None:
        return value
    if isinstance(value, (np.ndarray, Iterable)) and not isinstance(value, (bytes, Path)):
        return [to_plain(item) for item in value]
    return str(value)


def _board(board: Leaderboard) -> Table:
    from tidewright.metrics.definitions import METRICS

    table = Table(box=None, header_style="bold", pad_edge=False)
    aside = ASIDE if METRICS[board.metric].of == "numbers" else ASIDE_CLASSES
    metrics = [board.metric, *(name for name in aside if name != board.metric)]
    table.add_column("model")
    for name in (
        f"{board.metric} validation",
        f"{board.metric} test",
        "90 % interval",
        *(f"{m} test" for m in metrics[1:]),
        "skill",
        "p",
        "CPU s",
    ):
        table.add_column(name, justify="right")
    for row in board.rows:
        table.add_row(
            *_cells(row, board, metrics),
            style="bold green" if row.model == board.winner else "dim" if row.floor else "",
        )
    return table


def _cells(row: Row, board: Leaderboard, metrics: Sequence[str]) -> list[str]:
    mark = " *" if row.model == board.winner else ""
    interval = "" if row.interval is None else f"{_number(row.interval.low)} to {_number(row.interval.high)}"
    p_value = row.comparison.adjusted
    return [
        f"{row.model}{' (floor)' if row.floor else ''}{mark}",
        _number(row.validation.get(metrics[0])),
        _number(row.test.get(metrics[0])),
        interval,
        *(_number(row.test.get(name)) for name in metrics[1:]),
        f"{row.skill:+.1%}",
        "" if math.isnan(p_value) else f"{p_value:.2g}",
        f"{row.cpu_seconds:.1f}",
    ]


def _show_decision(console: Console, decision: Decision) -> None:
    console.rule("decision", align="left")
    console.print(decision.reason, markup=False)
    order = np.argsort(decision.weights.values)[::-1]
    shown = ", ".join(f"{decision.weights.assets[i]} {decision.weights.values[i]:.1%}" for i in order)
    console.print(f"next weights ({decision.weights.method}): {shown}", markup=False, highlight=False)
    if decision.risk is not None and decision.risk.portfolio is not None:
        book, sure = decision.risk.portfolio, f"{decision.risk.confidence:.0%}"
        told = f"value at risk {book.var:.2%}, expected shortfall {book.es:.2%} of the equity"
        console.print(f"the next bar at {sure}: {told}", markup=False, highlight=False)
    rows = [
        {
            "strategy": s.name,
            "CAGR": f"{s.summary['cagr']:.1%}",
            "volatility": f"{s.summary['volatility']:.1%}",
            "Sharpe": f"{s.summary['sharpe']:.2f}",
            "Sortino": f"{s.summary['sortino']:.2f}",
            "max drawdown": f"{s.summary['max_drawdown']:.1%}",
            "turnover a year": f"{s.summary['turnover']:.2f}",
            "deflated Sharpe": ""
            if s.deflated is None
            else f"{s.deflated.probability:.3f} of {s.deflated.trials:g} trials",
        }
        for s in decision.strategies
    ]
    show_table(rows, title=f"test part, after costs, {decision.periods_per_year:.1f} sessions a year by the calendar")


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4g}"
