"""Totals, shares and ranks of groups at one time, against pandas; and their laws."""

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, UnknownNameError
from tidewright.features.groups import GROUP_STATISTICS, add_groups


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


def test_known_columns_of_groups_are_refused_over_a_longer_horizon(tmp_path):
    panel, spec, longer = small_panel(rows=80), tw.build_spec("lightgbm", {"rounds": 2}), tw.Task(horizon=4)
    recipe = tw.build_recipe(("groups", {"horizon": 3}), ("lags", {"column": "sold_all_sum_lag3", "lags": [1]}))
    store = tw.FeatureStore(tmp_path)
    for made in (recipe.apply(panel), store.get(panel, recipe), store.get(panel, recipe)):
        assert made.reach == dict.fromkeys(made.roles.known[1:], 3)
        fitted = tw.fit(spec, panel=made, split=tw.split_holdout(made, tw.Task(3)), task=tw.Task(3), view=tw.View(5))
        assert "sold_all_sum_lag3" in fitted.view.schema.roles.known
        with pytest.raises(ConfigError, match="'sold_all_sum_lag3' is known 3 steps ahead, and the horizon is 4"):
            tw.fit(spec, panel=made, split=tw.split_holdout(made, longer), task=longer, view=tw.View(5))
    assert add_groups(panel, column="price", horizon=3).reach == {}
    again = add_groups(recipe.apply(panel), column="sold_all_sum_lag3", horizon=3, statistics=["sum"])
    assert again.reach["sold_all_sum_lag3_all_sum_lag3"] == 6


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: add_groups(p, by=["price"]), ColumnError, "no static column is called 'price'"),
        (lambda p: add_groups(p, by="kind"), ConfigError, r"Write \('kind',\)"),
        (lambda p: add_groups(p, statistics="sum"), ConfigError, r"Write \('sum',\)"),
        (lambda p: add_groups(p, statistics=["summ"]), UnknownNameError, "Did you mean 'sum'"),
        (lambda p: add_groups(p, statistics=["sum", "sum"]), ColumnError, "two columns 'sold_all_sum'"),
        (lambda p: add_groups(p, horizon=0), ConfigError, "a horizon is a whole number of rows, 1 or more; got 0"),
    ],
)
def test_what_can_not_be_computed_is_refused_with_a_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call(small_panel(rows=30))
