"""What a search looks like on a terminal, and in lines where there is none."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from tidewright.cli.progress import ProgressView
from tidewright.cli.search_view import SearchView
from tidewright.training.events import (
    EpochEnded,
    Event,
    FloorsScored,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialStarted,
)

PRUNED = "its best value 0.43 up to step 2 is above 0.33, the median of 7 trials"


def tell_search(metric: str = "mase") -> list[Event]:
    def point(hidden: int) -> dict[str, Any]:
        return {"model.hidden": hidden, "train.learning_rate": 0.01, "model.layers": 2}

    return [
        FloorsScored({"naive": {"mase": 1.1, "accuracy": 0.2}, "seasonal_naive": {"mase": 0.9, "accuracy": 0.4}}),
        SearchStarted("lstm", metric, 10, 100.0, 20.0, (TrialEnded("lstm", 0, "complete", 0.8, point(8), 5.0),)),
        TrialStarted("lstm", 1, point(16), 5.0),
        TrialEnded("lstm", 1, "pruned", None, point(16), 1.0, error=PRUNED, expected_s=5.0),
        TrialStarted("lstm", 2, point(32), 4.0),
        TrialEnded("lstm", 2, "failed", None, point(32), 1.0, error="MemoryError: no room"),
        TrialStarted("lstm", 3, point(64), 6.5),
        EpochEnded("lstm", "", 4, 0.1, 0.2, 0.3, trial=3),
    ]


def draw(events: list[Event], *, width: int, seconds: float = 3.0) -> str:
    now = [0.0]
    view = SearchView(clock=lambda: now[0])
    for event in events:
        view.hear(event)
    now[0] = seconds
    console = Console(width=width, record=True, force_terminal=True, file=__import__("io").StringIO())
    console.print(view)
    return console.export_text()


def test_a_table_has_the_best_beside_its_floor_states_with_reasons_time_and_what_runs() -> None:
    text = draw(tell_search(), width=100)
    assert "lstm: best mase 0.8 (trial 0), floor seasonal_naive 0.9" in text
    assert "1 complete, 1 pruned, 1 failed, 1 running; 0:23 spent, about 0:07 left" in text  # 7 trials of 1 s
    assert f"pruned 1, the last: {PRUNED}" in text
    assert "failed 1, the last: MemoryError: no room" in text
    running = next(line.split() for line in text.splitlines() if "epoch 4" in line)
    assert running == ["3", "epoch", "4", "3.0", "6.5", "64"]
    assert "hidden" in text
    assert "layers" not in text  # it differs nowhere


@pytest.mark.parametrize("width", [40, 60, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, draw(tell_search(), width=width).splitlines())) <= width


def test_a_metric_that_is_made_large_is_shown_as_it_is() -> None:
    events = [*tell_search("accuracy"), TrialEnded("lstm", 3, "complete", -0.7, {"model.hidden": 64}, 1.0)]
    assert "best accuracy 0.7 fraction (trial 3), floor seasonal_naive 0.4" in draw(events, width=100)


def test_where_there_is_no_terminal_a_trial_is_a_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressView(quiet=False) as view:
        for event in [*tell_search(), SearchEnded("lstm", "it was enough", 30.0)]:
            view.hear(event)
    out, err = capsys.readouterr()
    assert out == ""
    lines = " ".join(err.split())
    assert "lstm: 1 trials are there from before, in 0:20" in lines
    assert f"lstm trial 1 pruned in 1.0 s (told 5.0 s): {PRUNED}" in lines
    assert "best mase 0.8 (trial 0), floor seasonal_naive 0.9; 1 complete" in lines
    assert "ended because it was enough" in lines
    with ProgressView(quiet=True) as view:
        view.hear(tell_search()[1])
        view.hear(tell_search()[3])
    assert capsys.readouterr() == ("", "")


def test_a_trial_made_again_from_another_seed_is_not_the_best() -> None:
    again = TrialEnded("lstm", 4, "complete", 0.1, {"model.hidden": 8, "repeat.seed": 1}, 1.0, again=True)
    assert "best mase 0.8 (trial 0)" in draw([*tell_search(), again], width=100)


def test_when_the_search_is_over_the_best_is_the_one_that_it_says_and_worth_what_it_says() -> None:
    better = TrialEnded("lstm", 3, "complete", 0.5, {"model.hidden": 64}, 1.0)
    over = SearchEnded("lstm", "it was enough", 30.0, best=0, value=0.85)
    assert "best mase 0.5 (trial 3)" in draw([*tell_search(), better], width=100)
    assert "best mase 0.85 (trial 0)" in draw([*tell_search(), better, over], width=100)
    again = [*tell_search(), better, over, *tell_search()]
    assert "best mase 0.8 (trial 0)" in draw(again, width=100)  # the search of another model
