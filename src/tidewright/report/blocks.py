"""What a page is made of: sections of facts, tables, pictures and words; the template escapes all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Tone = Literal["", "good", "warn", "bad", "muted", "strong", "place"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: a column is sorted by `value`; `small` is a second line, `tone` a look, `mark` a badge."""

    text: str
    value: float | str | None = None
    small: str = ""
    tone: Tone = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column; `unit` stands below the title."""

    title: str
    unit: str = ""
    number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `tones` are looks of rows by number, `folded` the line under which it is folded away."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    tones: dict[int, Tone] = field(default_factory=dict)
    folded: str = ""
    sortable: bool = True
    kind: str = "table"


@dataclass(frozen=True, slots=True)
class Picture:
    """A plotly figure with the words that say what is seen; `alt` is for those who can't see it. A screen with fewer
    than `least` pixels across shows a part of it, to be moved."""

    name: str
    figure: Any
    caption: str
    alt: str
    title: str = ""
    least: int = 0
    kind: str = "picture"


@dataclass(frozen=True, slots=True)
class Row:
    """Blocks side by side where there is room."""

    blocks: tuple[Picture | Table | Facts | Words, ...]
    kind: str = "row"


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, one a line."""

    items: tuple[tuple[str, Cell], ...]
    title: str = ""
    kind: str = "facts"


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph or, with several, a list; `absent` says that something is not there, and why."""

    lines: tuple[str, ...]
    title: str = ""
    absent: bool = False
    code: bool = False
    kind: str = "words"


@dataclass(frozen=True, slots=True)
class Link:
    """A page beside this one, by its name, with what is to be read there."""

    page: str
    text: str
    kind: str = "link"


Block = Table | Picture | Facts | Words | Row | Link


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page."""

    name: str
    title: str
    lead: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Tile:
    """One key number."""

    title: str
    value: str
    note: str = ""
    tone: Tone = ""


def absent(reason: str, *, title: str = "") -> Words:
    """Says that something isn't there, and why."""
    return Words((reason,), title=title, absent=True)
