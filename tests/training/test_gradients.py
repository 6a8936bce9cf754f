"""A batch in parts teaches what the whole batch teaches, also where labels are missing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.training.test_torch_loop import TASK, VIEW, make_panel, make_split
from tidewright.features.windows import cut_windows
from tidewright.models.spec import FeedForward
from tidewright.models.torch.network import ForecastNet, build
from tidewright.models.torch.shape import shape_of
from tidewright.training.gather import Inputs, Source, open_source
from tidewright.training.gradients import find_gradients
from tidewright.training.losses import HEADS, Loss, open_loss


def make_parts(loss: str = "quantile") -> tuple[ForecastNet, Source, Loss]:
    windows = cut_windows(make_panel(), VIEW, horizon=3, cutoffs=make_split().train)
    torch.manual_seed(0)
    network = build(FeedForward(hidden=(16,), dropout=0.0), shape_of(windows, TASK), head=HEADS[loss])
    source = open_source(windows)
    assert not source.complete
    return network, source, open_loss(loss, TASK.quantiles, complete=False)


def gradients(network: ForecastNet) -> list[torch.Tensor]:
    return [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]


@pytest.mark.parametrize("loss", ["quantile", "mse", "student"])
@pytest.mark.parametrize("parts", [2, 3, 7, 100])
def test_parts_of_a_batch_give_the_gradients_of_the_whole(loss: str, parts: int) -> None:
    network, source, measure = make_parts(loss)
    there = source.batch(torch.arange(len(source)))[1].isfinite().sum(dim=1)
    index = torch.argsort(there)[:40]  # the windows with the fewest labels first
    whole = find_gradients(network, index, source=source, measure=measure)
    wanted = gradients(network)
    network.zero_grad()
    again = find_gradients(network, index, source=source, measure=measure, parts=parts)
    assert float(again) == pytest.approx(float(whole), rel=1e-6)
    for ours, theirs in zip(gradients(network), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_part_counts_by_its_labels_and_no_mean_of_means_is_taken() -> None:
    network, source, measure = make_parts()
    sizes: list[tuple[int, int]] = []

    def watch(asked: ForecastNet, inputs: Inputs, labels: torch.Tensor) -> tuple[torch.Tensor, Any]:
        loss_sum, count = measure(asked, inputs, labels)
        sizes.append((len(labels), int(count)))
        return loss_sum, count

    there = source.batch(torch.arange(len(source)))[1].isfinite().sum(dim=1)
    index = torch.argsort(there)[:40]  # the windows with the fewest labels first
    whole = find_gradients(network, index, source=source, measure=measure)
    means = [find_gradients(network, part, source=source, measure=measure) for part in torch.tensor_split(index, 4)]
    parted = find_gradients(network, index, source=source, measure=watch, parts=4)
    assert [size for size, _ in sizes] == [10] * 4
    assert len({count for _, count in sizes}) > 1  # or a mean of means would be right too
    assert float(parted) == pytest.approx(float(whole), rel=1e-6)
    assert float(torch.stack(means).mean()) != pytest.approx(float(whole), rel=1e-4)
