"""The tables behind a tear sheet's pictures as files: Parquet for machines, JSON for anything else."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from tidewright.report.page import slug_of, write_text


def write_tables(tables: Mapping[str, pl.DataFrame], *, facts: Mapping[str, Any], folder: Path) -> None:
    """One Parquet file and one JSON file a table (an object a row), and `sheet.json` with the facts and what there is.

    A number that is not defined is null in JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = {}
    for name, table in tables.items():
        slug = slug_of(name)
        kept = table.rename({column: column.strip() for column in table.columns if column.strip() not in table.columns})
        whole = folder / f".{slug}.parquet.partial"
        kept.write_parquet(whole)
        whole.replace(folder / f"{slug}.parquet")
        text = io.StringIO()
        numbers = [column for column in kept.columns if kept.schema[column].is_float()]
        kept.with_columns(pl.col(numbers).round_sig_figs(12).fill_nan(None)).write_json(text)
        write_text(text.getvalue(), folder / f"{slug}.json")
        listed[name] = {
            "parquet": f"{slug}.parquet",
            "json": f"{slug}.json",
            "columns": kept.columns,
            "rows": len(kept),
        }
    write_text(json.dumps(_plain({**facts, "tables": listed}), indent=1), folder / "sheet.json")


def _plain(value: Any) -> Any:
    """Nothing in JSON for what is no number."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
