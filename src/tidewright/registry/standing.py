"""`Standing`: what a store's file says of a model: its champions, its challenger, and what happened, as plain data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from tidewright.errors import BundleError
from tidewright.registry.numbered import CURRENT, place_of, read_pointer
from tidewright.registry.verify import read_digest

FORMAT = "tidewright-store-1"
Role = Literal["champion", "challenger", ""]
What = Literal["registered", "promoted", "refused", "rolled back"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened to a model: the `version` it happened to, the champion that it `replaced` (or, where it
    was refused, would have), when (UTC), why, whether it was forced, and the figures of the comparison.
    """

    what: What
    version: int
    replaced: int | None
    at: str
    reason: str
    forced: bool = False
    figures: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A version of a model: its folder, which `tw.open` takes, its digest, and what it is: champion, challenger, or
    neither.
    """

    name: str
    version: int
    folder: Path
    digest: str
    role: Role


@dataclass(frozen=True, slots=True)
class Standing:
    """`champions` are those on the way to the present one, which is the last; a rollback goes back along it."""

    champions: tuple[int, ...] = ()
    challenger: int | None = None
    history: tuple[Change, ...] = ()

    @property
    def champion(self) -> int | None:
        """The version that serves."""
        return self.champions[-1] if self.champions else None

    def release(self, place: Path, number: int) -> Release:
        """A version that is there, with its role."""
        role: Role = "champion" if number == self.champion else "challenger" if number == self.challenger else ""
        return Release(place.name, number, place_of(place, number), read_digest(place_of(place, number)), role)

    def to_plain(self) -> dict[str, Any]:
        """As plain data."""
        return {"format": FORMAT, **asdict(self)}


def read_standing(place: Path) -> Standing:
    """What the file of a model's folder says; nothing where it has none yet. Raises `BundleError`."""
    from pydantic import ValidationError

    if not os.path.lexists(place / CURRENT):
        return Standing()
    told = read_pointer(place)
    if told.pop("format", None) != FORMAT:
        raise BundleError(f"'{place / CURRENT}' is no file of a store of this version. Give a store's folder.")
    try:
        standing: Standing = _adapter().validate_python(told)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"'{place / CURRENT}' was changed by hand: '{where}': {first['msg']}.") from error
    return standing


@lru_cache(maxsize=1)
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Standing)
