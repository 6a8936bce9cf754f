"""Technical indicators against published worked examples and pandas, and their laws."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, DataError, UnknownNameError
from tidewright.features.technical import INDICATORS, add_technical

# StockCharts' ChartSchool, the worked examples of "Relative Strength Index", "Average True Range" and "Moving Averages"
RSI_CLOSE = [
    44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931,
    46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521,
    45.7137, 46.4515, 45.7835, 45.3548, 44.0288, 44.1783, 44.2181, 44.5672, 43.4205, 42.6628, 43.1314,
]  # fmt: skip
RSI = [
    70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38, 54.71, 50.42, 39.99, 41.46, 41.87, 45.46,
    37.30, 33.08, 37.77,
]  # fmt: skip
ATR_HIGH = [
    48.70, 48.72, 48.90, 48.87, 48.82, 49.05, 49.20, 49.35, 49.92, 50.19, 50.12, 49.66, 49.88, 50.19, 50.36, 50.57,
    50.65, 50.43, 49.63, 50.33,
]  # fmt: skip
ATR_LOW = [
    47.79, 48.14, 48.39, 48.37, 48.24, 48.635, 48.94, 48.86, 49.50, 49.87, 49.20, 48.90, 49.43, 49.725, 49.26, 50.09,
    50.30, 49.21, 48.98, 49.61,
]  # fmt: skip
ATR_CLOSE = [
    48.16, 48.61, 48.75, 48.63, 48.74, 49.03, 49.07, 49.32, 49.91, 50.13, 49.53, 49.50, 49.75, 50.03, 50.31, 50.52,
    50.41, 49.34, 49.37, 50.23,
]  # fmt: skip
ATR = [0.555, 0.5939285714, 0.5857908163, 0.5689486152, 0.6154522855, 0.6179199794, 0.6423542666]
EMA_CLOSE = [
    22.27, 22.19, 22.08, 22.17, 22.18, 22.13, 22.23, 22.43, 22.24, 22.29, 22.15, 22.39, 22.38, 22.61, 23.36, 24.05,
    23.75, 23.83, 23.95, 23.63, 23.82, 23.87, 23.65, 23.19, 23.10, 23.33, 22.68, 23.10, 22.40, 22.17,
]  # fmt: skip
EMA = [
    22.22, 22.21, 22.24, 22.27, 22.33, 22.52, 22.80, 22.97, 23.13, 23.28, 23.34, 23.43, 23.51, 23.53, 23.47, 23.40,
    23.39, 23.26, 23.23, 23.08, 22.92,
]  # fmt: skip

EVERY = [
    "return:3", "log_return", "sma:5", "ema:5", "macd:3:6:4", "rsi:5", "bollinger:5:2", "atr:5", "volatility:5",
    "parkinson:5",
]  # fmt: skip


def series(**columns: list[float] | np.ndarray) -> Panel:
    table = pl.DataFrame({"t": range(len(next(iter(columns.values())))), **columns}).fill_nan(None)
    return Panel.from_table(table, time="t", target="close", past=[name for name in columns if name != "close"])


def only(panel: Panel, column: str) -> np.ndarray:
    return panel.values(column)


def drawn(rows: int = 120, *, seed: int = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    close = 50.0 * np.exp(np.cumsum(0.02 * draw.normal(size=rows)))
    spread = np.exp(0.01 * draw.random((2, rows)))
    return {"close": close, "high": close * spread[0], "low": close / spread[1]}


def test_rsi_is_that_of_the_worked_example():
    made = only(add_technical(series(close=RSI_CLOSE), ["rsi"]), "close_rsi14")
    assert np.isnan(made[:14]).all()
    np.testing.assert_allclose(made[14:], RSI, atol=0.006)


def test_average_true_range_is_that_of_the_worked_example():
    panel = series(close=ATR_CLOSE, high=ATR_HIGH, low=ATR_LOW)
    made = only(add_technical(panel, ["atr"], high="high", low="low"), "close_atr14")
    assert np.isnan(made[:13]).all()
    np.testing.assert_allclose(made[13:], ATR, atol=1e-9)


def test_the_exponential_average_is_that_of_the_worked_example():
    made = only(add_technical(series(close=EMA_CLOSE), ["ema:10"]), "close_ema10")
    assert np.isnan(made[:9]).all()
    np.testing.assert_allclose(made[9:], EMA, atol=0.006)


def seeded(values: pd.Series, rows: int) -> pd.Series:
    """pandas' recursive average, begun at the mean of the first `rows` values."""
    values = values.dropna().copy()
    values.iloc[rows - 1] = values.iloc[:rows].mean()
    return values.iloc[rows - 1 :].ewm(span=rows, adjust=False).mean()


def test_macd_is_the_gap_of_two_averages_and_its_average():
    close = pd.Series(drawn()["close"])
    panel = add_technical(series(close=close.to_numpy()), ["macd"])
    line = seeded(close, 12) - seeded(close, 26)
    signal = seeded(line, 9)
    for name, expected in (("macd", line), ("macd_signal", signal), ("macd_gap", line - signal)):
        np.testing.assert_allclose(only(panel, f"close_{name}12_26_9"), expected.reindex(close.index), rtol=1e-9)


def test_bands_returns_and_plain_averages_are_those_of_pandas():
    close = pd.Series(drawn()["close"])
    panel = add_technical(series(close=close.to_numpy()), ["return:3", "log_return", "sma:5", "bollinger:7:1.5"])
    middle, reach = close.rolling(7).mean(), 1.5 * close.rolling(7).std(ddof=0)
    expected = {
        "return3": close.pct_change(3),
        "log_return1": np.log(close).diff(),
        "sma5": close.rolling(5).mean(),
        "bollinger_low7_1.5": middle - reach,
        "bollinger_high7_1.5": middle + reach,
        "bollinger_place7_1.5": (close - middle + reach) / (2 * reach),
    }
    for name, theirs in expected.items():
        np.testing.assert_allclose(only(panel, f"close_{name}"), theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("frequency", "per_year"), [("1d", 365.2425), ("1w", 365.2425 / 7), ("1mo", 12.0), ("b", 365.2425 * 5 / 7)]
)
def test_volatilities_are_annualised_by_the_frequency(frequency, per_year):
    prices = drawn(60)
    start = pd.Timestamp("2024-01-01")
    step = {"1d": "D", "1w": "W-MON", "1mo": "MS", "b": "B"}[frequency]
    table = pl.DataFrame({"t": pd.date_range(start, periods=60, freq=step).to_numpy(), **prices})
    panel = Panel.from_table(table, time="t", target="close", past=["high", "low"], frequency=frequency)
    made = add_technical(panel, ["volatility:10", "parkinson:10"], high="high", low="low")
    returns = np.diff(np.log(prices["close"]), prepend=np.nan)
    realised = np.sqrt(per_year * pd.Series(returns**2).rolling(10).mean())
    ranged = np.sqrt(
        per_year * pd.Series(np.log(prices["high"] / prices["low"]) ** 2).rolling(10).mean() / 4 / np.log(2)
    )
    np.testing.assert_allclose(only(made, "close_volatility10")[10:], realised[10:], rtol=1e-9)
    np.testing.assert_allclose(only(made, "close_parkinson10")[9:], ranged[9:], rtol=1e-9)


def test_an_exchange_counts_its_own_sessions():
    from tidewright.data.market import CALENDAR, load_market

    table = load_market().filter(pl.col("stock") == "AAPL").tail(60)
    panel = Panel.from_table(table, time="date", target="price", calendar=CALENDAR)
    made = add_technical(panel, ["volatility:10"])
    again = add_technical(panel, ["volatility:10"], periods_per_year=panel.frequency.periods_per_year)
    assert made.table.equals(again.table)
    assert 250.0 < panel.frequency.periods_per_year < 253.0


def test_both_estimators_find_the_volatility_of_a_random_walk():
    draw, per_day = np.random.default_rng(0), 0.02
    walk = np.cumsum(per_day / np.sqrt(500) * draw.normal(size=(2000, 500)).ravel()).reshape(2000, 500)
    prices = np.exp(walk)
    panel = series(close=prices[:, -1], high=prices.max(axis=1), low=prices.min(axis=1))
    names = ["volatility:2000", "parkinson:2000"]
    made = add_technical(panel, names, high="high", low="low", periods_per_year=250)
    true = per_day * np.sqrt(250)
    assert only(made, "close_volatility2000")[-1] == pytest.approx(true, rel=0.05)
    assert only(made, "close_parkinson2000")[-1] == pytest.approx(true, rel=0.06)  # a sampled range is a little short


def gapped() -> tuple[Panel, Panel, np.ndarray]:
    """Prices with rows that have none, the same without these rows, and which rows are left."""
    prices = drawn()
    seen = np.random.default_rng(1).random(120) > 0.2
    seen[-1] = True
    holes = {name: np.where(seen, values, np.nan) for name, values in prices.items()}
    return series(**holes), series(**{name: values[seen] for name, values in prices.items()}), seen


@pytest.mark.parametrize("name", ["sma:5", "ema:5", "macd:3:6:4", "rsi:5", "bollinger:5:2", "atr:5"])
def test_a_row_without_a_price_is_skipped_and_leaves_an_indicator_as_it_was(name):
    holes, dense, seen = gapped()
    made, plain = (add_technical(panel, [name], high="high", low="low") for panel in (holes, dense))
    for column in made.roles.past[2:]:
        ours, theirs = only(made, column), only(plain, column)
        np.testing.assert_allclose(ours[seen], theirs, rtol=1e-12)
        np.testing.assert_array_equal(ours, pd.Series(np.where(seen, ours, np.nan)).ffill())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100), scale=st.sampled_from([0.25, 2.0, 1024.0]))
def test_indicators_are_in_units_of_the_price_or_of_none(seed, scale):
    prices = drawn(60, seed=seed)
    options = {"high": "high", "low": "low", "periods_per_year": 250.0}
    plain = add_technical(series(**prices), EVERY, **options)
    moved = add_technical(series(**{name: scale * values for name, values in prices.items()}), EVERY, **options)
    of_price = ("sma", "ema", "macd", "bollinger_low", "bollinger_high", "atr")
    for column in plain.roles.past[2:]:
        factor = scale if column.removeprefix("close_").startswith(of_price) else 1.0
        np.testing.assert_allclose(only(moved, column), factor * only(plain, column), rtol=1e-9, atol=1e-12)
    rsi = only(plain, "close_rsi5")[5:]
    assert ((rsi >= 0.0) & (rsi <= 100.0)).all()


def test_what_does_not_move_has_no_strength_and_no_place_in_its_band():
    made = add_technical(series(close=[2.0] * 30), ["rsi", "bollinger"])
    assert np.isnan(only(made, "close_rsi14")).all()
    assert np.isnan(only(made, "close_bollinger_place20_2")).all()
    assert only(add_technical(series(close=list(range(1, 30))), ["rsi"]), "close_rsi14")[-1] == 100.0


def test_every_indicator_works_with_its_usual_numbers():
    panel = series(**drawn())
    made = add_technical(panel, list(INDICATORS), high="high", low="low", periods_per_year=250)
    assert len(made.roles.past) == 2 + sum(len(one.columns) for one in INDICATORS.values())
    assert np.isfinite(made.matrix(made.roles.past)[-1]).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: add_technical(p, ["rsy"]), UnknownNameError, "Did you mean 'rsi'"),
        (lambda p: add_technical(p, ["rsi:0"]), ConfigError, "Write it as 'rsi:14'"),
        (lambda p: add_technical(p, ["rsi:1.5"]), ConfigError, "'rsi:1.5' has other numbers than 'rsi' takes"),
        (lambda p: add_technical(p, ["macd:12:26"]), ConfigError, "Write it as 'macd:12:26:9'"),
        (lambda p: add_technical(p, ["macd:26:12:9"]), ConfigError, "got 26 and 12. Swap them"),
        (lambda p: add_technical(p, ["bollinger:20:inf"]), ConfigError, "Write it as 'bollinger:20:2'"),
        (lambda p: add_technical(p, ["atr"]), ColumnError, "need the range of each row"),
        (lambda p: add_technical(p, ["atr"], high="low", low="high"), DataError, "column 'high' is above 'low' in"),
        (lambda p: add_technical(p, ["volatility"]), ConfigError, "Give periods_per_year"),
        (lambda p: add_technical(p, ["rsi", "rsi:14"]), ColumnError, "two columns 'close_rsi14'"),
        (lambda p: add_technical(p, ["rsi"], close="hihg"), ColumnError, "Did you mean 'high'"),
    ],
)
def test_what_can_not_be_computed_is_refused_with_a_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call(series(**drawn(30)))


def test_a_price_that_is_none_is_named():
    with pytest.raises(
        DataError, match=r"column 'close' is 0 in series 'close' at 1 \(1 such rows\): prices are positive"
    ):
        add_technical(series(close=[1.0, 0.0]), ["sma:2"])
