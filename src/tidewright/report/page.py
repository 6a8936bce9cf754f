"""`Page`: what an HTML file of ours says, and how it is written: whole, safe, and with nothing beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from tidewright.optional import require
from tidewright.report.blocks import Picture, Row, Section, Tile

_UNSAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


@dataclass(frozen=True, slots=True)
class Page:
    """A page in plain text: the template escapes all. `eyebrow` stands above the headline, `reason` and `subject` below
    it; each section and each picture has a name of its own."""

    title: str
    eyebrow: str
    headline: str
    reason: str
    subject: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]


def write_page(page: Page, path: Path) -> Path:
    """Writes a page and gives back its path; the old file stays until the new one is whole.

    Every name and message of the user is escaped, and the page forbids itself any connection.
    """
    return write_text(render_page(page), path)


def write_text(text: str, path: Path) -> Path:
    """Writes a file in one step and gives back its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.{token_hex(8)}.partial")
    try:
        with whole.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(path)
    finally:
        whole.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path


def render_page(page: Page) -> str:
    """The page as text."""
    plotly = require("plotly.offline", extra="report", purpose="the report's pictures")
    text: str = (
        open_templates()
        .get_template("report.html")
        .render(page=page, figures=write_figures(page.sections), plotly_js=plotly.get_plotlyjs())
    )
    return text


def open_templates() -> Any:
    """The templates, which escape all that they are given."""
    jinja2 = require("jinja2", extra="report", purpose="the report")
    return jinja2.Environment(
        loader=jinja2.PackageLoader("tidewright.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def slug_of(name: str) -> str:
    """A name as a part of a section's or a picture's own.

    >>> slug_of("My model, <2>"), slug_of("?")
    ('my-model-2', 'x')
    """
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-") or "x"


def write_figures(sections: Sequence[Section]) -> Mapping[str, Any]:
    """Each picture's data as JSON that is safe inside a script element."""
    import plotly.io
    from markupsafe import Markup

    found: dict[str, Any] = {}
    for section in sections:
        for block in section.blocks:
            for inner in block.blocks if isinstance(block, Row) else (block,):
                if isinstance(inner, Picture):
                    text = plotly.io.to_json(inner.figure, validate=False)
                    found[inner.name] = Markup(text.translate(_UNSAFE))
    return found
