"""Windows that stand alone: each a series of its own, so that one can be changed without its neighbours.

n windows, L lookback, H horizon, P past, K known, M static features.
"""

from __future__ import annotations

import numpy as np

from tidewright.features.windows import Array, Batch, Doubles, Windows


def to_windows(batch: Batch, *, horizon: int, history: Doubles | None = None) -> Windows:
    """The same inputs as a view, each window a series of its own, for a model that is asked through `predict`.

    `history` [n, L] is the target in float64 (default: the batch's own float32).
    """
    count, lookback = batch.target.shape
    length = lookback + horizon

    def lengthen(values: Array) -> Array:
        padded = np.full((count, length, *values.shape[2:]), np.nan, dtype=values.dtype)
        padded[:, :lookback] = values
        return padded.reshape(count * length, *values.shape[2:])

    offsets = np.arange(count + 1, dtype=np.int64) * length
    return Windows(
        y=lengthen(batch.target.astype(np.float64) if history is None else history),
        past=lengthen(batch.past),
        known=batch.known.reshape(count * length, batch.known.shape[2]),
        static=batch.static,
        offsets=offsets,
        rows=offsets[:-1] + lookback - 1,
        series=np.arange(count, dtype=np.int32),
        cutoffs=np.full(count, lookback - 1, dtype=np.int64),
        lookback=lookback,
        horizon=horizon,
    )
