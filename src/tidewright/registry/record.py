"""What versions of a store's models said, kept until the actual values come.

folder/NAME/VERSION/TIME-PROCESS-KIND.parquet     forecasts: series, cutoff, time, a column a quantile or class

A part is written whole or not at all. The oldest parts give way to new ones beyond so many bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from time import time_ns
from typing import Literal

import polars as pl

from tidewright.errors import BundleError
from tidewright.tracking.files import write_whole

Kind = Literal["answer", "shadow"]
MOST_PARTS = 10_000
_PART = re.compile(r"\d{20}-\d+-(?:answer|shadow)\.parquet")


def write_part(folder: Path, table: pl.DataFrame, *, name: str, version: str, kind: Kind) -> None:
    """Keeps some forecasts of a version: what callers got, or what a shadow said. Raises `OSError`."""
    place = folder / name / version
    place.mkdir(parents=True, exist_ok=True)
    content = BytesIO()
    table.write_parquet(content)
    write_whole(place / f"{time_ns():020}-{os.getpid()}-{kind}.parquet", content.getvalue())


def join_tables(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Forecasts of one version in one table: where callers' tables had other types of time or series, times are in
    microseconds (UTC where they have zones), whole numbers of 64 bits, and all else text. Raises `PolarsError`.
    """
    first = tables[0].schema
    unlike = [name for name in first if len({one.schema.get(name) for one in tables}) > 1]
    common = {name: _find_common({one.schema[name] for one in tables if name in one.schema}) for name in unlike}
    return pl.concat([one.cast({k: v for k, v in common.items() if k in one.schema}) for one in tables])


def _find_common(types: Iterable[pl.DataType]) -> pl.DataType:
    known = [one for one in types if one != pl.Null]
    if all(one.is_temporal() for one in known):
        zoned = any(getattr(one, "time_zone", None) for one in known)
        return pl.Datetime("us", "UTC" if zoned else None)
    return pl.Int64() if all(one.is_signed_integer() for one in known) else pl.String()


def trim_record(folder: Path, *, most_bytes: int) -> int:
    """Lets the oldest parts go until the others have at most so many bytes; gives how many went. Other files stay."""
    found = []
    for path in folder.glob("*/*/*.parquet"):
        try:
            found.append((path.name, path.stat().st_size, path))
        except FileNotFoundError:  # another worker was quicker
            continue
    parts = sorted(one for one in found if _PART.fullmatch(one[0]))
    held, gone = sum(size for _, size, _ in parts), 0
    for _, size, path in parts:
        if held <= most_bytes and len(parts) - gone <= MOST_PARTS:
            break
        path.unlink(missing_ok=True)
        held, gone = held - size, gone + 1
    return gone


def read_record(folder: Path, *, name: str, version: int) -> pl.DataFrame | None:
    """All that is kept of a version, the oldest first; None where nothing is. Raises `BundleError`."""
    paths = [path for path in (folder / name / str(version)).glob("*.parquet") if _PART.fullmatch(path.name)]
    try:
        parts = [pl.read_parquet(path) for path in sorted(paths, key=lambda path: path.name)]
        return join_tables(parts) if parts else None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BundleError(f"what version {version} of '{name}' said can't be read in '{folder}': {error}.") from error
