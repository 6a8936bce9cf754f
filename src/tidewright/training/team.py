"""`Team`: the processes that teach one network together, as the epoch loop sees them; alone, it does nothing.

Every process draws the same shuffle and takes its part of each batch, so the batches are those of one process. A
process's loss is weighted so that the mean of all gradients, which DDP and FSDP take, is that of the whole batch.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tidewright.errors import ConfigError, FitError
from tidewright.models.torch.network import ForecastNet, copy_network
from tidewright.optional import require
from tidewright.training.checkpoint import Checkpoint, Progress, Tensors, hold_checkpoint, read_progress, whole
from tidewright.training.distributed import Strategy
from tidewright.training.gather import Inputs, Source
from tidewright.training.losses import Loss
from tidewright.training.runs import Runs

LEAST_BLOCK = 100_000  # weights that are worth an exchange of their own


@dataclass(frozen=True, slots=True)
class Team:
    """This process's place among `size`, which have joined torch's default group; rank 0 leads."""

    rank: int = 0
    size: int = 1
    strategy: Strategy = "ddp"
    device: str = "cpu"

    def shard(self, network: ForecastNet) -> ForecastNet:
        """What learns in the network's place: itself, or under FSDP a copy that holds this process's part of it.

        On CUDA batch normalisation is taken over all processes; on the CPU torch can't. Raises `ConfigError`.
        """
        normed = any(isinstance(part, _BatchNorm) for part in network.modules())
        if self.size == 1 or (self.strategy == "ddp" and not normed):
            return network
        if normed and self.device == "cpu":
            raise ConfigError(
                f"batch normalisation would see a part of each batch in each of {self.size} processes: on the CPU "
                "torch has none that is taken over all of them. Set batch_norm to false (or norm to layer), or train "
                "in one process or on GPUs."
            )
        own: ForecastNet = nn.SyncBatchNorm.convert_sync_batchnorm(copy_network(network))  # type: ignore[no-untyped-call]
        if self.strategy == "fsdp":
            _shard_weights(own, self)
        return own

    def link(self, network: ForecastNet, loss: Loss) -> Loss:
        """The loss whose backward pass leaves the mean of all processes' gradients."""
        if self.size == 1:
            return loss
        if self.strategy == "fsdp":  # its hooks are in the network itself
            return _without_warning(loss)
        both = nn.parallel.DistributedDataParallel(
            _Measured(network, loss), forward_sync_buffers=False, gradient_as_bucket_view=True
        )

        def measure(asked: ForecastNet, inputs: Inputs, labels: Tensor) -> tuple[Tensor, Tensor | int]:
            answer: tuple[Tensor, Tensor | int] = both(asked, inputs, labels)
            return answer

        return measure

    def measure(
        self, network: ForecastNet, index: Tensor, *, source: Source | Runs, loss: Loss
    ) -> tuple[Tensor, Tensor | int]:
        """The sum of losses over this process's part of the windows at `index`, and the number of labels of all."""
        if self.size == 1:
            return loss(network, *source.batch(index))
        part = torch.tensor_split(index, self.size)[self.rank]
        weight = 1 if len(part) else 0
        part = part if weight else index[:1]  # all join in every step: one without a window takes one that counts 0
        loss_sum, count = loss(network, *source.batch(part))
        if isinstance(count, int):
            return loss_sum * weight, count // len(part) * len(index)
        return loss_sum * weight, self.sum(count * weight)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes, the same bits in each."""
        if self.size == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total

    def agree(self, *numbers: float) -> tuple[float, ...]:
        """Rank 0's numbers: clocks differ, and no process may stop alone."""
        if self.size == 1:
            return numbers
        spoken = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        distributed.broadcast(spoken, src=0)
        return tuple(spoken.tolist())

    def lead(self) -> Lead:
        """A block in which rank 0 does something alone; where it raises there, all do."""
        return Lead(self)

    def load(self, checkpoint: Checkpoint) -> tuple[Progress, Tensors] | None:
        """What rank 0 finds in the checkpoint, in every process."""
        with self.lead() as leads:
            saved = checkpoint.load() if leads else None
        if self.size == 1:
            return saved
        safetensors = require("safetensors.torch", extra="nets", purpose="a checkpoint")
        head = self.hear(json.dumps(asdict(saved[0])).encode() if saved else b"")
        if not head:
            return None
        body = self.hear(safetensors.save(saved[1]) if saved else b"")
        return read_progress(head.decode()), safetensors.load(body)

    def save(self, checkpoint: Checkpoint, progress: Progress, tensors: Tensors) -> None:
        """Puts the parts of all processes together; rank 0 writes."""
        tensors = whole(tensors)
        with self.lead() as leads:
            if leads:
                checkpoint.save(progress, tensors)

    def hear(self, content: bytes) -> bytes:
        """Rank 0's bytes."""
        size = int(self.agree(len(content))[0])
        if not size:
            return b""
        spoken = torch.frombuffer(bytearray(content if self.rank == 0 else size), dtype=torch.uint8).to(self.device)
        distributed.broadcast(spoken, src=0)
        return spoken.cpu().numpy().tobytes()


ALONE = Team()


@dataclass(frozen=True, slots=True)
class Lead:
    """See `Team.lead`; true in rank 0. The others raise `FitError` with its words, and wait for nothing in vain."""

    team: Team

    def __enter__(self) -> bool:
        return self.team.rank == 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.team.size == 1:
            return
        words = self.team.hear(b"" if kind is None else f"{kind.__name__}: {error}".encode()).decode()
        if words and self.team.rank:
            raise FitError(f"process 0 of {self.team.size} failed: {words}")


@contextmanager
def hold_together(path: Path | None, key: str, *, team: Team) -> Iterator[Checkpoint | None]:
    """The checkpoint at a path, which rank 0 holds for all. See `hold_checkpoint`."""
    with ExitStack() as stack:
        with team.lead() as leads:
            named = Checkpoint(path, key) if path else None
            held = stack.enter_context(hold_checkpoint(path, key)) if leads else named
        yield held


def draw_apart(team: Team, seed: int, *, epoch: int) -> None:
    """Another dropout in each process: rank 0's draws are one process's, the others' begin anew each epoch."""
    if team.rank:
        number = np.random.SeedSequence([seed, team.rank, epoch]).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(number >> 1))


class _Measured(nn.Module):
    """A network with its loss as one module: DDP follows the forward pass of a module."""

    def __init__(self, network: ForecastNet, loss: Loss) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def forward(self, asked: ForecastNet, inputs: Inputs, labels: Tensor) -> tuple[Tensor, Tensor | int]:
        return self.loss(asked, inputs, labels)  # the network itself, or what asks it otherwise


def _without_warning(loss: Loss) -> Loss:
    """The loss without FSDP's warning that scores are a view: no loss writes into them."""

    def measure(network: ForecastNet, inputs: Inputs, labels: Tensor) -> tuple[Tensor, Tensor | int]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
            return loss(network, inputs, labels)

    return measure


def _shard_weights(network: ForecastNet, team: Team) -> None:
    """Cuts the network's weights among the processes, in place; each large block is put together by itself."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    single = [name for name, weight in network.named_parameters() if not weight.ndim]
    if single:
        raise ConfigError(f"FSDP can't cut weights that are one number ({', '.join(single)}). Use the strategy ddp.")
    mesh = init_device_mesh(team.device, (team.size,))
    for block in reversed([block for part in network.modules() if isinstance(part, nn.ModuleList) for block in part]):
        if sum(weight.numel() for weight in block.parameters()) >= LEAST_BLOCK:
            fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)
    register_fsdp_forward_method(network, "score")
