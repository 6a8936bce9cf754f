"""The verb `store`: versions of models, registered, promoted, rolled back, listed and shown."""

from __future__ import annotations

import json as json_of
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidewright.cli import options

if TYPE_CHECKING:
    from tidewright.registry.arms import Arms
    from tidewright.registry.standing import Change, Release

Folder = Annotated[Path, typer.Option("--store", help="The store's folder.")]
Name = Annotated[str, typer.Argument(help="A model's name.")]
Why = Annotated[str, typer.Option(help="Why: it is kept in the history.")]
STORE = Path("tidewright-store")
DIGITS = 12

store_app = typer.Typer(
    help="Versions of models: register bundles, promote the better one, roll back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@store_app.command("register")
def register_verb(
    name: Name,
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, which is copied.")],
    reason: Why = "",
    store: Folder = STORE,
    json: options.Json = False,
) -> None:
    """Copy a bundle as a model's next version: its challenger, or its first champion."""
    from tidewright.registry.store import open_store

    release = open_store(store).register(name, bundle, reason=reason)
    _tell(release, f"version {release.version} of {name} is its {release.role}: {release.folder}", as_json=json)


@store_app.command("promote")
def promote_verb(
    name: Name,
    table: Annotated[Path | None, typer.Argument(help="Actual values newer than what both versions know.")] = None,
    version: Annotated[int | None, typer.Option(help="Which version; the challenger when left out.")] = None,
    metric: options.Metric = None,
    force: Annotated[
        str | None, typer.Option(help="The reason to promote without a comparison, or against it.")
    ] = None,
    store: Folder = STORE,
    json: options.Json = False,
) -> None:
    """Make the challenger the champion, if it is better on the table with significance."""
    from tidewright.registry.store import open_store

    change = open_store(store).promote(name, version, table=table, metric=metric, force=force)
    _tell(change, f"version {change.version} of {name} is its champion: {change.reason}", as_json=json)


@store_app.command("compare")
def compare_verb(
    name: Name,
    table: Annotated[Path, typer.Argument(help="The actual values, with those at the recorded cutoffs.")],
    record: Annotated[Path, typer.Option(help="The folder that a server kept its forecasts in (serve --record).")],
    version: Annotated[int | None, typer.Option(help="Which version; the challenger when left out.")] = None,
    metric: options.Metric = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Then promote it, if the gate says so: both asked again on the table.")
    ] = False,
    store: Folder = STORE,
    json: options.Json = False,
) -> None:
    """Judge champion and challenger by what they said in a split, or as a shadow."""
    from tidewright.cli.show import to_plain
    from tidewright.registry.arms import compare_arms
    from tidewright.registry.store import open_store

    opened = open_store(store)
    found = compare_arms(opened, name, record=record, table=table, version=version, metric=metric)
    if json:
        typer.echo(json_of.dumps(to_plain(asdict(found)), indent=2))
    else:
        _show_arms(found)
    if promote:
        change = opened.promote(name, found.challenger.version, table=table, metric=metric)
        typer.echo(f"version {change.version} of {name} is its champion: {change.reason}", err=json)


@store_app.command("rollback")
def rollback_verb(name: Name, reason: Why = "", store: Folder = STORE, json: options.Json = False) -> None:
    """Make the champion before this one the champion again."""
    from tidewright.registry.store import open_store

    change = open_store(store).rollback(name, reason=reason)
    told = f"version {change.version} of {name} is its champion again, in place of {change.replaced}"
    _tell(change, told, as_json=json)


@store_app.command("mirror")
def mirror_verb(
    folder: Annotated[Path, typer.Argument(help="A folder of runs, with MLflow's store.")] = Path("tidewright-runs"),
    store: Folder = STORE,
) -> None:
    """Bring MLflow's registry up to date: versions, champion, challenger."""
    from tidewright.registry.mirror import mirror_store
    from tidewright.registry.store import open_store

    opened = open_store(store)
    mirror_store(opened, folder)
    count = len({one.name for one in opened.versions()})
    typer.echo(f"{count} model{'s' * (count != 1)} of {store} in {folder / 'mlflow.db'}")


@store_app.command("list")
def list_verb(store: Folder = STORE, json: options.Json = False) -> None:
    """List every version of every model."""
    from tidewright.cli.show import show_table, to_plain
    from tidewright.registry.store import open_store

    found = open_store(store).versions()
    if json:
        typer.echo(json_of.dumps(to_plain(found), indent=2))
    elif not found:
        typer.echo(f"no models in {store}. Register one with: tidewright store register NAME BUNDLE")
    else:
        show_table([_release_row(one) for one in found], title=f"models in {store}")


@store_app.command("show")
def show_verb(name: Name, store: Folder = STORE, json: options.Json = False) -> None:
    """Show a model's versions and its history: who replaced whom, when, why, with which figures."""
    from tidewright.cli.show import show_table, to_plain
    from tidewright.registry.store import open_store

    opened = open_store(store)
    versions, history = opened.versions(name), opened.history(name)
    if json:
        told = {"name": name, "versions": versions, "history": history}
        typer.echo(json_of.dumps(to_plain(told), indent=2))
        return
    show_table([_release_row(one) for one in versions], title=f"versions of {name}")
    _show_history(history)


def _show_history(history: Sequence[Change]) -> None:
    from tidewright.cli.show import show_table

    rows = [
        {
            "when": one.at,
            "what": f"{one.what} (forced)" if one.forced else one.what,
            "version": one.version,
            "in place of": "" if one.replaced is None else one.replaced,
            "why": one.reason,
        }
        for one in history
    ]
    if rows:
        show_table(rows, title="history")


def _show_arms(found: Arms) -> None:
    from tidewright.cli.show import show_table

    pairs = ((found.champion, "champion"), (found.challenger, "challenger"))
    rows = [
        {"version": one.version, "is": what, found.metric: f"{one.error:.4g}"}
        | {"windows": one.windows, "series": one.series, "cutoffs": one.cutoffs}
        for one, what in pairs
    ]
    show_table(rows, title=f"{found.name}: {'the same windows' if found.paired else 'each its own series'}")
    for what, one in (("series", found.by_series), ("cutoffs", found.by_cutoffs)):
        if one is not None:
            error = "unknown" if one.error is None else f"{one.error:.3g}"
            typer.echo(f"difference over {one.n} {what}: {one.mean:.4g}, standard error {error}")
    typer.echo(f"{'better' if found.better else 'not shown to be better'}: {found.reason}")


def _release_row(one: Release) -> dict[str, Any]:
    return {"model": one.name, "version": one.version, "is": one.role, "digest": one.digest[:DIGITS]}


def _tell(record: Release | Change, text: str, *, as_json: bool) -> None:
    from tidewright.cli.show import to_plain

    typer.echo(json_of.dumps(to_plain(asdict(record)), indent=2) if as_json else text)
