"""A space of several models, joined of theirs, and their own parts of it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tidewright.errors import ConfigError
from tidewright.tuning.ranges import Choice, Range
from tidewright.tuning.rules import Of, Rule
from tidewright.tuning.space import NO_RULE, Combination, SearchSpace


def join_spaces(
    spaces: Sequence[SearchSpace],
    *,
    shared: Mapping[str, Range],
    rules: Mapping[str, Rule],
    forbidden: Sequence[Combination],
) -> SearchSpace:
    """The space in which the model is an option too; see `SearchSpace.of_models`."""
    names = [one.model for one in spaces]
    double = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if double is not None or not names or any("model" in one.ranges for one in spaces):
        told = f"{double} is there twice" if double else f"got {', '.join(names) or 'none'}"
        raise ConfigError(f"a space of several models is made of one space for each; {told}. Give each model once.")
    ranges: dict[str, Range] = {"model": Choice(tuple(names)), **shared}
    all_rules, never = dict(rules), list(forbidden)
    for one in spaces:
        own = {name: f"{one.model}.{name}" for name in one.ranges}
        ranges.update({own[name]: range_ for name, range_ in one.ranges.items()})
        for name, new in own.items():
            if name in shared:
                raise ConfigError(f"{name} is an option of all models and of {one.model} itself. Keep one of them.")
            rule = _rename(one.rules.get(name, NO_RULE), own)
            all_rules[new] = replace(rule, when={"model": Choice((one.model,)), **rule.when})
        never += [{own[name]: values for name, values in each.items()} for each in one.forbidden]
    return SearchSpace("|".join(names), ranges, all_rules, tuple(never))


def part_space(space: SearchSpace, model: str) -> SearchSpace:
    """What a joined space has of one of its models alone, as that model's space."""
    plain = {name: name.removeprefix(f"{model}.") for name in space.ranges if name.startswith(f"{model}.")}
    rules = {}
    for name, new in plain.items():
        rule = space.rules[name]
        when = {other: values for other, values in rule.when.items() if other != "model"}
        rules[new] = _rename(replace(rule, when=when), plain)
    forbidden = [
        {plain[name]: values for name, values in one.items()} for one in space.forbidden if plain.keys() >= one.keys()
    ]
    return SearchSpace(model, {new: space.ranges[name] for name, new in plain.items()}, rules, tuple(forbidden))


def _rename(rule: Rule, names: Mapping[str, str]) -> Rule:
    def bound(one: Of | None) -> Of | None:
        return None if one is None else replace(one, name=names[one.name])

    return Rule(
        {names[other]: values for other, values in rule.when.items()},
        bound(rule.low),
        bound(rule.high),
        tuple(names[one] if isinstance(one, str) else one for one in rule.multiple_of),
    )
