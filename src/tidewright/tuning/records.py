"""The three records that a point of a space changes: what the model is, how it learns, what it sees."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, TypeVar, get_type_hints

from tidewright.errors import ConfigError
from tidewright.features.view import View
from tidewright.models.spec import ModelSpec, kind_of, spec_key
from tidewright.training.spec import TrainSpec

Record = TypeVar("Record")

# Which records each family of models heeds: an option that changes nothing is not searched.
RECORDS_OF_KIND: dict[str, tuple[str, ...]] = {
    "floor": ("model",),
    "statistical": ("model", "view"),
    "foundation": ("model", "view"),
    "trees": ("model", "view"),
    "torch": ("model", "train", "view"),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one trial learns: the three records."""

    spec: ModelSpec
    train: TrainSpec
    view: View

    @property
    def key(self) -> str:
        """The twelve digits that name the three records."""
        return spec_key(self.spec, self.train, self.view)

    @property
    def positions(self) -> bool:
        """Whether it learns positions, which is what training by the Sharpe ratio does, and no forecast."""
        return self.train.loss == "sharpe" and kind_of(self.spec) == "torch"

    def value(self, address: str) -> Any:
        """The value of one option, by its address (`model.hidden`)."""
        record, _, option = address.partition(".")
        owner: Any = {"model": self.spec, "train": self.train, "view": self.view}[record]
        return getattr(owner, option)

    def change(self, point: Mapping[str, Any]) -> Candidate:
        """The same records with the point's options set. Raises `ConfigError`."""
        changes: dict[str, dict[str, Any]] = {"model": {}, "train": {}, "view": {}}
        for address, value in point.items():
            record, _, option = address.partition(".")
            changes[record][option] = value
        return Candidate(
            change_record(self.spec, changes["model"]),
            change_record(self.train, changes["train"]),
            change_record(self.view, changes["view"]),
        )


def coerce_option(record: Any, option: str, value: Any) -> Any:
    """A value as an option of a record, given by its class, has it: 1 as 1.0, a list as a tuple. Raises `ConfigError`.

    >>> coerce_option(TrainSpec, "clip", 1)
    1.0
    """
    from pydantic import ValidationError

    try:
        return _adapter(record, option).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (option, *first["loc"]))
        raise ConfigError(f"{place}: {first['msg']}; got {first['input']!r}.") from error


@lru_cache(maxsize=1024)
def _adapter(record: Hashable, option: str = "") -> Any:
    """What checks an option of a record's class, or the whole of it; to make one takes longer than to use it."""
    from pydantic import TypeAdapter

    what: Any = get_type_hints(record)[option] if option else record
    return TypeAdapter(what)


def change_record(record: Record, options: Mapping[str, Any]) -> Record:
    """A frozen record with some options set, each checked against its type. Raises `ConfigError`.

    >>> change_record(TrainSpec(), {"epochs": 3}).epochs
    3
    >>> change_record(TrainSpec(), {"epochs": 2.5})
    Traceback (most recent call last):
        ...
    tidewright.errors.ConfigError: epochs: Input should be a valid integer, ...; got 2.5.
    """
    from pydantic import ValidationError

    if not options:
        return record
    values = {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]
    kind: Any = type(record)
    try:
        changed: Record = _adapter(kind).validate_python({**values, **options})
    except ValidationError as error:
        first = error.errors()[0]
        own = first.get("ctx", {}).get("error")
        if isinstance(own, ConfigError):  # the record's own check, with its own message
            raise own from error
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{place}: {first['msg']}; got {first['input']!r}.") from error
    return changed
