"""`Roster`: every model and version that a server answers for, and the folders that they come from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tidewright.catalog import explain_unknown
from tidewright.errors import BundleError, ConfigError, RequestError
from tidewright.registry.numbered import CURRENT, place_of
from tidewright.registry.standing import read_standing
from tidewright.registry.verify import MANIFEST
from tidewright.serving.lineup import Lineup
from tidewright.serving.rollout import EVERY, Plan, Rollout, make_plan
from tidewright.serving.served import Served
from tidewright.serving.split import Split


class Place(NamedTuple):
    """A bundle's folder, the version that its name says (None: none), what changes when it does, and the name that a
    store has it under (None: the bundle's own). A champion's has the plan of its model.
    """

    folder: Path
    version: str | None
    mark: tuple[int, ...]
    name: str | None = None
    plan: Plan | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Roster:
    """Models by name, and of each the versions, ascending. `routes` leads from an inference's path to its model, or
    `splits` do. `lineups` are of a store's models; what is `hidden` is open, and answers nobody but as a shadow.
    """

    models: Mapping[str, dict[str, Served]]
    routes: Mapping[str, Served]
    splits: Mapping[str, Split] = field(default_factory=dict)
    lineups: Mapping[str, Lineup] = field(default_factory=dict)
    hidden: tuple[Served, ...] = ()

    def find(self, name: str, version: str | None = None) -> Served:
        """A version of a model, by default a store's champion, else the highest. Raises `RequestError` (404)."""
        versions = self.models.get(name)
        if versions is None:
            raise RequestError(explain_unknown("model", name[:80], self.models), status=404)
        if version is None:
            lineup = self.lineups.get(name)
            return versions[next(reversed(versions))] if lineup is None else lineup.champion
        if version not in versions:
            raise RequestError(explain_unknown(f"version of '{name}'", version[:80], versions), status=404)
        return versions[version]

    @property
    def all(self) -> tuple[Served, ...]:
        """Every version of every model."""
        return tuple(one for versions in self.models.values() for one in versions.values())


def make_roster(
    served: Iterable[Served], *, lineups: Mapping[str, Lineup] | None = None, hidden: Collection[Served] = ()
) -> Roster:
    """The roster of what is served."""
    models: dict[str, dict[str, Served]] = {}
    for one in sorted(served, key=lambda one: (one.name, int(one.version))):
        if one not in hidden:
            models.setdefault(one.name, {})[one.version] = one
    routes: dict[str, Served] = {}
    splits: dict[str, Split] = {}
    found = lineups or {}
    for name, versions in models.items():
        path, lineup = f"/v2/models/{name}/infer", found.get(name)
        routes |= {f"/v2/models/{name}/versions/{version}/infer": one for version, one in versions.items()}
        if lineup is not None and lineup.split is not None and lineup.split.windows:
            splits[path] = lineup.split
        else:
            routes[path] = next(reversed(versions.values())) if lineup is None else lineup.champion
    return Roster(models, routes, splits, found, tuple(hidden))


def find_places(given: Iterable[Path], *, rollouts: Mapping[str, Rollout] | None = None) -> list[Place]:
    """The bundles' folders among those that were given: each is a bundle, or a folder of bundles, or one of folders
    named by model of bundles named by version (sales/1, sales/2), or a store, of which the champions are taken, and
    what `rollouts` ask for beside them. Raises `BundleError` where a store's file was changed by hand.
    """
    return [place for folder in given for place in _look(folder, depth=2, rollouts=rollouts or {})]


def check_places(given: Iterable[Path]) -> None:
    """Raises `BundleError` where one of the folders has no bundle, `ConfigError` where none is given."""
    folders = list(given)
    if not folders:
        raise ConfigError("no bundle was given. Name one or more folders.")
    for folder in folders:
        if not _look(folder, depth=2, rollouts={}):
            raise BundleError(
                f"there is no bundle in '{folder}'. Give a bundle's folder, a folder of bundles, or a store with a "
                "champion."
            )


def find_stored(given: Iterable[Path]) -> dict[str, Path]:
    """The models of stores among those that were given, by name, with their folders."""
    return {str(place.name): place.folder.parent for place in find_places(given) if place.name is not None}


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


def _look(folder: Path, *, depth: int, rollouts: Mapping[str, Rollout]) -> list[Place]:
    if (folder / CURRENT).is_file():
        return _look_in_store(folder, rollouts.get(folder.name) or rollouts.get(EVERY) or Rollout())
    try:
        found = (folder / MANIFEST).stat()
    except (FileNotFoundError, NotADirectoryError):
        inner = _children(folder) if depth else []
        return [place for child in inner for place in _look(child, depth=depth - 1, rollouts=rollouts)]
    digits = folder.name if folder.name.isdecimal() and folder.name.isascii() and int(folder.name) else None
    return [Place(folder, digits, (found.st_ino, found.st_mtime_ns, found.st_size))]


def _look_in_store(folder: Path, rollout: Rollout) -> list[Place]:
    """The champion of a model of a store, with its plan, and the other versions that this needs."""
    standing = read_standing(folder)
    if standing.champion is None:
        return []
    plan, found = make_plan(folder, standing, rollout), []
    for version in plan.versions:
        for place in _look(place_of(folder, int(version)), depth=0, rollouts={}):
            own = plan if version == plan.champion else None
            found.append(place._replace(version=version, name=folder.name, plan=own))
    return found


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
