"""`Stock`: the folders behind a roster: loaded, looked at again, and replaced without losing a request."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import monotonic

from tidewright.errors import BundleError, TidewrightError
from tidewright.inference.batching import BatchingSession
from tidewright.inference.session import open_session
from tidewright.registry.bundle import Bundle, load_bundle
from tidewright.serving.desk import Desk
from tidewright.serving.lineup import Lineup, line_up
from tidewright.serving.rollout import EVERY, Plan, read_rollouts
from tidewright.serving.roster import Place, check_places, find_places, make_roster, number_versions
from tidewright.serving.served import Served, Wrap, make_served

log = logging.getLogger(__name__)


class Stock:
    """Opens the bundles of folders, and puts them on a desk. `wrap` is what batches or keeps a session's answers.

    A version that changes is opened beside the old one, and takes its place when it is warm: requests that have begun
    end with the old one. One that can't be opened leaves the old one there.
    """

    def __init__(self, places: Sequence[Path], desk: Desk, *, wrap: Wrap | None = None) -> None:
        check_places(places)
        self._given, self._desk, self._wrap = tuple(places), desk, wrap
        self._rollouts = read_rollouts(shadow=desk.options.shadow, split=desk.options.split)
        self._plans: dict[str, Plan] = {}
        self._failed: dict[Path, tuple[int, ...]] = {}
        self._gone: set[Path] = set()
        self._retired: list[tuple[float, BatchingSession]] = []
        self._lock = Lock()

    def load(self) -> None:
        """Opens every bundle. Raises as `tw.open` does."""
        places = find_places(self._given, rollouts=self._rollouts)
        bundles = [_load(place) for place in places]
        versions = number_versions((bundle.name, place.version) for bundle, place in zip(bundles, places, strict=True))
        served = [self._open(*one) for one in zip(bundles, places, versions, strict=True)]
        self._plans = _plans(places)
        self._put(served)

    def look(self, *, again: bool = False) -> tuple[str, ...]:
        """Looks at the folders and opens what is new or has changed, also what failed before where `again` is said.

        Gives the folders' names that can't be opened; the log says why. What is gone at two looks is no longer served.
        """
        with self._lock:
            if again:
                self._failed.clear()
            try:
                found = find_places(self._given, rollouts=self._rollouts)
            except BundleError as error:  # a store's file that was changed by hand: what is served stays
                log.error("not looked at", extra={"fields": {"why": str(error)}})
                return ()
            places = {place.folder: place for place in found}
            old = {one.bundle.folder: one for one in (*self._desk.roster.all, *self._desk.roster.hidden)}
            kept = self._keep(old, places)
            for folder, place in places.items():
                have = old.get(folder)
                changed = have is None or have.mark != place.mark
                if changed and self._failed.get(folder) != place.mark:
                    self._replace(kept, place)
            plans, self._plans = self._plans, _plans(found)
            changed = len(kept) != len(old) or any(kept.get(folder) is not one for folder, one in old.items())
            if changed or plans != self._plans:
                self._put(kept.values())
            self._retire(old, kept)
            return tuple(folder.name for folder in self._failed if folder in places)

    def _keep(self, old: Mapping[Path, Served], places: Mapping[Path, Place]) -> dict[Path, Served]:
        """What stays as it is: what is there, and what is gone for the first time (it may be just being replaced)."""
        gone = {folder for folder in old if folder not in places}
        dropped, self._gone = gone & self._gone, gone - self._gone
        for folder in dropped:
            log.info("dropped", extra={"fields": old[folder].labels})
        return {folder: one for folder, one in old.items() if folder not in dropped}

    def _put(self, served: Collection[Served]) -> None:
        """Puts what is open on the desk, each model of a store as its plan says, in one step."""
        old, lineups = self._desk.roster, {}
        for name, plan in self._plans.items():
            versions = {one.version: one for one in served if one.name == name}
            lineup = line_up(plan, versions, make_shadow=self._desk.make_shadow)
            if lineup is not None:
                lineups[name] = lineup
                _tell(lineup, old.lineups.get(name))
        shadows = [one.shadow.rival for one in lineups.values() if one.shadow is not None]
        hidden = [one for one in served if one in shadows or one in old.hidden]
        hidden = [one for one in hidden if one.name not in lineups or not lineups[one.name].answers(one)]
        self._desk.roster = make_roster(served, lineups=lineups, hidden=hidden)
        for one in served:
            lineup = lineups.get(one.name)
            if one.tap is not None:
                shadow = lineup.shadow if lineup is not None and one is lineup.champion else None
                one.tap.to = None if shadow is None else shadow.show

    def _retire(self, old: Mapping[Path, Served], kept: Mapping[Path, Served]) -> None:
        """Closes the sessions with threads of their own that nobody asks any more: what began with one has ended by
        now, in the time that a request may take.
        """
        now, limits = monotonic(), self._desk.options.limits
        gone = (one.session for folder, one in old.items() if kept.get(folder) is not one)
        self._retired += [(now, session) for session in gone if isinstance(session, BatchingSession)]
        over = now - limits.body_s - limits.run_s
        for since, session in self._retired:
            if since < over:
                session.close()
        self._retired = [one for one in self._retired if one[0] >= over]

    def _replace(self, kept: dict[Path, Served], place: Place) -> None:
        """Opens one bundle and puts it among those that are kept; one that can't be opened changes nothing."""
        try:
            bundle = _load(place)
            kept[place.folder] = self._open(bundle, place, _version(bundle, place, kept))
        except (TidewrightError, OSError) as error:
            self._failed[place.folder] = place.mark
            self._desk.metrics.reloads["failed"] += 1
            log.error("not loaded", extra={"fields": {"folder": place.folder.name, "why": str(error)}})
        else:
            self._failed.pop(place.folder, None)
            self._desk.metrics.reloads["done"] += 1

    def _open(self, bundle: Bundle, place: Place, version: str) -> Served:
        options = self._desk.options
        tally = self._desk.metrics.tally(bundle.name, version)
        session = open_session(bundle, backend=options.backend, threads=1, strict=options.strict)
        asked = self._rollouts.get(bundle.name) or self._rollouts.get(EVERY)
        tapped = place.name is not None and asked is not None and bool(asked.shadow)
        served = make_served(
            bundle,
            session,
            version=version,
            mark=place.mark,
            tally=tally,
            options=options,
            wrap=self._wrap,
            tapped=tapped,
        )
        told = {**served.labels, "digest": bundle.digest[:12], "backend": session.backend}
        log.info("loaded", extra={"fields": told})
        return served


def _plans(places: Sequence[Place]) -> dict[str, Plan]:
    return {str(place.name): place.plan for place in places if place.plan is not None}


def _tell(now: Lineup, before: Lineup | None) -> None:
    """Logs who answers, where that changed."""
    told = (_short(now), now.notes)
    if before is None or (_short(before), before.notes) != told:
        if now.split is not None or now.shadow is not None:
            log.info("lined up", extra={"fields": {"model": now.champion.name, **_short(now)}})
        for note in now.notes:
            log.warning("not as asked for", extra={"fields": {"model": now.champion.name, "why": note}})


def _short(lineup: Lineup) -> dict[str, object]:
    told = lineup.describe()
    shadow = None if lineup.shadow is None else lineup.shadow.rival.version
    return {"champion": told["champion"], "split": told.get("split"), "shadow": shadow}


def _load(place: Place) -> Bundle:
    """The bundle of a place, under the name that it has there."""
    bundle = load_bundle(place.folder)
    return bundle if place.name is None else replace(bundle, manifest=replace(bundle.manifest, name=place.name))


def _version(bundle: Bundle, place: Place, kept: Mapping[Path, Served]) -> str:
    """The version that the folder's name says, that it had, or the next whole number of its model."""
    have = kept.get(place.folder)
    if place.version is not None:
        return place.version
    if have is not None and have.name == bundle.name:
        return have.version
    taken = [int(one.version) for one in kept.values() if one.name == bundle.name]
    return str(max(taken, default=0) + 1)
