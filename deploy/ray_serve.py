"""A bundle under Ray Serve: `serve run deploy.ray_serve:app`, with the bundle's folder in TIDEWRIGHT_BUNDLE."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from ray import serve

import tidewright as tw


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 1})
class Forecaster:
    """One session a replica; requests that come together go through the model as one batch."""

    def __init__(self, bundle: str) -> None:
        self.session = tw.open(bundle)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.0)
    async def answer(self, rows: list[Any]) -> list[Any]:
        """The quantiles [H, Q] of each window."""
        return list(self.session.predict(np.stack(rows)).quantiles)

    async def __call__(self, request: Any) -> Any:
        """`{"target": [...]}`, a window of the lookback's length, to `{"quantiles": [[...]]}`."""
        row = np.asarray((await request.json())["target"], dtype=np.float32)
        return {"quantiles": (await self.answer(row)).tolist()}


app = Forecaster.bind(os.environ["TIDEWRIGHT_BUNDLE"])
