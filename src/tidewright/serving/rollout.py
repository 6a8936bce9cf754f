"""`Rollout`: what a store's model is served with beside its champion: a shadow, and the arms of a split.

`read_rollouts` reads what was asked for, `make_plan` says what it means for a model as its store stands now.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.registry.bundle import Bundle, load_bundle
from tidewright.registry.gate import check_alike
from tidewright.registry.numbered import list_numbers, place_of
from tidewright.registry.standing import Standing, read_standing

CHAMPION, CHALLENGER, EVERY = "champion", "challenger", "*"
SPLIT = "NAME=champion:90,challenger:10"


@dataclass(frozen=True, slots=True)
class Rollout:
    """What was asked for: who is the shadow ("": nobody), and the arms of a split with their percent."""

    shadow: str = ""
    arms: tuple[tuple[str, float], ...] = ()


class Plan(NamedTuple):
    """What it means now, in versions: the champion, the arms of the split (the first has what the others leave), the
    shadow, what can't be had, and who is waited for.
    """

    champion: str
    arms: tuple[tuple[str, float], ...] = ()
    shadow: str | None = None
    faults: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version that it needs, the champion first."""
        found = (self.champion, *(version for version, _ in self.arms), self.shadow)
        return tuple(dict.fromkeys(version for version in found if version is not None))


def read_rollouts(*, shadow: Iterable[str] = (), split: Iterable[str] = ()) -> Mapping[str, Rollout]:
    """Rollouts by the model's name (* for every other) from words such as `sales`, `sales=3` and
    `sales=champion:90,challenger:10`. Raises `ConfigError` and `UnknownNameError`.

    >>> read_rollouts(shadow=["sales"], split=["price=1:75,3:25"])["price"].arms
    (('1', 75.0), ('3', 25.0))
    """
    found: dict[str, Rollout] = {}
    for word in shadow:
        name, told, who = word.partition("=")
        if not name or name in found or (told and not who):
            raise ConfigError(f"--shadow is NAME or NAME=VERSION, once for each model; got '{word}'.")
        found[name] = Rollout(_read_who(who or CHALLENGER))
        if who == CHAMPION:
            raise ConfigError(f"the shadow of '{name}' is its champion, which answers. Name challenger, or a version.")
    for word in split:
        name, _, told = word.partition("=")
        before = found.get(name, Rollout())
        if not name or name == EVERY or before.arms:
            raise ConfigError(f"--split is {SPLIT}, once for each model; got '{word}'.")
        found[name] = replace(before, arms=_read_arms(name, told))
    return found


def make_plan(folder: Path, standing: Standing, rollout: Rollout) -> Plan:
    """The plan of a model of a store, in its folder, which has a champion."""
    there = {str(number) for number in list_numbers(folder)}
    roles = {CHAMPION: standing.champion, CHALLENGER: standing.challenger}
    faults: list[str] = []
    waits: list[str] = []

    def find(who: str, what: str) -> str | None:
        version = str(roles[who] or "") if who in roles else who
        if not version:
            waits.append(f"'{folder.name}' has no challenger for its {what}: its champion answers alone until it has")
        elif version not in there:
            faults.append(explain_unknown(f"version of '{folder.name}'", version, sorted(there, key=int)).rstrip("."))
        return version if version in there else None

    champion = str(standing.champion)
    shadow = find(rollout.shadow, "shadow") if rollout.shadow else None
    if shadow == champion:
        faults.append(f"the shadow of '{folder.name}' is version {shadow}, its champion, which answers: name another")
        shadow = None
    arms = [(find(who, "split"), percent) for who, percent in rollout.arms]
    known = [(version, percent) for version, percent in arms if version is not None]
    if len({version for version, _ in known}) < len(known):
        faults.append(f"two arms of the split of '{folder.name}' are one version: name others")
        known = []
    if len(known) < len(arms):
        known = []
    known.sort(key=lambda arm: arm[0] != champion)  # as `Store.split`: the champion has what the others leave
    return Plan(champion, tuple(known), shadow, tuple(faults), tuple(waits))


def check_rollouts(models: Mapping[str, Path], rollouts: Mapping[str, Rollout]) -> None:
    """Raises `ConfigError` or `UnknownNameError` where what was asked for can't be had of a store's models, which are
    given by name with their folders; a challenger that isn't there yet is waited for.
    """
    for name, rollout in rollouts.items():
        if not models:
            raise ConfigError("a shadow or a split is of models of a store. Give it as --store FOLDER.")
        if name != EVERY and name not in models:
            raise UnknownNameError(explain_unknown("model of the store", name, models))
        for folder in models.values() if name == EVERY else (models[name],):
            plan = make_plan(folder, read_standing(folder), rollout)
            for fault in (*plan.faults, *_find_unlike(folder, plan)):
                raise ConfigError(f"{fault}.")


def explain_unlike(champion: Bundle, other: Bundle, *, split: bool) -> str:
    """Why another version can't be a shadow, or an arm of a split; empty where it can."""
    try:
        check_alike(champion, other)
    except ConfigError as error:
        return str(error).partition(" Register")[0].rstrip(".")
    ours, theirs = champion.manifest.task.quantiles, other.manifest.task.quantiles
    if split and ours != theirs:
        return f"an arm of a split answers with the quantiles {list(theirs)} and the champion with {list(ours)}"
    return ""


def explain_windows(champion: Bundle, other: Bundle) -> str:
    """Why another version can't answer the champion's windows, even if they are cut; empty where it can."""
    ours, theirs = champion.manifest, other.manifest
    for kind in ("past", "known", "static"):
        mine, need = getattr(ours.schema.roles, kind), getattr(theirs.schema.roles, kind)
        sizes = getattr(ours.widths, kind), getattr(theirs.widths, kind)
        if sizes[1] and (mine, sizes[0]) != (need, sizes[1]):
            return f"its {kind} covariates are others: {', '.join(need)}"
    least, most = theirs.reach[0], ours.reach[1]
    if least > most:
        return f"it looks back {least} steps at least, and the champion's windows have {most} at most"
    return ""


def same_windows(champion: Bundle, other: Bundle) -> bool:
    """Whether two versions take the very same windows, of the very same lengths."""
    ours, theirs = champion.manifest, other.manifest
    same = ours.widths == theirs.widths and ours.reach == theirs.reach
    return same and not explain_windows(champion, other)


def _find_unlike(folder: Path, plan: Plan) -> Sequence[str]:
    bundles = {version: load_bundle(place_of(folder, int(version))) for version in plan.versions}
    champion = bundles.pop(plan.champion)
    arms = {version for version, _ in plan.arms}
    told = [(version, explain_unlike(champion, one, split=version in arms)) for version, one in bundles.items()]
    return [f"version {version} of '{folder.name}': {why}" for version, why in told if why]


def _read_who(who: str) -> str:
    if who in (CHAMPION, CHALLENGER) or (who.isascii() and who.isdecimal() and int(who)):
        return who if who in (CHAMPION, CHALLENGER) else str(int(who))
    raise UnknownNameError(explain_unknown("version", who[:40], (CHAMPION, CHALLENGER, "3")))


def _read_arms(name: str, told: str) -> tuple[tuple[str, float], ...]:
    arms: dict[str, float] = {}
    for part in told.split(","):
        who, _, text = part.partition(":")
        who = _read_who(who.strip())
        try:
            percent = float(text)
        except ValueError:
            percent = math.nan
        if not 0 <= percent <= 100 or who in arms:
            raise ConfigError(f"the split of '{name}' is {SPLIT}, each version once, in percent; got '{part}'.")
        arms[who] = percent
    total = sum(arms.values())
    if len(arms) < 2 or abs(total - 100) > 1e-6:
        raise ConfigError(
            f"the shares of '{name}' sum to {total:g} over {len(arms)} versions; two or more are needed, and 100."
        )
    return tuple(arms.items())
