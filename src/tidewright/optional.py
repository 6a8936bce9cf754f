"""The one way to a package that not every user has."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tidewright.errors import MissingExtraError


def require(module: str, *, extra: str, purpose: str) -> Any:
    """The module, or an error that names the extra to install and what it is for.

    >>> require("math", extra="none", purpose="arithmetic").sqrt(4.0)
    2.0
    >>> require("no_such_package", extra="nets", purpose="training networks")
    Traceback (most recent call last):
        ...
    tidewright.errors.MissingExtraError: training networks needs the package 'no_such_package'. Install it with:
    pip install 'tidewright[nets]'
    """
    root = module.partition(".")[0]
    if not has(root):
        raise MissingExtraError(
            f"{purpose} needs the package '{root}'. Install it with: pip install 'tidewright[{extra}]'"
        )
    return import_module(module)


def has(module: str) -> bool:
    """Whether a package can be imported here, without importing it."""
    return find_spec(module) is not None
