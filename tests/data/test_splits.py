"""Splits: no label position is shared by two parts, whatever is asked for; checked by enumeration."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tidewright.data.calendars import list_sessions
from tidewright.data.panel import Panel
from tidewright.data.splits import MOST_CUTOFFS, Cutoffs, check_grid, split_holdout, split_rolling, thin, without_test
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FrequencyError, ShortSeriesError


def make_panel(length):
    return Panel.from_table(pl.DataFrame({"t": range(length), "y": np.arange(float(length))}), time="t", target="y")


def labels(cutoffs, horizon):
    """Every position that is a label of some cutoff of a part."""
    return {int(c) + h for c in cutoffs.positions for h in range(1, horizon + 1)}


def check(panel, split):
    """What holds for every split: parts in order, apart, inside the panel."""
    first, last = panel.span
    parts = [part for part in (split.train, split.validation, split.test) if part is not None]
    for part in parts:
        assert len(part) == len(part.positions) > 0
        assert part.positions[0] >= first
        assert part.positions[-1] + split.horizon <= last
    for before, after in pairwise(parts):
        assert labels(before, split.horizon).isdisjoint(labels(after, split.horizon))
        assert after.first - before.last >= split.purge + split.embargo
        # The inputs of the earlier part and its labels end before the labels of the later one begin.
        assert max(labels(before, split.horizon)) + split.embargo < min(labels(after, split.horizon))


@given(
    length=st.integers(4, 150),
    horizon=st.integers(1, 12),
    validation=st.none() | st.integers(1, 40),
    test=st.none() | st.integers(1, 40),
    extra=st.none() | st.integers(0, 6),
    embargo=st.integers(0, 5),
    stride=st.none() | st.integers(1, 5),
)
def test_no_label_of_a_holdout_is_shared_by_two_parts(length, horizon, validation, test, extra, embargo, stride):
    assume(all(size is None or size >= horizon for size in (validation, test)))
    panel = make_panel(length)
    purge = None if extra is None else horizon + extra
    options = {"validation": validation, "test": test, "purge": purge, "embargo": embargo, "stride": stride}
    try:
        split = split_holdout(panel, Task(horizon=horizon), **options)
    except ShortSeriesError:
        return
    check(panel, split)
    assert split.test.last + horizon == panel.span[1]
    assert split.train.first == panel.span[0]
    assert split.train.stride == 1
    if test is not None:
        assert split.test.last - split.test.first == test - horizon
    if validation is not None:
        assert split.validation.last - split.validation.first == validation - horizon


@given(length=st.integers(4, 150), horizon=st.integers(1, 12), gap=st.integers(0, 5))
def test_a_holdout_is_refused_only_where_nothing_would_be_left_to_train_on(length, horizon, gap):
    panel = make_panel(length)
    options = {"validation": horizon, "test": horizon, "embargo": gap}
    need = 3 * horizon + 2 * gap + 1  # one cutoff and its labels, and the two other parts
    if length >= need:
        split = split_holdout(panel, Task(horizon=horizon), **options)
        assert len(split.train) == length - need + 1
    else:
        with pytest.raises(ShortSeriesError, match=f"spans {length} steps, .* need {need}"):
            split_holdout(panel, Task(horizon=horizon), **options)


@given(
    length=st.integers(4, 150),
    horizon=st.integers(1, 10),
    folds=st.integers(1, 5),
    more=st.integers(0, 8),
    embargo=st.integers(0, 4),
    window=st.sampled_from(["expanding", "sliding"]),
    back=st.integers(0, 20),
)
def test_no_label_of_a_fold_is_shared_by_its_parts(length, horizon, folds, more, embargo, window, back):
    panel = make_panel(length)
    until = panel.span[1] - back
    try:
        found = split_rolling(
            panel,
            Task(horizon=horizon),
            folds=folds,
            validation=horizon + more,
            embargo=embargo,
            window=window,
            until=until,
        )
    except ShortSeriesError:
        return
    assert len(found) == folds
    for split in found:
        check(panel, split)
        assert split.test is None
    assert found[-1].validation.last + horizon == until
    scored = [labels(split.validation, horizon) for split in found]
    assert all(a.isdisjoint(b) for a, b in pairwise(scored))
    lengths = [len(split.train) for split in found]
    assert lengths == sorted(lengths)
    assert (len(set(lengths)) == 1) == (window == "sliding" or folds == 1)
    assert (len({split.train.first for split in found}) == 1) == (window == "expanding" or folds == 1)


def test_the_standard_split_of_a_board_has_the_published_number_of_windows():
    split = split_holdout(make_panel(14_400), Task(horizon=96), validation=2880, test=2880, stride=1)
    assert (len(split.validation), len(split.test)) == (2880 - 96 + 1, 2880 - 96 + 1)
    assert split.train.last + 96 == 8640 - 1  # the last training label is the last training row
    assert split.test.first == 8640 + 2880 - 1


def test_by_default_each_part_is_fifteen_percent_and_two_horizons_at_least():
    long = split_holdout(make_panel(1000), Task(horizon=5))
    assert (long.test.last + 5 - long.test.first, long.validation.last + 5 - long.validation.first) == (
        150,
        150,
    )
    short = split_holdout(make_panel(100), Task(horizon=12))
    assert short.test.last + 12 - short.test.first == 24


def test_long_parts_are_scored_at_250_cutoffs_at_most_and_train_at_every_one():
    split = split_holdout(make_panel(20_000), Task(horizon=5))
    assert MOST_CUTOFFS / 2 < len(split.test) <= MOST_CUTOFFS
    assert len(split.validation) <= MOST_CUTOFFS
    assert split.train.stride == 1


def test_the_explanation_gives_the_first_and_last_label_of_each_part():
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 4, 9), eager=True)
    panel = Panel.from_table(pl.DataFrame({"day": days, "y": np.arange(100.0)}), time="day", target="y")
    split = split_holdout(panel, Task(horizon=7), validation=14, test=14, stride=7, embargo=2)
    assert split.explain(panel).splitlines() == [
        "train      2024-01-02 to 2024-03-08  (61 cutoffs, every 1)",
        "validation 2024-03-11 to 2024-03-24  (2 cutoffs, every 7)",
        "test       2024-03-27 to 2024-04-09  (2 cutoffs, every 7)",
        "between parts: 7 steps purged (horizon 7), 2 steps of embargo",
    ]
    assert "test" not in without_test(split).explain(panel)
    assert without_test(split).validation == split.validation


def test_a_known_future_without_targets_belongs_to_no_part():
    table = pl.DataFrame({"t": range(60), "y": [1.0] * 50 + [None] * 10})
    split = split_holdout(Panel.from_table(table, time="t", target="y"), Task(horizon=4))
    assert split.test.last + 4 == 49


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"purge": 3}, "purge 3 is less than the horizon 4: labels would be shared"),
        ({"embargo": -1}, "embargo is a number of steps, 0 or more; got -1"),
        ({"test": 3}, "test has 3 steps, less than the horizon 4. Give it at least 4"),
        ({"validation": 2}, "validation has 2 steps, less than the horizon 4"),
        ({"stride": 0}, "stride is the distance between scored cutoffs, 1 or more; got 0"),
    ],
)
def test_a_wrong_option_of_a_holdout_is_an_error_that_says_why(options, message):
    with pytest.raises(ConfigError, match=message):
        split_holdout(make_panel(100), Task(horizon=4), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 0}, "folds is the number of walk-forward folds, 1 or more; got 0"),
        ({"folds": 2, "validation": 3}, "validation has 3 steps, less than the horizon 4"),
        ({"folds": 2, "purge": 1}, "purge 1 is less than the horizon 4"),
        ({"folds": 2, "until": 103}, "would end at position 103, but the panel's last value stands at 99"),
    ],
)
def test_a_wrong_option_of_a_walk_forward_is_an_error_that_says_why(options, message):
    with pytest.raises(ConfigError, match=message):
        split_rolling(make_panel(100), Task(horizon=4), **options)


def test_folds_that_leave_no_training_part_are_refused():
    with pytest.raises(
        ShortSeriesError, match="20 folds of 5 steps with a purge of 5 leave no training part in 60 steps"
    ):
        split_rolling(make_panel(60), Task(horizon=5), folds=20)


def test_cutoffs_stop_at_the_last_that_fits():
    assert Cutoffs(2, 9, 3).positions.tolist() == [2, 5, 8]
    assert (len(Cutoffs(2, 9, 3)), len(Cutoffs(5, 4))) == (3, 0)


def make_days(first, count, *, step="1d", **options):
    days = pl.date_range(first, pl.date(2030, 12, 31), step, eager=True)[:count]
    return Panel.from_table(
        pl.DataFrame({"day": days, "y": np.arange(float(count))}), time="day", target="y", **options
    )


@pytest.mark.parametrize(("step", "more"), [("1d", 31), ("1mo", 1)])
def test_a_split_is_of_dates_and_no_other_panel_takes_it_for_others(step, more):
    panel, longer = make_days(pl.date(2024, 2, 1), 60, step=step), make_days(pl.date(2024, 1, 1), 60 + more, step=step)
    split = split_holdout(panel, Task(horizon=3))
    for part in (split.train, split.validation, split.test, thin(split, most=1).test, without_test(split).train):
        check_grid(part, panel)
        check_grid(part, panel.until(40))
        with pytest.raises(FrequencyError, match=f"{step} from 2024-02-01, and this one counts {step} from 2024-01-01"):
            check_grid(part, longer)
    with pytest.raises(FrequencyError, match="its positions are other dates here"):
        split.explain(longer)
    moved = split.on(longer)
    assert moved.explain(longer) == split.explain(panel)
    assert moved.train.first == split.train.first + more
    assert moved.on(panel) == split
    assert without_test(split).on(longer).test is None


def test_a_split_of_another_frequency_can_t_be_carried_over():
    split = split_holdout(make_days(pl.date(2024, 2, 1), 60), Task(horizon=3))
    with pytest.raises(FrequencyError, match="the cutoffs count 1d, and this panel has 1w"):
        split.on(make_days(pl.date(2024, 1, 1), 60, step="1w"))
    with pytest.raises(FrequencyError, match="positions of no panel's dates"):
        Cutoffs(2, 9).on(make_panel(20))


def test_sessions_of_an_exchange_have_the_same_positions_in_every_panel():
    sessions = list_sessions("XNYS")
    days = sessions[sessions > np.datetime64("2024-01-01")][:80]
    table = pl.DataFrame({"day": days, "y": np.arange(80.0)})
    whole, late = (Panel.from_table(part, time="day", target="y", calendar="XNYS") for part in (table, table[20:]))
    split = split_holdout(late, Task(horizon=3))
    check_grid(split.validation, whole)
    assert split.on(whole).explain(whole) == split.explain(late)
