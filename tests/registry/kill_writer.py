"""A process of its own that writes bundles in children and kills them; prints what it found, as JSON.

python kill_writer.py steps|moments SOURCE_A SOURCE_B PLACE

`steps`: the child dies at its 1st, 2nd, 3rd, ... call that changes or settles something. `moments`: after a
random time.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from tidewright.registry import write
from tidewright.registry.verify import read_verified

CALLS = ("open", "mkdir", "write", "fsync", "close", "rename", "replace", "unlink", "rmdir")


def load(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def whole(place: Path) -> str:
    """Which version stands there; a broken one raises, and this process fails."""
    return str(read_verified(place).manifest["text"]) if place.exists() else "nothing"


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


def child(task) -> int:
    """The signal that ended a child process doing the task; 0 when it ended by itself."""
    number = os.fork()
    if number == 0:
        task()
        os._exit(0)
    return os.waitpid(number, 0)[1] & 0x7F


def kill_at_steps(old: dict[str, bytes], new: dict[str, bytes], place: Path) -> list[str]:
    found = []
    for stop in range(1000):
        if old:
            write.write_folder(old, place, overwrite=True)
        elif place.exists():
            write.write_folder(new, place, overwrite=True)  # cleans up, too
            for path in place.iterdir():
                path.unlink()
            place.rmdir()

        def task(stop=stop):
            die_at(stop)
            write.write_folder(new, place, overwrite=bool(old))

        if child(task) != signal.SIGKILL:
            return found
        found.append(whole(place))
    raise AssertionError("the writer never ended by itself")


def kill_at_moments(versions: list[dict[str, bytes]], place: Path) -> list[str]:
    draw, found = random.Random(0), []

    def task():
        while True:
            for files in versions:
                write.write_folder(files, place, overwrite=True)

    for turn in range(600):
        if turn >= 60 and len({*found} - {"nothing"}) == len(versions):
            break
        number = os.fork()
        if number == 0:
            task()
        time.sleep(draw.uniform(0.0, 0.05 + 0.001 * turn))  # the moment is the point here: nothing is waited for
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)
        found.append(whole(place))
    return found


def main() -> None:
    how, first, second, place = sys.argv[1], load(sys.argv[2]), load(sys.argv[3]), Path(sys.argv[4])
    if how == "moments":
        found = [kill_at_moments([first, second], place)]
    else:
        found = [kill_at_steps({}, second, place), kill_at_steps(first, second, place)]
    write.write_folder(second, place, overwrite=True)
    sys.stdout.write(json.dumps({"found": found, "left": sorted(path.name for path in place.parent.iterdir())}))


if __name__ == "__main__":
    main()
