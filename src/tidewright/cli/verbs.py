"""What each verb does, and how its result is shown."""

from __future__ import annotations

import json
import shlex
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import typer

from tidewright.cli.show import show_evaluation, show_result, show_table, to_plain
from tidewright.errors import ConfigError, DataError, FallbackWarning, RepairWarning

if TYPE_CHECKING:
    from tidewright.tracking.run import Run
    from tidewright.workflows.result import RunResult

FORMS = ("csv", "json", "parquet")


def run_table(given: Mapping[str, Any], overrides: Sequence[str], *, as_json: bool, quiet: bool) -> None:
    """`tidewright run` and `train`: the whole flow, its progress on stderr, its result on stdout."""
    from tidewright.workflows.run import run_settings
    from tidewright.workflows.settings import read_settings

    named = any(item.startswith(("recipe=", "data.path=")) for item in overrides)
    recipe = "market" if given["data.path"] is None and not named else None
    settings = read_settings(overrides, {**given, "recipe": recipe})
    _finish(lambda **heard: run_settings(settings, **heard), as_json=as_json, quiet=quiet)


def resume_table(run: str, given: Mapping[str, Any], overrides: Sequence[str], *, as_json: bool, quiet: bool) -> None:
    """`tidewright run --resume`: a preset's run that was interrupted, to its end."""
    from tidewright.workflows.run import resume_run

    usual = {"data.layout": "long", "tune.enabled": False}
    options = {key: value for key, value in given.items() if value is not None and usual.get(key) != value}
    _finish(lambda **heard: resume_run(run, overrides=overrides, **options, **heard), as_json=as_json, quiet=quiet)


def _finish(run: Callable[..., RunResult], *, as_json: bool, quiet: bool) -> None:
    """Runs with its progress on stderr, writes the report, and shows the result."""
    from tidewright.cli.progress import ProgressView
    from tidewright.report.decision_sheet import SHEET
    from tidewright.report.html import write_report
    from tidewright.workflows.summary import summarise

    with ProgressView(quiet=quiet, plain=as_json) as view, Told(view.say):
        result = run(callbacks=(view.hear,), tell=view.tell)
        result = replace(result, next_command=typeable(result.next_command))
        report = write_report(result, result.folder / "report.html")
    sheet = report.with_name(SHEET) if report.with_name(SHEET).exists() else None
    if as_json:
        typer.echo(json.dumps(to_plain({**summarise(result), "report": report, "tear_sheet": sheet}), indent=2))
    else:
        show_result(result, report=report, sheet=sheet)


def typeable(command: str) -> str:
    """The command with the path of this program where a shell would not find it by its name."""
    program = Path(sys.argv[0])
    if which("tidewright") or program.name != "tidewright":
        return command
    near = program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program
    return f"{shlex.quote(str(near))} {command.removeprefix('tidewright ')}"


Shape = tuple[str, tuple[str, ...]]  # a table's layout, and the columns that are series


def predict_table(
    bundle: Path, table: Path, *, shape: Shape, output: Path | None, backend: str, as_json: bool, strict: bool
) -> None:
    """`tidewright predict`: a forecast as CSV or JSON on stdout, or in a file."""
    from tidewright.inference.each import open_each
    from tidewright.inference.session import open_session
    from tidewright.registry.each import is_each

    form = ("json" if as_json else "csv") if output is None else output.suffix.removeprefix(".")
    if form not in FORMS:
        raise DataError(f"'{output}' has an ending that says nothing about its form. Use .{', .'.join(FORMS)}.")
    with Told(lambda line: typer.echo(line, err=True)):
        opened = open_each if is_each(bundle) else open_session
        session = opened(bundle, backend=backend, strict=strict)
        forecast = session.forecast(read_shaped(bundle, table, shape)).table
    if output is None:
        typer.echo(forecast.write_json() if as_json else forecast.write_csv(), nl=as_json)
        return
    try:
        getattr(forecast, f"write_{form}")(output)
    except OSError as error:
        why = error.strerror or str(error).partition(" (os error")[0]
        raise DataError(
            f"'{output}' can't be written: {why}. Name a folder that is there and may be written."
        ) from error
    typer.echo(f"{len(forecast)} rows in {output}", err=True)


def evaluate_bundle(bundle: Path, table: Path, *, shape: Shape, last: int | None, as_json: bool) -> None:
    """`tidewright evaluate`: a bundle's scores beside the floors that need no training."""
    from tidewright.workflows.judge import judge

    with Told(lambda line: typer.echo(line, err=True)):
        judged = judge(bundle, read_shaped(bundle, table, shape), last=last)
    if as_json:
        typer.echo(json.dumps(to_plain(asdict(judged)), indent=2))
    else:
        show_evaluation(judged)


def read_shaped(bundle: Path, table: Path, shape: Shape) -> Any:
    """The table as the bundle reads it."""
    from tidewright.registry.bundle import load_bundle
    from tidewright.registry.each import is_each, load_each
    from tidewright.workflows.load import lengthen

    layout, columns = shape
    first = load_each(bundle).bundles[0] if is_each(bundle) else load_bundle(bundle)
    return lengthen(table, layout=layout, roles=first.manifest.schema.roles, columns=columns)


def inspect_file(table: Path, given: Mapping[str, Any], *, horizon: int | None, as_json: bool) -> None:
    """`tidewright data inspect`: findings; exit 1 when one of them is an error."""
    from tidewright.data.findings import Finding, Verdict, explain
    from tidewright.data.inspect import inspect
    from tidewright.workflows.load import read_panel
    from tidewright.workflows.settings import DataSettings

    data = DataSettings(**{key.removeprefix("data."): value for key, value in given.items() if value is not None})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepairWarning)  # repairs are findings here
        try:
            verdict = inspect(read_panel(table, data), horizon=horizon or 0)
        except DataError as error:
            verdict = Verdict(findings=(Finding(severity="error", code="unusable", message=str(error)),))
    typer.echo(json.dumps(to_plain(verdict.to_dict()), indent=2) if as_json else explain(verdict))
    if not verdict.ok:
        raise typer.Exit(1)


def show_runs(folder: Path, *, as_json: bool) -> None:
    """`tidewright runs`: what was run, newest first."""
    from tidewright.tracking.local import list_runs

    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"'{folder}' is a file. Give a folder of runs, such as tidewright-runs.")
    listed = list_runs(folder)
    for note in listed.notes:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        typer.echo(json.dumps(to_plain(listed.runs), indent=2))
    elif not listed.runs:
        typer.echo(f"no runs in {folder}. Make one with: tidewright run")
    else:
        show_table([_run_row(run) for run in listed.runs], title=f"runs in {folder}")


def _run_row(run: Run) -> dict[str, Any]:
    score = run.metrics.get("test.mase")
    return {
        "run": run.id,
        "what": run.name,
        "state": str(run.state),
        "model": run.spec.get("name", ""),
        "mase": "" if score is None else f"{score:.4g}",
        "seconds": f"{run.seconds:.0f}",
        "bundle": run.bundle_digest[:12],
    }


class Told:
    """A context in which repairs and fallbacks are told in a line each rather than as Python warnings."""

    def __init__(self, tell: Any) -> None:
        self._tell, self._caught = tell, warnings.catch_warnings()

    def __enter__(self) -> None:
        self._caught.__enter__()
        before = warnings.showwarning

        def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, (RepairWarning, FallbackWarning)):
                self._tell(f"note: {message}")
            else:
                before(message, category, *rest, **more)

        warnings.showwarning = show
        warnings.simplefilter("default", RepairWarning)

    def __exit__(self, *error: Any) -> None:
        self._caught.__exit__(*error)
