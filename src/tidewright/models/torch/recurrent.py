"""A recurrent network (LSTM or GRU) reads the lookback; a feed-forward head also sees the known future.

N windows, L lookback, H horizon, P past, K known, M static features, C output columns (quantiles or the point).
"""

from __future__ import annotations

from torch import Tensor, nn

from tidewright.models.specs.recurrent import GRU, LSTM
from tidewright.models.torch.dense import answer_layer, dense_stack
from tidewright.models.torch.shape import Shape
from tidewright.models.torch.steps import add_ahead, ahead_width, stack_steps, step_width

KINDS: dict[str, type[nn.LSTM | nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class RecurrentCore(nn.Module):
    """Scores [N, H, C]: the lookback's values, mask, past and known features are read step by step; the last
    state of each direction, the known features over the horizon and the static ones go through the head. `highway` adds
    one matrix on the values to all columns.

    `start` [C] is what it answers before it has learned anything.
    """

    def __init__(self, spec: LSTM | GRU, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.directions = 2 if spec.bidirectional else 1
        self.outputs = (shape.horizon, len(start))
        self.recurrent = KINDS[spec.name](
            step_width(shape),
            spec.hidden,
            num_layers=spec.layers,
            bidirectional=spec.bidirectional,
            dropout=spec.dropout if spec.layers > 1 else 0.0,
            batch_first=True,
        )
        start_recurrent(self.recurrent)
        width = self.directions * spec.hidden + ahead_width(shape)
        self.head = dense_stack(width, spec.head, activation="relu", dropout=spec.dropout, batch_norm=False)
        self.answer = answer_layer((width, *spec.head)[-1], shape.horizon, start=start)
        self.highway = nn.Linear(shape.lookback, shape.horizon, bias=False) if spec.highway else None
        if self.highway is not None:
            nn.init.normal_(self.highway.weight, std=0.01)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        steps = stack_steps(values, seen, past, known)
        state = add_ahead(*last_states(self.recurrent, steps), lookback=values.shape[1], known=known, static=static)
        answer: Tensor = self.answer(self.head(state)).reshape(-1, *self.outputs)
        return answer if self.highway is None else answer + self.highway(values).unsqueeze(2)


def last_states(recurrent: nn.LSTM | nn.GRU, steps: Tensor) -> list[Tensor]:
    """The last layer's state [N, W] of each direction after all steps [N, L, F], forward first."""
    _, end = recurrent(steps)
    state = end[0] if isinstance(recurrent, nn.LSTM) else end
    return [state[-k] for k in range(2 if recurrent.bidirectional else 1, 0, -1)]


def start_recurrent(recurrent: nn.LSTM | nn.GRU) -> None:
    """Glorot's weights into the gates, orthogonal ones between steps, and a gate that starts out remembering.

    A bias of 1 lets gradients reach far back from the first step on: an LSTM's forget gate (Jozefowicz, Zaremba,
    Sutskever 2015), a GRU's update gate, which keeps the state where it is open (Tallec, Ollivier 2018). Both are the
    second block of torch's gates.
    """
    for name, weight in recurrent.named_parameters():
        if "weight_ih" in name:
            nn.init.xavier_uniform_(weight)
        elif "weight_hh" in name:
            nn.init.orthogonal_(weight)
        else:
            nn.init.zeros_(weight)
            if "bias_ih" in name:
                nn.init.ones_(weight[recurrent.hidden_size : 2 * recurrent.hidden_size])
