"""Networks of basis expansions: each block subtracts what it explained of the window and adds its part of the forecast.

N windows, L lookback, H horizon, P past, K known, M static features, C output columns (quantiles or the point), S
stacks. A missing step is 0 in every block's window, and the mask stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from tidewright.models.specs.basis import NBEATS, NHiTS
from tidewright.models.torch.bases import Bases, fourier_bases, line_bases, polynomial_bases
from tidewright.models.torch.dense import dense_stack
from tidewright.models.torch.shape import Shape

LOWEST = -1e30  # below every standardised value


@dataclass(frozen=True, eq=False, slots=True)
class Stack:
    """How the blocks of one stack are made: `bases` None means that `terms` vectors are learned."""

    blocks: int
    pool: int = 1
    bases: Bases | None = None
    terms: int = 1
    shared: bool = False


class BasisBlock(nn.Module):
    """Dense layers, then coefficients times bases: a backcast [N, L] and a forecast [N, H, C].

    The last block of a network (`closing`) has no backcast, as nobody would hear of it.
    """

    def __init__(self, stack: Stack, spec: NBEATS | NHiTS, shape: Shape, *, columns: int, closing: bool) -> None:
        super().__init__()
        self.pool, self.columns = stack.pool, columns
        pooled = -(-shape.lookback // stack.pool)
        width = 2 * pooled + shape.lookback * shape.past + (shape.lookback + shape.horizon) * shape.known + shape.static
        self.hidden = dense_stack(
            width, (spec.width,) * spec.layers, activation="relu", dropout=spec.dropout, batch_norm=False
        )
        self.backcast = None if closing else Expansion(spec.width, shape.lookback, stack=stack, ahead=False)
        self.forecast = Expansion(spec.width, shape.horizon, stack=stack, ahead=True, columns=columns)

    def forward(self, window: Tensor, seen: Tensor, context: list[Tensor]) -> tuple[Tensor | None, Tensor]:
        state = self.hidden(torch.cat([*pool_steps(window, seen, self.pool), *context], dim=1))
        backcast = None if self.backcast is None else self.backcast(state).squeeze(2)
        return backcast, self.forecast(state)


class Expansion(nn.Module):
    """Coefficients out of a state [N, W], times a basis [J, length] that is fixed or learned: [N, length, C]."""

    def __init__(self, width: int, length: int, *, stack: Stack, ahead: bool, columns: int = 1) -> None:
        super().__init__()
        self.basis: Tensor
        self.columns = columns
        if stack.bases is None:
            self.basis = nn.Parameter(torch.randn(stack.terms, length) / stack.terms**0.5)
        else:
            self.register_buffer("basis", stack.bases.forecast if ahead else stack.bases.backcast)
        self.terms = nn.Linear(width, len(self.basis) * columns)
        nn.init.normal_(self.terms.weight, std=0.01)
        nn.init.zeros_(self.terms.bias)

    def forward(self, state: Tensor) -> Tensor:
        terms = self.terms(state).unflatten(1, (self.columns, -1))
        answer: Tensor = (terms @ self.basis).transpose(1, 2)
        return answer


class StackedBlocks(nn.Module):
    """The blocks of all stacks in a row, doubly residual.

    `start` [C] is what they answer before they have learned anything. Where the weights of a stack are shared, one
    block is asked as often as there are blocks.
    """

    recomputed: ClassVar[tuple[str, ...]] = ("blocks",)

    def __init__(
        self, stacks: Sequence[Stack], spec: NBEATS | NHiTS, shape: Shape, *, start: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.horizon = shape.horizon
        self.start: Tensor
        self.register_buffer("start", torch.tensor(start))
        self.plan: list[list[int]] = []
        self.blocks = nn.ModuleList()
        for place, stack in enumerate(stacks):
            count, first = 1 if stack.shared else stack.blocks, len(self.blocks)
            self.plan.append([first + (0 if stack.shared else number) for number in range(stack.blocks)])
            for number in range(count):
                last = place == len(stacks) - 1 and number == count - 1
                closing = last and not (stack.shared and stack.blocks > 1)
                self.blocks.append(BasisBlock(stack, spec, shape, columns=len(start), closing=closing))

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        return self.decompose(values, seen, past, known, static).sum(dim=0) + self.start

    def decompose(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        """What each stack adds to the scores [S, N, H, C]: their sum and `start` are the forecast, standardised."""
        context = [part.flatten(1) for part in (past, known, static) if part is not None]
        window, parts = values, []
        for numbers in self.plan:
            answers = []
            for number in numbers:
                backcast, forecast = self.blocks[number](window, seen, context)
                answers.append(forecast)
                if backcast is not None:
                    window = (window - backcast) * seen
            parts.append(torch.stack(answers).sum(dim=0))
        return torch.stack(parts)


def open_nbeats(spec: NBEATS, shape: Shape, *, start: tuple[float, ...]) -> StackedBlocks:
    """N-BEATS: stacks of learned, polynomial or Fourier bases."""
    fixed = {
        "generic": None,
        "trend": polynomial_bases(shape, spec.degree),
        "seasonality": fourier_bases(shape, spec.harmonics),
    }
    stacks = [Stack(spec.blocks, bases=fixed[kind], terms=spec.terms, shared=kind != "generic") for kind in spec.stacks]
    return StackedBlocks(stacks, spec, shape, start=start)


def open_nhits(spec: NHiTS, shape: Shape, *, start: tuple[float, ...]) -> StackedBlocks:
    """N-HiTS: stacks that pool the window and join knots by lines."""
    stacks = [
        Stack(spec.blocks, pool=pool, bases=line_bases(shape, stride))
        for pool, stride in zip(spec.pools, spec.strides, strict=True)
    ]
    return StackedBlocks(stacks, spec, shape, start=start)


def pool_steps(window: Tensor, seen: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The largest observed value and the observed share of every `size` steps, counted from the newest back.

    Both are [N, ceil(L / size)]; where nothing is observed, the value is 0.
    """
    if size == 1:
        return window, seen
    short = -window.shape[1] % size
    value = nn.functional.pad(torch.where(seen > 0, window, torch.full_like(window, LOWEST)), (short, 0), value=LOWEST)
    share = nn.functional.pad(seen, (short, 0)).reshape(-1, (window.shape[1] + short) // size, size).mean(dim=2)
    largest = value.reshape(-1, (window.shape[1] + short) // size, size).amax(dim=2)
    return torch.where(share > 0, largest, torch.zeros_like(largest)), share
