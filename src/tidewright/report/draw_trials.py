"""Pictures of a search's trials: their scores in order, what they reported on the way, two objectives at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tidewright.report.metric_words import scale_of
from tidewright.report.style import ALARM, FLOOR, FUTURE, INK, MUTED, OTHERS, WINNER, dress, fade, label, new_figure
from tidewright.report.style import thin as thin_line
from tidewright.report.trial_marks import Doubles, Marks, mark_trials, name_goal, show_scores, thin_trials
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tried import Tried

MOST_LINES = 100  # trials whose reports are drawn
MOST_STEPS = 200  # points of one of them
LINES = (  # from below to above
    (TrialState.COMPLETE, fade(WINNER, 0.4), "solid"),
    (TrialState.RUNNING, OTHERS[1], "solid"),
    (TrialState.PRUNED, FLOOR, "dot"),
    (TrialState.FAILED, ALARM, "dot"),
)
LOG_FROM = 30.0  # the ratio of the reported values above which their axis is logarithmic
MOST_TICKS = 8
NO_SCORE = (
    (TrialState.PRUNED, FLOOR, "circle-open"),
    (TrialState.FAILED, ALARM, "x"),
    (TrialState.RUNNING, OTHERS[1], "triangle-right-open"),
)


def draw_history(tried: Tried, *, objective: int = 0) -> Any:
    """Each trial's score and the best so far; trials without a score stand at the best one, far ones at the edge."""
    goal, scored = tried.goals[objective], tried.scored
    marks = mark_trials(tried, objective=objective)
    figure = new_figure(height=300, x="trial", y=name_goal(goal))
    _add_dots(figure, "complete", marks, ~marks.far, colour=WINNER)
    if marks.far.any():
        _add_dots(figure, "far off", marks, marks.far, colour=MUTED, symbol="triangle-up-open")
    height = 0.0
    if scored:
        small = np.array([trial.values[objective] for trial in scored])
        if marks.far.any():  # the line begins at the edge too
            small = np.minimum(small, goal.show(marks.heights[marks.far][0] / scale_of(goal.name)))
        best = show_scores(goal, np.minimum.accumulate(small))
        height = float(best[-1])
        better = np.flatnonzero(np.concatenate([[True], np.diff(best) != 0]))
        x = [*(scored[row].number for row in better), max(trial.number for trial in tried.trials)]
        line = {"color": INK, "width": 1.3, "shape": "hv"}  # the best holds up to the last trial
        figure.add_trace(go.Scatter(x=x, y=[*best[better], height], mode="lines", line=line, name="best so far"))
    _add_without_score(figure, tried, height=height)
    figure.update_yaxes(showticklabels=bool(scored))
    return figure


def draw_reports(tried: Tried) -> Any | None:
    """What each trial reported after its epochs or folds, one line a trial; None where none reported anything."""
    told = [trial for trial in tried.trials if trial.finite_steps]
    if not told:
        return None
    drawn = choose_reports(told)
    values = np.concatenate([list(trial.finite_steps.values()) for trial in drawn])
    figure = new_figure(height=340, x="epoch or fold", y="reported, lower is better")
    best = tried.best
    for state, colour, dash in LINES:
        some = [trial for trial in drawn if trial.state is state and trial is not best]
        _add_lines(figure, str(state), some, colour=colour, dash=dash)
    if best is not None and best in drawn:
        _add_lines(figure, "best", [best], colour=FUTURE, width=2.4)
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > LOG_FROM * low:
        figure.update_yaxes(type="log", tickvals=choose_log_ticks(low, high))
    return figure


def choose_reports(told: Sequence[Trial]) -> tuple[Trial, ...]:
    """The trials whose reports are drawn: where there are many, the best complete ones and others evenly."""
    scored = [trial for trial in told if trial.values]
    rest = [trial for trial in told if not trial.values]
    if len(told) <= MOST_LINES:
        return tuple(told)
    room = max(MOST_LINES - len(rest), MOST_LINES // 2)
    kept = thin_trials(scored, most=room) if len(scored) > 1 else tuple(scored)
    numbers = set(thin_evenly([trial.number for trial in rest], most=MOST_LINES - len(kept)))
    return tuple(sorted((*kept, *(trial for trial in rest if trial.number in numbers)), key=lambda one: one.number))


def choose_log_ticks(low: float, high: float) -> list[float]:
    """Round values between two positive numbers for a logarithmic axis: 1, 2 and 5 of each decade, or 1 alone.

    >>> choose_log_ticks(0.7, 40.0), choose_log_ticks(0.02, 9e4)
    ([1.0, 2.0, 5.0, 10.0, 20.0], [0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0])
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{step}e{decade}") for decade in decades for step in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    if len(inside) <= MOST_TICKS:
        return inside
    whole = [tick for tick in ticks[::3] if low <= tick <= high]
    return whole[:: math.ceil(len(whole) / MOST_TICKS)]


def draw_front(tried: Tried) -> Any:
    """Each pair of objectives: the trials that none other beats in all of them, and those that are beaten."""
    pairs = list(combinations(range(len(tried.goals)), 2))
    figure = make_subplots(rows=1, cols=len(pairs), horizontal_spacing=0.25 / len(pairs))
    dress(figure, height=380)
    ends = {tried.scored[row].number for row in find_front(np.array([trial.values for trial in tried.scored]))}
    drawn = {trial.number for trial in thin_trials(tried.scored)} | ends
    trials = tuple(trial for trial in tried.scored if trial.number in drawn)
    marks = [mark_trials(tried, objective=objective, trials=trials) for objective in range(len(tried.goals))]
    inside = np.array([trial.number in ends for trial in trials])
    for column, (first, second) in enumerate(pairs, start=1):
        for name, rows, colour in (("beaten", ~inside, FLOOR), ("front", inside, WINNER)):
            pair = marks[first], marks[second]
            figure.add_trace(_dots_of_pair(name, pair, rows, colour, legend=column == 1), row=1, col=column)
        figure.update_xaxes(title_text=label(name_goal(tried.goals[first])), row=1, col=column)
        figure.update_yaxes(title_text=label(name_goal(tried.goals[second])), row=1, col=column)
    return figure


def find_front(values: Doubles) -> npt.NDArray[np.int64]:
    """The rows of values [N, K], to be made small, that no other one is as good as in all and better in one.

    >>> find_front(np.array([[0.0, 2.0], [1.0, 1.0], [1.0, 3.0]])).tolist()
    [0, 1]
    """
    kept: list[int] = []
    for row in np.lexsort(values.T[::-1]):
        if not any((values[one] <= values[row]).all() and (values[one] < values[row]).any() for one in kept):
            kept.append(int(row))
    return np.array(sorted(kept), dtype=np.int64)


def _add_dots(figure: Any, name: str, marks: Marks, rows: Any, *, colour: str, symbol: str = "circle") -> None:
    """Trials at their numbers; the true score stands in the text."""
    chosen = np.flatnonzero(rows)
    figure.add_trace(
        go.Scatter(
            x=[marks.trials[row].number for row in chosen],
            y=marks.heights[chosen],
            customdata=marks.scores[chosen],
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 7},
            name=name,
            hovertemplate="trial %{x}: %{customdata:.4~g}<extra></extra>",
        )
    )


def _add_without_score(figure: Any, tried: Tried, *, height: float) -> None:
    for state, colour, symbol in NO_SCORE:
        some = thin_evenly([trial.number for trial in tried.trials if trial.state is state])
        if some:
            figure.add_trace(
                go.Scatter(
                    x=some,
                    y=[height] * len(some),
                    mode="markers",
                    marker={"color": colour, "symbol": symbol, "size": 8},
                    name=f"{state} (no score)",
                    hovertemplate=f"trial %{{x}}: {state}<extra></extra>",
                )
            )


def thin_evenly(numbers: Sequence[int], *, most: int = 200) -> list[int]:
    """At most so many of them, evenly."""
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[int(place)] for place in np.linspace(0, len(numbers) - 1, most).round()]


def _add_lines(figure: Any, name: str, trials: Sequence[Trial], **look: Any) -> None:
    if not trials:
        return
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for trial in trials:
        steps = sorted(trial.finite_steps.items())
        kept = thin_line(np.array([value for _, value in steps]), most=MOST_STEPS)
        x += [*(steps[place][0] for place in kept), None]
        y += [*(steps[place][1] for place in kept), None]
        text += [f"trial {trial.number}"] * (len(kept) + 1)
    width, dash = look.get("width", 1.2), look.get("dash", "solid")
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            text=text,
            mode="lines+markers",
            line={"color": look["colour"], "width": width, "dash": dash},
            marker={"size": 3 if width < 2 else 5, "color": look["colour"]},
            name=name,
            hovertemplate="%{text}, step %{x}: %{y:.4~g}<extra></extra>",
        )
    )


def _dots_of_pair(name: str, pair: tuple[Marks, Marks], rows: Any, colour: str, *, legend: bool) -> Any:
    chosen = np.flatnonzero(rows)
    across, up = pair
    return go.Scatter(
        x=across.heights[chosen],
        y=up.heights[chosen],
        customdata=[[across.trials[n].number, float(across.scores[n]), float(up.scores[n])] for n in chosen],
        mode="markers",
        marker={"color": colour, "size": 9 if colour == WINNER else 6},
        name=name,
        showlegend=legend,
        hovertemplate="trial %{customdata[0]}: %{customdata[1]:.4~g}, %{customdata[2]:.4~g}<extra></extra>",
    )
