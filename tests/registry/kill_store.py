"""A process of its own whose children change a store and kill themselves at a call; prints what was found, as JSON.

python kill_store.py STORE BUNDLE WORK      each child works on a copy of STORE in WORK
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from tidewright.registry import write
from tidewright.registry.bundle import load_bundle
from tidewright.registry.store import open_store

CALLS = ("open", "mkdir", "write", "fsync", "close", "rename", "replace", "unlink", "rmdir")
SIGNALS = 0x7F


def die_at(stop: int) -> None:
    """From now on this process kills itself at its call number `stop`."""
    done = [0]

    def counted(call):
        def wrapper(*args, **options):
            if done[0] == stop:
                os.kill(os.getpid(), signal.SIGKILL)
            done[0] += 1
            return call(*args, **options)

        return wrapper

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    write._rename = counted(write._rename)


def change(place: Path, bundle: Path, stop: int) -> int:
    """The signal that ended a child that registers, promotes and rolls back; 0 when it ended by itself."""
    number = os.fork()
    if number == 0:
        store = open_store(place)
        die_at(stop)
        store.register("sales", bundle)
        store.promote("sales", force="why not")
        store.rollback("sales")
        os._exit(0)
    return os.waitpid(number, 0)[1] & SIGNALS


def main(source: Path, bundle: Path, work: Path) -> None:
    found = []
    for stop in range(0, 1000, 5):
        place = work / str(stop)
        shutil.copytree(source, place)
        ended = change(place, bundle, stop)
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
