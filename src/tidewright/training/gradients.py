"""The gradients of one step: of its whole batch at once, or of parts of it, one after the other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tidewright.models.torch.network import ForecastNet
from tidewright.training.gather import Source
from tidewright.training.losses import Loss
from tidewright.training.runs import Runs
from tidewright.training.team import ALONE, Team


def find_gradients(
    network: ForecastNet,
    index: Tensor,
    *,
    source: Source | Runs,
    measure: Loss,
    parts: int = 1,
    team: Team = ALONE,
    scale: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> Tensor:
    """Puts the gradients of the mean loss over the windows at `index` where none are; gives that loss.

    In `parts` one after the other, so that the memory is that of one part. The mean is over all labels that are
    there in all parts: the sum of losses through the sum of counts, and no mean of means. In a team the gradients are
    those of all processes' windows, and the mean of what the processes are given is the loss. `scale` gives what the
    gradients are taken of.
    """
    if parts == 1:
        loss_sum, count = team.measure(network, index, source=source, loss=measure)
        loss = loss_sum * team.size / count
        scale(loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it so
        return loss.detach()
    total, seen = torch.zeros((), device=index.device), torch.zeros((), device=index.device)
    for part in torch.tensor_split(index, min(parts, len(index))):
        loss_sum, count = team.measure(network, part, source=source, loss=measure)
        scale(loss_sum / len(index)).backward()  # type: ignore[no-untyped-call]  # likewise; the number comes below
        total, seen = total + loss_sum.detach(), seen + count
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    torch._foreach_mul_(gradients, team.size * len(index) / seen)  # a team leaves their mean
    return team.size * total / seen
