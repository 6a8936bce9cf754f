"""Many networks of one form as one: `Group`.

M members, N rows a member, R = M N rows. Rows lie member after member along the first dimension, so that all that
looks at one row alone (standardising, activations, reshaping) is the network's own code, and only layers that hold
weights are exchanged for grouped ones, whose weights have a leading dimension M.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from operator import attrgetter
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from tidewright.models.torch.basis import Expansion
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.grouped_layers import (
    NORMED,
    GroupedBatchNorm,
    GroupedConvolution,
    GroupedDropout,
    GroupedExpansion,
    GroupedLayerNorm,
    GroupedLinear,
    GroupedMixerLayer,
    GroupedRLinear,
    stack_tensors,
    turned,
)
from tidewright.models.torch.heads import StudentHead
from tidewright.models.torch.lear import LearCore
from tidewright.models.torch.linear import RLinearCore
from tidewright.models.torch.mixer import MixerLayer

Rows = dict[str, Tensor]
_ALONE: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    nn.Linear: GroupedLinear,
    nn.LayerNorm: GroupedLayerNorm,
    nn.BatchNorm1d: GroupedBatchNorm,
}
_PARENTS: dict[type[nn.Module], tuple[Callable[..., nn.Module], str]] = {  # and their child, which is grouped before
    Expansion: (GroupedExpansion, "terms"),
    RLinearCore: (GroupedRLinear, "answer"),
}


class Group:
    """Networks of one form, side by side in one: `network`, in training mode.

    `layers` are the parts of it that hold weights; their parameters and buffers have a leading dimension M. Dropouts
    draw from a generator for each member.
    """

    def __init__(self, networks: Sequence[nn.Module], *, draws: Sequence[Generator]) -> None:
        shares = [_shares(network) for network in networks]
        model = max(range(len(networks)), key=lambda place: sum(shares[place]))  # one that has all the dropouts
        self.network = deepcopy(networks[model])
        self.layers: list[nn.Module] = []
        held = [list(_holders(network)) for network in networks]
        for number, (path, part) in enumerate(list(_named_holders(self.network))):
            self.layers.append(self._exchange(path, part, [own[number] for own in held]))
        drops = [path for path, part in self.network.named_modules() if isinstance(part, Dropout)]
        for number, path in enumerate(drops):
            each = [own[number] if own else 0.0 for own in shares]
            _put(self.network, path, GroupedDropout(each, draws))
        for path, part in list(self.network.named_modules()):
            if isinstance(part, MixerLayer):
                _put(self.network, path, GroupedMixerLayer(part))

    def rows(self) -> Rows:
        """Every parameter and buffer of the layers [M, ...], by name; the tensors themselves, without gradients."""
        return {f"{number}.{name}": held.detach() for number, name, held in self._held()}

    def keep(self, rows: Tensor) -> None:
        """Leaves only the members at `rows` in it."""
        for number, name, held in list(self._held()):
            kept = held.detach().index_select(0, rows)
            kind = nn.Parameter(kept) if isinstance(held, nn.Parameter) else kept
            setattr(self.layers[number], name, kind)
        for part in self.network.modules():
            if isinstance(part, GroupedDropout):
                part.shares = [part.shares[row] for row in rows.tolist()]
                part.draws = [part.draws[row] for row in rows.tolist()]

    def _held(self) -> Iterator[tuple[int, str, Tensor]]:
        for number, layer in enumerate(self.layers):
            for name in _names(layer):
                yield number, name, getattr(layer, name)

    def _exchange(self, path: str, part: nn.Module, each: Sequence[nn.Module]) -> nn.Module:
        """The grouped layer that now stands at a path of the network."""
        kind = type(part)
        if _is_convolution(part):
            grouped: nn.Module = GroupedConvolution(each, names=_names(part))  # type: ignore[arg-type]  # just seen
        elif kind is StudentHead:
            part.log_freedom = nn.Parameter(stack_tensors(each, "log_freedom"))
            return part
        elif kind in _ALONE:
            grouped = _ALONE[kind](each)
        else:
            build, child = _PARENTS[kind]
            grouped = build(each, getattr(part, child))
        _put(self.network, path, grouped)
        return grouped


def put_row(network: nn.Module, rows: Rows, row: int) -> None:
    """Puts one member's weights and buffers into its own network."""
    with torch.no_grad():
        for number, layer in enumerate(_holders(network)):
            for name in _names(layer):
                learned = rows[f"{number}.{name.rsplit('.', 1)[-1]}"][row]
                attrgetter(name)(layer).copy_(learned.T if turned(layer, name) else learned)


def find_obstacle(network: nn.Module) -> str:
    """The first layer that has no grouped form, or is not taught in steps, in words; empty when there is none.

    >>> find_obstacle(nn.Sequential(nn.Linear(2, 2), nn.GRU(2, 2)))
    'GRU has no batched form'
    """
    known = (*_ALONE, *_PARENTS, StudentHead)
    for part in network.modules():
        if isinstance(part, LearCore):
            return "LearCore is solved in closed form"
        owns = next(part.parameters(recurse=False), None) is not None
        grouped = type(part) in known or _is_convolution(part) or isinstance(part, ParametrizationList)
        if owns and (not grouped or (isinstance(part, nn.LayerNorm) and part.bias is None)):
            return f"{type(part).__name__} has no batched form"
    return ""


def _named_holders(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts that hold weights of their own, children before their parents."""
    yield from reversed([(path, part) for path, part in network.named_modules() if _names(part)])


def _holders(network: nn.Module) -> Iterator[nn.Module]:
    return (part for _, part in _named_holders(network))


def _names(part: nn.Module) -> list[str]:
    """The parameters that a part holds itself and, of a batch normalisation, its buffers."""
    if _is_convolution(part):
        return [name for name, _ in part.named_parameters()]
    if isinstance(part, ParametrizationList):  # its convolution has them
        return []
    own = [name for name, _ in part.named_parameters(recurse=False)]
    if isinstance(part, (nn.BatchNorm1d, GroupedBatchNorm)):
        own += [name for name, _ in part.named_buffers(recurse=False)]
    return own


def _is_convolution(part: nn.Module) -> bool:
    """Whether it is one that has a grouped form: weight-normalised or of one step, neither padded nor dilated."""
    if not isinstance(part, nn.Conv1d) or part.groups > 1 or part.dilation != (1,) or part.padding != (0,):
        return False
    names = {name for name, _ in part.named_parameters()}
    return names == set(NORMED) or (names == {"weight", "bias"} and part.kernel_size == (1,))


def _shares(network: nn.Module) -> list[float]:
    """The share of each dropout."""
    return [part.share for part in network.modules() if isinstance(part, Dropout)]


def _put(network: nn.Module, path: str, part: nn.Module) -> None:
    network.set_submodule(path, part)
