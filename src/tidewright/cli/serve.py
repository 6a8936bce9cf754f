"""The verb `serve`: bundles behind HTTP until it is told to stop."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from tidewright.optional import require


def serve_bundles(bundles: Sequence[Path], options: dict[str, Any], *, limits: Sequence[str]) -> None:
    """Serves, and says where on stderr."""
    for package in ("fastapi", "uvicorn", "httptools", "uvloop"):
        require(package, extra="serve", purpose="the server")
    from tidewright.serving.options import ServeOptions, read_keys, read_limits
    from tidewright.serving.run import serve

    given = {name: value for name, value in options.items() if value is not None}
    serve(
        bundles,
        ServeOptions(**given, limits=read_limits(limits), keys=read_keys(os.environ)),
        tell=lambda text: typer.echo(text, err=True),
    )
