"""`Store`: models by name, each with numbered versions of its bundle, a champion that serves and a challenger.

folder/NAME/v0001/manifest.json ...     a bundle, written whole or not at all, never changed again
folder/NAME/current.json                champion, challenger and history, replaced as a whole

A version exists only through its manifest. A kill leaves what was there before or what was asked for; one between the
two writings of a registration leaves a version that is neither champion nor challenger.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.checks import check_real, check_text, to_path
from tidewright.errors import BundleError, ConfigError, PromotionError, UnknownNameError
from tidewright.optional import require
from tidewright.registry.bundle import NAME, Bundle, check_name, load_bundle
from tidewright.registry.gate import Gate, judge_challenger
from tidewright.registry.numbered import (
    CURRENT,
    alone,
    check_number,
    list_numbers,
    next_number,
    place_of,
    write_pointer,
)
from tidewright.registry.share import draw_share
from tidewright.registry.standing import Change, Release, Standing, What, read_standing
from tidewright.registry.verify import GRAPH, MANIFEST, REFERENCE, read_verified
from tidewright.registry.write import write_folder

NOUN = "a model's name"
Mark = tuple[tuple[str, int, int, int], ...]


def open_store(folder: str | Path) -> Store:
    """The store in a folder, which is made with the first model that is registered."""
    place = to_path("folder", folder, of="a folder for the store")
    if place.exists() and not place.is_dir():
        raise ConfigError(f"'{place}' is a file. Give a folder for the store.")
    return Store(place)


class Store:
    """See the file. It keeps nothing in memory: any number of processes may use one folder at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def register(self, name: str, bundle: str | Path | Bundle, *, reason: str = "") -> Release:
        """Copies a bundle, verified, as the next version of a model: its challenger, or, of a new model, the champion.

        Raises `TamperedError` and `BundleError` as `load_bundle` does.
        """
        check_name(name, what=NOUN)
        check_text("reason", reason)
        source = bundle.folder if isinstance(bundle, Bundle) else to_path("bundle", bundle, of="a bundle's folder")
        opened = load_bundle(source)
        content = read_verified(source, spare=(GRAPH, REFERENCE))
        if content.digest != opened.digest or (isinstance(bundle, Bundle) and bundle.digest != opened.digest):
            raise BundleError(f"'{source}' was replaced while it was read. Register it again.")
        place = self.folder / name
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BundleError(
                f"'{place}' can't be made: {error.strerror}. Give another folder for the store."
            ) from error
        with alone(place):
            standing, number = read_standing(place), next_number(place)
            write_folder({**content.files, MANIFEST: content.raw}, place_of(place, number))
            first = standing.champion is None
            now = _change("registered", number, reason=reason or ("the first version" if first else ""))
            standing = replace(standing, champions=(number,)) if first else replace(standing, challenger=number)
            _write(place, replace(standing, history=(*standing.history, now)))
        return self.get(name, number)

    def promote(
        self,
        name: str,
        version: int | None = None,
        *,
        table: Any = None,
        metric: str | None = None,
        force: str | None = None,
    ) -> Change:
        """Makes a version (by default the challenger) the champion, where it is better with significance.

        `table` holds actual values newer than what both versions learned from (see `judge_challenger`); `metric` is
        what they are compared by. A version that is not better raises `PromotionError`, which the history keeps with
        its figures. `force` is the reason to promote without a comparison, or against it.
        """
        place = self._place(name)
        _check_force(force)
        before = read_standing(place)
        number = before.challenger if version is None else version
        if number is None:
            raise ConfigError(f"'{name}' has no challenger. Register a version, or name one.")
        check_number(place, number)
        if number == before.champion:
            raise ConfigError(f"version {number} is the champion of '{name}' already.")
        gate = self._judge(name, before, number, table=table, metric=metric, force=force)
        passed = gate is None or gate.passed
        kind: What = "promoted" if passed or force else "refused"
        why = force or (gate.reason if gate else "there was no champion")
        told = _change(kind, number, replaced=before.champion, reason=why)
        told = replace(told, forced=bool(force), figures=None if gate is None else asdict(gate))
        with alone(place):
            standing = read_standing(place)
            if standing.champion != before.champion:
                raise BundleError(f"the champion of '{name}' changed meanwhile to {standing.champion}. Try again.")
            if kind == "promoted":
                challenger = None if standing.challenger == number else standing.challenger
                standing = replace(standing, champions=(*standing.champions, number), challenger=challenger)
            _write(place, replace(standing, history=(*standing.history, told)))
        if kind == "refused":
            raise PromotionError(f"version {number} of '{name}' is not promoted: {why} force= takes a reason.")
        return told

    def rollback(self, name: str, *, reason: str = "") -> Change:
        """Makes the champion before this one the champion again. Nothing is deleted."""
        check_text("reason", reason)
        place = self._place(name)
        with alone(place):
            standing = read_standing(place)
            if len(standing.champions) < 2:
                raise ConfigError(f"'{name}' had no champion before version {standing.champion}; there is no way back.")
            *earlier, gone = standing.champions
            told = _change("rolled back", earlier[-1], replaced=gone, reason=reason)
            _write(place, replace(standing, champions=tuple(earlier), history=(*standing.history, told)))
        return told

    def versions(self, name: str | None = None) -> tuple[Release, ...]:
        """Every version of a model, or of all models by name, the oldest first."""
        if name is None:
            return tuple(one for each in self._names() for one in self.versions(each))
        return tuple(map(partial(self.get, name), list_numbers(self._place(name))))

    def get(self, name: str, version: int | None = None) -> Release:
        """A version of a model, by default its champion: where it stands and its digest, read and not verified."""
        place = self._place(name)
        standing = read_standing(place)
        number = standing.champion if version is None else version
        if number is None:
            raise BundleError(f"'{name}' has no champion. Promote a version.")
        check_number(place, number)
        return standing.release(place, number)

    def history(self, name: str) -> tuple[Change, ...]:
        """What happened to a model, the oldest first: who replaced whom, when, why, and with which figures."""
        return read_standing(self._place(name)).history

    def split(self, name: str, key: str | bytes, *, share: float) -> Release:
        """Who answers a request of an A/B split: the challenger for `share` of all keys, else the champion.

        The same key always gets the same version, whichever process asks; with a larger share none that had the
        challenger loses it. Each challenger draws anew.
        """
        standing = read_standing(self._place(name))
        rival = standing.challenger
        drawn = draw_share(key, salt=f"{name}/{rival}")
        words = "the part of all keys that the challenger answers, 0 to 1"
        check_real("share", share, words=words, low=0.0, high=1.0)
        return self.get(name) if rival is None or drawn >= share else self.get(name, rival)

    def _names(self) -> tuple[str, ...]:
        """The models that have a version, in order."""
        if not self.folder.is_dir():
            return ()
        inner = sorted(path for path in self.folder.iterdir() if NAME.fullmatch(path.name) and path.is_dir())
        return tuple(path.name for path in inner if list_numbers(path))

    def _place(self, name: str) -> Path:
        check_name(name, what=NOUN)
        names = self._names()
        if name not in names:
            raise UnknownNameError(explain_unknown(f"model of the store '{self.folder}'", name, names))
        return self.folder / name

    def _judge(
        self, name: str, standing: Standing, number: int, *, table: Any, metric: str | None, force: str | None
    ) -> Gate | None:
        """The comparison with the champion; None where there is none, or nothing to compare on and a reason not to."""
        if standing.champion is None or (table is None and force):
            return None
        if table is None:
            raise ConfigError(
                f"'{name}' is compared with its champion before it is promoted: give a table of newer actual values, "
                "or the reason to do without as force."
            )
        require("safetensors", extra="onnx", purpose="opening a bundle")
        place = self.folder / name
        champion, challenger = (load_bundle(place_of(place, one)) for one in (standing.champion, number))
        return judge_challenger(champion, challenger, table, metric=metric)

    def __repr__(self) -> str:
        return f"Store('{self.folder}', {len(self._names())} models)"


def mark_store(store: Store) -> Mark:
    """What is other after anything of a store was registered, promoted or rolled back: for those who look again and
    again. It costs one look at each model's folder.
    """
    found = []
    for path in sorted(store.folder.iterdir()) if store.folder.is_dir() else ():
        try:
            told = (path / CURRENT).stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        found.append((path.name, told.st_ino, told.st_mtime_ns, told.st_size))
    return tuple(found)


def _change(kind: What, version: int, *, replaced: int | None = None, reason: str = "") -> Change:
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    return Change(what=kind, version=version, replaced=replaced, at=moment, reason=reason)


def _write(place: Path, standing: Standing) -> None:
    write_pointer(place, standing.to_plain())


def _check_force(force: str | None) -> None:
    if force is not None and not (isinstance(force, str) and force.strip()):
        raise ConfigError(f"force is the reason to promote a version regardless, in words; got {force!r}.")
