"""The verb `tune`: what its words mean, and how its result is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from tidewright.cli.show import show_table, to_plain, wide_console
from tidewright.errors import ConfigError
from tidewright.models.spec import MODELS

if TYPE_CHECKING:
    from tidewright.workflows.settings import RunSettings
    from tidewright.workflows.tune_table import Tuned, TuneWords
    from tidewright.workflows.tune_table_each import TunedTable

TRIALS = 50
SHARED_TRIALS = 30  # of one model for all series, before each has its own


def split_models(models: Sequence[str] | None, items: Sequence[str] | None) -> tuple[tuple[str, ...], list[str]]:
    """The models that were named, after --models or with commas, and the other words of the command.

    >>> split_models(["lstm"], ["tcn", "sales.csv", "transformer"])
    (('lstm', 'tcn', 'transformer'), ['sales.csv'])
    """
    named = [name for text in models or [] for name in text.split(",") if name]
    more = [item for item in items or [] if models and item in MODELS and not Path(item).exists()]
    return tuple(dict.fromkeys([*named, *more])), [item for item in items or [] if item not in more]


def name_models(
    models: Sequence[str], overrides: Sequence[str], *, classes: bool = False
) -> tuple[tuple[str, ...], list[str]]:
    """The models to be searched (none: those that `model=` names), and the overrides with those of them that have
    options. Raises `ConfigError` where they are named both ways.

    >>> name_models(("tcn", "drift"), ["models.tcn.dropout=0.3"])
    (('tcn', 'drift'), ['model=tcn', 'models.tcn.dropout=0.3'])
    """
    from tidewright.workflows.settings import TRAINED
    from tidewright.workflows.tune_table import DEFAULT_MODELS

    said = next((item for item in overrides if item.partition("=")[0] == "model"), None)
    if said and models:
        raise ConfigError(f"--models {' '.join(models)} and {said} both name the models. Say one of them.")
    if said or (classes and not models):  # the settings have the usual ones of classes
        return (), list(overrides)
    models = tuple(models) or DEFAULT_MODELS
    trained = [name for name in models if name in TRAINED]
    return models, [*([f"model={','.join(trained)}"] if trained else []), *overrides]


def read_seeds(text: str) -> int | Literal["auto"]:
    """From how many seeds a trial is learned. Raises `ConfigError`.

    >>> read_seeds("3"), read_seeds("auto")
    (3, 'auto')
    """
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise ConfigError(f"--seeds is a whole number, 1 or more, or auto; got {text!r}.")
    return int(text)


def tune_words(
    asked: dict[str, Any], given: Mapping[str, Any], overrides: Sequence[str], *, each: bool, as_json: bool, quiet: bool
) -> None:
    """Searches with its progress on stderr, and shows what was found: models, or one for `each` series."""
    from tidewright.workflows.settings import parse_seconds, read_settings
    from tidewright.workflows.tune_table import TuneWords

    classes = "classify" in (given["kind"], *(item.removeprefix("kind=") for item in overrides))
    models, overrides = name_models(asked["models"], overrides, classes=classes)
    named = any(item.startswith(("recipe=", "data.path=")) for item in overrides)
    recipe = "market" if given["data.path"] is None and not named else None
    settings = read_settings(overrides, {**given, "recipe": recipe})
    budget = asked.pop("budget")
    budget_s = None if budget is None else parse_seconds(budget)
    if asked["trials"] is None and budget_s is None:
        asked["trials"] = SHARED_TRIALS if each else TRIALS
    together = asked["together"]
    asked["together"] = int(together) if together.lstrip("-").isdigit() else together
    words = TuneWords(**{**asked, "models": models, "budget_s": budget_s})
    search = _search_each if each else _search_models
    search(settings, words, as_json=as_json, quiet=quiet)


def _search_models(settings: RunSettings, words: TuneWords, *, as_json: bool, quiet: bool) -> None:
    from tidewright.cli.progress import ProgressView
    from tidewright.cli.verbs import Told
    from tidewright.report.study_page import write_search_page
    from tidewright.workflows.tune_table import tune_table

    with ProgressView(quiet=quiet, plain=as_json) as view, Told(view.say):
        found = tune_table(settings, words, callbacks=(view.hear,), tell=view.tell)
        view.tell("writing the report")
        report = write_search_page(found, Path(settings.folder) / found.run / "report.html")
    if as_json:
        typer.echo(json.dumps(to_plain({**found.to_dict(), "report": report}), indent=2))
    else:
        show_tuned(found, report=report)


def _search_each(settings: RunSettings, words: TuneWords, *, as_json: bool, quiet: bool) -> None:
    from tidewright.cli.progress import ProgressView
    from tidewright.cli.verbs import Told
    from tidewright.report.each_page import write_each_page
    from tidewright.workflows.tune_table_each import tune_table_each

    with ProgressView(quiet=quiet, plain=as_json) as view, Told(view.say):
        told = tune_table_each(settings, words, callbacks=(view.hear,), tell=view.tell)
        view.tell("writing the report")
        report = write_each_page(told, Path(settings.folder) / told.run / "report.html")
    if as_json:
        typer.echo(json.dumps(to_plain({**told.to_dict(), "report": report}), indent=2))
    else:
        show_each(told, report=report)


def show_each(told: TunedTable, *, report: Path) -> None:
    """Which series keep their own model, what was scored on the test, and where all of it is kept."""
    console, metric = wide_console(), told.found.study.metric
    rows = [{name: _short(value) for name, value in row.items()} for row in told.rows()]
    show_table(rows, title=f"{metric} on validation; {len(told.found.study.kept)} of {len(rows)} series keep their own")
    scores = [{"model": name, metric: _short(one.get(metric))} for name, one in told.found.test.items()]
    if scores:
        show_table(scores, title="on the test")
    for note in told.found.study.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    lines = f"studies  {told.folder}\nreport   {report}\nmodels   {told.saved}"
    console.print(
        f"{lines}\nnext     tidewright predict {told.saved} TABLE", markup=False, highlight=False, soft_wrap=True
    )


def show_tuned(found: Tuned, *, report: Path) -> None:
    """The studies, the best options, what they are worth, the floors beside them, and where all of it is drawn."""
    console = wide_console()
    rows = [{name: _short(value) for name, value in row.items() if name != "ended"} for row in found.rows()]
    show_table(rows, title=f"{found.metric} on validation, and on the test for the winner alone")
    for name, study in found.studies.items():
        if name != found.winner:
            console.print(f"{name} stopped because {study.reason}", markup=False, highlight=False)
    best = found.studies[found.winner]
    console.print(str(best), markup=False, highlight=False)
    floors = [
        {"floor": name, found.metric: _short(floor.validation), "test": _short(floor.test.get(found.metric))}
        for name, floor in found.floors.items()
    ]
    if floors:
        show_table(floors, title="models without a search")
    if found.advice:
        console.print(found.advice, markup=False, highlight=False)
    for name, reason in found.failed.items():
        console.print(f"left out: {name}: {reason}", markup=False)
    console.print(f"studies  {found.folder}\nreport   {report}", markup=False, highlight=False, soft_wrap=True)


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
