"""Where tables come in and go out: pandas, polars, Arrow, CSV and Parquet, through narwhals."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import polars as pl

from tidewright.data.panel import Native
from tidewright.errors import DataError

_KINDS = "a pandas, polars or Arrow table, or the path of a .csv, .csv.gz, .tsv or .parquet file"


def to_polars(data: Any) -> tuple[pl.DataFrame, Native]:
    """The data as a polars table, and the kind that came in. Raises `DataError` for anything else."""
    if isinstance(data, (str, Path)):
        return read_table(Path(data)), "polars"
    if isinstance(data, pl.DataFrame):
        return data, "polars"
    if isinstance(data, pl.LazyFrame):
        return data.collect(), "polars"
    return _from_other(data)


def to_native(table: pl.DataFrame, native: Native) -> Any:
    """A polars table in the kind that the user brought."""
    if native == "pandas":
        return table.to_pandas()
    return table.to_arrow() if native == "pyarrow" else table


def read_table(path: Path) -> pl.DataFrame:
    """A CSV (also gzipped, also tab-separated) or Parquet file as it stands. Raises `DataError`."""
    if not path.is_file():
        raise DataError(f"there is no file '{path}'. Give {_KINDS}.")
    suffix = "".join(path.suffixes[-2:]).lower()
    try:
        if suffix.endswith(".parquet"):
            return pl.read_parquet(path)
        if suffix.endswith((".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")):
            content: Any = gzip.decompress(path.read_bytes()) if suffix.endswith(".gz") else path
            separator = "\t" if ".tsv" in suffix else ","
            return pl.read_csv(
                content, separator=separator, infer_schema_length=None, null_values=["", "NA", "NaN", "nan", "null"]
            )
    except (pl.exceptions.PolarsError, OSError, EOFError, ValueError) as error:
        raise DataError(f"'{path}' can't be read as a table: {str(error).splitlines()[0]}") from error
    raise DataError(f"'{path.name}' has an ending that says nothing about its form. Give {_KINDS}.")


def _from_other(data: Any) -> tuple[pl.DataFrame, Native]:
    import narwhals as nw
    from narwhals.exceptions import NarwhalsError

    try:
        frame = nw.from_native(data, eager_only=True)
    except TypeError as error:
        raise DataError(f"a table is needed, got {type(data).__name__}. Give {_KINDS}.") from error
    native: Native = "pyarrow" if frame.implementation.is_pyarrow() else "pandas"
    try:
        return (_pandas_to_polars(data) if native == "pandas" else frame.to_polars()), native
    except (NarwhalsError, pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"the table can't be read: {str(error).splitlines()[0]}") from error


def _pandas_to_polars(frame: Any) -> pl.DataFrame:
    """A pandas table by column, with a named index as a column; mixed columns are errors that name the column."""
    doubled = frame.columns[frame.columns.duplicated()].tolist()
    if doubled:
        raise DataError(f"the column name {doubled[0]!r} stands more than once. Rename one of them.")
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    columns = {}
    for name in frame.columns:
        values = frame[name]
        if str(values.dtype) in ("object", "category"):
            kinds = {type(value).__name__ for value in values if value is not None and value == value}
            if any(kind in ("Timestamp", "datetime") for kind in kinds):
                _check_one_zone(name, values)
        try:
            columns[str(name)] = pl.from_pandas(values.reset_index(drop=True), nan_to_null=False)
        except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
            kinds = {type(value).__name__ for value in values}
            raise DataError(
                f"column {name!r} mixes kinds of values ({', '.join(sorted(kinds))}). Bring it to one kind."
            ) from error
    return pl.DataFrame(columns)


def _check_one_zone(name: Any, values: Any) -> None:
    zones = {str(getattr(value, "tzinfo", None)) for value in values if value is not None and value == value}
    if len(zones) > 1:
        raise DataError(
            f"column {name!r} mixes time zones ({', '.join(sorted(zones))}). Convert it to one zone first, for instance "
            f"pandas.to_datetime(table[{name!r}], utc=True)."
        )
