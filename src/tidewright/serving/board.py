"""`Board`: what several workers count, told by each of them: a file a worker, in a folder that they share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from tidewright.inference.metrics_text import Sample


class Board:
    """A folder of the workers' numbers, of which this is the one of worker `number`."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._number = folder, number

    def post(self, samples: Iterable[Sample]) -> None:
        """Tells this worker's numbers to the others."""
        place = self._folder / f"{self._number}.json"
        draft = place.with_suffix(".partial")
        draft.write_text(json.dumps([tuple(one) for one in samples]))
        os.replace(draft, place)

    def gather(self, own: Iterable[Sample]) -> Iterable[Sample]:
        """Every worker's numbers, this one's as they are now, with the worker among the labels."""
        yield from _label(own, self._number)
        for place in sorted(self._folder.glob("*.json")):
            if place.stem != str(self._number):
                yield from _label((Sample(*one) for one in json.loads(place.read_text())), int(place.stem))


def _label(samples: Iterable[Sample], number: int) -> Iterable[Sample]:
    for one in samples:
        yield one._replace(labels={**one.labels, "worker": str(number)})
