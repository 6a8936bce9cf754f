"""Names that users type, and the code behind them, imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from tidewright.errors import UnknownNameError

MOST = 80  # names that a message lists


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of a catalog: where its code is (`package.module:attribute`) and one line for people."""

    name: str
    target: str
    summary: str
    kind: str = ""

    def load(self) -> Any:
        """The object behind the name."""
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(module), attribute)


class Catalog(Mapping[str, Entry]):
    """A closed set of names.

    >>> fruits = Catalog("fruit", [Entry("apple", "math:pi", "round")])
    >>> fruits.load("apple")
    3.14159...
    >>> fruits["appel"]
    Traceback (most recent call last):
        ...
    tidewright.errors.UnknownNameError: no fruit is called 'appel'. Did you mean 'apple'? There are: apple.
    """

    def __init__(self, noun: str, entries: Iterable[Entry]) -> None:
        self.noun = noun
        self._entries = {entry.name: entry for entry in entries}

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            raise UnknownNameError(explain_unknown(self.noun, name, self._entries))
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def load(self, name: str) -> Any:
        """The object behind a name; an unknown name is an error that says which were near."""
        return self[name].load()


def explain_unknown(noun: str, name: object, known: Iterable[str]) -> str:
    """A sentence that says which name is unknown, which one is near and which there are."""
    names = sorted(known)
    by_case = {one.casefold(): one for one in names}
    near = get_close_matches(str(name), names, n=1, cutoff=0.6)
    near = near or [by_case[one] for one in get_close_matches(str(name).casefold(), by_case, n=1, cutoff=0.6)]
    hint = f" Did you mean '{near[0]}'?" if near else ""
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    if not names:
        return f"no {noun} is called '{name}': there is none yet."
    return f"no {noun} is called '{name}'.{hint} There are: {', '.join(names[:MOST])}{more}."
