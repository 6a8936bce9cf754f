"""The verb `dash`: searches in the browser."""

from __future__ import annotations

from typing import Annotated

import typer


def dash_verb(
    where: Annotated[
        str, typer.Argument(help="A folder of runs or studies, sqlite:///FILE or postgresql://...")
    ] = "tidewright-runs",
    port: Annotated[int, typer.Option(help="Where it answers, on this machine alone.", min=1, max=65535)] = 8501,
    refresh: Annotated[
        float, typer.Option(help="Seconds between two looks at a study that runs; 0: none.", min=0)
    ] = 2.0,
) -> None:
    """Show searches in the browser, while they run and after, until it is interrupted."""
    from tidewright.dashboard.open_app import open_app

    open_app(where, port=port, refresh_s=refresh)
