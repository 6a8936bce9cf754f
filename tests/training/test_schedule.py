"""The rate of every step is that of torch's own schedulers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

from tests.training.test_torch_loop import BASE, bits, learn
from tidewright.training.schedule import plan_rates
from tidewright.training.spec import TrainSpec

RATE, EPOCHS, STEPS = 0.02, 5, 8
TOTAL = EPOCHS * STEPS


def our_rates(**options: Any) -> list[float]:
    train = TrainSpec(learning_rate=RATE, epochs=EPOCHS, **options)
    history = [{"validation_loss": 1.0}] * EPOCHS
    return [rate for done in range(EPOCHS) for rate in plan_rates(train, history[:done], steps=STEPS)]


def their_rates(make: Callable[[torch.optim.Optimizer], LRScheduler], count: int = TOTAL) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=RATE, momentum=0.9)
    scheduler, rates = make(optimizer), []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_a_constant_rate_stays_to_the_bit() -> None:
    assert our_rates() == [RATE] * TOTAL


@pytest.mark.parametrize("end", [None, 0.1])
def test_cosine_is_torchs(end: float | None) -> None:
    theirs = their_rates(lambda o: CosineAnnealingLR(o, T_max=TOTAL, eta_min=RATE * (end or 0.0)))
    assert our_rates(schedule="cosine", rate_end=end) == pytest.approx(theirs, rel=1e-9)


def test_cyclic_is_huangs_formula_and_torchs_cosine_with_restarts() -> None:
    cycles = 4  # of 10 steps each
    ours = our_rates(schedule="cyclic", cycles=cycles)
    length = TOTAL // cycles
    huang = [RATE / 2 * (math.cos(math.pi * (t % length) / length) + 1) for t in range(TOTAL)]
    assert ours == pytest.approx(huang, rel=1e-12)
    assert ours == pytest.approx(their_rates(lambda o: CosineAnnealingWarmRestarts(o, T_0=length)), rel=1e-9)
    assert our_rates(schedule="cyclic") == our_rates(schedule="cyclic", cycles=5)
    assert min(our_rates(schedule="cyclic", rate_end=0.5)) > RATE / 2


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_warm_up_is_torchs_line_and_the_rest_of_the_steps_follow_it(schedule: Any) -> None:
    rising = 12  # 0.3 of all steps
    line = their_rates(lambda o: LinearLR(o, start_factor=1 / rising, total_iters=rising - 1), rising)
    rest = their_rates(lambda o: CosineAnnealingLR(o, T_max=TOTAL - rising), TOTAL - rising)
    ours = our_rates(schedule=schedule, warmup=0.3)
    assert ours[:rising] == pytest.approx(line, rel=1e-9)
    assert ours[rising:] == pytest.approx(rest if schedule == "cosine" else [RATE] * (TOTAL - rising), rel=1e-9)


@pytest.mark.parametrize(("warmup", "rise"), [(None, 0.3), (0.1, 0.1), (0.25, 0.25), (0.9, 0.9)])
@pytest.mark.parametrize(("end", "divisor"), [(None, 1e4), (0.004, 10.0)])
def test_onecycle_is_torchs(warmup: float | None, rise: float, end: float | None, divisor: float) -> None:
    theirs = their_rates(
        lambda o: OneCycleLR(o, max_lr=RATE, total_steps=TOTAL, pct_start=rise, final_div_factor=divisor),
        TOTAL - 1,
    )
    ours = our_rates(schedule="onecycle", warmup=warmup, rate_end=end)
    assert ours[:-1] == pytest.approx(theirs, rel=1e-9)
    assert ours[-1] == pytest.approx(RATE / 25 / divisor, rel=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_onecycle_of_a_few_steps_has_finite_rates(steps: int) -> None:
    train = TrainSpec(learning_rate=RATE, epochs=1, schedule="onecycle")
    rates = plan_rates(train, [], steps=steps)
    assert all(0 < rate <= RATE for rate in rates)


@pytest.mark.parametrize(("wait", "cut", "end"), [(1, 0.1, None), (2, 0.5, 0.3), (3, 0.7, 0.01)])
def test_plateau_is_torchs(wait: int, cut: float, end: float | None) -> None:
    draw = torch.Generator().manual_seed(wait)
    losses = [float(loss) for loss in 1.0 + torch.rand(40, generator=draw) / (1 + torch.arange(40) / 4)]
    train = TrainSpec(
        learning_rate=RATE, schedule="plateau", rate_wait=wait, rate_cut=cut, rate_end=end, least_gain=0.01, epochs=50
    )
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=RATE)
    scheduler = ReduceLROnPlateau(
        optimizer, factor=cut, patience=wait - 1, threshold=0.01, min_lr=RATE * (end or 0.0), eps=0.0
    )
    history: list[dict[str, float]] = []
    for loss in losses:
        assert plan_rates(train, history, steps=3) == [pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)] * 3
        history.append({"validation_loss": loss})
        scheduler.step(loss)
    assert optimizer.param_groups[0]["lr"] < RATE


def test_a_warm_up_and_a_plateau_multiply() -> None:
    train = TrainSpec(learning_rate=RATE, schedule="plateau", rate_wait=1, rate_cut=0.5, epochs=4, warmup=0.5)
    rates = plan_rates(train, [{"validation_loss": 1.0}, {"validation_loss": 2.0}], steps=2)
    assert rates == [RATE / 2, RATE / 2]
    assert plan_rates(train, [], steps=2) == [RATE / 4, RATE / 2]


def test_the_history_has_the_rate_of_each_epochs_last_step_and_the_weights_follow_it() -> None:
    fitted = learn(BASE)
    assert [record["learning_rate"] for record in fitted.history] == [BASE.learning_rate] * 4
    cosine = replace(BASE, schedule="cosine")
    rates = [record["learning_rate"] for record in learn(cosine).history]
    shares = [(1 + math.cos(math.pi * step / 20)) / 2 for step in (4, 9, 14, 19)]
    assert rates == pytest.approx([BASE.learning_rate * share for share in shares])
    assert bits(learn(cosine)) != bits(fitted)
