"""A member of a population as a checkpoint of its own: the end of a run that `fit` would go on from."""

from __future__ import annotations

from pathlib import Path

from tidewright.models.torch.network import ForecastNet
from tidewright.training.checkpoint import Progress, hold_checkpoint
from tidewright.training.learner import open_learner, pack_learner, snapshot
from tidewright.training.spec import TrainSpec


def keep_member(
    network: ForecastNet, progress: Progress, train: TrainSpec, *, path: Path, key: str, device: str
) -> None:
    """Keeps a network that has learned, with the weights of its best epoch in it, in the file of a run of that key.

    The optimiser's state isn't kept: there is no epoch to come. Raises `ConfigError` where another run holds the file.
    """
    learner = open_learner(network, train)
    with hold_checkpoint(path, key) as held:
        assert held is not None
        held.save(progress, pack_learner(learner, snapshot(network), device=device))
