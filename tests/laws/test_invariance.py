"""What must change nothing: other names, another order of rows. And what must change something: another model."""

from __future__ import annotations

import polars as pl
import pytest

from tests.laws.flow import NAMES, answer, fitted, learn, numbers, read, world
from tests.worlds import QUICK_FITS
from tidewright.data.forecast import tabulate
from tidewright.errors import RepairWarning
from tidewright.features.windows import newest_windows
from tidewright.models.spec import MODELS
from tidewright.training.fit import keep_covariates

every_model = pytest.mark.parametrize("name", MODELS)
OTHER = {"series": "sold", "time": "target", "target": "y", "past": "hour", "known": "series", "size": "0.5"}


def renamed() -> pl.DataFrame:
    panel, _ = world()
    return panel.table.select(NAMES.values()).rename({NAMES[role]: OTHER[role] for role in NAMES})


@every_model
def test_other_column_names_change_no_bit(name: str) -> None:
    panel, _ = world()
    model, again = fitted(name), learn(name, read(renamed(), OTHER))
    assert numbers(again) == numbers(model)
    last = panel.span[1]
    assert answer(again, read(renamed(), OTHER), last=last).tobytes() == answer(model, panel, last=last).tobytes()


def test_other_column_names_change_only_names_in_a_forecast() -> None:
    tables = []
    for panel in (world()[0], read(renamed(), OTHER)):
        kept = keep_covariates(panel, ())
        model = learn("naive", panel)
        windows = newest_windows(kept, model.view, horizon=3)
        values, room = model.predict(windows), kept.extend(3)
        tables.append(tabulate(room, values, rows=windows.rows, levels=(0.1, 0.5, 0.9), model="naive").table)
    ours, theirs = tables
    assert ours.rename({"shop": "sold", "hour": "target"}).equals(theirs)


@every_model
def test_another_order_of_rows_changes_no_bit(name: str) -> None:
    panel, _ = world()
    with pytest.warns(RepairWarning, match="sorted"):
        other = read(panel.table.sample(fraction=1.0, shuffle=True, seed=4))
    again = learn(name, other)
    assert numbers(again) == numbers(fitted(name))
    last = panel.span[1]
    assert answer(again, other, last=last).tobytes() == answer(fitted(name), panel, last=last).tobytes()


def test_the_quick_fits_are_those_of_every_statistical_model() -> None:
    assert set(QUICK_FITS) == {name for name, entry in MODELS.items() if entry.kind == "statistical"}
