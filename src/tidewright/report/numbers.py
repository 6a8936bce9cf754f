"""Numbers as people read them: sensible digits, a unit, and a word where there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from tidewright.data.frequency import Frequency

UNDEFINED = "undefined"
SPACE = "\u00a0"  # a number and its unit stay on one line


def choose_decimals(values: Iterable[float], *, digits: int = 4, most: int = 8) -> int:
    """How many decimals a column needs, so that its typical value shows `digits` significant ones.

    >>> choose_decimals([0.97, 1.03]), choose_decimals([1234.5, 2345.6]), choose_decimals([])
    (3, 0, 0)
    """
    sizes = [abs(v) for v in values if math.isfinite(v) and v != 0]
    if not sizes:
        return 0
    size = float(np.median(sizes))
    return min(max(digits - 1 - math.floor(math.log10(size) + 1e-9), 0), most)


def write_number(value: float | None, *, decimals: int | None = None, digits: int = 4) -> str:
    """A number with thousands separated; `digits` significant ones unless the decimals are given.

    >>> write_number(1234567.8), write_number(0.012345), write_number(float("nan")), write_number(3e-12)
    ('1,234,568', '0.01235', 'undefined', '3.000e-12')
    """
    if value is None or math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "infinite"
    size = abs(value)
    if size != 0 and not 1e-6 <= size < 1e12:
        return f"{value:.{digits - 1}e}"
    decimals = choose_decimals([value], digits=digits) if decimals is None else decimals
    return _minus(f"{value:,.{decimals}f}")


def write_percent(value: float | None, *, decimals: int = 1, signed: bool = False) -> str:
    """A fraction as a percentage.

    >>> write_percent(0.1234), write_percent(0.05, signed=True).replace(SPACE, " ")
    ('12.3\\xa0%', '+5.0 %')
    """
    if value is None or math.isnan(value):
        return UNDEFINED
    sign = "+" if signed else ""
    return f"{_minus(f'{100.0 * value:{sign},.{decimals}f}')}{SPACE}%"


def write_probability(value: float) -> str:
    """A probability as a percentage that is never rounded to certainty.

    >>> [write_probability(v).replace(SPACE, " ") for v in (0.953, 0.99999, 1e-9)]
    ['95.3 %', '> 99.9 %', '< 0.1 %']
    """
    if math.isnan(value):
        return UNDEFINED
    if value > 0.999:
        return f">{SPACE}{write_percent(0.999)}"
    return f"<{SPACE}{write_percent(0.001)}" if value < 0.001 else write_percent(value)


def write_seconds(value: float) -> str:
    """A length of time.

    >>> [write_seconds(v).replace(SPACE, " ") for v in (0.0123, 4.56, 95.0)]
    ['12 ms', '4.6 s', '1 min 35 s']
    """
    if math.isnan(value):
        return UNDEFINED
    if value < 1.0:
        return f"{1000.0 * value:.0f}{SPACE}ms"
    if value < 60.0:
        return f"{value:.1f}{SPACE}s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes}{SPACE}min {seconds}{SPACE}s"


def write_p_value(value: float) -> str:
    """A p-value; the very small ones as a bound.

    >>> write_p_value(0.0431), write_p_value(1e-9)
    ('0.043', '< 0.001')
    """
    if math.isnan(value):
        return UNDEFINED
    return f"<{SPACE}0.001".replace(SPACE, " ") if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def write_count(count: int, noun: str) -> str:
    """A count with its noun.

    >>> write_count(1, "window"), write_count(2500, "window")
    ('1 window', '2,500 windows')
    """
    plural = noun if noun.endswith("series") or count == 1 else f"{noun}s"
    return f"{count:,} {plural}"


def write_grid(frequency: Frequency) -> str:
    """A frequency in words, to stand behind "every".

    >>> write_grid(Frequency("session", 1, 0, calendar="XNYS")), write_grid(Frequency("fixed", 3_600_000_000, 0))
    ('session of XNYS', '1h')
    """
    words = {"session": f"session of {frequency.calendar}", "business": "business day", "step": "step"}
    return words.get(frequency.unit, frequency.name) if frequency.count == 1 else frequency.name


def write_tiny(value: float) -> str:
    """A number near zero by its power of ten.

    >>> write_tiny(2.5e-7), write_tiny(0.0)
    ('2.5e-7', '0')
    """
    if value == 0.0 or math.isnan(value):
        return UNDEFINED if math.isnan(value) else "0"
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"


def _minus(text: str) -> str:
    zero = text.lstrip("-+").strip("0.,") == ""
    return text.lstrip("-+") if zero else text.replace("-", "−")
