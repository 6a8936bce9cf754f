"""What a search is asked for, checked before anything is learned."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from os import PathLike
from typing import Any

from tidewright.errors import ConfigError


def check_asked(
    *, stops: Any, first: Any, callbacks: Any, keep: Any, seed: Any, workers: Any, ray: Any, **places: Any
) -> None:
    """Raises `ConfigError` for what `tune` can't heed; `places` as `check_places` takes them."""
    check_places(**places)
    _check_rules("stops", stops, like="[Convergence(patience=30)]")
    _check_rules("callbacks", callbacks, like="[print]")
    if isinstance(first, (str, Mapping)) or not _are(first, Mapping):
        raise ConfigError(f'first is a list of points, such as [{{"model.hidden": 64}}]; got {first!r}.')
    if not _is_whole(keep, least=0):
        raise ConfigError(f"keep is how many of the best trials keep their files, 0 or more; got {keep!r}.")
    if not _is_whole(seed, least=0):
        raise ConfigError(f"seed is a whole number, 0 or more; got {seed!r}.")
    if workers is not None and not _is_whole(workers, least=1):
        raise ConfigError(f"workers is a number of processes, 1 or more; got {workers!r}.")
    if ray is not None and not isinstance(ray, str):
        raise ConfigError(f'ray is "auto" or the address of a cluster; got {ray!r}.')


def check_places(*, storage: Any = None, name: Any = None, folder: Any = None, ledger: Any = True) -> None:
    """Raises `ConfigError` for what is no place, or no name, of a study or of a ledger."""
    if storage is not None and not isinstance(storage, (str, PathLike)):
        raise ConfigError(f"storage is a folder, sqlite:///FILE or postgresql://..., or None; got {storage!r}.")
    if name is not None and not isinstance(name, str):
        raise ConfigError(f"name is the name of the study, in words; got {name!r}.")
    if folder is not None and not isinstance(folder, (str, PathLike)):
        raise ConfigError(f"folder is where trials keep their files, or None; got {folder!r}.")
    if not isinstance(ledger, (bool, str, PathLike)):
        raise ConfigError(f"ledger is a folder, True (the usual one) or False (none is kept); got {ledger!r}.")


def _check_rules(name: str, value: Any, *, like: str) -> None:
    if isinstance(value, str) or not isinstance(value, (list, tuple)) or not all(map(callable, value)):
        raise ConfigError(f"{name} is a list of functions, such as {like}; got {value!r}.")


def _are(values: Any, kind: type) -> bool:
    return isinstance(values, (list, tuple)) and all(isinstance(one, kind) for one in values)


def _is_whole(value: Any, *, least: int) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least
