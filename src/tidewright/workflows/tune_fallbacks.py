"""What a search did otherwise than it was asked for: recorded, or refused."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tidewright.errors import ConfigError, FallbackWarning
from tidewright.tracking.run import Fallback
from tidewright.tuning.steps import ONE_BY_ONE, Asked
from tidewright.tuning.study import Study


@contextmanager
def refuse_fallbacks(*, strict: bool) -> Iterator[None]:
    """Where it is strict a search that warns of something else than was asked for is a `ConfigError`."""
    if not strict:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error", FallbackWarning)
        try:
            yield
        except FallbackWarning as fallback:
            raise ConfigError(f"{fallback} Ask for what can be had, or leave out --strict.") from fallback


def list_fallbacks(together: Asked, studies: Mapping[str, Study]) -> tuple[Fallback, ...]:
    """What the searches did otherwise than they were told by a number."""
    if together in (1, "auto"):
        return ()
    return tuple(
        Fallback(f"together={together} for {name}", "one trial at a time", note)
        for name, study in studies.items()
        for note in study.notes
        if note.startswith(ONE_BY_ONE)
    )
