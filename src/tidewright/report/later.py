"""A section added to a page that was written before: what became of a run's model since."""

from __future__ import annotations

import re
from pathlib import Path

from tidewright.errors import ConfigError
from tidewright.report.blocks import Section
from tidewright.report.page import open_templates, write_figures, write_text

SLOTS = ("link", "section", "figures")
_SOURCE = """{% from "blocks.html" import figure, section %}
{% if slot == "link" %}<li><a href="#{{ told.name }}">{{ told.title }}</a></li>
{% elif slot == "section" %}{{ section(told) }}
{% else %}{% for name, data in figures.items() %}{{ figure(name, data) }}{% endfor %}
{% endif %}"""


def has_place(page: Path) -> bool:
    """Whether a page of ours has a place for what is told later; one of an older version has none."""
    return page.is_file() and all(_find(slot).search(page.read_text(encoding="utf-8")) for slot in SLOTS)


def add_section(told: Section, page: Path) -> Path:
    """Puts a section at the end of a page, in place of the one that was put there before; the rest stays as it is.

    A text of a user can't hold the marks of the place, for all of them are escaped. Raises `ConfigError`.
    """
    if not has_place(page):
        raise ConfigError(f"'{page}' has no place for a section: it is no page of a run of this version. Run it again.")
    text = page.read_text(encoding="utf-8")
    template = open_templates().from_string(_SOURCE)
    for slot in SLOTS:
        filled: str = template.render(slot=slot, told=told, figures=write_figures((told,)))
        found = _find(slot).search(text)
        assert found is not None, "it was looked for above"
        text = f"{text[: found.end(1)]}{filled}{text[found.start(2) :]}"
    return write_text(text, page)


def _find(slot: str) -> re.Pattern[str]:
    return re.compile(rf"(<!--later:{slot}-->).*?(<!--/later:{slot}-->)", re.DOTALL)
