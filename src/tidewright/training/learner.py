"""`Learner`: what changes while a network learns, and how it is kept and put back."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch.optim import Optimizer

from tidewright.models.torch.network import ForecastNet, copy_network
from tidewright.training.average import Average, open_average
from tidewright.training.checkpoint import Tensors, load_whole, pack_state, part_like, pick, unpack_state, whole
from tidewright.training.optimizers import open_optimizer
from tidewright.training.precision import Means
from tidewright.training.spec import TrainSpec
from tidewright.training.team import ALONE, Team


@dataclass(frozen=True, eq=False, slots=True)
class Learner:
    """What changes from step to step: the network, its optimiser, the shuffle, the mean of the weights and the means
    by which steps are computed."""

    network: ForecastNet
    optimizer: Optimizer
    shuffle: torch.Generator
    average: Average | None = None
    means: Means = field(default_factory=Means)

    @property
    def judged(self) -> ForecastNet:
        """What is judged and given back: the averaged network, where there is one."""
        return self.average.network if self.average else self.network


def open_learner(network: ForecastNet, train: TrainSpec, *, team: Team = ALONE, means: Means | None = None) -> Learner:
    """All that a run begins with."""
    own = team.shard(copy_network(network)) if train.ema else None
    network = team.shard(network)
    optimizer = open_optimizer(train, network.parameters())
    average = open_average(network, train.ema, own=own)
    return Learner(network, optimizer, torch.Generator().manual_seed(train.seed), average, means or Means())


def snapshot(network: ForecastNet) -> Tensors:
    """A copy of all weights and buffers."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def keep_learner(learner: Learner, *, device: str) -> Tensors:
    """A copy of all that an epoch changes, in the host's memory."""
    packed = whole(pack_learner(learner, {}, device=device))
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in packed.items()}


def put_back(learner: Learner, kept: Tensors, *, device: str) -> None:
    """Undoes what was learned since it was kept."""
    learner.optimizer.zero_grad()
    restore_learner(learner, {name: tensor.clone() for name, tensor in kept.items()}, device=device)


def pack_learner(learner: Learner, best: Tensors, *, device: str) -> Tensors:
    """All tensors of a run, those of its best epoch among them."""
    packed = pack_state(learner.network, learner.optimizer) | learner.means.pack()
    packed |= {f"best.{name}": tensor for name, tensor in best.items()}
    if learner.average:
        packed |= {f"average.{name}": tensor for name, tensor in learner.average.network.state_dict().items()}
    packed |= {"random.shuffle": learner.shuffle.get_state(), "random.draws": torch.get_rng_state()}
    if device != "cpu":
        packed["random.device"] = torch.cuda.get_rng_state(device)
    return packed


def restore_learner(learner: Learner, tensors: Tensors, *, device: str) -> Tensors:
    """Puts a saved run back; its best weights."""
    unpack_state(tensors, network=learner.network, optimizer=learner.optimizer)
    learner.means.unpack(tensors)
    if learner.average:
        load_whole(learner.average.network, pick(tensors, "average."))
    learner.shuffle.set_state(tensors["random.shuffle"])
    torch.set_rng_state(tensors["random.draws"])
    if device != "cpu":
        torch.cuda.set_rng_state(tensors["random.device"], device)
    own = learner.network.state_dict()
    return {name: part_like(tensor.to(device), own[name]) for name, tensor in pick(tensors, "best.").items()}
