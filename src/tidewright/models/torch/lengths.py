"""Which networks answer windows of other lengths than they learned from, and a network made ready for these.

L lookback. A network allows other lengths where no weight of it belongs to a step.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from tidewright.models.spec import ModelSpec
from tidewright.models.specs.attention import AdaptiveTransformer, Transformer, TransformerEncoder
from tidewright.models.specs.convolutional import TCN, AdaptiveCNN
from tidewright.models.specs.fusion import TFT
from tidewright.models.specs.hybrid import CNNLSTM
from tidewright.models.specs.recurrent import GRU, LSTM
from tidewright.models.torch.adaptive_cnn import conv_sizes
from tidewright.models.torch.attention import Positions
from tidewright.models.torch.convolutional import dilation_base, receptive_field
from tidewright.models.torch.network import ForecastNet
from tidewright.models.torch.transformer import AdaptiveCore

LEAST = 2  # steps, also of those that poolings leave: one alone has nothing to be standardised by
Lengths = tuple[int, int]  # the shortest and the longest window


def explain_fixed(spec: ModelSpec) -> str:
    """Why a network takes windows of one length alone; empty where it takes others."""
    if isinstance(spec, LSTM | GRU):
        return "its highway has a weight for each step" if spec.highway else ""
    if isinstance(spec, Transformer | TransformerEncoder | AdaptiveTransformer):
        return "it learned a vector for each position" if spec.positions == "learned" else ""
    if isinstance(spec, AdaptiveCNN):
        return "" if spec.attention else "its head has weights for each step that its convolutions leave"
    if isinstance(spec, CNNLSTM):
        return "" if spec.pool == 1 else "no graph carries the steps that its pooling leaves into an LSTM at any length"
    return "" if isinstance(spec, TCN | TFT) else "it has weights for each step"


def widest_lengths(spec: ModelSpec, lookback: int) -> tuple[int, int | None]:
    """The shortest and the longest window that a network which learned from `lookback` steps has an answer to; None:
    any.

    >>> widest_lengths(TCN(), 96), widest_lengths(LSTM(), 96), widest_lengths(CNNLSTM(), 96)
    ((2, 125), (2, None), (2, None))
    """
    if isinstance(spec, TCN):  # steps further back would go unread
        return LEAST, receptive_field(spec, dilation_base(spec, lookback))
    if isinstance(spec, AdaptiveCNN):
        return LEAST << len(conv_sizes(spec, lookback)[0]), None
    return LEAST, None


def free_network(network: ForecastNet, longest: int) -> ForecastNet:
    """The same network for windows of any length up to the longest: what was drawn for its lookback is drawn anew."""
    own = copy.deepcopy(network)
    for part in own.modules():
        if isinstance(part, Positions):
            part.reach_back(max(longest - network.shape.lookback, 0))
        elif isinstance(part, AdaptiveCore):
            part.members = None
    for path, part in list(own.named_modules()):
        if isinstance(part, nn.MaxPool1d):
            own.set_submodule(path, FreePool(part.kernel_size))  # type: ignore[arg-type]  # of one axis
    return own.eval()


class FreePool(nn.Module):
    """The largest of every `size` steps of [N, F, L]: `nn.MaxPool1d`, which torch exports for one length alone."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, steps: Tensor) -> Tensor:
        return max_pool2d(steps.unsqueeze(2), (1, self.size)).squeeze(2)


def fits(lengths: Any, lookback: int) -> bool:
    """Whether a window of `lookback` steps lies within."""
    return lengths is not None and lengths[0] <= lookback <= lengths[1]
