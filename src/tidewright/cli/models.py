"""`tidewright models`: the catalog with sizes, inputs and guidance; and what of it to try on a table."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tidewright.cli.show import show_table, to_plain, wide_console
from tidewright.errors import RepairWarning
from tidewright.optional import has

if TYPE_CHECKING:
    from tidewright.models.spec import ModelSpec
    from tidewright.models.torch.shape import Shape

LOOKBACK, HORIZON, QUANTILES = 96, 24, (0.1, 0.5, 0.9)
WIDTHS = {"past": 2, "known": 3, "static": 2}
_USUAL = f"lookback {LOOKBACK}, horizon {HORIZON}, {len(QUANTILES)} quantiles"


def show_models(*, as_json: bool) -> None:
    """The catalog: what each model is for, the covariates it takes, its weights at a usual shape, and its options."""
    from tidewright.models.spec import CLASS_FLOORS

    rows = list_models()
    if as_json:
        typer.echo(json.dumps(to_plain(rows), indent=2))
        return
    for row in rows:
        row["takes"] = ", ".join(row["takes"]) or "target alone"
        row["classifies"] = "yes" if row["classifies"] else ""
        row["weights"] = "" if row["weights"] is None else f"{row['weights']:,}"
        row["options"] = ", ".join(f"{key}={value}" for key, value in row["options"].items())
    taken = ", ".join(f"{count} {kind}" for kind, count in WIDTHS.items())
    show_table(rows, title=f"models and floors; weights at {_USUAL} and, where they are taken, {taken} covariates")
    floors = ", ".join(f"{name} ({entry.summary})" for name, entry in CLASS_FLOORS.items())
    typer.echo(f"floors of classes: {floors}")
    typer.echo("which to try on a table: tidewright models --for TABLE --time COLUMN --target COLUMN")


def list_models() -> list[dict[str, Any]]:
    """One row a model, as plain data; weights are None where they depend on the data, or torch is not installed."""
    from tidewright.models.build import build_spec
    from tidewright.models.spec import MODELS
    from tidewright.models.specs.tabular import CLASSIFIERS

    rows = []
    for name, entry in MODELS.items():
        spec = build_spec(name)
        rows.append(
            {
                "model": name,
                "family": entry.kind,
                "what": entry.summary,
                "takes": list(spec.takes),
                "classifies": name in CLASSIFIERS,
                "weights": _count(spec, kind=entry.kind),
                "options": {f.name: getattr(spec, f.name) for f in fields(MODELS.load(name)) if f.name != "name"},
            }
        )
    return rows


def show_advice(table: Path, given: Mapping[str, Any], *, horizon: int | None, as_json: bool) -> None:
    """The models to try on a table, with reasons; a horizon of one season unless it is said."""
    from tidewright.data.task import Task
    from tidewright.models.recommend import recommend
    from tidewright.models.spec import FLOORS
    from tidewright.workflows.load import read_panel
    from tidewright.workflows.settings import DataSettings

    data = DataSettings(**{key.removeprefix("data."): value for key, value in given.items() if value is not None})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepairWarning)  # `data inspect` tells of repairs
        panel = read_panel(table, data)
    task = Task(horizon=max(panel.frequency.season, 1) if horizon is None else horizon)
    advice = recommend(panel, task)
    if as_json:
        typer.echo(json.dumps(to_plain(advice), indent=2))
        return
    console = wide_console()
    for place, one in enumerate(advice, start=1):
        console.print(f"{place}. {one.model}", style="bold", highlight=False)
        for mark, texts in (("+", one.why), ("-", one.against)):
            for text in texts:
                console.print(f"   {mark} {text}", markup=False, highlight=False, soft_wrap=True)
    models = ",".join(one.model for one in advice if one.model not in FLOORS)  # floors run in any case
    chosen = f" model={models}" if models else ""
    typer.echo(f"horizon {task.horizon}; to measure it: tidewright run {table}{chosen} ...")


def _count(spec: ModelSpec, *, kind: str) -> int | None:
    if kind == "floor":
        return LOOKBACK * HORIZON if spec.name == "ridge" else 0
    if kind != "torch" or not has("torch"):
        return None
    from tidewright.models.torch.count import count_weights

    return count_weights(spec, _shape(spec))


def _shape(spec: ModelSpec) -> Shape:
    from tidewright.models.torch.shape import Shape

    widths = {kind: count if kind in spec.takes else 0 for kind, count in WIDTHS.items()}
    return Shape(LOOKBACK, HORIZON, quantiles=QUANTILES, **widths)
