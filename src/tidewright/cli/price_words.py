"""What the verbs of the decision share: the words that name prices, and how their tables are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidewright.errors import ConfigError

if TYPE_CHECKING:
    from tidewright.data.dated import Dated

Price = Annotated[str | None, typer.Option(help="The column of prices of a long table.")]
Carry = Annotated[int, typer.Option(help="Carry a price over at most so many bars without one.", min=0)]
AsOf = Annotated[str | None, typer.Option(help="Decide after this date (2024-12-31); later prices are not looked at.")]
Lookback = Annotated[
    int | None, typer.Option(help="So many past returns count (252, or all where there are fewer).", min=2)
]
Page = Annotated[Path | None, typer.Option(help="Write a page with pictures here (.html).")]
Short = Annotated[bool, typer.Option("--short", help="Weights may be below zero.")]
MaxGross = Annotated[float, typer.Option(help="Long plus short as a share of the money, at most.")]


def read_bars(
    path: Path, *, price: str | None, series: str | None, time: str | None, carry: int = 0, as_of: str | None = None
) -> Dated:
    """The prices of a wide or long table, up to a date, with gaps carried over where that is asked for."""
    from tidewright.data.dated import carry_gaps, read_dated
    from tidewright.workflows.price_window import cut_at

    return carry_gaps(cut_at(read_dated(path, value=price, series=series, time=time), as_of), most=carry)


def split_words(items: list[str] | None, *, most: int, usage: str) -> tuple[list[Path], dict[str, Any]]:
    """The files among the words of a command, at most so many, and its KEY=VALUE as plain data (YAML)."""
    from tidewright.data.read_yaml import read_yaml

    files, options = [], {}
    for item in items or []:
        key, sign, value = item.partition("=")
        if sign and not Path(item).exists():
            options[key] = read_yaml(value, source=f"the option {key}")
        else:
            files.append(Path(item))
    if not 1 <= len(files) <= most:
        raise ConfigError(f"{usage}; got {len(files)} files. See --help.")
    return files, options


def name_columns(*, price: str | None, series: str | None, time: str | None) -> list[str]:
    """The words that name the same columns in the next command."""
    given = {"--price": price, "--series": series, "--time": time}
    return [word for name, value in given.items() if value is not None for word in (name, value)]


def check_page(page: Path | None) -> None:
    """Refuses a page of another ending before anything is computed."""
    if page is not None and page.suffix != ".html":
        raise ConfigError(f"a page is a file that ends in .html; got '{page}'. Name one.")
