"""A space in words: `show_space` is its table, `diff_spaces` what another one has otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from tidewright.tuning.rules import show_values
from tidewright.tuning.space import NO_RULE, Combination, SearchSpace


def show_space(space: SearchSpace) -> str:
    """One line an option, then one a forbidden combination."""
    width = max(map(len, space.ranges), default=0)
    lines = [f"  {name:<{width}}  {show_option(space, name)}" for name in space.ranges]
    return "\n".join([space.model, *lines, *(f"  never {_show_conditions(one)}" for one in space.forbidden)])


def show_option(space: SearchSpace, name: str) -> str:
    """The range of an option and what it depends on."""
    one, rule = space.ranges[name], space.rules.get(name, NO_RULE)
    notes = []
    if rule.low is not None:
        notes.append(f"at least {rule.low}")
    if rule.high is not None:
        notes.append(f"at most {rule.high}")
    if rule.multiple_of:
        notes.append("a multiple of " + " and ".join(map(str, rule.multiple_of)))
    said = {other: values for other, values in rule.when.items() if not (other == "model" and _own(space, name))}
    if said:  # lstm.model.hidden needs not say that it is there only while the model is lstm
        notes.append(f"only while {_show_conditions(said)}")
    return ", ".join([str(one), *notes])


def _own(space: SearchSpace, name: str) -> bool:
    return name.partition(".")[0] in space.models


def diff_spaces(space: SearchSpace, other: SearchSpace) -> tuple[str, ...]:
    """What changes from a space to another one, a line an option: `+` new, `-` gone, `~` otherwise.

    >>> from tidewright.tuning.ranges import IntRange
    >>> one = SearchSpace("lstm", {"model.hidden": IntRange(8, 64)})
    >>> two = SearchSpace("lstm", {"model.hidden": IntRange(8, 32), "model.layers": IntRange(1, 2)})
    >>> print("\\n".join(diff_spaces(one, two)))
    ~ model.hidden: 8 to 64, whole -> 8 to 32, whole
    + model.layers: 1 to 2, whole
    """
    before, after = _lines(space), _lines(other)
    found = [] if space.model == other.model else [f"~ model: {space.model} -> {other.model}"]
    for name in dict.fromkeys([*before, *after]):
        if name not in after:
            found.append(f"- {name}: {before[name]}")
        elif name not in before:
            found.append(f"+ {name}: {after[name]}")
        elif before[name] != after[name]:
            found.append(f"~ {name}: {before[name]} -> {after[name]}")
    never = [[_show_conditions(one) for one in each.forbidden] for each in (space, other)]
    found += [f"- never {one}" for one in never[0] if one not in never[1]]
    found += [f"+ never {one}" for one in never[1] if one not in never[0]]
    return tuple(found)


def _lines(space: SearchSpace) -> Mapping[str, str]:
    return {name: show_option(space, name) for name in space.ranges}


def _show_conditions(conditions: Combination) -> str:
    return " and ".join(f"{name} is {show_values(one)}" for name, one in conditions.items())
