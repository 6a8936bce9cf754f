"""Laws of the panel and its grid, for tables that hypothesis draws."""

from __future__ import annotations

import datetime as dt
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tidewright.data.frequency import DAY, Frequency
from tidewright.data.panel import Panel
from tidewright.errors import DataError, FrequencyError, RepairWarning

ROLES: dict[str, Any] = {
    "series": "shop",
    "time": "day",
    "target": "sold",
    "past": ["rain"],
    "known": ["promo"],
    "static": ["town", "size"],
}
EPOCH = dt.date(1970, 1, 1)
days = st.integers(-60_000, 25_000)
walks = st.lists(st.integers(-400, 400), min_size=1, max_size=40, unique=True).map(sorted)


@st.composite
def fixed_grids(draw: st.DrawFn) -> Frequency:
    count = draw(st.sampled_from([1, 1000, 10**6, 60 * 10**6, 3_600 * 10**6, DAY, 7 * DAY, 11 * DAY]))
    return Frequency("fixed", count, draw(st.integers(-(10**15), 10**15)))


@st.composite
def month_grids(draw: st.DrawFn) -> Frequency:
    """Month grids of every count and day, also the last day, also at an hour of the day."""
    anchor = np.datetime64(EPOCH) + draw(days)
    number = (anchor - anchor.astype("datetime64[M]").astype("datetime64[D]")).astype(int) + 1
    last = (anchor + 1).astype("datetime64[M]") != anchor.astype("datetime64[M]")
    day = draw(st.sampled_from([0, 31])) if last else int(number)
    clock = draw(st.integers(0, 23)) * DAY // 24
    micros = int(anchor.astype("datetime64[us]").astype(np.int64)) + clock
    return Frequency("month", draw(st.sampled_from([1, 2, 3, 6, 12])), micros, day=day)


@st.composite
def business_grids(draw: st.DrawFn) -> Frequency:
    day = np.busday_offset(np.datetime64(EPOCH) + draw(days), 0, roll="forward")
    return Frequency("business", 1, int(day.astype("datetime64[us]").astype(np.int64)))


steps = st.builds(lambda count, anchor: Frequency("step", count, anchor), st.integers(1, 9), st.integers(-99, 99))
grids = st.one_of(fixed_grids(), month_grids(), business_grids(), steps)


@given(grid=grids, positions=walks)
@settings(max_examples=400, deadline=None)
def test_times_of_positions_come_back_and_both_go_up(grid: Frequency, positions: list[int]) -> None:
    wanted = np.array(positions, dtype=np.int64)
    times = grid.times(wanted)
    np.testing.assert_array_equal(grid.positions(times), wanted)
    assert (np.diff(times) > 0).all()
    assert grid.times(np.array([0]))[0] == grid.anchor
    assert grid.positions(np.array([grid.anchor]))[0] == 0


@given(
    grid=st.one_of(fixed_grids(), month_grids(), business_grids()),
    position=st.integers(-400, 400),
    part=st.floats(0, 1),
)
@settings(max_examples=300, deadline=None)
def test_a_time_between_two_positions_is_off_the_grid_and_located_at_the_earlier(
    grid: Frequency, position: int, part: float
) -> None:
    here, following = (int(t) for t in grid.times(np.array([position, position + 1])))
    between = here + int((following - here) * part)
    found, fits = grid.locate(np.array([between]))
    assert bool(fits[0]) == (between in (here, following))
    assert found[0] == (position + 1 if between == following else position)


@given(month=st.integers(-1200, 600))
def test_a_month_end_grid_stands_on_every_month_end(month: int) -> None:
    grid = Frequency("month", 1, int(np.datetime64("2024-01-31", "us").astype(np.int64)), day=0)
    time = grid.times(np.array([month]))[0].astype("datetime64[us]").astype("datetime64[D]")
    assert (time + 1).astype("datetime64[M]") - time.astype("datetime64[M]") == 1


def test_sessions_of_an_exchange_are_a_grid_from_its_first_to_its_last_known_day() -> None:
    grid = Frequency("session", 1, anchor=0, calendar="XNYS")
    positions = np.arange(2000, 12_000)
    times = grid.times(positions)
    np.testing.assert_array_equal(grid.positions(times), positions)
    assert (np.diff(times) > 0).all()
    with pytest.raises(FrequencyError, match=r"calendar XNYS is known from 1970-01-02 to .* only"):
        grid.times(np.array([-1]))
    with pytest.raises(FrequencyError, match="only"):
        grid.times(np.array([100_000]))


@st.composite
def tables(draw: st.DrawFn) -> pl.DataFrame:
    """One to four daily series of any start and length, with holes in every column but id and time."""
    frames = []
    for number in range(draw(st.integers(1, 4))):
        length = draw(st.integers(5, 25))
        begin = dt.date(2023, 11, 1) + dt.timedelta(days=draw(st.integers(0, 30)))
        value = st.one_of(st.none(), st.integers(-50, 50).map(float))
        sold = draw(st.lists(value, min_size=length, max_size=length))
        sold[draw(st.integers(0, length - 1))] = 1.0
        frame = pl.DataFrame(
            {
                "shop": [f"shop {number}"] * length,
                "day": [begin + dt.timedelta(days=i) for i in range(length)],
                "sold": pl.Series(sold, dtype=pl.Float64),
                "rain": pl.Series(draw(st.lists(value, min_size=length, max_size=length)), dtype=pl.Float64),
                "promo": pl.Series([float(i % 3) for i in range(length)]),
                "town": [f"town {number}"] * length,
                "size": [float(number)] * length,
            }
        )
        frames.append(frame)
    return pl.concat(frames)


def build(data: Any, **roles: Any) -> Panel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepairWarning)
        return Panel.from_table(data, **{**ROLES, **roles}, frequency="1d")


@given(table=tables(), names=st.permutations(["x", "y y", "time", "Ä", "1", "series", "__id"]))
@settings(max_examples=40, deadline=None)
def test_renaming_every_column_changes_nothing_but_the_names(table: pl.DataFrame, names: list[str]) -> None:
    plain = build(table)
    new = dict(zip(table.columns, names, strict=True))
    roles = {r: new[c] if isinstance(c, str) else [new[name] for name in c] for r, c in ROLES.items()}
    renamed = build(table.rename(new), **roles)
    back = {after: before for before, after in new.items()}
    assert renamed.table.rename(back).equals(plain.table)
    assert renamed.frequency == plain.frequency
    assert renamed.series_ids == plain.series_ids


@given(table=tables(), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_shuffling_rows_changes_nothing_and_is_announced(table: pl.DataFrame, seed: int) -> None:
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=seed)
    plain, mended = build(table), build(shuffled)
    assert mended.table.equals(plain.table)
    disordered = shuffled.select((pl.col("day").diff().over("shop") < dt.timedelta()).any()).item()
    assert [r.kind for r in mended.repairs] == (["sorted rows"] if disordered else [])


@given(table=tables(), seed=st.integers(0, 99), share=st.floats(0.6, 1.0))
@settings(max_examples=40, deadline=None)
def test_rows_given_are_the_rows_of_the_panel_less_the_explicit_gaps(
    table: pl.DataFrame, seed: int, share: float
) -> None:
    kept = table.filter(pl.Series(np.random.default_rng(seed).random(len(table)) < share) | (pl.col("sold") == 1.0))
    steps = kept.select(pl.col("day").diff().over("shop")).to_series().drop_nulls()
    assume(len(steps) < 3 or steps.min() == dt.timedelta(days=1))  # a grid finer than every gap is refused
    panel = build(kept)
    gaps = sum(r.rows for r in panel.repairs if r.kind == "filled gaps")
    assert len(panel.table) == len(kept) + gaps
    rejoined = panel.table.join(kept.select("shop", "day"), on=["shop", "day"], how="semi")
    assert rejoined.equals(kept)
    empty = panel.table.join(kept, on=["shop", "day"], how="anti")
    assert len(empty) == gaps
    assert empty.select(pl.all_horizontal(pl.col("sold", "rain", "promo").is_null()).all()).item()
    assert empty["town"].null_count() == 0


@given(table=tables(), cut=st.integers(-3, 60), noise=st.floats(-1e6, 1e6))
@settings(max_examples=60, deadline=None)
def test_until_never_shows_anything_after_its_position(table: pl.DataFrame, cut: int, noise: float) -> None:
    panel = build(table)
    position = panel.span[0] + cut
    cutoff = panel.moments(np.array([position]))[0]
    later = pl.col("day") > cutoff
    changed = build(
        table.with_columns(
            pl.when(later).then(pl.lit(noise)).otherwise(pl.col(c)).alias(c) for c in ("sold", "rain", "promo")
        )
    )
    if table.filter(~later)["sold"].null_count() == len(table.filter(~later)):
        with pytest.raises(DataError, match="no series has a value at or before"):
            panel.until(position)
        return
    seen = panel.until(position)
    assert seen.table["day"].max() <= cutoff  # type: ignore[operator]
    assert seen.positions.max() <= position
    assert seen.table.equals(changed.until(position).table)
    kept = table.filter(~later).filter(pl.col("sold").is_not_null().any().over("shop"))
    assert seen.table.equals(kept)
    _check_offsets(seen)


def _check_offsets(panel: Panel) -> None:
    assert panel.offsets[0] == 0
    assert panel.offsets[-1] == len(panel.table) == len(panel.positions)
    for number, name in enumerate(panel.series_ids):
        rows = panel.rows_of(name)
        assert (rows.start, rows.stop) == (panel.offsets[number], panel.offsets[number + 1])
        assert set(panel.table["shop"][rows]) == {name}
        assert (np.diff(panel.positions[rows]) == 1).all()


@given(table=tables(), more=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_extend_keeps_what_was_there_and_leaves_room_after_the_last_observation(table: pl.DataFrame, more: int) -> None:
    panel = build(table)
    longer = panel.extend(more)
    assert longer.table.join(panel.table.select("shop", "day"), on=["shop", "day"], how="semi").equals(panel.table)
    _check_offsets(longer)
    ends, last = longer.positions[longer.ends], longer.positions[longer.offsets[1:] - 1]
    np.testing.assert_array_equal(ends, panel.positions[panel.ends])
    given_last = panel.positions[panel.offsets[1:] - 1]
    np.testing.assert_array_equal(last, np.maximum(ends + more, given_last))
    new = longer.table.join(panel.table, on=["shop", "day"], how="anti")
    assert new.select(pl.all_horizontal(pl.col("sold", "rain", "promo").is_null()).all()).item()
    assert new["town"].null_count() == new["size"].null_count() == 0
    expected = longer.frequency.positions(longer.table["day"].cast(pl.Datetime("us")).dt.timestamp("us").to_numpy())
    np.testing.assert_array_equal(expected, longer.positions)
    assert longer.extend(more).table.equals(longer.table)


@given(table=tables())
@settings(max_examples=25, deadline=None)
def test_the_three_kinds_of_table_give_one_panel_and_come_back_in_kind(table: pl.DataFrame) -> None:
    panels = {"polars": build(table), "pandas": build(table.to_pandas()), "pyarrow": build(table.to_arrow())}
    for kind, panel in panels.items():
        other = panel.table.with_columns(pl.col("day").cast(pl.Date))
        assert other.equals(table), kind
        np.testing.assert_array_equal(panel.offsets, panels["polars"].offsets)
        np.testing.assert_array_equal(panel.positions, panels["polars"].positions)
        native = panel.to_native()
        assert type(native).__module__.partition(".")[0] == kind
        back = native if kind == "polars" else (pl.from_pandas(native) if kind == "pandas" else pl.from_arrow(native))
        assert back.equals(panel.table), kind


@given(table=tables())
@settings(max_examples=15, deadline=None)
def test_a_file_gives_the_panel_that_its_table_gives(table: pl.DataFrame, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("files")
    table.write_parquet(folder / "t.parquet")
    table.write_csv(folder / "t.csv")
    table.write_csv(folder / "t.tsv", separator="\t")
    table.to_pandas().to_csv(folder / "t.csv.gz", index=False)
    plain = build(table)
    for name in ("t.parquet", "t.csv", "t.tsv", "t.csv.gz"):
        assert build(folder / name).table.equals(plain.table), name


@given(table=tables(), data=st.data())
@settings(max_examples=30, deadline=None)
def test_selected_series_are_the_rows_of_those_series(table: pl.DataFrame, data: st.DataObject) -> None:
    panel = build(table)
    names = data.draw(st.lists(st.sampled_from(panel.series_ids), min_size=1, max_size=6))
    chosen = panel.select(names)
    assert chosen.table.equals(table.filter(pl.col("shop").is_in(names)))
    _check_offsets(chosen)


def test_a_series_that_is_not_there_and_no_series_are_refused() -> None:
    five = pl.date_range(EPOCH, dt.date(1970, 1, 5), eager=True)
    constant = {"sold": 1, "rain": 0, "promo": 0, "shop": "a", "town": "x", "size": 1}
    panel = build(pl.DataFrame({"day": five}).with_columns(**{k: pl.lit(v) for k, v in constant.items()}))
    with pytest.raises(DataError, match=r"there is no series 'b'. The first ones are: \['a'\]"):
        panel.select(["b"])
    with pytest.raises(DataError, match="Name at least one"):
        panel.select([])
    with pytest.raises(DataError, match="no numeric column is called 'town'"):
        panel.values("town")


FILES = {
    "bom.csv": b"\xef\xbb\xbfday,sold\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n",
    "semicolons.csv": b"day;sold\n2024-01-01;1\n2024-01-02;2\n2024-01-03;3\n",
    "windows.csv": b"day,sold\r\n2024-01-01,1\r\n2024-01-02,2\r\n2024-01-03,3\r\n",
    "blank.csv": b"day,sold\n2024-01-01,1\n\n2024-01-02,2\n2024-01-03,3\n\n",
    "quoted.csv": b'"day","sold"\n"2024-01-01","1"\n"2024-01-02","2"\n"2024-01-03","3"\n',
}


@pytest.mark.parametrize("name", FILES)
def test_every_common_kind_of_csv_is_read_right(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    with pytest.warns(RepairWarning, match="parsed times"):
        panel = Panel.from_table(path, time="day", target="sold")
    np.testing.assert_array_equal(panel.target, [1.0, 2.0, 3.0])


BAD_FILES = {
    "empty.csv": (b"", "'empty.csv' is empty"),
    "header.csv": (b"day,sold\n", "the table has no rows"),
    "ragged.csv": (b"day,sold\n2024-01-01,1,7\n", "can't be read as a table"),
    "utf16.csv": ("day,sold\n2024-01-01,1\n".encode("utf-16"), "is UTF-16 text. Save it as UTF-8"),
    "latin.csv": (b"day,sold\n2024-01-01,\xfc\n", "can't be read as a table"),
    "comma.csv": (b"day;sold\n2024-01-01;1,5\n2024-01-02;2,5\n", "'1,5' .* decimal comma"),
    "doubled.csv": (b"day,sold,sold\n2024-01-01,1,2\n", "the column name 'sold' stands more than once"),
    "broken.parquet": (b"PAR1 not really", "can't be read as a table"),
    "broken.csv.gz": (b"not gzip", "can't be read as a table"),
    "table.xlsx": (b"PK", "'table.xlsx' has an ending that says nothing"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_every_broken_file_is_refused_with_its_reason(name: str, tmp_path: Path) -> None:
    content, message = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepairWarning)
        with pytest.raises(DataError, match=message):
            Panel.from_table(path, time="day", target="sold")


def test_files_that_are_not_there_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        Panel.from_table(tmp_path / "no.csv", time="day", target="sold")
    with pytest.raises(DataError, match="is a folder"):
        Panel.from_table(tmp_path, time="day", target="sold")


def test_a_series_that_is_called_na_is_a_series(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("shop,day,sold\nNA,2024-01-01,1\nNA,2024-01-02,NA\nNA,2024-01-03,3\n")
    with pytest.warns(RepairWarning) as caught:
        panel = Panel.from_table(path, series="shop", time="day", target="sold")
    assert panel.series_ids == ("NA",)
    np.testing.assert_array_equal(panel.target, [1.0, np.nan, 3.0])
    assert [str(w.message).partition(":")[0] for w in caught] == ["parsed times", "parsed numbers"]


def test_the_user_s_table_is_left_as_it_was() -> None:
    frame = pd.DataFrame({"day": pd.date_range("2024", periods=5)[::-1], "sold": range(5)})
    before = frame.copy(deep=True)
    with pytest.warns(RepairWarning, match="sorted rows"):
        Panel.from_table(frame, time="day", target="sold")
    pd.testing.assert_frame_equal(frame, before)
