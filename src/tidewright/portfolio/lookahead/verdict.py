"""`Lookahead`: what a check of a function found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from tidewright.errors import AllocationError


@dataclass(frozen=True, slots=True)
class Lookahead:
    """Whether a function looked ahead.

    `kind` is "clean", "look-ahead", or "random" where the same input gave two answers, so that nothing can be said.
    `bar` is the first row of its output that changed, `time` its date, with its `column` and values before and after,
    when only what lies after `cut` was changed in a `way`. `reach` is how many bars after `bar` at least were seen, and
    `to_end` whether they are all that there are. `cuts`, `ways` and `calls` say what was tried.
    """

    kind: Literal["clean", "look-ahead", "random"]
    bars: int
    cuts: tuple[int, ...]
    ways: tuple[str, ...]
    calls: int
    seed: int
    bar: int | None = None
    time: str = ""
    column: str = ""
    before: str = ""
    after: str = ""
    cut: str = ""
    way: str = ""
    reach: int | None = None
    to_end: bool = False
    notes: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return self.kind == "clean"

    def __bool__(self) -> bool:
        return self.clean

    def __str__(self) -> str:
        lines = [self.explain(), *(f"note: {note}" for note in self.notes)]
        return "\n".join(lines)

    def explain(self) -> str:
        """The verdict in a sentence or two."""
        if self.kind == "random":
            return (
                f"the same input gave two answers, first at {self.time} in {self.column!r} ({self.before}, then "
                f"{self.after}): a function that is not deterministic can't be checked. Give it a fixed seed."
            )
        if self.clean:
            return (
                f"no look-ahead found: at {len(self.cuts)} cuts of {self.bars} bars the past stayed as it was, bit for "
                f"bit, when the future was changed ({', '.join(self.ways)})."
            )
        return (
            f"look-ahead: {self.column!r} at {self.time} was {self.before} and became {self.after} when only bars "
            f"after {self.cut} were changed ({self.way}). It sees {self._tell_reach()}."
        )

    def _tell_reach(self) -> str:
        if self.to_end:
            return "to the last bar"
        assert self.reach is not None
        if self.reach <= 0:
            return "its own bar" if self.reach == 0 else f"the bar {-self.reach} before it, less than the lag"
        return f"at least {self.reach} bar{'' if self.reach == 1 else 's'} ahead"

    def refuse(self) -> None:
        """Raises `AllocationError` with the verdict where the function is not clean."""
        if not self.clean:
            raise AllocationError(self.explain())

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain data."""
        return {**asdict(self), "clean": self.clean, "message": self.explain()}
