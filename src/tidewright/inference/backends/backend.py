"""`Backend`: what is known of one before it starts, and how it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tidewright.inference.options import SessionOptions
from tidewright.inference.session import Answerer
from tidewright.registry.bundle import Bundle
from tidewright.registry.manifest import Manifest


class Start(Protocol):
    """How a backend starts."""

    def __call__(self, bundle: Bundle, /, *, options: SessionOptions) -> Answerer:
        """What answers for the bundle. `options.device` is cpu or cuda. Raises `BackendError` where it can't serve."""
        ...


def at_once(bundle: Bundle, options: SessionOptions) -> bool:
    """That a backend compiles nothing for long."""
    return True


@dataclass(frozen=True, slots=True)
class Backend:
    """`explain_unfit` says why a bundle's model can't run on it anywhere, `explain_missing` why nothing can run on it
    on a device (cpu, cuda) of this machine; both say nothing where it can, and neither imports torch. `is_ready` says
    whether it would start without compiling for long.
    """

    explain_unfit: Callable[[Manifest], str]
    explain_missing: Callable[[str], str]
    start: Start
    is_ready: Callable[[Bundle, SessionOptions], bool] = at_once
