"""The words of the verbs: what each option takes, and its line of help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidewright.errors import ConfigError

Items = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TABLE] [KEY=VALUE]...",
        help="A CSV or Parquet file, then options in Hydra's grammar: model=lstm,lightgbm train.learning_rate=1e-3",
    ),
]
Series = Annotated[str | None, typer.Option(help="The column that names the series.")]
Time = Annotated[str | None, typer.Option(help="The column of times.")]
Target = Annotated[str | None, typer.Option(help="The column to forecast (several, with commas, in layout columns).")]
Past = Annotated[str | None, typer.Option(help="Covariates known up to now, with commas.")]
Known = Annotated[str | None, typer.Option(help="Covariates known into the future, with commas.")]
Static = Annotated[str | None, typer.Option(help="One value a series, with commas.")]
Frequency = Annotated[str | None, typer.Option(help="1h, 1d, 1w, 1mo, b ...; found and checked when left out.")]
Calendar = Annotated[str | None, typer.Option(help="An exchange's code for trading days, such as XNYS.")]
Layout = Annotated[str, typer.Option(help="long, columns (a series a column) or rows (a series a row).")]
Wide = Annotated[str | None, typer.Option(help="In layout columns: the columns that are series, with commas.")]
Kind = Annotated[
    str | None, typer.Option(help="forecast a number, or classify: the probability of each class of the target.")
]
Horizon = Annotated[int | None, typer.Option(help="How many steps ahead.")]
Season = Annotated[int | None, typer.Option(help="The seasonal lag in steps; the grid's own when left out.")]
Budget = Annotated[str | None, typer.Option(help="How long it may take: 90s, 3m, 1h.")]
PresetWord = Annotated[
    str | None, typer.Option("--preset", help="quick, standard or best: it picks models, windows and options itself.")
]
Resume = Annotated[str | None, typer.Option(help="Go on with a preset's run that was interrupted: its id, or last.")]
Out = Annotated[str | None, typer.Option(help="The folder of runs.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
Strict = Annotated[bool, typer.Option("--strict", help="A fallback or a model that fails is an error.")]

# of a search alone
Models = Annotated[
    list[str] | None, typer.Option(help="Which models; further names may follow it (--models lstm tcn).")
]
Trials = Annotated[int | None, typer.Option(help="How many trials each model has (50 where nothing is said).")]
TuneBudget = Annotated[str | None, typer.Option(help="How long the search of each model may take: 90s, 3m, 1h.")]
Metric = Annotated[str | None, typer.Option(help="What is made good on validation: mase, mae, sharpe ...")]
Search = Annotated[str, typer.Option(help="auto, grid, random, qmc, tpe, gp, numpyro, cmaes, nsga2, hyperopt, skopt.")]
Adaptive = Annotated[
    bool, typer.Option("--adaptive", help="Narrow the space to where trials were good; each trial's notes tell.")
]
WarmStart = Annotated[
    bool, typer.Option("--warm-start", help="Begin with the best points of earlier studies of similar data.")
]
Pruner = Annotated[str, typer.Option(help="none, median, halving, hyperband, wilcoxon.")]
Folds = Annotated[
    int, typer.Option(help="Judge each trial on so many walk-forward folds, the last of them the validation part.")
]
Seeds = Annotated[
    str, typer.Option(help="Learn each trial from so many seeds; auto: the best three, where seeds matter.")
]
Space = Annotated[str | None, typer.Option(help="A YAML file of one model's space, or a folder of them.")]
WideSpace = Annotated[bool, typer.Option("--wide", help="Ranges for hours of search in place of those for minutes.")]
Storage = Annotated[
    str | None, typer.Option(help="Where the studies are kept: a folder, sqlite:///FILE or postgresql://...")
]
Workers = Annotated[int | None, typer.Option(help="So many processes make trials at the same time.")]
Together = Annotated[
    str, typer.Option(help="So many trials of a network's form learn in one batched step; auto, where it pays.")
]
Ray = Annotated[str | None, typer.Option(help="The tasks of this Ray cluster do: auto, or its address.")]
Each = Annotated[
    bool, typer.Option("--each", help="Search one model for all series and then for each, and save all of them.")
]
GoOn = Annotated[bool, typer.Option("--resume", help="Go on with the same search, however it ended.")]

# of a server alone
Shadow = Annotated[
    list[str] | None,
    typer.Option(help="A model of the store (* each) whose challenger, or NAME=VERSION, gets copies of its requests."),
]
Split = Annotated[list[str] | None, typer.Option(help="Shares of a model's requests: NAME=champion:90,challenger:10.")]
Record = Annotated[
    Path | None, typer.Option(help="A folder that keeps the forecasts of the store's models, for store compare.")
]
RecordBytes = Annotated[int, typer.Option(help="At most so many bytes of them; the oldest give way.", min=1 << 20)]
AllowHost = Annotated[list[str] | None, typer.Option(help="A further name that requests may call it by; * any.")]
LogRequests = Annotated[bool, typer.Option("--log-requests", help="Log every request, not failed ones alone.")]
TlsCert = Annotated[str | None, typer.Option(help="The file of a certificate: TLS.")]
TlsKey = Annotated[str | None, typer.Option(help="The file of the certificate's key.")]
Limit = Annotated[
    list[str] | None, typer.Option(help="A limit, as body=1000000, rows=, depth=, queue=, run_s= ...; see docs.")
]


def read_shape(layout: str, target: str | None) -> tuple[str, tuple[str, ...]]:
    """The layout, and the columns of it that are series (none named: all)."""
    columns = () if target is None else tuple(target.split(","))
    if not all(columns):
        raise ConfigError(f"--target {target!r} has an empty name. Name columns, with commas between, or leave it out.")
    if columns and layout != "columns":
        raise ConfigError(f"--target names columns of layout columns; the layout is {layout}. Leave it out.")
    return layout, columns
