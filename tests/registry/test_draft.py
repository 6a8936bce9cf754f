"""A model set down without a graph comes back with the same bits."""

import numpy as np
import pytest

from tests.worlds import quick_options, small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError
from tidewright.features.view import View, fit_static
from tidewright.features.windows import cut_windows
from tidewright.models.build import build_spec
from tidewright.models.spec import MODELS
from tidewright.registry.draft import load_draft, save_draft
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.seeds import fit_seeds
from tidewright.training.spec import TrainSpec

PANEL, TASK = small_panel(series=2), Task(3, (0.1, 0.5, 0.9))
SPLIT = split_holdout(PANEL, TASK)
KINDS = sorted({entry.kind: name for name, entry in reversed(list(MODELS.items()))}.values())
TRAIN = TrainSpec(epochs=1, steps=2)


def learn(name, *, way=fit, **options):
    spec = build_spec(name, quick_options(name))
    panel = keep_covariates(PANEL, spec.takes)
    known = ("hour",) if "known" in spec.takes else ()
    view = View(30, known, fit_static(panel.until(SPLIT.train.last)))
    return way(spec, panel=panel, split=SPLIT, task=TASK, view=view, train=TRAIN, **options), panel


@pytest.mark.parametrize("name", [*KINDS, "feedforward", "ridge"])
def test_a_model_of_every_family_answers_with_the_same_bits(name, tmp_path):
    fitted, panel = learn(name)
    windows = cut_windows(panel, fitted.view, horizon=3, cutoffs=SPLIT.validation)
    said = fitted.predict(windows)
    save_draft(fitted, said=said, panel=panel, folder=tmp_path / "it")
    again, kept = load_draft(tmp_path / "it")
    assert np.array_equal(kept, said)
    assert np.array_equal(again.predict(windows), said)
    assert again.view == fitted.view
    assert [dict(one) for one in again.history] == [dict(one) for one in fitted.history]
    assert type(again) is type(fitted)


def test_an_ensemble_stays_one_and_what_stood_there_is_replaced(tmp_path):
    single, panel = learn("dlinear")
    many, _ = learn("dlinear", way=fit_seeds, seeds=2)
    for fitted in (single, many):
        windows = cut_windows(panel, fitted.view, horizon=3, cutoffs=SPLIT.validation)
        save_draft(fitted, said=fitted.predict(windows), panel=panel, folder=tmp_path / "it")
        again, said = load_draft(tmp_path / "it")
        assert type(again) is type(fitted)
        assert np.array_equal(again.predict(windows), said)


def test_a_draft_that_can_not_be_read_is_an_error_that_names_it(tmp_path):
    fitted, panel = learn("dlinear")
    save_draft(fitted, said=np.zeros((1, 3, 3)), panel=panel, folder=tmp_path / "it")
    (tmp_path / "it" / "history.json").write_text("[")
    with pytest.raises(BundleError, match=r"the draft .*it can't be read: .* Remove it"):
        load_draft(tmp_path / "it")
