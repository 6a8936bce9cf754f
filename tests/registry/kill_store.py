"""A process of its own whose children change a store and kill themselves at a call; prints what was found, as JSON.

python kill_store.py STORE BUNDLE WORK      each child works on a copy of STORE in WORK
"""

import json
import shutil
import sys
from functools import partial
from pathlib import Path

from tidewright.registry.bundle import load_bundle
from tidewright.registry.store import open_store


def change(place: Path, bundle: Path, stop: int) -> None:
    """What a child does until it dies: it registers, promotes and rolls back."""
    from kill_writer import die_at  # beside this file, where it is a program

    store = open_store(place)
    die_at(stop)
    store.register("sales", bundle)
    store.promote("sales", force="why not")
    store.rollback("sales")


def main(source: Path, bundle: Path, work: Path) -> None:
    from kill_writer import child

    found = []
    for stop in range(0, 1000, 5):
        place = work / str(stop)
        shutil.copytree(source, place)
        ended = child(partial(change, place, bundle, stop))
        store = open_store(place)
        for one in store.versions("sales"):
            assert load_bundle(one.folder).digest == one.digest
        found.append([store.get("sales").version, len(store.history("sales"))])
        again = store.register("sales", bundle)
        assert again.role == "challenger"
        assert store.promote("sales", force="it goes on").version == again.version
        assert not list((place / "sales").glob(".*.partial"))
        if ended == 0:
            break
    print(json.dumps(found))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
