"""A `SearchSpace` from a file (`read_space`), from the user's folder or the package (`find_space`) or from plain data.

Every message names the place in the file (`lstm.yaml: parameters/model.hidden/low`) and the near miss.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from tidewright.catalog import explain_unknown
from tidewright.data.read_yaml import read_yaml
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.tuning.parse_space import parse_space
from tidewright.tuning.space import SearchSpace

__all__ = ["UNTUNED", "find_space", "parse_space", "read_space", "spaces", "usual_space"]

SMALL = "_small"  # of the name of a space that is sized for minutes, where a model's own is for hours

# What has nothing that a search could find better than the model does.
UNTUNED = {
    "naive": "it has no options",
    "seasonal": "its one option, the period, is chosen on validation at each fit",
    "auto_arima": "it chooses its orders on each window by a criterion of its own",
    "auto_ets": "it chooses its form on each window by a criterion of its own",
    "auto_ces": "it chooses its form on each window by a criterion of its own",
}


def spaces(folder: str | Path | None = None) -> tuple[str, ...]:
    """The names of the spaces in the package, and of those in a folder of the user's.

    >>> spaces()[:2]
    ('adaptive_cnn', 'adaptive_transformer')
    """
    return tuple(sorted({name for name, _ in _files(folder)}))


def find_space(name: str, *, folder: str | Path | None = None) -> SearchSpace:
    """The space of a name: the user's where the folder has one, else the package's. Raises `UnknownNameError`.

    Models without one stand in `UNTUNED`, with the reason.

    >>> find_space("lstm").names[:2]
    ('model.hidden', 'model.layers')
    """
    known = dict(_files(folder))
    if name not in known and name in UNTUNED:
        raise UnknownNameError(f"{name} has no search space: {UNTUNED[name]}. Fit it as it is.")
    if name not in known:
        raise UnknownNameError(explain_unknown("search space", name, sorted(known)))
    text = known[name].read_text("utf-8")
    return parse_space(read_yaml(text, source=f"{name}.yaml"), source=f"{name}.yaml", folder=folder)


def usual_space(model: str) -> SearchSpace | None:
    """The space that a run of minutes searches of a model; None where there is nothing to search.

    >>> usual_space("lstm") == find_space("lstm_small"), usual_space("auto_ets")
    (True, None)
    """
    known = spaces()
    found = next((name for name in (f"{model}{SMALL}", model) if name in known), None)
    return None if found is None else find_space(found)


def read_space(path: str | Path) -> SearchSpace:
    """The space in a YAML file; models that it names are looked up beside it first. Raises `ConfigError`."""
    file = Path(path)
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the search space {file} can't be read: {error}. Give the path of a YAML file.") from error
    return parse_space(read_yaml(text, source=file.name), source=file.name, folder=file.parent)


def _files(folder: str | Path | None) -> list[tuple[str, Traversable]]:
    """The YAML files by name, the user's last."""
    homes: list[Traversable] = [files("tidewright.tuning") / "spaces"]
    if folder is not None:
        own = Path(folder)
        if not own.is_dir():
            raise ConfigError(f"{own} is no folder. Give one with YAML files of spaces.")
        homes.append(own)
    return [(f.name.removesuffix(".yaml"), f) for home in homes for f in home.iterdir() if f.name.endswith(".yaml")]
