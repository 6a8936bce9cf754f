"""`Source`: the flat tensors of some windows; a batch is one gather an input.

N windows, L lookback, H horizon, P past, K known and M static features, T rows, S series.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tidewright.data.frequency import Ints
from tidewright.features.windows import Windows

Inputs = dict[str, Tensor]


@dataclass(frozen=True, eq=False, slots=True)
class Source:
    """Every window as a row of overlapping strided views, float32, NaN where missing.

    `target` [T', L + H] holds history and labels; `past` [T', L * P] and `known` [T', (L + H) * K] have the
    features of a row side by side; they and `static` [S, M] are None without features. `begins` [N] is the
    row of each window's first step. `complete` says that no label is missing.
    """

    target: Tensor
    past: Tensor | None
    known: Tensor | None
    static: Tensor | None
    begins: Tensor
    series: Tensor
    lookback: int
    complete: bool

    def __len__(self) -> int:
        return len(self.begins)

    def batch(self, index: Tensor) -> tuple[Inputs, Tensor]:
        """What the network is given of the windows at `index` [n], by name, and their labels [n, H]."""
        begins = self.begins[index]
        span = self.target.index_select(0, begins)
        inputs = {"target": span[:, : self.lookback]}
        if self.past is not None:
            inputs["past"] = self.past.index_select(0, begins).view(len(begins), self.lookback, -1)
        if self.known is not None:
            inputs["known"] = self.known.index_select(0, begins).view(len(begins), span.shape[1], -1)
        if self.static is not None:
            inputs["static"] = self.static.index_select(0, self.series[index])
        return inputs, span[:, self.lookback :]


def open_source(windows: Windows, *, device: str = "cpu") -> Source:
    """The windows as tensors on a device.

    Where a window reaches over an end of its series, every series is padded with missing rows, once.
    """
    length = windows.lookback + windows.horizon
    rows, front, back = _padded_rows(windows)
    begins = windows.rows - (windows.lookback - 1) + front + windows.series * (front + back)
    target = _padded(windows.y[:, None], rows)
    return Source(
        target=_sliding(target, length, device=device),
        past=_features(windows.past, rows, length=windows.lookback, device=device),
        known=_features(windows.known, rows, length=length, device=device),
        static=torch.from_numpy(windows.static).to(device) if windows.static.shape[1] else None,
        begins=torch.from_numpy(begins).to(device),
        series=torch.from_numpy(windows.series.astype(np.int64)).to(device),
        lookback=windows.lookback,
        complete=_complete(target[:, 0], begins + windows.lookback, horizon=windows.horizon),
    )


def _padded_rows(windows: Windows) -> tuple[Ints | None, int, int]:
    """The flat row behind each padded row (-1: padding; None: there is none); widths before and after."""
    first = windows.rows - (windows.lookback - 1) - windows.offsets[windows.series]
    last = windows.rows + windows.horizon - (windows.offsets[windows.series + 1] - 1)
    front, back = max(0, -int(first.min())), max(0, int(last.max()))
    if not front and not back:
        return None, 0, 0
    counts = np.diff(windows.offsets)
    starts = windows.offsets[:-1] + front + np.arange(len(counts)) * (front + back)
    rows = np.full(int(windows.offsets[-1]) + len(counts) * (front + back), -1, dtype=np.int64)
    shift = np.repeat(starts - windows.offsets[:-1], counts)
    flat = np.arange(int(windows.offsets[-1]))
    rows[flat + shift] = flat
    return rows, front, back


def _padded(values: npt.NDArray[np.floating], rows: Ints | None) -> npt.NDArray[np.float32]:
    if rows is None:
        return values.astype(np.float32)
    padded = values[rows].astype(np.float32)
    padded[rows < 0] = np.nan
    return padded


def _features(values: npt.NDArray[np.float32], rows: Ints | None, *, length: int, device: str) -> Tensor | None:
    return _sliding(_padded(values, rows), length, device=device) if values.shape[1] else None


def _sliding(table: npt.NDArray[np.float32], length: int, *, device: str) -> Tensor:
    """Every run of `length` rows of a table [T, F] as a row [T - length + 1, length * F], without a copy."""
    width = table.shape[1]
    flat = torch.from_numpy(np.ascontiguousarray(table)).view(-1).to(device)  # moved as a view, every run is copied
    return flat.as_strided((table.shape[0] - length + 1, length * width), (width, 1))


def _complete(target: npt.NDArray[np.float32], begins: Ints, *, horizon: int) -> bool:
    """Whether every label [begin, begin + horizon) is there."""
    missing = np.concatenate([[0], np.cumsum(~np.isfinite(target))])
    return bool((missing[begins + horizon] == missing[begins]).all())
