"""`Lineup`: who answers for a model of a store: its champion, the arms of its split, and its shadow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tidewright.serving.rollout import Plan, explain_unlike, same_windows
from tidewright.serving.served import Served
from tidewright.serving.shadow import Shadow
from tidewright.serving.split import Split

MakeShadow = Callable[[Served, Served], Shadow]  # of a champion and its rival


class Lineup(NamedTuple):
    """What a plan came to with the versions that could be opened, and why what was asked for is not there."""

    champion: Served
    split: Split | None = None
    shadow: Shadow | None = None
    notes: tuple[str, ...] = ()

    def answers(self, one: Served) -> bool:
        """Whether a version may answer a request without its number."""
        arms = () if self.split is None else self.split.arms
        return one is self.champion or any(arm is one for arm, _ in arms)

    def describe(self) -> dict[str, Any]:
        """For a reader."""
        told: dict[str, Any] = {"champion": self.champion.version}
        if self.split is not None:
            told["split"] = {one.version: percent for one, percent in self.split.arms}
            told["windows"] = self.split.windows
        if self.shadow is not None:
            told["shadow"] = {"version": self.shadow.rival.version, **self.shadow.tally.describe()}
        return told | ({"notes": list(self.notes)} if self.notes else {})


def line_up(plan: Plan, versions: Mapping[str, Served], *, make_shadow: MakeShadow) -> Lineup | None:
    """The lineup of a model from those of its versions that are open; None without its champion."""
    champion = versions.get(plan.champion)
    if champion is None:
        return None
    notes = [*plan.faults, *plan.waits]
    asked = {version for version, _ in plan.arms}

    def find(version: str) -> Served | None:
        """A version that is open and may stand beside the champion."""
        one = versions.get(version)
        why = (
            "it could not be opened"
            if one is None
            else explain_unlike(champion.bundle, one.bundle, split=version in asked)
        )
        if why:
            notes.append(f"version {version} of '{champion.name}' is left out: {why}")
        return None if why else one

    arms = [(one, percent) for version, percent in plan.arms if (one := find(version)) is not None]
    split, shadow = None, None
    if arms and len(arms) == len(plan.arms):
        windows = all(same_windows(champion.bundle, one.bundle) for one, _ in arms)
        split = Split(tuple(arms), windows)
        if not windows:
            notes.append(
                f"the arms of '{champion.name}' take windows of other inputs or lengths: forecasts alone are split"
            )
    if plan.shadow is not None and (rival := find(plan.shadow)) is not None:
        shadow = make_shadow(champion, rival)
        if shadow.unfit:
            notes.append(f"the shadow of '{champion.name}' gets forecasts alone: {shadow.unfit}")
    return Lineup(champion, split, shadow, tuple(dict.fromkeys(notes)))
