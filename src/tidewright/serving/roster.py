"""`Roster`: every model and version that a server answers for, and the folders that they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tidewright.catalog import explain_unknown
from tidewright.errors import BundleError, ConfigError, RequestError
from tidewright.registry.numbered import CURRENT, place_of
from tidewright.registry.standing import read_standing
from tidewright.registry.verify import MANIFEST
from tidewright.serving.served import Served


class Place(NamedTuple):
    """A bundle's folder, the version that its name says (None: none), what changes when it does, and the name that a
    store has it under (None: the bundle's own).
    """

    folder: Path
    version: str | None
    mark: tuple[int, ...]
    name: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Roster:
    """Models by name, and of each the versions, ascending. `routes` leads from an inference's path to its model."""

    models: Mapping[str, dict[str, Served]]
    routes: Mapping[str, Served]

    def find(self, name: str, version: str | None = None) -> Served:
        """A version of a model, by default the highest. Raises `RequestError` (404)."""
        versions = self.models.get(name)
        if versions is None:
            raise RequestError(explain_unknown("model", name[:80], self.models), status=404)
        if version is None:
            return versions[next(reversed(versions))]
        if version not in versions:
            raise RequestError(explain_unknown(f"version of '{name}'", version[:80], versions), status=404)
        return versions[version]

    @property
    def all(self) -> tuple[Served, ...]:
        """Every version of every model."""
        return tuple(one for versions in self.models.values() for one in versions.values())


def make_roster(served: Iterable[Served]) -> Roster:
    """The roster of what is served."""
    models: dict[str, dict[str, Served]] = {}
    for one in sorted(served, key=lambda one: (one.name, int(one.version))):
        models.setdefault(one.name, {})[one.version] = one
    routes: dict[str, Served] = {}
    for name, versions in models.items():
        routes[f"/v2/models/{name}/infer"] = next(reversed(versions.values()))
        routes |= {f"/v2/models/{name}/versions/{version}/infer": one for version, one in versions.items()}
    return Roster(models, routes)


def find_places(given: Iterable[Path]) -> list[Place]:
    """The bundles' folders among those that were given: each is a bundle, or a folder of bundles, or one of folders
    named by model of bundles named by version (sales/1, sales/2), or a store, of which the champions are taken. Raises
    `BundleError` where a store's file was changed by hand.
    """
    return [place for folder in given for place in _look(folder, depth=2)]


def check_places(given: Iterable[Path]) -> None:
    """Raises `BundleError` where one of the folders has no bundle, `ConfigError` where none is given."""
    folders = list(given)
    if not folders:
        raise ConfigError("no bundle was given. Name one or more folders.")
    for folder in folders:
        if not _look(folder, depth=2):
            raise BundleError(
                f"there is no bundle in '{folder}'. Give a bundle's folder, a folder of bundles, or a store with a "
                "champion."
            )


def number_versions(names: Iterable[tuple[str, str | None]]) -> list[str]:
    """A version for each (model's name, version or None), in their order: where none is said, the next whole number.

    >>> number_versions([("sales", None), ("sales", None), ("price", "7"), ("price", None)])
    ['1', '2', '7', '8']
    """
    taken: dict[str, int] = {}
    found = []
    for name, version in names:
        number = taken.get(name, 0) + 1 if version is None else int(version)
        taken[name] = max(taken.get(name, 0), number)
        found.append(str(number))
    return found


def _look(folder: Path, *, depth: int) -> list[Place]:
    if (folder / CURRENT).is_file():
        return _look_in_store(folder)
    try:
        found = (folder / MANIFEST).stat()
    except (FileNotFoundError, NotADirectoryError):
        inner = _children(folder) if depth else []
        return [place for child in inner for place in _look(child, depth=depth - 1)]
    digits = folder.name if folder.name.isdecimal() and folder.name.isascii() and int(folder.name) else None
    return [Place(folder, digits, (found.st_ino, found.st_mtime_ns, found.st_size))]


def _look_in_store(folder: Path) -> list[Place]:
    """The champion of a model of a store."""
    number = read_standing(folder).champion
    if number is None:
        return []
    found = _look(place_of(folder, number), depth=0)
    return [place._replace(version=str(number), name=folder.name) for place in found]


def _children(folder: Path) -> list[Path]:
    """Its folders, numbers by size and before names; hidden ones are writers' own."""
    try:
        children = [child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []

    def order(child: Path) -> tuple[bool, int, str]:
        number = child.name.isdecimal() and child.name.isascii()
        return (not number, int(child.name) if number else 0, child.name)

    return sorted(children, key=order)
