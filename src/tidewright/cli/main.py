"""The command and its verbs. Exit 0: done; 1: an error with its remedy; 2: wrong usage; 70: a defect of ours."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tidewright import __version__
from tidewright.cli import options
from tidewright.cli.allocate import allocate_verb
from tidewright.cli.backtest import backtest_verb
from tidewright.cli.bench import bench_verb
from tidewright.cli.dash import dash_verb
from tidewright.cli.export import export_verb
from tidewright.cli.risk import risk_verb
from tidewright.cli.store import store_app
from tidewright.errors import ConfigError, TidewrightError

INTERRUPTED = 130

app = typer.Typer(
    name="tidewright",
    help="Train once, apply many, decide: from a table of time series to a verified forecast, a sealed model and more.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(
    help="Look at a table before anything is learned from it.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data_app, name="data")
app.add_typer(store_app, name="store")


@app.callback()
def _top(
    version: Annotated[bool, typer.Option("--version", help="The version, and nothing else.", is_eager=True)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens to stderr.")] = False,
) -> None:
    if version:
        typer.echo(f"tidewright {__version__}")
        raise typer.Exit(0)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.ERROR,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )


def _make_flow(*, tune: bool) -> Callable[..., None]:
    """The verbs `run` and `train`: the same words, with and without a search."""

    def flow(
        items: options.Items = None,
        series: options.Series = None,
        time: options.Time = None,
        target: options.Target = None,
        past: options.Past = None,
        known: options.Known = None,
        static: options.Static = None,
        frequency: options.Frequency = None,
        calendar: options.Calendar = None,
        layout: options.Layout = "long",
        horizon: options.Horizon = None,
        season: options.Season = None,
        budget: options.Budget = None,
        out: options.Out = None,
        json: options.Json = False,
        quiet: options.Quiet = False,
        strict: options.Strict = False,
        preset: options.PresetWord = None,
        resume: options.Resume = None,
        kind: options.Kind = None,
    ) -> None:
        from tidewright.cli.verbs import resume_table, run_table

        if not tune and (preset or resume):
            raise ConfigError("train fits the models that you choose, and a preset picks them. Say run for train.")
        path, overrides = split_items(items)
        lists = {"past": past, "known": known, "static": static}
        plain = {"series": series, "time": time, "target": target, "frequency": frequency, "calendar": calendar}
        given: dict[str, Any] = _data_options({**plain, "layout": layout, "path": path}, lists)
        given |= {"horizon": horizon, "season": season, "budget_s": budget, "folder": out}
        given |= {"strict": strict or None, "tune.enabled": None if tune else False, "preset": preset}
        given |= {"kind": kind}
        if resume is None:
            run_table(given, overrides, as_json=json, quiet=quiet)
        else:
            resume_table(resume, given, overrides, as_json=json, quiet=quiet)

    return flow


_RUN = """Do it all: check the table, fit floors and models, score them once, seal the winner, decide, report.

Without a table: recipe market, on 20 US stocks that come with the package.
"""
app.command("run", help=_RUN)(_make_flow(tune=True))
app.command(
    "train", help="Fit the chosen models (model=lstm) beside the floors, without a search, and seal the winner."
)(_make_flow(tune=False))


_TUNE = """Search the options of models on train and validation, and score the best once on the test.

Without a table: the 20 US stocks that come with the package. Every trial is kept as it is made.
"""


@app.command("tune", help=_TUNE)
def tune_verb(
    items: options.Items = None,
    models: options.Models = None,
    trials: options.Trials = None,
    budget: options.TuneBudget = None,
    metric: options.Metric = None,
    search: options.Search = "auto",
    adaptive: options.Adaptive = False,
    warm_start: options.WarmStart = False,
    pruner: options.Pruner = "median",
    folds: options.Folds = 1,
    seeds: options.Seeds = "1",
    space: options.Space = None,
    wide: options.WideSpace = False,
    storage: options.Storage = None,
    workers: options.Workers = None,
    together: options.Together = "auto",
    ray: options.Ray = None,
    each: options.Each = False,
    resume: options.GoOn = False,
    series: options.Series = None,
    time: options.Time = None,
    target: options.Target = None,
    past: options.Past = None,
    known: options.Known = None,
    static: options.Static = None,
    frequency: options.Frequency = None,
    calendar: options.Calendar = None,
    layout: options.Layout = "long",
    horizon: options.Horizon = None,
    season: options.Season = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    kind: options.Kind = None,
) -> None:
    from tidewright.cli.tune import read_seeds, split_models, tune_words

    names, rest = split_models(models, items)
    path, overrides = split_items(rest)
    lists = {"past": past, "known": known, "static": static}
    plain = {"series": series, "time": time, "target": target, "frequency": frequency, "calendar": calendar}
    given: dict[str, Any] = _data_options({**plain, "layout": layout, "path": path}, lists)
    given |= {"horizon": horizon, "season": season, "folder": out, "strict": strict or None, "kind": kind}
    asked = {"models": names, "trials": trials, "budget": budget, "searcher": search, "pruner": pruner, "space": space}
    asked |= {"wide": wide, "storage": storage, "resume": resume, "folds": folds, "seeds": read_seeds(seeds)}
    asked |= {"metric": metric, "workers": workers, "ray": ray, "adaptive": adaptive, "warm_start": warm_start}
    tune_words({**asked, "together": together}, given, overrides, each=each, as_json=json, quiet=quiet)


@app.command("predict")
def predict_verb(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, or that of tune --each.")],
    table: Annotated[Path, typer.Argument(help="A table with the columns that the bundle was trained on.")],
    output: Annotated[Path | None, typer.Option(help="Write here (.csv, .json or .parquet) instead of stdout.")] = None,
    backend: Annotated[str, typer.Option(help="auto, or a backend by name: see `tidewright doctor`.")] = "auto",
    layout: options.Layout = "long",
    target: options.Wide = None,
    json: options.Json = False,
    strict: options.Strict = False,
) -> None:
    """Forecast the steps after each series' last value."""
    from tidewright.cli.verbs import predict_table

    shape = options.read_shape(layout, target)
    predict_table(bundle, table, shape=shape, output=output, backend=backend, as_json=json, strict=strict)


@app.command("evaluate")
def evaluate_verb(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    table: Annotated[Path, typer.Argument(help="A table with the columns that the bundle was trained on.")],
    last: Annotated[int | None, typer.Option(help="Score the last so many steps (default: four horizons).")] = None,
    layout: options.Layout = "long",
    target: options.Wide = None,
    json: options.Json = False,
) -> None:
    """Score a bundle on the newest part of a table, beside the naive floors that need no training."""
    from tidewright.cli.verbs import evaluate_bundle

    shape = options.read_shape(layout, target)
    evaluate_bundle(bundle, table, shape=shape, last=last, as_json=json)


@app.command("monitor")
def monitor_verb(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    table: Annotated[Path, typer.Argument(help="A table with history and the values that came since.")],
    since: Annotated[str | None, typer.Option(help="Live is what is newer than this time (2024-12-31T23:00).")] = None,
    false_alarms: Annotated[float, typer.Option(help="The share of looks without drift that may alarm at all.")] = 0.05,
    report: Annotated[Path | None, typer.Option(help="Write a page with pictures here (.html).")] = None,
    fail_on_drift: Annotated[bool, typer.Option("--fail-on-drift", help="Exit 1 where something drifted.")] = False,
    layout: options.Layout = "long",
    target: options.Wide = None,
    json: options.Json = False,
) -> None:
    """Hold live inputs, predictions and errors against the reference in a bundle: drift, scores over time, alerts."""
    from tidewright.cli.monitor import monitor_table

    shape = options.read_shape(layout, target)
    given: dict[str, Any] = {"since": since, "false_alarms": false_alarms, "report": report, "fail": fail_on_drift}
    monitor_table(bundle, table, shape=shape, as_json=json, **given)


app.command("allocate")(allocate_verb)
app.command("risk")(risk_verb)
app.command("backtest")(backtest_verb)
app.command("export")(export_verb)
app.command("bench")(bench_verb)
app.command("dash")(dash_verb)


@app.command("runs")
def runs_verb(
    folder: Annotated[Path, typer.Argument(help="The folder of runs.")] = Path("tidewright-runs"),
    json: options.Json = False,
) -> None:
    """List the runs, newest first."""
    from tidewright.cli.verbs import show_runs

    show_runs(folder, as_json=json)


@app.command("models")
def models_verb(
    table: Annotated[Path | None, typer.Option("--for", help="A table: which models to try on it, and why.")] = None,
    series: options.Series = None,
    time: options.Time = None,
    target: options.Target = None,
    past: options.Past = None,
    known: options.Known = None,
    static: options.Static = None,
    horizon: options.Horizon = None,
    json: options.Json = False,
) -> None:
    """List the models and floors: what each is for, the covariates it takes, its size, its options."""
    from tidewright.cli.models import show_advice, show_models

    given = _data_options(
        {"series": series, "time": time, "target": target}, {"past": past, "known": known, "static": static}
    )
    if table is not None:
        show_advice(table, given, horizon=horizon, as_json=json)
    elif horizon is not None or any(given.values()):
        raise ConfigError("columns and a horizon belong to a table. Name it with --for, or leave them out.")
    else:
        show_models(as_json=json)


@app.command("serve")
def serve_verb(
    bundles: Annotated[
        list[Path] | None, typer.Argument(help="Bundles' folders, or folders of bundles (sales/1, sales/2).")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="A store: the champion of each of its models.")] = None,
    shadow: options.Shadow = None,
    split: options.Split = None,
    record: options.Record = None,
    record_bytes: options.RecordBytes = 1 << 30,
    host: Annotated[
        str, typer.Option(help="Where it listens; an address that others reach needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0: a free one.", min=0, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(help="So many processes answer, each on a core of its own.", min=1)] = 1,
    watch: Annotated[float, typer.Option(help="Seconds between two looks at the folders; 0: none.", min=0)] = 1.0,
    batch: Annotated[
        int, typer.Option(help="Requests of one moment share a run of at most so many windows; 0: none do.", min=0)
    ] = 64,
    allow_host: options.AllowHost = None,
    backend: Annotated[str, typer.Option(help="auto, or a backend by name: see `tidewright doctor`.")] = "auto",
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    limit: options.Limit = None,
    log_requests: options.LogRequests = False,
    strict: options.Strict = False,
) -> None:
    """Answer over HTTP: the Open Inference Protocol v2, and forecasts from raw history, until it is told to stop.

    Bundles that change are loaded again without losing a request. Keys come from TIDEWRIGHT_API_KEYS. See
    docs/serving.md.
    """
    from tidewright.cli.serve import serve_bundles

    given: dict[str, Any] = {"host": host, "port": port, "hosts": tuple(allow_host or ()), "backend": backend}
    given |= {"tls_cert": tls_cert, "tls_key": tls_key, "log_requests": log_requests, "strict": strict}
    given |= {"workers": workers, "watch_s": watch, "batch": batch}
    given |= {"shadow": tuple(shadow or ()), "split": tuple(split or ()), "record_bytes": record_bytes}
    given["record"] = None if record is None else str(record)
    serve_bundles([*(bundles or []), *([] if store is None else [store])], given, limits=limit or [])


@app.command("doctor")
def doctor_verb(json: options.Json = False) -> None:
    """Say what this machine has, and what Tidewright will use."""
    from tidewright.cli.doctor import show_doctor

    show_doctor(as_json=json)


@data_app.command("inspect")
def inspect_verb(
    table: Annotated[Path, typer.Argument(help="A CSV or Parquet file.")],
    series: options.Series = None,
    time: options.Time = None,
    target: options.Target = None,
    past: options.Past = None,
    known: options.Known = None,
    static: options.Static = None,
    frequency: options.Frequency = None,
    calendar: options.Calendar = None,
    layout: options.Layout = "long",
    horizon: options.Horizon = None,
    json: options.Json = False,
) -> None:
    """Findings with their severity, place and remedy. Exit 1 when the table can't be used as it is."""
    from tidewright.cli.verbs import inspect_file

    plain = {"series": series, "time": time, "target": target, "frequency": frequency, "calendar": calendar}
    given = _data_options({**plain, "layout": layout}, {"past": past, "known": known, "static": static})
    inspect_file(table, given, horizon=horizon, as_json=json)


def split_items(items: list[str] | None) -> tuple[str | None, list[str]]:
    """The table and the overrides among the words of a command; what is a file is never an override."""
    overrides = [item for item in items or [] if "=" in item and not Path(item).exists()]
    tables = [item for item in items or [] if item not in overrides]
    if len(tables) > 1:
        raise ConfigError(f"one table at a time; got {', '.join(tables)}. Options are written as key=value.")
    return (tables[0] if tables else None), overrides


def _data_options(plain: Mapping[str, Any], lists: Mapping[str, str | None]) -> dict[str, Any]:
    split = {key: tuple(text.split(",")) for key, text in lists.items() if text}
    return {f"data.{key}": value for key, value in {**plain, **split}.items()}


def main() -> None:
    """The entry point: every way out has its exit code."""
    sys.exit(_run(sys.argv[1:]))


def _interrupted(words: list[str]) -> str:
    """What is kept of a command that was interrupted, and how it goes on."""
    verb = next((word for word in words if not word.startswith("-")), "")
    if verb == "tune":
        from tidewright.cli.verbs import typeable

        line = typeable(shlex.join(["tidewright", *(word for word in words if word != "--resume"), "--resume"]))
        secret = any("://" in word and "@" in word for word in words)  # a password is not repeated
        line = "the same line and --resume" if secret else line
        return f"interrupted. Trials that ended are kept. Go on with: {line}"
    if verb not in ("run", "train"):
        return "interrupted."
    told = "interrupted. What was done so far is in the run's record: tidewright runs"
    return f"{told}\nA run with a preset goes on with: tidewright run --resume last" if verb == "run" else told


def _run(words: list[str]) -> int:
    try:
        app(words)
    except SystemExit as done:  # typer's own way out: 0, 2 for wrong usage, 130 when interrupted
        if done.code == INTERRUPTED:
            typer.echo(_interrupted(words), err=True)
        return done.code if isinstance(done.code, int) else 0
    except TidewrightError as error:
        typer.echo(f"error: {error}", err=True)
        return 1
    except Exception:  # the one place for a defect of ours
        logging.getLogger(__name__).critical("a defect of Tidewright", exc_info=True)
        typer.echo("This is a defect of Tidewright, not of your data. Please report it with the lines above.", err=True)
        return 70
    return 0
