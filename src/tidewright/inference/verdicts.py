"""What was measured of backends on this machine, kept in the user's cache folder.

One file a bundle, machine, options and batch sizes. A file that is damaged, or of another machine, is ignored aloud.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from tidewright.errors import BackendError, FallbackWarning
from tidewright.inference.options import SessionOptions
from tidewright.inference.private_folder import describe_machine, find_cache, open_folder, read_own, write_own

FOLDER = "backends"
FORMAT = 1
MOST_BYTES = 1 << 16

Seconds = Mapping[str, tuple[float, ...]]  # of one answer for each batch size, by backend


@dataclass(frozen=True, slots=True)
class Question:
    """What figures are asked for: a bundle by its digest, the batch sizes and the options."""

    digest: str
    batch_sizes: tuple[int, ...]
    options: SessionOptions

    def to_plain(self) -> dict[str, Any]:
        """The question as plain data, with the machine that it is asked on."""
        asked = {"bundle": self.digest, "batch_sizes": list(self.batch_sizes), "options": self.options.to_dict()}
        return {"format": FORMAT, "machine": describe_machine(), **asked}


def recall(question: Question) -> Seconds:
    """The figures that were kept; none where there are none, or where they can't be believed."""
    plain = question.to_plain()
    try:
        path = find_cache() / FOLDER / _name(plain)
    except BackendError:  # where nothing can have been kept
        return {}
    try:
        return _check(json.loads(read_own(path, most=MOST_BYTES)), plain)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        warnings.warn(f"{path} is ignored, and the backends are measured anew: {why}.", FallbackWarning, stacklevel=4)
        return {}


def keep(question: Question, seconds: Seconds) -> None:
    """Writes the figures down; where that can't be done they are measured again, which a warning says."""
    plain = question.to_plain()
    try:
        content = json.dumps({**plain, "seconds": {name: list(each) for name, each in seconds.items()}}, indent=1)
        write_own(open_folder(FOLDER) / _name(plain), content.encode())
    except (OSError, BackendError) as error:
        warnings.warn(f"what was measured could not be kept: {error}", FallbackWarning, stacklevel=4)


def _name(plain: Mapping[str, Any]) -> str:
    key = blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=12).hexdigest()
    return f"{plain['bundle'][:12]}-{key}.json"


def _check(found: Any, plain: Mapping[str, Any]) -> Seconds:
    """The figures of a file that answers just this question. Raises `ValueError` otherwise."""
    seconds = found.pop("seconds", None) if isinstance(found, dict) else None
    if not isinstance(seconds, dict) or found != plain:
        raise ValueError("it does not say what was asked, of this machine")
    count = len(plain["batch_sizes"])
    for each in seconds.values():
        fine = isinstance(each, list) and len(each) == count
        if not fine or not all(isinstance(one, float) and 0.0 < one < 3600.0 for one in each):
            raise ValueError("its figures are no seconds")
    return {name: tuple(each) for name, each in seconds.items()}
