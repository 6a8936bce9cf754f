"""`SearchSpace`: which options a search may change, and between what, as frozen data.

An option is addressed by its record and its name: `model.hidden`, `train.learning_rate`, `view.lookback`,
`task.horizon`. Where the model itself is searched, it is the option `model`, and the options of each are addressed by
its name first: `lstm.model.hidden`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError
from tidewright.tuning.order import arrange, count_points, list_points
from tidewright.tuning.ranges import Choice, FloatRange, IntRange, Range
from tidewright.tuning.rules import Rule, check_condition, check_rule

__all__ = ["Choice", "Combination", "FloatRange", "IntRange", "Range", "SearchSpace"]

Draw = Callable[[str, Range], Any]
Combination = Mapping[str, Range]
NO_RULE = Rule()


@dataclass(frozen=True)
class SearchSpace:
    """The options that a search may change, made and checked by `read_space`. Prints as a table.

    `ranges` are the widest ranges; `rules` say which options are there only with values of others, or lie between
    bounds that others set. A point has the options that are there at it, and no others. No point holds a combination
    of `forbidden`: options, each with a value of its range there; the last of them in the order of `names` is a
    choice. Raises `ConfigError`.

    >>> space = SearchSpace("lstm", {"model.hidden": IntRange(16, 64, step=16)})
    >>> space.names, space.size
    (('model.hidden',), 4)
    >>> print(space)
    lstm
      model.hidden  16 to 64, whole, step 16
    """

    model: str
    ranges: Mapping[str, Range]
    rules: Mapping[str, Rule] = field(default_factory=dict)
    forbidden: tuple[Combination, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranges", MappingProxyType(dict(self.ranges)))
        object.__setattr__(self, "rules", MappingProxyType({n: r for n, r in self.rules.items() if r != NO_RULE}))
        object.__setattr__(self, "forbidden", tuple(MappingProxyType(dict(one)) for one in self.forbidden))
        self._check_rules()
        self._check_forbidden()

    @classmethod
    def of_models(
        cls,
        spaces: Sequence[SearchSpace],
        *,
        shared: Mapping[str, Range] | None = None,
        rules: Mapping[str, Rule] | None = None,
        forbidden: Sequence[Combination] = (),
    ) -> SearchSpace:
        """The space in which the model is an option too, `model`; those of each are there only with it.

        They are addressed by its name first (`lstm.model.hidden`); options that several models share keep their
        address, and `rules` and `forbidden` are of these. Raises `ConfigError`.

        >>> lstm = SearchSpace("lstm", {"model.hidden": IntRange(16, 64, step=16)})
        >>> both = SearchSpace.of_models([lstm, SearchSpace("theta", {"model.form": Choice(("auto", "standard"))})])
        >>> both.names, both.size
        (('model', 'lstm.model.hidden', 'theta.model.form'), 6)
        """
        from tidewright.tuning.join_spaces import join_spaces

        return join_spaces(spaces, shared=shared or {}, rules=rules or {}, forbidden=forbidden)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The addresses of the options, in the order of the file but for those that others wait for."""
        return arrange(self.ranges, self.rules)

    @cached_property
    def size(self) -> float:
        """How many different points there are; infinite when an option is continuous.

        An upper bound where it would take more than 20,000 steps to count them.
        """
        return count_points(self)

    @property
    def models(self) -> tuple[str, ...]:
        """The models that are searched."""
        choice = self.ranges.get("model")
        return choice.choices if isinstance(choice, Choice) else (self.model,)

    @property
    def flat(self) -> SearchSpace:
        """The widest ranges alone, for searchers that know no rules; `settle` makes legal points of its points."""
        return SearchSpace(self.model, self.ranges)

    def free(self, name: str, point: Mapping[str, Any]) -> Range | None:
        """What an option may be at a point that has all that come before it; None where it isn't there."""
        rule, widest = self.rules.get(name, NO_RULE), self.ranges[name]
        if not rule.applies(point):
            return None
        found = rule.narrow(widest, point)
        for combination in self._ending.get(name, ()):
            earlier = {other: one for other, one in combination.items() if other != name}
            if all(other in point and one.holds(point[other]) for other, one in earlier.items()):
                assert isinstance(found, Choice)
                found = Choice(tuple(value for value in found.choices if not combination[name].holds(value)))
        return found

    def walk(self, draw: Draw) -> dict[str, Any]:
        """A legal point: `draw(name, range)` gives the value of each option that is there, in the order of `names`.

        The range is what is left of the option's own at the point so far. Raises `ConfigError` for a value outside it.
        """
        point: dict[str, Any] = {}
        for name in self.names:
            range_ = self.free(name, point)
            if range_ is None:
                continue
            value = draw(name, range_)
            if not range_.holds(value):
                raise ConfigError(f"{name} is {range_} here; got {value!r}. Draw from the range that is handed over.")
            point[name] = value
        return point

    def settle(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The legal point of a point of `flat`: what isn't there is left out, the rest goes to the nearest legal value.

        A point of the space stays as it is.
        """

        def draw(name: str, range_: Range) -> Any:
            if name not in values:
                raise ConfigError(f"the point has no {name}. Give a value for every option that is there.")
            return _nearest(range_, values[name], widest=self.ranges[name])

        return self.walk(draw)

    def points(self) -> Iterator[dict[str, Any]]:
        """Every point, the last option changing first. Raises `ConfigError` where there is no end of them."""
        return list_points(self)

    def holds(self, point: Mapping[str, Any]) -> bool:
        """Whether the point has just the options that are there at it, each with a value that it may have.

        Other names than the space's don't matter.
        """
        seen: dict[str, Any] = {}
        for name in self.names:
            range_ = self.free(name, seen)
            if (range_ is None) == (name in point) or (range_ is not None and not range_.holds(point[name])):
                return False
            if range_ is not None:
                seen[name] = point[name]
        return True

    def diff(self, other: SearchSpace) -> tuple[str, ...]:
        """What changes from this space to another one, a line an option; see `diff_spaces`."""
        from tidewright.tuning.show_space import diff_spaces

        return diff_spaces(self, other)

    def to_dict(self) -> dict[str, Any]:
        """The space as it is written in YAML."""
        from tidewright.tuning.write_space import describe_space

        return describe_space(self)

    def __str__(self) -> str:
        from tidewright.tuning.show_space import show_space

        return show_space(self)

    def __hash__(self) -> int:
        return hash((self.model, tuple(sorted(map(str, self.ranges.items()))), len(self.rules), len(self.forbidden)))

    def __reduce__(self) -> tuple[Any, ...]:  # a mapping proxy can't be sent to another process
        parts = (dict(self.ranges), dict(self.rules), tuple(dict(one) for one in self.forbidden))
        return SearchSpace, (self.model, *parts)

    @cached_property
    def _ending(self) -> dict[str, list[Combination]]:
        """The forbidden combinations by the option that is drawn last."""
        found: dict[str, list[Combination]] = {}
        for one in self.forbidden:
            found.setdefault(max(one, key=self.names.index), []).append(one)
        return found

    def _check_rules(self) -> None:
        for name, rule in self.rules.items():
            for other in (name, *rule.names):
                if other not in self.ranges:
                    raise ConfigError(f"parameters/{name}: {explain_unknown('option', other, list(self.ranges))}")
        _ = self.names  # a circle is an error
        for name, rule in self.rules.items():
            try:
                check_rule(name, rule, self.ranges)
            except ConfigError as error:
                raise ConfigError(f"parameters/{name}: {error}") from error

    def _check_forbidden(self) -> None:
        for place, one in enumerate(self.forbidden):
            try:
                self._check_combination(one)
            except ConfigError as error:
                raise ConfigError(f"forbidden/{place}: {error}") from error
        for name, ending in self._ending.items():
            if all(any(one[name].holds(value) for one in ending) for value in self.ranges[name].values()):
                raise ConfigError(f"forbidden: nothing might be left of {name}. Forbid less, or give it more choices.")

    def _check_combination(self, one: Combination) -> None:
        for name, values in one.items():
            if name not in self.ranges:
                raise ConfigError(explain_unknown("option", name, list(self.ranges)))
            check_condition(name, values, self.ranges[name])
        if len(one) < 2:
            raise ConfigError("a combination has two options or more. Change the range instead.")
        last = max(one, key=self.names.index)
        if not isinstance(self.ranges[last], Choice):
            raise ConfigError(
                f"the last one drawn, {last}, is no choice, so nothing can be left out of it. Make it a choice, or "
                "bind its ends (low, high) to the others."
            )


def _nearest(range_: Range, value: Any, *, widest: Range) -> Any:
    if not isinstance(range_, Choice):
        return range_.nearest(value)
    if range_.holds(value) or not widest.holds(value) or not isinstance(widest, Choice):
        return value
    labels: Sequence[str] = widest.labels
    asked = labels.index(json.dumps(value))
    return min(range_.choices, key=lambda one: abs(labels.index(json.dumps(one)) - asked))
