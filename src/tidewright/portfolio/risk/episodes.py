"""Named falls of the stock market, from the last close before to the close at the bottom.

Dates are those of the S&P 500's highest and lowest closes of each fall; what it lost is the price index's, for
comparison with what a table of returns gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of time: what was held at the close of `first` is worth so much less at the close of `last`."""

    name: str
    first: date
    last: date
    about: str
    sp500: float | None = None


_ALL = (
    Episode("1987", date(1987, 10, 13), date(1987, 10, 19), "the crash of October 1987", -0.285),
    Episode("asia 1997", date(1997, 10, 7), date(1997, 10, 27), "the Asian crisis", -0.108),
    Episode("russia 1998", date(1998, 7, 17), date(1998, 8, 31), "the Russian default, then LTCM", -0.193),
    Episode("dot-com", date(2000, 3, 24), date(2002, 10, 9), "the end of the dot-com boom", -0.491),
    Episode("2008", date(2007, 10, 9), date(2009, 3, 9), "the financial crisis", -0.568),
    Episode("lehman", date(2008, 9, 12), date(2008, 11, 20), "the weeks after Lehman Brothers failed", -0.399),
    Episode("euro 2011", date(2011, 7, 22), date(2011, 10, 3), "the euro's debts, the US downgrade", -0.183),
    Episode("china 2015", date(2015, 8, 17), date(2015, 8, 25), "the devaluation of the renminbi", -0.112),
    Episode("2018 q4", date(2018, 9, 20), date(2018, 12, 24), "the fourth quarter of 2018", -0.198),
    Episode("covid", date(2020, 2, 19), date(2020, 3, 23), "the first wave of Covid-19", -0.339),
    Episode("2022", date(2022, 1, 3), date(2022, 10, 12), "inflation and rising interest rates", -0.254),
)
EPISODES: Mapping[str, Episode] = MappingProxyType({one.name: one for one in _ALL})
