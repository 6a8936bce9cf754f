"""The records that a point of a space changes: what the model is, how it learns, what it sees, what is asked of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, TypeVar, get_type_hints

from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.view import StaticEncoding, View
from tidewright.models.build import build_spec
from tidewright.models.spec import ModelSpec, kind_of, spec_key
from tidewright.training.spec import TrainSpec
from tidewright.tuning.space import NO_RULE, SearchSpace

Record = TypeVar("Record")

RECORDS = ("model", "train", "view", "task")
# Which records each family of models heeds: an option that changes nothing is not searched.
RECORDS_OF_KIND: dict[str, tuple[str, ...]] = {
    "floor": ("model",),
    "statistical": ("model", "view"),
    "foundation": ("model", "view"),
    "trees": ("model", "view", "task"),
    "torch": ("model", "train", "view", "task"),
}
# Of some records only these options: the others are no numbers to be searched, or belong to the data.
SEARCHED: dict[str, tuple[str, ...]] = {"view": ("lookback",), "task": ("horizon",)}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one trial learns: the records. `task` is given where it is searched too: the horizon that the model learns.

    `others` are the candidates of other models, by name, for spaces in which the model is an option. One that isn't
    there is made of the usual spec, with the same `train` and what its model takes of `view`.
    """

    spec: ModelSpec
    train: TrainSpec
    view: View
    task: Task | None = None
    others: Mapping[str, Candidate] = field(default_factory=dict, hash=False, compare=False)

    @property
    def key(self) -> str:
        """The twelve digits that name the records."""
        return spec_key(self.spec, self.train, self.view, *(() if self.task is None else (self.task,)))

    @property
    def positions(self) -> bool:
        """Whether it learns positions, which is what training by the Sharpe ratio does, and no forecast."""
        return self.train.loss == "sharpe" and kind_of(self.spec) == "torch"

    def value(self, address: str) -> Any:
        """The value of one option, by its address (`model.hidden`)."""
        if address == "model":
            return self.spec.name
        record, option = split_address(address, model=self.spec.name)
        return getattr(self._record(record, address), option)

    def point(self, space: SearchSpace) -> dict[str, Any]:
        """The values of the options of a space that are there with them, whether or not its ranges hold them."""
        found: dict[str, Any] = {}
        for name in space.names:
            if space.rules.get(name, NO_RULE).applies(found):
                found[name] = self.value(name)
        return found

    def change(self, point: Mapping[str, Any]) -> Candidate:
        """The same records with the point's options set, of the model that it names. Raises `ConfigError`."""
        base = self._turn(point.get("model", self.spec.name))
        changes: dict[str, dict[str, Any]] = {}
        for address, value in point.items():
            if address != "model":
                record, option = split_address(address, model=base.spec.name)
                changes.setdefault(record, {})[option] = value
                base._record(record, address)
        return replace(
            base,
            spec=change_record(base.spec, changes.get("model", {})),
            train=change_record(base.train, changes.get("train", {})),
            view=change_record(base.view, changes.get("view", {})),
            task=None if base.task is None else change_record(base.task, changes.get("task", {})),
        )

    def _record(self, record: str, address: str) -> Any:
        owner = {"model": self.spec, "train": self.train, "view": self.view, "task": self.task}[record]
        if owner is None:
            raise ConfigError(f"{address}: this search has no task to change. Leave it out of the space.")
        return owner

    def _turn(self, model: str) -> Candidate:
        """The candidate of a model."""
        if model == self.spec.name:
            return self
        if model in self.others:
            return replace(self.others[model], others=self.others, task=self.task)
        spec = build_spec(model)
        view = replace(
            self.view,
            calendar=self.view.calendar if "known" in spec.takes else (),
            static=self.view.static if "static" in spec.takes else StaticEncoding(),
        )
        return replace(self, spec=spec, view=view)


def split_address(address: str, *, model: str) -> tuple[str, str]:
    """The record and the option of an address, which may name its model first. Raises `ConfigError` for another model.

    >>> split_address("lstm.model.hidden", model="lstm"), split_address("train.epochs", model="lstm")
    (('model', 'hidden'), ('train', 'epochs'))
    """
    record, _, option = address.removeprefix(f"{model}.").partition(".")
    if record not in RECORDS:
        raise ConfigError(f"{address} is no option of {model}. Leave it out of the point.")
    return record, option


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
