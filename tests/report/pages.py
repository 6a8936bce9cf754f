"""A written report, taken apart for the tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any


@dataclass
class Page:
    """What a browser would see: tags with their attributes, the text of each section, the figures' data."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    rows: list[list[str]] = field(default_factory=list)
    text: str = ""

    def row(self, first: str) -> list[str]:
        """The first row of a table whose first cell begins with some text."""
        return next(row for row in self.rows if row and row[0].startswith(first))


def read_page(html: str) -> Page:
    """The page, parsed; every element must be closed in order."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open, f"never closed: {reader.open}"
    return reader.page


class _Reader(HTMLParser):
    void = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.page, self.open, self.section, self.figure = Page(), list[str](), "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.page.tags.append((tag, known))
        if tag not in self.void:
            self.open.append(tag)
        if tag == "section":
            self.section = known["id"]
        if tag == "script":
            self.figure = known.get("id", "").removeprefix("figure-")
        if tag == "tr":
            self.page.rows.append([])
        if tag in ("td", "th"):
            self.page.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        self.section = "" if tag == "section" else self.section

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            if self.figure:
                self.page.figures[self.figure] = json.loads(data)
            return
        if "style" in self.open:
            return
        self.page.text += data
        if self.section:
            self.page.sections[self.section] = self.page.sections.get(self.section, "") + data
        if {"td", "th"} & set(self.open):
            self.page.rows[-1][-1] += data
