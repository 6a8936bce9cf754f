"""The verb `export`: a bundle's graph as a file, or a bundle of lower precision."""

from __future__ import annotations

import json as js
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidewright.cli import options
from tidewright.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from tidewright.registry.bundle import Bundle

ENDING = ".onnx"


def export_verb(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    out: Annotated[Path, typer.Option(help="The file of the graph (.onnx), or with --precision a new folder.")],
    precision: Annotated[
        str | None, typer.Option(help="int8, int8-static, float16 or bfloat16: a new bundle, if it is good enough.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="With --precision: the table that the bundle learned from.")] = None,
    share: Annotated[
        float | None, typer.Option(help="With --precision: how much worse the validation metric may be (0.02).")
    ] = None,
    layout: options.Layout = "long",
    target: options.Wide = None,
    json: options.Json = False,
) -> None:
    """Write a bundle's ONNX graph as a file, or make a bundle of lower precision of it."""
    if precision is None:
        if data is not None or share is not None:
            raise ConfigError("--data and --share belong to --precision. Name one, or leave them out.")
        told = _write_graph(bundle, out)
        typer.echo(js.dumps(told, indent=2) if json else f"{told['bytes']} bytes in {out}")
        return
    if data is None:
        raise ConfigError(f"{precision} is held to the validation windows of a table. Name it with --data.")
    shape = options.read_shape(layout, target)
    made = _lower(bundle, out, precision=precision, data=data, share=share, shape=shape)
    assert made.manifest.quantised is not None
    if json:
        figures = {**asdict(made.manifest.quantised), "tolerance": made.tolerance, "digest": made.digest}
        typer.echo(js.dumps({"bundle": str(out), **figures}, indent=2))
    else:
        typer.echo(f"{out}  {made.digest[:12]}\n{_tell(made)}")


def _write_graph(bundle: Path, out: Path) -> dict[str, str | int]:
    """The graph's file, which is new."""
    from tidewright.registry.bundle import load_bundle

    if out.suffix != ENDING:
        raise ConfigError(f"a graph is a file that ends in {ENDING}; got '{out}'. Name one, or give --precision.")
    opened = load_bundle(bundle)
    graph = opened.graph
    try:
        with out.open("xb") as file:
            file.write(graph)
    except OSError as error:
        raise BundleError(f"'{out}' can't be written: {error.strerror}. Name a new file in a folder.") from error
    return {"graph": str(out), "bytes": len(graph), "bundle": opened.digest}


def _lower(
    bundle: Path, out: Path, *, precision: str, data: Path, share: float | None, shape: tuple[str, tuple[str, ...]]
) -> Bundle:
    from tidewright.cli.verbs import Told
    from tidewright.data.reading import read_panel
    from tidewright.registry.bundle import load_bundle
    from tidewright.registry.quantise import SHARE, quantise
    from tidewright.workflows.load import lengthen

    opened, (layout, columns) = load_bundle(bundle), shape
    schema = opened.manifest.schema
    with Told(lambda line: typer.echo(line, err=True)):
        panel = read_panel(lengthen(data, layout=layout, roles=schema.roles, columns=columns), schema)
    return quantise(opened, precision=precision, panel=panel, folder=out, share=SHARE if share is None else share)


def _tell(made: Bundle) -> str:
    """The figures in lines."""
    q = made.manifest.quantised
    assert q is not None
    times = [f"batch {size}: {q.us_before[size]:.4g} to {q.us_after[size]:.4g} us" for size in q.us_before]
    return "\n".join(
        [
            f"{q.layers} layers are {q.precision}; the graph has {q.bytes_after} bytes of {q.bytes_before}",
            f"{q.metric} on {q.windows} validation windows: {q.before:.6g} to {q.after:.6g}",
            *times,
        ]
    )
