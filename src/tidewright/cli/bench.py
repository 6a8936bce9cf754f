"""The verb `bench`: what a bundle's answers cost on this machine, backends beside each other or an A/B of two."""

from __future__ import annotations

import json as js
from pathlib import Path
from typing import Annotated, Any

import typer

from tidewright.cli import options
from tidewright.errors import ConfigError


def bench_verb(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, or that of a run.")],
    ab: Annotated[bool, typer.Option("--ab", help="The optimised backend against a baseline, with a verdict.")] = False,
    batch_sizes: Annotated[str, typer.Option(help="Windows a call, with commas.")] = "1,64",
    backends: Annotated[
        str | None, typer.Option(help="Which, with commas; without it each that starts without compiling for long.")
    ] = None,
    baseline: Annotated[str | None, typer.Option(help="With --ab: a backend (eager).")] = None,
    optimised: Annotated[str | None, typer.Option(help="With --ab: a backend, or auto (auto).")] = None,
    cached: Annotated[bool, typer.Option("--cached", help="With --ab: the optimised one keeps its answers.")] = False,
    seconds: Annotated[float, typer.Option(help="How long each batch size is measured, all backends together.")] = 5.0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how fast a bundle answers here, and whether another backend is worth it."""
    from tidewright.cli.progress import ProgressView
    from tidewright.cli.show import to_plain
    from tidewright.cli.verbs import Told
    from tidewright.inference.bench import bench

    bundle = bundle / "bundle" if (bundle / "bundle").is_dir() else bundle  # the folder of a run
    given: dict[str, Any] = {"ab": ab, "baseline": baseline, "optimised": optimised, "cached": cached}
    sizes, names = _read_sizes(batch_sizes), None if backends is None else backends.split(",")
    with ProgressView(quiet=quiet, plain=True) as view, Told(view.say):  # what moves would be measured too
        found = bench(bundle, batch_sizes=sizes, backends=names, seconds=seconds, tell=view.tell, **given)
    typer.echo(js.dumps(to_plain(found), indent=2) if json else str(found))


def _read_sizes(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"batch sizes are whole numbers with commas, as 1,64; got '{text}'.") from error
