"""The verb `monitor`: what became of a bundle's inputs, answers and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tidewright.cli.show import show_table, to_plain
from tidewright.cli.verbs import Shape, Told, read_shaped
from tidewright.errors import ConfigError

if TYPE_CHECKING:
    from tidewright.workflows.monitoring import Check, Monitoring, Score


def monitor_table(
    bundle: Path,
    table: Path,
    *,
    shape: Shape,
    since: str | None,
    false_alarms: float,
    report: Path | None,
    as_json: bool,
    fail: bool,
) -> None:
    """Looks, shows what was found, and exits 1 where that is asked for and something drifted."""
    from tidewright.optional import has
    from tidewright.workflows.monitor import monitor

    bundle = bundle / "bundle" if (bundle / "bundle").is_dir() else bundle  # the folder of a run
    if report is not None and report.suffix != ".html":
        raise ConfigError(f"a report is a file that ends in .html; got '{report}'. Name one.")
    with Told(lambda line: typer.echo(line, err=True)):
        found = monitor(bundle, read_shaped(bundle, table, shape), since=since, false_alarms=false_alarms)
    if report is not None:
        from tidewright.report.monitor_page import write_monitor_page

        write_monitor_page(found, report)
        typer.echo(f"report  {report}", err=True)
    if has("jinja2") and has("plotly"):
        from tidewright.report.monitor_page import add_to_report

        page = add_to_report(found, bundle)
        if page is not None:
            typer.echo(f"report  {page}#since", err=True)
    if as_json:
        typer.echo(json.dumps({**to_plain(found), "drifted": found.drifted}, indent=2))
    else:
        _show(found)
    if fail and found.drifted:
        raise typer.Exit(1)


def _show(found: Monitoring) -> None:
    show_table([_check_row(one) for one in found.checks], title=f"{found.model}: {found.first} to {found.last}")
    if found.scores:
        show_table([_score_row(one) for one in found.scores], title="over time")
    for note in found.notes:
        typer.echo(f"note: {note}")
    for alert in found.alerts:
        typer.echo(f"alert: {alert.message}")
    if not found.alerts:
        typer.echo(f"no alert ({found.false_alarms:.0%} false alarms allowed)")


def _check_row(one: Check) -> dict[str, Any]:
    p_value = one.test.p_value
    return {
        "what": one.kind,
        "column": one.column,
        "test": one.name,
        "statistic": f"{one.test.statistic:.3g}",
        "p": "" if p_value is None else f"{p_value:.2g}",
        "adjusted": "" if one.adjusted is None else f"{one.adjusted:.2g}",
        "": "ALERT" if one.alarm else one.note,
    }


def _score_row(one: Score) -> dict[str, Any]:
    numbers = {"error": one.error, "coverage": one.coverage, "low": one.low, "high": one.high}
    return {"from": one.time, "values": one.count, **{key: f"{value:.3g}" for key, value in numbers.items()}}
