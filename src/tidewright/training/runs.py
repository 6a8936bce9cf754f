"""`Runs`: windows by date, whose batch is a run of consecutive cutoffs over all series.

N windows, D dates (cutoffs), S series.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tidewright.features.windows import Doubles, Windows
from tidewright.training.gather import Inputs, Source, open_source
from tidewright.training.spec import TrainSpec
from tidewright.training.trade import SETTLED

PURGED = SETTLED - 1  # cutoffs between two runs, so that no step after a cutoff of one is one of the other's


@dataclass(frozen=True, eq=False, slots=True)
class Runs:
    """The windows in the order of their dates and, within one, of their series.

    `places` [D + 1] says where each date's windows begin. `earned` [D, S] is the return of the second step after the
    cutoff: that of a position which is decided at the cutoff and filled one step later. It is 0 where that return is
    missing, and NaN where the series has no window.
    """

    windows: Source
    places: Tensor
    earned: Tensor

    def __len__(self) -> int:
        return len(self.earned)

    @property
    def begins(self) -> Tensor:
        """See `Source`."""
        return self.windows.begins

    @property
    def complete(self) -> bool:
        """No label is missing: `earned` says where there is none to take."""
        return True

    def batch(self, index: Tensor) -> tuple[Inputs, Tensor]:
        """The inputs of the windows at consecutive dates [n], by name, and what was earned [n, S]."""
        first, last = int(index[0]), int(index[-1])
        rows = torch.arange(int(self.places[first]), int(self.places[last + 1]), device=self.begins.device)
        inputs, _ = self.windows.batch(rows)
        return inputs, self.earned[first : last + 1]


def open_runs(windows: Windows, *, device: str = "cpu") -> Runs:
    """The windows as runs, on a device; `places` stay in the host's memory."""
    windows = windows.subset(np.lexsort((windows.series, windows.cutoffs)))
    _, first, counts = np.unique(windows.cutoffs, return_index=True, return_counts=True)
    date = np.repeat(np.arange(len(first)), counts)
    earned = np.full((len(first), len(windows.offsets) - 1), np.nan)
    earned[date, windows.series] = earned_returns(windows)
    return Runs(
        windows=open_source(windows, device=device),
        places=torch.from_numpy(np.append(first, len(windows))),
        earned=torch.from_numpy(earned).to(device),
    )


def earned_returns(windows: Windows) -> Doubles:
    """The target of the second step after each cutoff [N]; 0 where it is missing or beyond the series."""
    row, end = windows.rows + SETTLED, windows.offsets[windows.series + 1]
    value = windows.y[np.minimum(row, len(windows.y) - 1)]
    return np.where((row < end) & np.isfinite(value), value, 0.0)


def draw_runs(count: int, train: TrainSpec, *, shuffle: torch.Generator) -> tuple[Tensor, ...]:
    """One epoch's batches of dates: as many runs of `batch_size`, `PURGED` dates apart, as there is room for, at most
    `steps`, from a drawn start and in a drawn order; all dates where they are fewer."""
    size, apart = train.windows, train.windows + PURGED
    if count <= size:
        return (torch.arange(count),)
    fitting = (count + PURGED) // apart
    slack = count + PURGED - fitting * apart
    start = int(torch.randint(slack + 1, (1,), generator=shuffle))
    order = torch.randperm(fitting, generator=shuffle)[: train.steps]
    return tuple(torch.arange(size) + start + int(place) * apart for place in order)
