"""Windows over only those rows that they see, so that what is done for every row costs no more than they do.

N windows, L lookback, H horizon, T rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tidewright.features.windows import Windows


def narrow_windows(windows: Windows) -> Windows:
    """The same windows, their lookbacks and horizons joined into runs of rows, each run a series of its own.

    They themselves where that would spare less than half of the rows. A row before a run is as one before a series'
    start: nothing of a window lies there.

    >>> from tidewright.data.simulate import noise_panel
    >>> from tidewright.features.view import View
    >>> from tidewright.features.windows import make_windows
    >>> windows = make_windows(noise_panel(n_series=2, length=80, seed=0), View(4), horizon=2, rows=np.array([79, 40]))
    >>> narrow = narrow_windows(windows)
    >>> len(windows.y), len(narrow.y), bool((narrow.history() == windows.history()).all())
    (160, 10, True)
    """
    if not len(windows):
        return windows
    order = np.argsort(windows.rows, kind="stable")
    rows, series = windows.rows[order], windows.series[order]
    low = np.maximum(rows + 1 - windows.lookback, windows.offsets[series])
    high = np.minimum(rows + 1 + windows.horizon, windows.offsets[series + 1])
    first = np.append(True, low[1:] >= high[:-1])  # of a run: the window before ends where this one begins, or earlier
    lengths = high[np.append(np.flatnonzero(first[1:]), len(rows) - 1)] - low[first]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if 2 * offsets[-1] > len(windows.y):
        return windows
    run = np.cumsum(first) - 1
    shift = low[first] - offsets[:-1]
    taken = np.repeat(shift, lengths) + np.arange(offsets[-1])
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return replace(
        windows,
        y=windows.y[taken],
        past=windows.past[taken],
        known=windows.known[taken],
        static=windows.static[series[first]],
        offsets=offsets,
        rows=(rows - shift[run])[back],
        series=run[back].astype(np.int32),
    )
