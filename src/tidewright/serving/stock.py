"""`Stock`: the folders behind a roster: loaded, looked at again, and replaced without losing a request."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tidewright.inference.session import open_session
from tidewright.registry.bundle import Bundle, load_bundle
from tidewright.serving.desk import Desk
from tidewright.serving.roster import Place, check_places, find_places, make_roster, number_versions
from tidewright.serving.served import Served, Wrap, make_served

log = logging.getLogger(__name__)


class Stock:
    """Opens the bundles of folders, and puts them on a desk. `wrap` is what batches or keeps a session's answers."""

    def __init__(self, places: Sequence[Path], desk: Desk, *, wrap: Wrap | None = None) -> None:
        check_places(places)
        self._given, self._desk, self._wrap = tuple(places), desk, wrap

    def load(self) -> None:
        """Opens every bundle. Raises as `tw.open` does."""
        places = find_places(self._given)
        bundles = [load_bundle(place.folder) for place in places]
        versions = number_versions((bundle.name, place.version) for bundle, place in zip(bundles, places, strict=True))
        served = [self._open(*one) for one in zip(bundles, places, versions, strict=True)]
        self._desk.roster = make_roster(served)

    def _open(self, bundle: Bundle, place: Place, version: str) -> Served:
        options = self._desk.options
        tally = self._desk.metrics.tally(bundle.name, version)
        session = open_session(bundle, backend=options.backend, threads=1, strict=options.strict)
        served = make_served(bundle, session, version=version, mark=place.mark, tally=tally, wrap=self._wrap)
        told = {**served.labels, "digest": bundle.digest[:12], "backend": session.backend}
        log.info("loaded", extra={"fields": told})
        return served
