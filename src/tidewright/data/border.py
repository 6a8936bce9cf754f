"""Where tables come in and go out: pandas, polars, Arrow, CSV and Parquet, through narwhals."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from tidewright.data.panel import Native
from tidewright.errors import ColumnError, DataError

_KINDS = "a pandas, polars or Arrow table, or the path of a .csv, .csv.gz, .tsv or .parquet file"
_TEXT = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")


def to_polars(data: Any) -> tuple[pl.DataFrame, Native]:
    """The data as a polars table, and the kind that came in. Raises `DataError` for anything else."""
    if isinstance(data, (str, Path)):
        return read_table(Path(data)), "polars"
    if isinstance(data, pl.DataFrame):
        return data, "polars"
    if isinstance(data, pl.LazyFrame):
        return _collect(data), "polars"
    return _from_other(data)


def to_native(table: pl.DataFrame, native: Native) -> Any:
    """A polars table in the kind that the user brought."""
    if native == "pandas":
        return table.to_pandas()
    return table.to_arrow() if native == "pyarrow" else table


def _collect(query: pl.LazyFrame) -> pl.DataFrame:
    try:
        return pl.DataFrame(query.collect())
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the lazy table can't be computed: {str(error).splitlines()[0]}") from error


def read_table(path: Path) -> pl.DataFrame:
    """A CSV (also gzipped, separated by commas, semicolons or tabs) or Parquet file. Raises `DataError`."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"the file '{path}' {what}. Give {_KINDS}.")
    suffix = "".join(path.suffixes[-2:]).lower()
    try:
        if suffix.endswith(".parquet"):
            return pl.read_parquet(path)
        if suffix.endswith(_TEXT):
            return _read_text(path)
    except (pl.exceptions.PolarsError, OSError, EOFError, ValueError) as error:
        raise DataError(f"'{path}' can't be read as a table: {str(error).splitlines()[0]}") from error
    raise DataError(f"'{path.name}' has an ending that says nothing about its form. Give {_KINDS}.")


def _read_text(path: Path) -> pl.DataFrame:
    content = path.read_bytes()
    if path.suffix.lower() == ".gz":
        content = gzip.decompress(content)
    content = content.removeprefix(b"\xef\xbb\xbf")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"'{path.name}' is UTF-16 text. Save it as UTF-8.")
    if not content.strip():
        raise DataError(f"'{path.name}' is empty. Bring a header and at least a few rows.")
    header = content.splitlines()[0].decode("utf-8", errors="replace")
    separator = max(",;\t", key=header.count)  # the first of equals: a header of one name has none of them
    table = pl.read_csv(content, separator=separator, infer_schema_length=None, null_values=[""])
    doubled = [name for name in table.columns if name.endswith("_duplicated_0")]
    if doubled:
        _refuse_doubled(doubled[0].removesuffix("_duplicated_0"))
    blank = pl.all_horizontal(pl.all().is_null())
    return table.filter(~blank) if table.width > 1 else table


def _from_other(data: Any) -> tuple[pl.DataFrame, Native]:
    import narwhals as nw
    from narwhals.exceptions import NarwhalsError

    if type(data).__module__.startswith("pyarrow") and type(data).__name__ == "RecordBatch":
        data = _batch_to_table(data)
    doubled = _doubled(data)
    if doubled is not None:
        _refuse_doubled(doubled)
    try:
        frame = nw.from_native(data, eager_only=True)
    except TypeError as error:
        raise DataError(f"a table is needed, got {type(data).__name__}. Give {_KINDS}.") from error
    native: Native = "pyarrow" if frame.implementation.is_pyarrow() else "pandas"
    try:
        if native == "pyarrow":
            return pl.DataFrame(pl.from_arrow(_narrow_decimals(data))), native
        return (_pandas_to_polars(data) if frame.implementation.is_pandas() else frame.to_polars()), native
    except DataError:
        raise
    except (NarwhalsError, pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"the table can't be read: {str(error).splitlines()[0]}") from error


def _batch_to_table(batch: Any) -> Any:
    import pyarrow as pa

    return pa.Table.from_batches([batch])


def _narrow_decimals(table: Any) -> Any:
    """Decimals of 256 bits, which polars has not, as float64."""
    import pyarrow as pa

    wide = {field.name for field in table.schema if pa.types.is_decimal256(field.type)}
    fields = [field.with_type(pa.float64()) if field.name in wide else field for field in table.schema]
    return table.cast(pa.schema(fields)) if wide else table


def _doubled(data: Any) -> str | None:
    """A column name that stands more than once in a pandas or Arrow table."""
    names = getattr(data, "column_names", None) if hasattr(data, "column_names") else getattr(data, "columns", None)
    counts = Counter(str(name) for name in ([] if names is None else names))
    return next((name for name, count in counts.items() if count > 1), None)


def _refuse_doubled(name: str) -> None:
    raise ColumnError(f"the column name '{name}' stands more than once. Rename one of them.")


def _pandas_to_polars(frame: Any) -> pl.DataFrame:
    """A pandas table by column; a named index, or one of dates (as `index`), becomes a column."""
    if frame.columns.nlevels > 1:
        raise ColumnError(
            f"the column names have {frame.columns.nlevels} levels, such as {frame.columns[0]!r}. Flatten them to one."
        )
    dated = type(frame.index).__name__ in ("DatetimeIndex", "PeriodIndex")
    if dated or any(name is not None for name in frame.index.names):
        clash = [name for name in frame.index.names if name in frame.columns]
        if clash:
            raise ColumnError(f"'{clash[0]}' names both a column and an index level. Rename or drop one of them.")
        frame = frame.reset_index()
    return pl.DataFrame({str(name): _pandas_column(name, frame[name]) for name in frame.columns})


def _pandas_column(name: Any, values: Any) -> pl.Series:
    kind = str(values.dtype)
    if kind.startswith("period"):
        values = values.dt.start_time
    if kind.startswith("Sparse"):
        values = values.sparse.to_dense()
    if kind in ("object", "category"):
        _check_one_kind(name, values)
    try:
        if kind.startswith("datetime64") and "," in kind:
            return _zoned_column(values)
        return pl.Series(pl.from_pandas(values.reset_index(drop=True), nan_to_null=False))
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise DataError(f"column '{name}' holds {kind}, which can't be read: {str(error).splitlines()[0]}") from error


def _zoned_column(values: Any) -> pl.Series:
    """Moments in their zone; an offset that is no whole hour has no zone in polars and becomes UTC."""
    from pyarrow import lib

    moments = pl.Series(pl.from_pandas(values.dt.tz_convert(None).reset_index(drop=True)))
    moments = moments.dt.replace_time_zone("UTC")
    zone = lib.tzinfo_to_string(values.dt.tz)
    offset = re.fullmatch(r"([+-])(\d\d):00", zone)
    if offset is not None:  # POSIX counts west of Greenwich as positive
        zone = f"Etc/GMT{'-' if offset[1] == '+' else '+'}{int(offset[2])}" if int(offset[2]) else "UTC"
    return moments if zone[0] in "+-" else moments.dt.convert_time_zone(zone)


def _check_one_kind(name: Any, values: Any) -> None:
    """A column of Python objects holds one kind of value, and times of one zone; strangers are named."""
    kinds: dict[str, int] = {}
    zones: dict[str, int] = {}
    present = values.reset_index(drop=True).dropna()
    for row, value in zip(present.index, present, strict=True):
        kinds.setdefault(_kind(value), row)
        if _kind(value) == "datetime":
            zones.setdefault(str(value.tzinfo), row)
    if len(kinds) > 1:
        where = ", ".join(f"{kind} first at row {row}" for kind, row in kinds.items())
        raise DataError(f"column '{name}' mixes kinds of values ({where}). Bring it to one kind.")
    if len(zones) > 1:
        where = ", ".join(f"{zone} first at row {row}" for zone, row in zones.items())
        raise DataError(
            f"column '{name}' mixes time zones ({where}). Convert it to one zone first, for instance "
            f"pandas.to_datetime(table['{name}'], utc=True)."
        )


def _kind(value: Any) -> str:
    kind = type(value).__name__
    if kind == "Timestamp":
        return "datetime"
    numeric = ("int", "float", "float64", "float32", "int64", "int32", "Decimal", "bool", "bool_")
    return "number" if kind in numeric else kind
