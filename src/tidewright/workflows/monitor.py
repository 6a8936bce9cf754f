"""`monitor`: a bundle's live inputs, answers and errors held against the reference of its training.

B blocks, R rows of a block, C columns, A answers, H horizon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.checks import check_calls, check_real, check_whole
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.errors import BundleError, ShortSeriesError
from tidewright.features.windows import Windows, cut_windows
from tidewright.inference.drift import (
    Blocked,
    block_values,
    compare_means,
    compare_rows,
    compare_values,
)
from tidewright.inference.forecasting import answer_windows
from tidewright.inference.session import Session, open_session
from tidewright.metrics.comparison import holm
from tidewright.registry.blocks import ROWS, sample_rows
from tidewright.registry.bundle import Bundle, load_bundle
from tidewright.registry.reference import CELLS, MOST_ANSWERS, Answered, Reference, compare_with_labels
from tidewright.registry.seen import last_seen
from tidewright.registry.trial_windows import spread
from tidewright.workflows.monitoring import Alert, Check, Listener, Monitoring, score_over_time

DRAWS, MOST_DRAWS = 1999, 40_000
FALSE_ALARMS, LEAST_SHARE = 0.05, 0.005


def monitor(
    bundle: str | Path | Bundle,
    table: Any,
    *,
    since: str | None = None,
    false_alarms: float = FALSE_ALARMS,
    seed: int = 0,
    callbacks: Sequence[Listener] = (),
) -> Monitoring:
    """What became of a bundle's inputs, answers and errors since it was made, in a table with history and new values.

    Live is what lies after everything that the model learned from or was chosen on, or after the time `since` (ISO
    8601; UTC where the table's hours have a zone). Every input, its missing values, all inputs together, the
    predictions, and, where actual values have arrived, the errors and the coverage are tested; p-values are adjusted
    (Holm 1979), so that where nothing changed any alarm at all is raised in at most the share `false_alarms` of cases.
    Each `Alert` is told to the callbacks. Raises `ConfigError`, `BundleError` for a bundle without a reference, and
    `ShortSeriesError` where nothing is live.
    """
    check_real("false_alarms", false_alarms, words=f"a share from {LEAST_SHARE} to 0.5", low=LEAST_SHARE, high=0.5)
    check_whole("seed", seed, least=0)
    check_calls("callbacks", callbacks)
    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    reference = _reference_of(opened)
    session = open_session(opened)
    panel = session.read(table)
    first, last = _find_live(opened, panel, since=since)
    live, rows = sample_rows(
        panel, reference.columns, first=first, last=last, block=reference.block, units=reference.units
    )
    start = max(first - 1, panel.span[0])  # the first cutoff: one step before the first value that is answered
    answered, notes = _answer(session, opened, panel, reference, start=start, last=last)
    make = _Checks(reference, draws=_count_draws(reference, false_alarms), seed=seed)
    checks = _adjust([*make.inputs(live, rows), *make.answers(answered)], false_alarms)
    found = Monitoring(
        model=opened.name,
        digest=opened.digest,
        first=panel.time_at(first),
        last=panel.time_at(last),
        blocks=len(rows),
        block=reference.block,
        checks=tuple(checks),
        scores=score_over_time(reference, answered, panel, start=start, false_alarms=false_alarms),
        alerts=tuple(_alert(one, panel.time_at(last)) for one in checks if one.alarm),
        notes=(*_find_strangers(panel, reference), *notes),
        false_alarms=false_alarms,
        nominal=_nominal(opened),
        errors_by_step=_by_step(reference, answered),
    )
    for alert, tell in product(found.alerts, callbacks):
        tell(alert)
    return found


def _reference_of(bundle: Bundle) -> Reference:
    if bundle.reference is None:
        raise BundleError(
            f"the bundle '{bundle.name}' has no reference of its training: an older version wrote it. Save the model "
            "again with save_bundle."
        )
    return bundle.reference


class _Checks:
    """The tests of one look, before they are adjusted."""

    def __init__(self, reference: Reference, *, draws: int, seed: int) -> None:
        self._reference = reference
        self._given: dict[str, Any] = {"draws": draws, "seed": seed}

    def inputs(self, live: npt.NDArray[Any], rows: npt.NDArray[Any]) -> list[Check]:
        """Each column, what is missing of it, and all columns together."""
        before, now = _flat(self._reference.inputs, self._reference.rows), _flat(live, rows)
        found, joined, held = [], 1, 1.0
        for place, column in enumerate(self._reference.columns):
            mine = [(values[:, place], blocks) for values, blocks in (before, now)]
            pair = self._values("input", column, *(block_values(*one) for one in mine))
            found += [*pair, *self._missing(column, *mine)]
            joined, held = max(joined, pair[0].test.joined), max(held, pair[0].test.held)
        if len(self._reference.columns) > 1:
            together = compare_rows(block_values(*before), block_values(*now), joined=joined, held=held, **self._given)
            found.append(Check("input", "all columns", "mmd", together))
        return found

    def answers(self, live: tuple[Answered, npt.NDArray[Any]]) -> list[Check]:
        """The predictions, and how they came out."""
        now, blocks = live
        before, places = self._reference, self._reference.answer_block
        told = [
            (_rows(getattr(before, name), places), _rows(getattr(now, name), blocks))
            for name in ("prediction", "error", "inside")
        ]
        found = self._values("prediction", "prediction", *told[0])
        if before.in_sample or not len(told[1][1].values):
            return found
        found.append(Check("error", "error", "mean", compare_means(*told[1], greater=True, **self._given)))
        if len(told[2][0].values):
            found.append(Check("coverage", "coverage", "mean", compare_means(*told[2], greater=False, **self._given)))
        return found

    def _values(self, kind: Any, column: str, before: Blocked, now: Blocked) -> list[Check]:
        index, distance = compare_values(before, now, **self._given)
        return [Check(kind, column, "psi", index), Check(kind, column, "ks", distance)]

    def _missing(self, column: str, before: tuple[Any, Any], now: tuple[Any, Any]) -> list[Check]:
        """The share that is missing, where anything is."""
        marks = [Blocked(np.isnan(values).astype(np.float64), blocks) for values, blocks in (before, now)]
        if not any(one.values.any() for one in marks):
            return []
        test = compare_means(marks[0], marks[1], greater=False, **self._given)
        return [Check("missing", column, "mean", test)]


def _find_live(bundle: Bundle, panel: Panel, *, since: str | None) -> tuple[int, int]:
    """The first and the last live position."""
    start, end = panel.span
    first = max(last_seen(bundle, panel, since=since) + 1, start)
    if first > end:
        why = "the model knows the values until then or later" if since is None else f"since is {since}"
        raise ShortSeriesError(
            f"the table ends at {panel.time_at(end)}, and {why}: nothing is live. Bring newer values."
        )
    return first, end


def _answer(
    session: Session, bundle: Bundle, panel: Panel, reference: Reference, *, start: int, last: int
) -> tuple[tuple[Answered, npt.NDArray[Any]], list[str]]:
    """What the session says of live windows from the cutoff `start` on, how it comes out, and the block of each."""
    task, view = bundle.manifest.task, bundle.manifest.view
    stop = last - task.horizon if panel.roles.known else last  # a known future that is not there is no input
    nothing = np.empty((0, task.horizon), np.float32)
    none = (Answered(nothing, nothing, nothing), np.empty(0, np.int64))
    if stop < start:
        return none, [f"fewer than {task.horizon + 1} live steps: no window was answered"]
    cutoffs = Cutoffs(start, stop, grid=panel.frequency)
    try:
        windows = cut_windows(panel, view, horizon=task.horizon, cutoffs=cutoffs, labelled=False, least=1)
    except ShortSeriesError as error:
        return none, [f"no window was answered: {error}"]
    windows = _some(windows, CELLS // task.horizon)
    said = answer_windows(session, windows, names=bundle.manifest.widths.inputs, numbers=bundle.numbers)
    units = reference.units.of(panel)
    answered = compare_with_labels(said.astype(np.float64), windows.labels(), task, units=units, series=windows.series)
    return (answered, (windows.cutoffs - start) // reference.answer_steps), []


def _some(windows: Windows, most: int) -> Windows:
    order = np.argsort(windows.cutoffs, kind="stable")
    return windows.subset(order[spread(len(order), max(ROWS, min(most, MOST_ANSWERS)))])


def _flat(sample: npt.NDArray[Any], rows: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The rows that count [n, C] of a sample [B, R, C], and their blocks [n]."""
    kept = np.arange(sample.shape[1])[None] < rows[:, None]
    blocks = np.repeat(np.arange(len(rows)), rows).astype(np.int64)
    return np.asarray(sample[kept], dtype=np.float64), blocks


def _rows(values: npt.NDArray[Any], blocks: npt.NDArray[Any]) -> Blocked:
    """Values [A, H] with the block of each."""
    return block_values(values.reshape(-1), np.repeat(blocks, values.shape[1]))


def _count_draws(reference: Reference, false_alarms: float) -> int:
    """So many that the smallest p-value, times all tests, lies well below the share."""
    tests = 3 * len(reference.columns) + 5
    return min(max(DRAWS, math.ceil(4 * tests / false_alarms)), MOST_DRAWS)


def _adjust(checks: Sequence[Check], false_alarms: float) -> list[Check]:
    """Every p-value adjusted for all of them; one that so few blocks can't make small enough says so."""
    raw = [math.nan if one.test.p_value is None else one.test.p_value for one in checks]
    made = sum(not math.isnan(one) for one in raw)
    return [
        one.adjust(float(value), false_alarms=false_alarms, tests=made)
        for one, value in zip(checks, holm(raw), strict=True)
    ]


def _alert(check: Check, moment: str) -> Alert:
    assert check.test.p_value is not None
    assert check.adjusted is not None
    return Alert(
        kind=check.kind,
        column=check.column,
        test=check.name,
        statistic=check.test.statistic,
        p_value=check.test.p_value,
        adjusted=check.adjusted,
        until=moment,
        message=check.describe(),
    )


def _find_strangers(panel: Panel, reference: Reference) -> list[str]:
    """Series that were not there in training, whose target has no units."""
    strange = int(np.isnan(reference.units.of(panel)[0]).sum())
    few = f"{strange} of {panel.n_series} series were not there in training and are left out of every comparison"
    return [few] if strange else []


def _nominal(bundle: Bundle) -> float | None:
    levels = bundle.manifest.task.quantiles
    return levels[-1] - levels[0] if len(levels) > 1 else None


def _by_step(reference: Reference, answered: tuple[Answered, Any]) -> tuple[tuple[float, float], ...]:
    """The mean error at each step, in the reference and live."""
    pairs = []
    for step in range(reference.error.shape[1]):
        both = [one[:, step][~np.isnan(one[:, step])] for one in (reference.error, answered[0].error)]
        pairs.append(tuple(float(one.mean()) if one.size else math.nan for one in both))
    return tuple((one[0], one[1]) for one in pairs)
