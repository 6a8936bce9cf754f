"""Totals, shares and ranks of groups at one time, against pandas; totals as new series; and their laws."""

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tests.worlds import small_panel, small_table
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, UnknownNameError
from tidewright.features.groups import GROUP_STATISTICS, add_groups
from tidewright.features.totals import add_totals


def ragged(*, seed: int = 0) -> Panel:
    """Six series of two kinds that begin and end at different times, with gaps and ties."""
    draw = np.random.default_rng(seed)
    parts = []
    for number in range(6):
        steps = np.arange(draw.integers(0, 10), 40 + draw.integers(0, 10))
        sold = draw.integers(0, 6, len(steps)).astype(float)
        sold[1:-1][draw.random(len(steps) - 2) < 0.1] = np.nan
        part = {"shop": f"s{number}", "t": steps, "sold": sold, "price": draw.random(len(steps))}
        parts.append(pl.DataFrame(part).with_columns(kind=pl.lit("new" if number % 2 else None, dtype=pl.String)))
    table = pl.concat(parts).fill_nan(None)
    return Panel.from_table(
        table, series="shop", time="t", target="sold", past=["price"], static=["kind"], frequency="step"
    )


@pytest.mark.parametrize("by", [(), ("kind",)])
def test_statistics_of_groups_are_those_of_pandas(by):
    panel = ragged()
    made = add_groups(panel, by=by, statistics=GROUP_STATISTICS)
    frame = panel.table.to_pandas().fillna({"kind": "none"})
    groups = frame.groupby([*by, "t"])["sold"]
    total = groups.transform(lambda values: values.sum(min_count=1))
    count = groups.transform("count")
    expected = {
        "sum": total,
        "mean": groups.transform("mean"),
        "count": count,
        "share": (frame["sold"] / total).replace([np.inf, -np.inf], np.nan),
        "rank": (groups.rank(method="average") - 0.5) / count,
    }
    for name, theirs in expected.items():
        column = f"sold_{by[0] if by else 'all'}_{name}"
        np.testing.assert_allclose(made.values(column), theirs, rtol=1e-12, err_msg=name)


def test_shares_sum_to_one_and_ranks_have_the_mean_of_one_half():
    made = add_groups(small_panel(), by=["kind"], column="price")
    table = made.table.group_by("kind", "hour").agg(pl.col("price_kind_share").sum(), pl.col("price_kind_rank").mean())
    np.testing.assert_allclose(table["price_kind_share"], 1.0, rtol=1e-12)
    np.testing.assert_allclose(table["price_kind_rank"], 0.5, rtol=1e-12)
    assert made.roles.known == ("price", "price_kind_sum", "price_kind_share", "price_kind_rank")


def test_groups_that_seldom_meet_need_no_table_of_all_times():
    table = pl.DataFrame({"shop": ["a", "b"], "t": [0, 10_000], "sold": [1.0, 2.0], "kind": ["x", "y"]})
    panel = Panel.from_table(table, series="shop", time="t", target="sold", static=["kind"], frequency="step")
    assert add_groups(panel, by=["kind"], statistics=["sum"]).values("sold_kind_sum").tolist() == [1.0, 2.0]


def test_with_a_horizon_nothing_that_is_to_be_forecast_is_in_a_known_column():
    panel, horizon = small_panel(rows=60).extend(5), 5
    made = add_groups(panel, horizon=horizon, statistics=["sum", "share"])
    plain = add_groups(panel, statistics=["sum", "share"])
    assert made.roles.known == ("price", "sold_all_sum_lag5", "sold_all_share_lag5")
    assert made.roles.past == ("visits",)
    one = made.rows_of("s1")
    np.testing.assert_array_equal(
        made.values("sold_all_share_lag5")[one][horizon:], plain.values("sold_all_share")[one][:-horizon]
    )
    assert np.isfinite(made.values("sold_all_sum_lag5")[one][-horizon:]).all()
    cut = 30
    lifted = pl.when(pl.Series(panel.positions > cut)).then(pl.col("sold") * 2 + 1).otherwise(pl.col("sold"))
    other = Panel.from_table(
        panel.table.with_columns(sold=lifted),
        series="shop",
        time="hour",
        target="sold",
        past=["visits"],
        known=["price"],
        static=["area", "kind"],
    )
    again = add_groups(other, horizon=horizon, statistics=["sum", "share"])
    seen = panel.positions <= cut + horizon
    for column in made.roles.known:
        assert made.values(column)[seen].tobytes() == again.values(column)[seen].tobytes()
    assert made.values("sold_all_sum_lag5").tobytes() != again.values("sold_all_sum_lag5").tobytes()


def test_a_model_learns_from_known_columns_of_groups():
    panel = add_groups(small_panel(covariates=False), horizon=3, statistics=["share"])
    task = tw.Task(horizon=3)
    split = tw.split_holdout(panel, task)
    model = tw.fit(tw.build_spec("ridge"), panel=panel, split=split, task=task)
    assert model.view.lookback > 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: add_groups(p, by=["price"]), ColumnError, "no static column is called 'price'"),
        (lambda p: add_groups(p, by="kind"), ConfigError, r"Write \('kind',\)"),
        (lambda p: add_groups(p, statistics="sum"), ConfigError, r"Write \('sum',\)"),
        (lambda p: add_groups(p, statistics=["summ"]), UnknownNameError, "Did you mean 'sum'"),
        (lambda p: add_groups(p, statistics=["sum", "sum"]), ColumnError, "two columns 'sold_all_sum'"),
        (lambda p: add_groups(p, horizon=0), ConfigError, "a horizon is a whole number of rows, 1 or more; got 0"),
        (lambda p: add_totals(p, levels=[("price",)]), ColumnError, "no static column is called 'price'"),
        (lambda p: add_totals(p, levels=[()], sums=["area"]), ColumnError, "no covariate is called 'area'"),
        (lambda p: add_totals(p, levels=[(), ()]), ConfigError, "two series would be called 'total'"),
    ],
)
def test_what_can_not_be_computed_is_refused_with_a_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call(small_panel(rows=30))


def test_totals_are_sums_of_their_members():
    panel = small_panel(rows=50)
    whole = add_totals(panel, levels=[(), ("kind",), ("kind", "area")], sums=["visits"])
    assert whole.series_ids == (
        "kind=new", "kind=new/area=100.0", "kind=new/area=300.0", "kind=old", "kind=old/area=200.0",
        "kind=old/area=400.0", "s0", "s1", "s2", "s3", "total",
    )  # fmt: skip
    table = panel.table.to_pandas()
    for name, members in (("total", table), ("kind=old", table[table["kind"] == "old"])):
        rows = whole.rows_of(name)
        times = members.groupby("hour")
        missing = times["sold"].apply(lambda values: values.isna().any())
        np.testing.assert_allclose(whole.target[rows], times["sold"].sum().where(~missing), rtol=1e-12)
        visits = times["visits"].apply(lambda values: values.sum(min_count=1))
        np.testing.assert_allclose(whole.values("visits")[rows], visits, rtol=1e-12)
        np.testing.assert_allclose(whole.values("price")[rows], times["price"].mean(), rtol=1e-12)
    static = whole.table[[rows.start for rows in map(whole.rows_of, ("total", "kind=old", "s3"))]].select(
        "kind", "area"
    )
    assert static.rows() == [(None, None), ("old", None), ("old", 400.0)]


def test_the_old_series_keep_their_rows_and_the_panel_is_a_valid_one():
    panel = ragged()
    whole = add_totals(panel, levels=[("kind",)])
    again = Panel.from_table(
        whole.table, series="shop", time="t", target="sold", past=["price"], static=["kind"], frequency="step"
    )
    assert again.table.equals(whole.table)
    assert again.offsets.tolist() == whole.offsets.tolist()
    np.testing.assert_array_equal(again.positions - again.positions[0], whole.positions - whole.positions[0])
    assert whole.select(panel.series_ids).table.equals(panel.table)


def test_a_series_that_has_not_begun_or_has_ended_counts_as_nothing_and_a_gap_as_missing():
    table = pl.DataFrame(
        {"shop": ["a"] * 4 + ["b"] * 4, "t": [0, 1, 2, 3, 1, 2, 3, 4], "sold": [1.0, 2, 3, 4, None, 20, None, 40]}
    )
    whole = add_totals(Panel.from_table(table, series="shop", time="t", target="sold"), levels=[()])
    assert whole.table.filter(pl.col("shop") == "total")["sold"].to_list() == [1.0, 2.0, 23.0, None, 40.0]


def test_ids_that_are_numbers_become_text_and_dates_keep_their_type():
    table = small_table(series=2, rows=48, covariates=False).with_columns(
        pl.col("shop").str.tail(1).cast(pl.Int64),
        pl.col("hour").dt.replace_time_zone("Europe/Paris", ambiguous="earliest"),
    )
    panel = Panel.from_table(table, series="shop", time="hour", target="sold")
    whole = add_totals(panel, levels=[()])
    assert whole.series_ids == ("0", "1", "total")
    assert whole.table["hour"].dtype == panel.table["hour"].dtype
    assert whole.table.filter(pl.col("shop") == "total")["hour"].equals(panel.table["hour"][:48])


@pytest.mark.parametrize("cut", [12, 20, 33])
def test_a_total_sees_nothing_that_comes_later(cut):
    panel = ragged()
    levels = [(), ("kind",)]
    ended = add_totals(panel.until(cut), levels=levels)
    whole = add_totals(panel, levels=levels).until(cut)
    common = [name for name in ended.series_ids if name in whole.series_ids]
    assert "total" in common
    assert ended.select(common).target.tobytes() == whole.select(common).target.tobytes()


def test_a_panel_of_one_series_has_no_totals():
    table = pl.DataFrame({"t": [0, 1], "sold": [1.0, 2.0]})
    with pytest.raises(ColumnError, match="a panel of one series has no totals"):
        add_totals(Panel.from_table(table, time="t", target="sold"), levels=[()])
