"""A fitted model set down without a graph: what a search that may be killed keeps of each fit.

Numbers and plain text only, written whole or not at all. It is for the run that wrote it; what ships is a bundle.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Panel
from tidewright.errors import BundleError
from tidewright.models.ensemble import EnsembleFitted
from tidewright.models.fitted import Fitted
from tidewright.registry.bundle import read_tensors, write_tensors
from tidewright.registry.manifest import Manifest, Parity, Trained, Widths, from_plain, to_plain
from tidewright.registry.rebuild import rebuild
from tidewright.registry.write import MARK, write_folder
from tidewright.training.ensemble import compose
from tidewright.training.weigh import weigh_alike

WEIGHTS, SAID, HISTORY = "weights.safetensors", "said.safetensors", "history.json"


def save_draft(fitted: Fitted, *, said: npt.NDArray[np.float64], panel: Panel, folder: Path) -> None:
    """Keeps a model and what it `said` [N, H, Q]; what stood in the folder is replaced. Raises `BundleError`."""
    alone = compose([fitted], weigh_alike(1), panel=panel)  # its record says which columns each model sees
    widths = {name: 0 for name in ("past", "known", "static")}
    for part in alone.spec.members:
        widths |= {name: max(widths[name], 1 + max(getattr(part, name), default=-1)) for name in widths}
    manifest = Manifest(
        name="draft",
        spec=alone.spec,
        task=alone.task,
        view=alone.view,
        season=panel.frequency.season,
        widths=Widths(**widths),
        parity=Parity(0.0, 0.0, 0, "no graph was made"),
        data=Trained(0, 0, "", ""),
        versions={},
    )
    plain = {**to_plain(manifest), "joined": isinstance(fitted, EnsembleFitted)}
    files = {
        MARK: json.dumps(plain).encode(),
        WEIGHTS: write_tensors(alone.tensors()),
        SAID: write_tensors({"said": said}),
        HISTORY: json.dumps(list(fitted.history), default=_plain).encode(),
    }
    write_folder(files, folder, overwrite=(folder / MARK).is_file())


def load_draft(folder: Path) -> tuple[Fitted, npt.NDArray[np.float64]]:
    """What `save_draft` kept: the model, which answers with the same bits, and what it said. Raises `BundleError`."""
    try:
        plain: dict[str, Any] = json.loads((folder / MARK).read_bytes())
        history = tuple(json.loads((folder / HISTORY).read_bytes()))
        tensors = read_tensors((folder / WEIGHTS).read_bytes(), name=WEIGHTS)
        said = read_tensors((folder / SAID).read_bytes(), name=SAID)["said"]
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(
            f"the draft {folder} can't be read: {error}. Remove it, and the fit is done again."
        ) from error
    found = rebuild(from_plain(plain), tensors)
    assert isinstance(found, EnsembleFitted)
    fitted: Any = found if plain["joined"] else found.members[0]
    if "history" in {field.name for field in fields(fitted)}:
        fitted = replace(fitted, history=history)
    return fitted, said


def _plain(value: Any) -> Any:
    """A number of numpy, or else the words for it."""
    return value.item() if isinstance(value, np.generic) else str(value)
