"""Weights of foundation models on disk: where they are, what they are (a digest), and what to do where they are not.

Only config.json, generation_config.json and safetensors files are read: a pickle is never opened, and nothing is asked
of a network.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from tidewright.errors import BundleError, ConfigError
from tidewright.models.specs.foundation import FoundationSpec

CONFIG, GENERATION = "config.json", "generation_config.json"
SHELF = "TIDEWRIGHT_WEIGHTS"  # a folder of folders of weights, where a bundle's are sought, too
BLOCK = 1 << 20
# By model: what to download, and what its package is.
SOURCES = {
    "chronos": (
        "amazon/chronos-bolt-small (48 M weights, about 190 MB), amazon/chronos-2 (120 M) or amazon/chronos-t5-small",
        "amazon/chronos-bolt-small",
    ),
    "timesfm": (
        "google/timesfm-3.0-pytorch (its weights are for non-commercial use)",
        "google/timesfm-3.0-pytorch",
    ),
}


def find_weights(spec: FoundationSpec) -> Path:
    """The folder of a model's weights. Raises `ConfigError` that says what to download and where to put it."""
    place = Path(spec.weights).expanduser()
    if spec.weights and (place / CONFIG).is_file() and any(place.glob("*.safetensors")):
        return place
    what, example = SOURCES[spec.name]
    found = "none are given" if not spec.weights else f"'{place}' holds no {CONFIG} with *.safetensors beside it"
    folder = example.rpartition("/")[2]
    raise ConfigError(
        f"{spec.name} needs weights on disk, and {found}. Download {what}, such as by: hf download {example} "
        f"--local-dir {folder}; and give {spec.name}.weights={folder}. Its package: pip install "
        "'tidewright[foundation]'"
    )


def digest_weights(folder: Path) -> str:
    """The sha256 of the names and contents of all that is read of a folder of weights, in hexadecimal."""
    whole = sha256()
    for path in sorted([*folder.glob("*.safetensors"), *(folder / name for name in (CONFIG, GENERATION))]):
        if not path.is_file():
            continue
        part = sha256()
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                part.update(block)
        whole.update(f"{path.name} {part.hexdigest()}\n".encode())
    return whole.hexdigest()


def find_again(spec: FoundationSpec, digest: str) -> Path:
    """The weights that a bundle was written with: where they were, or in a folder of that name under
    `TIDEWRIGHT_WEIGHTS`. Raises `BundleError` where they are not, or are others.
    """
    was = Path(spec.weights).expanduser()
    shelf = os.environ.get(SHELF)
    places = [was, *([Path(shelf) / was.name] if shelf else [])]
    place = next((one for one in places if (one / CONFIG).is_file()), None)
    if place is None:
        sought = " nor ".join(f"'{one}'" for one in places)
        raise BundleError(
            f"the weights of this {spec.name} are not at {sought}. Put them there, or in a folder '{was.name}', and "
            f"name the folder above it in the environment variable {SHELF}. Of its kind there are "
            f"{SOURCES[spec.name][0]}."
        )
    found = digest_weights(place)
    if found != digest:
        raise BundleError(
            f"the weights at '{place}' are not those that this bundle was written with: sha256 {found[:12]} instead of "
            f"{digest[:12]}. Bring those, or export the model again."
        )
    return place
