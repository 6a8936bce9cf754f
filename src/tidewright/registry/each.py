"""A folder of bundles: one of a model for all series, and one for each series that has its own.

FOLDER/index/     which series has which bundle, with the digest of each; sealed as a bundle's manifest is
FOLDER/shared/    the bundle that answers for the rest
FOLDER/own/NAME/  a series' own bundle
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidewright.checks import to_path
from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.errors import BundleError, ConfigError, TamperedError
from tidewright.models.fitted import Fitted
from tidewright.registry.bundle import Bundle, load_bundle, save_bundle
from tidewright.registry.verify import MANIFEST, read_verified, seal
from tidewright.registry.write import write_folder
from tidewright.training.each import EachFitted
from tidewright.training.fit import read_panel
from tidewright.tuning.each import name_series

FORMAT = "tidewright-each/1"
INDEX, SHARED, OWN = "index", "shared", "own"


@dataclass(frozen=True, eq=False, slots=True)
class EachBundle:
    """The verified bundles of a folder: those of series with their `own`, by id, and the `shared` one, if any."""

    own: Mapping[Any, Bundle]
    shared: Bundle | None

    @property
    def bundles(self) -> tuple[Bundle, ...]:
        """All of them, the shared one first."""
        return (*(() if self.shared is None else (self.shared,)), *self.own.values())


def is_each(folder: str | Path) -> bool:
    """Whether a folder holds bundles for each series."""
    return (Path(folder) / INDEX / MANIFEST).is_file()


def save_each(
    fitted: EachFitted, *, panel: Panel, folder: str | Path, split: Split | None = None, season: int | None = None
) -> EachBundle:
    """Writes a bundle of every model, the index last, and gives them back as they were read again.

    `panel`, `split` and `season` are as in `save_bundle`. Raises `ConfigError` for a series whose id is neither text
    nor a whole number, and `BundleError` where the folder exists or a model has no bundle.
    """
    place = Path(folder)
    if place.exists():
        raise BundleError(f"'{place}' is there already. Give a folder that is not.")
    for series in fitted.own:
        if isinstance(series, bool) or not isinstance(series, (str, int, type(None))):
            raise ConfigError(f"the id of a series is kept as text or a whole number; got {series!r}. Make it text.")

    def keep(model: Fitted, part: Panel, where: Path) -> str:
        return save_bundle(model, panel=read_panel(model, part), folder=where, split=split, season=season).digest

    shared = None if fitted.shared is None else keep(fitted.shared, panel, place / SHARED)
    own = []
    for series, model in fitted.own.items():
        name = name_series(series)
        digest = keep(model, panel.select([series]), place / OWN / name)
        own.append({"series": series, "folder": name, "digest": digest})
    write_folder(seal({"format": FORMAT, "shared": shared, "own": own}, {}), place / INDEX)
    return load_each(place)


def load_each(folder: str | Path) -> EachBundle:
    """The bundles of a folder, verified, and those that the index names. Raises `TamperedError` and `BundleError`."""
    place = to_path("folder", folder, of="a folder that save_each wrote")
    index = read_verified(place / INDEX, names=()).manifest
    own = index.get("own")
    if index.get("format") != FORMAT or not isinstance(own, list):
        raise BundleError(f"'{place}' has the format {index.get('format')!r}, and this version reads {FORMAT}.")
    digest = index.get("shared")
    shared = None if digest is None else _load(place / SHARED, digest)
    found = {}
    for entry in own:
        series = entry["series"]
        if entry["folder"] != name_series(series):  # so that none can point elsewhere
            raise TamperedError(f"'{place}' says that {series!r} is in '{entry['folder']}'. Save it again.")
        found[series] = _load(place / OWN / entry["folder"], entry["digest"])
    if shared is None and not found:
        raise BundleError(f"'{place}' has no model. Save it again.")
    return EachBundle(found, shared)


def _load(folder: Path, digest: str) -> Bundle:
    bundle = load_bundle(folder)
    if bundle.digest != digest:
        raise TamperedError(
            f"'{folder}' is not the bundle that its index names ({bundle.digest[:12]}, not {digest[:12]}). Restore it."
        )
    return bundle
