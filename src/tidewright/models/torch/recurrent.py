"""A long short-term memory network reads the lookback; a feed-forward head also sees the known future.

N windows, L lookback, H horizon, P past, K known, M static features, C output columns (quantiles or the
point).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tidewright.models.spec import LSTM
from tidewright.models.torch.dense import answer_layer, dense_stack
from tidewright.models.torch.shape import Shape


class RecurrentCore(nn.Module):
    """Scores [N, H, C]: the lookback's values, mask, past and known features are read step by step; the last
    state of each direction, the known features over the horizon and the static ones go through the head.

    `start` [C] is what it answers before it has learned anything.
    """

    def __init__(self, spec: LSTM, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.lookback, self.directions = shape.lookback, 2 if spec.bidirectional else 1
        self.outputs = (shape.horizon, len(start))
        self.recurrent = nn.LSTM(
            2 + shape.past + shape.known,
            spec.hidden,
            num_layers=spec.layers,
            bidirectional=spec.bidirectional,
            dropout=spec.dropout if spec.layers > 1 else 0.0,
            batch_first=True,
        )
        start_recurrent(self.recurrent)
        width = self.directions * spec.hidden + shape.horizon * shape.known + shape.static
        self.head = dense_stack(width, spec.head, activation="relu", dropout=spec.dropout, batch_norm=False)
        self.answer = answer_layer((width, *spec.head)[-1], shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        steps = [values.unsqueeze(2), seen.unsqueeze(2)]
        if past is not None:
            steps.append(past)
        if known is not None:
            steps.append(known[:, : self.lookback])
        _, (state, _) = self.recurrent(torch.cat(steps, dim=2))
        parts = [state[-k] for k in range(self.directions, 0, -1)]
        if known is not None:
            parts.append(known[:, self.lookback :].flatten(1))
        if static is not None:
            parts.append(static)
        answer: Tensor = self.answer(self.head(torch.cat(parts, dim=1)))
        return answer.reshape(-1, *self.outputs)


def start_recurrent(lstm: nn.LSTM) -> None:
    """Glorot's weights into the gates, orthogonal ones between steps, and a forget gate that starts open.

    A forget bias of 1 lets gradients reach far back from the first step on (Jozefowicz, Zaremba, Sutskever
    2015).
    """
    for name, weight in lstm.named_parameters():
        if "weight_ih" in name:
            nn.init.xavier_uniform_(weight)
        elif "weight_hh" in name:
            nn.init.orthogonal_(weight)
        else:
            nn.init.zeros_(weight)
            if "bias_ih" in name:
                nn.init.ones_(weight[lstm.hidden_size : 2 * lstm.hidden_size])
