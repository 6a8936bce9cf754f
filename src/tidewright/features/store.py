"""`FeatureStore`: features on disk under the digest of what they were made from, so that nothing is computed twice.

An entry is one Parquet file, named by its key and by the digest of its own bytes, which is checked before it is read.
It appears whole, in one step. Who computes an entry holds the lock (flock) of its shard, so that another process that
asks for the same waits and reads.
"""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b, sha256
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import polars as pl
from pyarrow import parquet

from tidewright.data.digest import digest_panel
from tidewright.data.panel import Panel, Repair, Roles
from tidewright.errors import ConfigError, DataError, FallbackWarning
from tidewright.features.recipe import Recipe

ROLES, REACH = b"tidewright.roles", b"tidewright.reach"


@dataclass(frozen=True, slots=True)
class FeatureStore:
    """A folder of features. Safe to use from several threads and processes at once.

    At most `most_bytes` are kept; what was used least lately goes first. A damaged file is made anew, with a
    `FallbackWarning` and a repair in the panel, and is an error when `strict`; so is a disk that keeps nothing.
    """

    folder: str | Path
    most_bytes: int = 4 << 30
    strict: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.folder, (str, Path)) or not str(self.folder):
            raise ConfigError(f"the folder of features is a path; got {self.folder!r}.")
        if isinstance(self.most_bytes, bool) or not isinstance(self.most_bytes, (int, float)) or self.most_bytes < 0:
            raise ConfigError(f"most_bytes is a number of bytes, 0 or more; got {self.most_bytes!r}.")

    def get(self, panel: Panel, recipe: Recipe) -> Panel:
        """The panel with the recipe's columns: read if they were ever made of just this, else made and kept.

        Raises `ConfigError` where the folder can't be used.
        """
        _check_made_of(panel, recipe)
        key = self.key(panel, recipe)
        with self._shard(key) as shard:
            found, damage = _read(shard, key, panel)
            if found is None:
                made = recipe.apply(panel)
                trouble = self._keep(shard, key, made)
        if found is not None:
            return found
        for what in filter(None, (damage, trouble)):
            made = self._record(made, what)
        self._evict(keep=key)
        return made

    def key(self, panel: Panel, recipe: Recipe) -> str:
        """Thirty-two hexadecimal digits of all that the features depend on: every value, time, name, role and type of
        the panel, the order of its series, its grid; the recipe, and the code."""
        grid = json.dumps([asdict(panel.frequency), panel.local, list(map(repr, panel.series_ids))])
        types = json.dumps([[name, str(kind)] for name, kind in panel.table.schema.items()])
        parts = (digest_panel(panel), grid, types, recipe.digest)
        return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()

    @property
    def size_bytes(self) -> int:
        """How much is kept."""
        return sum(size for _, size, _ in self._entries())

    def _keep(self, shard: Path, key: str, made: Panel) -> str:
        """Writes an entry; what went wrong, if anything did."""
        content = _to_bytes(made)
        if len(content) > self.most_bytes:
            return (
                f"the features take {len(content):,} bytes and the store keeps {self.most_bytes:,}: they were not kept"
            )
        try:
            _write(shard, f"{key}.{_sum(content)}.parquet", content)
        except OSError as error:
            return f"the features could not be kept: {error.strerror or error}"
        return ""

    def _record(self, made: Panel, what: str) -> Panel:
        if self.strict:
            raise DataError(f"{what}. Mend the folder '{self.folder}', or ask for a store that is not strict.")
        warnings.warn(f"{what}; they were computed", FallbackWarning, stacklevel=4)
        return replace(made, repairs=(*made.repairs, Repair("computed features", 1, what)))

    def _evict(self, *, keep: str) -> None:
        """Deletes what was used least lately until the rest fits; never the entry that was just made."""
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.most_bytes:
                return
            if not path.name.startswith(keep):
                path.unlink(missing_ok=True)  # who reads it now has it open; who comes later makes it anew
                total -= size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """When each file was last used, its size and its place."""
        for path in Path(self.folder).glob("*/*.parquet"):
            try:
                found = path.stat()
            except FileNotFoundError:  # another process evicted it
                continue
            yield found.st_mtime, found.st_size, path

    @contextmanager
    def _shard(self, key: str) -> Iterator[Path]:
        """The folder of a key, locked: one of 256, so that other keys hardly ever wait."""
        shard = Path(self.folder) / key[:2]
        try:
            shard.mkdir(parents=True, exist_ok=True)
            handle = os.open(shard, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ConfigError(
                f"the folder of features '{self.folder}' can't be used: {error.strerror}. Name another one."
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # falls with the process, so a kill leaves it free
            yield shard
        finally:
            os.close(handle)


def _check_made_of(panel: Any, recipe: Any) -> None:
    if not isinstance(panel, Panel) or not isinstance(recipe, Recipe):
        got = f"{type(panel).__name__} and {type(recipe).__name__}"
        raise ConfigError(f"features are made of a Panel and a recipe of build_recipe; got {got}.")


def _read(shard: Path, key: str, panel: Panel) -> tuple[Panel | None, str]:
    """The entry of a key, if a whole one is there, and what was wrong with a damaged one, which is deleted."""
    damage = ""
    for path in sorted(shard.glob(f"{key}.*.parquet")):
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # evicted since it was listed
            continue
        except OSError as error:
            damage = f"the features in '{path.name}' can't be read: {error.strerror}"
            continue
        if path.name.split(".")[1] == _sum(content):
            os.utime(path)
            return _from_bytes(content, panel), ""
        damage = f"the features in '{path.name}' are damaged: their bytes are not those that were written"
        path.unlink(missing_ok=True)
    return None, damage


def _write(shard: Path, name: str, content: bytes) -> None:
    """A whole file or none; what a killed writer of this shard left is deleted (its lock is ours)."""
    for left in shard.glob("*.partial"):
        left.unlink(missing_ok=True)
    part = shard / f"{token_hex(8)}.partial"
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(shard / name)
    finally:
        part.unlink(missing_ok=True)
    handle = os.open(shard, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _to_bytes(made: Panel) -> bytes:
    """The table, then each row's series and position, and the roles beside it."""
    longest = max(made.table.columns, key=len)  # what is longer is the name of no column
    extra = [pl.Series(f"{longest} code", made.codes), pl.Series(f"{longest} position", made.positions)]
    table = made.table.with_columns(extra).to_arrow()
    known = {**(table.schema.metadata or {}), ROLES: json.dumps(asdict(made.roles)).encode()}
    known[REACH] = json.dumps(dict(made.reach)).encode()
    buffer = BytesIO()
    texts = [name for name, kind in made.table.schema.items() if kind == pl.String]  # no dictionary of numbers
    parquet.write_table(table.replace_schema_metadata(known), buffer, compression="lz4", use_dictionary=texts)
    return buffer.getvalue()


def _from_bytes(content: bytes, panel: Panel) -> Panel:
    """The panel that was kept; what a recipe does not touch (grid, repairs, kind of table) is that of the one given."""
    table = parquet.read_table(BytesIO(content))
    given = json.loads(table.schema.metadata[ROLES])
    roles: dict[str, Any] = {name: tuple(own) if isinstance(own, list) else own for name, own in given.items()}
    rows = pl.DataFrame(pl.from_arrow(table))
    code, position = rows.columns[-2:]
    codes = rows[code].to_numpy()
    offsets = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(codes)).astype(np.int64)
    positions = rows[position].to_numpy().astype(np.int64)
    return replace(
        panel,
        table=rows.drop(code, position),
        roles=Roles(**roles),
        offsets=offsets,
        positions=positions,
        reach=json.loads(table.schema.metadata[REACH]),
    )


def _sum(content: bytes) -> str:
    return sha256(content).hexdigest()
