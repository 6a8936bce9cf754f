"""Several fitted models as one."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError
from tidewright.features.view import View
from tidewright.features.windows import cut_windows
from tidewright.models.build import build_spec
from tidewright.models.spec import Ensemble
from tidewright.registry.bundle import load_bundle, save_bundle
from tidewright.registry.rebuild import rebuild
from tidewright.training.conformal import conformalise
from tidewright.training.ensemble import fit_ensemble
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.spec import TrainSpec
from tidewright.training.weigh import blend, choose_weights

PANEL = small_panel(covariates=False)
TASK = Task(6, (0.1, 0.5, 0.9))
SPLIT = split_holdout(PANEL, TASK)


def learn(name, *, lookback=30, options=None, task=TASK):
    spec = build_spec(name, options)
    panel = keep_covariates(PANEL, spec.takes)
    train = TrainSpec(epochs=1, steps=5, loss="mae")
    return fit(spec, panel=panel, split=SPLIT, task=task, view=View(lookback), train=train)


@pytest.fixture(scope="module")
def members():
    return [learn("ridge"), learn("seasonal"), learn("dlinear", lookback=12), learn("drift")]


def judge(fitted, **options):
    return evaluate(fitted, panel=PANEL, split=SPLIT, cutoffs=SPLIT.validation, **options)


def alone(member):
    return evaluate(
        member, panel=keep_covariates(PANEL, member.spec.takes), split=SPLIT, cutoffs=SPLIT.validation, shortest=12
    )


def test_a_mean_is_the_mean_of_what_the_members_say(members):
    fitted = fit_ensemble(members, panel=PANEL, split=SPLIT, rule="mean")
    longest = max(member.view.lookback for member in members)
    assert fitted.view.lookback == longest
    windows = cut_windows(PANEL, fitted.view, horizon=6, cutoffs=SPLIT.validation)
    each = [member.predict(replace(windows, lookback=member.view.lookback)) for member in members]
    assert np.allclose(fitted.predict(windows), np.mean(each, axis=0), rtol=1e-12)


def test_the_greedy_ensemble_is_never_worse_on_validation_than_its_best_member(members):
    fitted = fit_ensemble(members, panel=PANEL, split=SPLIT, metric="mae")
    ours, theirs = judge(fitted, shortest=12), [alone(member) for member in members]
    assert ours.scores["mae"] <= min(one.scores["mae"] for one in theirs) + 1e-12
    assert [step["mae"] for step in fitted.history] == sorted((s["mae"] for s in fitted.history), reverse=True)
    assert sum(part.weight for part in fitted.spec.members) == pytest.approx(1.0)


def test_a_hopeless_member_is_left_out_and_a_perfect_one_is_all(members):
    judged = [alone(member) for member in members]
    truth = np.repeat(np.nan_to_num(judged[0].scored.actual)[:, :, None], 3, axis=2)
    perfect = replace(judged[0], forecast=truth, scored=replace(judged[0].scored, forecast=truth))
    hopeless = replace(judged[0], forecast=truth + 1e6, scored=replace(judged[0].scored, forecast=truth + 1e6))
    assert choose_weights([hopeless, perfect, judged[1]], metric="mae").weights.tolist() == [0.0, 1.0, 0.0]


def test_two_members_whose_errors_cancel_get_the_same_weight(members):
    base = alone(members[0])
    truth = np.repeat(np.nan_to_num(base.scored.actual)[:, :, None], 3, axis=2)
    both = [
        replace(base, forecast=truth + e, scored=replace(base.scored, forecast=truth + e)) for e in (2.0, -2.0, 50.0)
    ]
    assert choose_weights(both, metric="mse").weights.tolist() == [0.5, 0.5, 0.0]


def test_what_is_blended_from_evaluations_is_what_the_ensemble_says(members):
    judged = [alone(member) for member in members]
    weights = [0.25, 0.5, 0.25, 0.0]
    fitted = fit_ensemble(members, panel=PANEL, split=SPLIT, rule="mean")
    parts = tuple(replace(p, weight=w) for p, w in zip(fitted.spec.members[:3], weights[:3], strict=True))
    fewer = replace(fitted, spec=Ensemble(members=parts), members=fitted.members[:3])
    blended = blend(judged, weights, model="ensemble")
    assert blended.scores == pytest.approx(judge(fewer, shortest=12).scores, rel=1e-9)


def test_a_median_is_the_middle_of_what_the_members_say(members):
    windows = cut_windows(PANEL, View(168), horizon=6, cutoffs=SPLIT.validation, least=1)
    for some in (members, members[:3]):
        fitted = fit_ensemble(some, panel=PANEL, split=SPLIT, rule="median")
        each = [member.predict(replace(windows, lookback=member.view.lookback)) for member in some]
        assert np.array_equal(fitted.predict(windows), np.median(each, axis=0))
        assert (np.diff(fitted.predict(windows), axis=2) >= 0).all()


def by_step(members):
    """An ensemble whose first member fades with the horizon."""
    fitted = fit_ensemble(members, panel=PANEL, split=SPLIT, rule="mean")
    share = np.linspace(0.7, 0.1, 6)
    rest = tuple(((1.0 - share) / 3).tolist())
    steps = [tuple(share.tolist()), rest, rest, rest]
    parts = [replace(p, steps=s, weight=float(np.mean(s))) for p, s in zip(fitted.spec.members, steps, strict=True)]
    return replace(fitted, spec=Ensemble(members=tuple(parts)))


def test_weights_by_step_count_at_their_step(members):
    fitted, (first, *others) = by_step(members), members
    windows = cut_windows(PANEL, View(168), horizon=6, cutoffs=SPLIT.validation, least=1)
    said = [m.predict(replace(windows, lookback=m.view.lookback)) for m in (first, *others)]
    for step in (0, 3, 5):
        share = np.linspace(0.7, 0.1, 6)[step]
        mixed = share * said[0][:, step] + (1.0 - share) / 3 * sum(one[:, step] for one in said[1:])
        assert np.allclose(fitted.predict(windows)[:, step], mixed, rtol=1e-12)


@pytest.mark.parametrize("make", ["median", "odd median", "by step"])
def test_any_ensemble_is_one_graph_that_answers_alike_on_hard_windows_too(make, members, tmp_path):
    floors = [*members[:2], members[3], learn("median", lookback=4)]
    some = floors[1:] if make == "odd median" else floors
    fitted = by_step(floors) if make == "by step" else fit_ensemble(some, panel=PANEL, split=SPLIT, rule="median")
    bundle = save_bundle(fitted, panel=PANEL, folder=tmp_path / "it")  # parity on real and hard windows
    again = load_bundle(bundle.folder)
    ours, theirs = again.manifest.spec, fitted.spec
    assert ours.combine == theirs.combine
    assert [(part.weight, part.steps) for part in ours.members] == [(p.weight, p.steps) for p in theirs.members]
    windows = cut_windows(PANEL, fitted.view, horizon=6, cutoffs=SPLIT.validation, least=1)
    assert np.array_equal(rebuild(again.manifest, again.tensors()).predict(windows), fitted.predict(windows))
    assert ("their median" if "median" in make else "| 0.1 to 0.7 |") in bundle.card


def test_where_no_member_sees_a_value_there_is_no_answer_and_a_blind_one_is_no_part_of_a_median(members):
    short, ridge = learn("dlinear", lookback=4), members[0]
    fitted = fit_ensemble([short, ridge, members[1]], panel=PANEL, split=SPLIT, rule="median")
    windows = cut_windows(PANEL, fitted.view, horizon=6, cutoffs=SPLIT.validation).subset(np.array([3]))
    gone = windows.y.copy()
    gone[windows.rows[0] - 3 : windows.rows[0] + 1] = np.nan
    holed = replace(windows, y=gone)
    both = [one.predict(replace(holed, lookback=one.view.lookback)) for one in (ridge, members[1])]
    assert np.allclose(fitted.predict(holed), np.mean(both, axis=0), rtol=1e-12)
    assert np.isnan(fitted.predict(replace(windows, y=np.full_like(gone, np.nan)))).all()


def test_an_ensemble_joins_another_with_its_members(members):
    inner = fit_ensemble(members[:2], panel=PANEL, split=SPLIT, rule="mean")
    outer = fit_ensemble([inner, members[2]], panel=PANEL, split=SPLIT, rule="mean")
    assert [(part.model, part.weight) for part in outer.spec.members] == [
        ("ridge", 0.25),
        ("seasonal", 0.25),
        ("dlinear", 0.5),
    ]
    faded = fit_ensemble([by_step(members), learn("median")], panel=PANEL, split=SPLIT, rule="mean")
    assert faded.spec.members[0].steps == pytest.approx(np.linspace(0.35, 0.05, 6))
    assert faded.spec.members[-1].steps == (0.5,) * 6


def test_a_member_that_sees_no_value_is_left_out_of_that_window(members):
    ridge, short = learn("ridge"), learn("dlinear", lookback=4)
    fitted = fit_ensemble([ridge, short], panel=PANEL, split=SPLIT, rule="mean")
    windows = cut_windows(PANEL, fitted.view, horizon=6, cutoffs=SPLIT.validation).subset(np.array([3]))
    gone = windows.y.copy()
    gone[windows.rows[0] - 3 : windows.rows[0] + 1] = np.nan
    holed = replace(windows, y=gone)
    only = ridge.predict(replace(holed, lookback=ridge.view.lookback))
    assert np.allclose(fitted.predict(holed), only, rtol=1e-12)
    assert not np.allclose(fitted.predict(windows), ridge.predict(replace(windows, lookback=ridge.view.lookback)))


def test_a_conformal_member_keeps_its_intervals_in_the_bundle(members, tmp_path):
    moved = conformalise(members[0], panel=PANEL, split=SPLIT)
    fitted = fit_ensemble([moved, members[2]], panel=PANEL, split=SPLIT, rule="mean")
    bundle = save_bundle(fitted, panel=PANEL, folder=tmp_path / "both")
    windows = cut_windows(PANEL, fitted.view, horizon=6, cutoffs=SPLIT.validation)
    again = rebuild(bundle.manifest, bundle.tensors())
    assert np.array_equal(again.predict(windows), fitted.predict(windows))
    assert "| ridge | 0.5 | the same |" in bundle.card


def test_a_bundle_that_asks_for_what_it_does_not_have_is_refused(members, tmp_path):
    fitted = fit_ensemble(members, panel=PANEL, split=SPLIT, rule="mean")
    manifest = load_bundle(save_bundle(fitted, panel=PANEL, folder=tmp_path / "it").folder).manifest
    first, *others = manifest.spec.members
    parts = tuple(replace(part, steps=(part.weight,) * 5) for part in manifest.spec.members)  # of 6
    with pytest.raises(BundleError, match="or is weighed at other steps"):
        rebuild(replace(manifest, spec=Ensemble(members=parts)), fitted.tensors())
    for wrong in (
        replace(first, view=View(10_000)),
        replace(first, known=(0,)),
        replace(first, model="ensemble", options={}),
    ):
        spec = Ensemble(members=(wrong, *others))
        with pytest.raises(BundleError, match="of this ensemble is an ensemble itself, or asks for steps or columns"):
            rebuild(replace(manifest, spec=spec), fitted.tensors())
    with pytest.raises(BundleError, match="'weights' belongs to no member"):
        rebuild(manifest, {**fitted.tensors(), "weights": np.zeros(2)})


def test_members_that_do_not_belong_together_are_refused(members):
    def make(those):
        return fit_ensemble(those, panel=PANEL, split=SPLIT, rule="mean")

    with pytest.raises(ConfigError, match="two models at least; got 1"):
        make(members[:1])
    with pytest.raises(ConfigError, match="the same horizon and quantiles"):
        make([members[0], learn("naive", task=Task(3, (0.1, 0.5, 0.9)))])
    with pytest.raises(ConfigError, match=r"rule .*'gredy'.*greedy"):
        fit_ensemble(members[:2], panel=PANEL, split=SPLIT, rule="gredy")
    median = fit_ensemble(members, panel=PANEL, split=SPLIT, rule="median")
    for inner, rule in (
        (median, "mean"),
        (make(members), "median"),
        (conformalise(make(members), panel=PANEL, split=SPLIT), "mean"),
    ):
        with pytest.raises(
            ConfigError, match="where both are weighted means; a median, or one that was made conformal"
        ):
            fit_ensemble([members[0], inner], panel=PANEL, split=SPLIT, rule=rule)
    for rule in ("mean", "median"):
        with pytest.raises(ConfigError, match=f"the rule {rule} has no weights, so none by step"):
            fit_ensemble(members, panel=PANEL, split=SPLIT, rule=rule, per_step=True)
    with pytest.raises(ConfigError, match="Fit its members, then fit_ensemble"):
        fit(make(members).spec, panel=PANEL, split=SPLIT, task=TASK)


@pytest.mark.parametrize("weights", [(0.5, 0.6), (1.5, -0.5), (float("nan"), 1.0)])
def test_weights_that_are_no_shares_are_refused(members, weights):
    parts = fit_ensemble(members[:2], panel=PANEL, split=SPLIT, rule="mean").spec.members
    with pytest.raises(ConfigError, match="above 0 and sum to 1"):
        Ensemble(members=tuple(replace(p, weight=w) for p, w in zip(parts, weights, strict=True)))


def test_weights_by_step_that_are_no_shares_and_a_median_with_weights_are_refused(members):
    first, second = fit_ensemble(members[:2], panel=PANEL, split=SPLIT, rule="mean").spec.members
    with pytest.raises(ConfigError, match="above 0 and sum to 1"):
        Ensemble(members=(replace(first, steps=(0.5,) * 6), replace(second, steps=(0.5,) * 5 + (0.6,))))
    with pytest.raises(ConfigError, match="either all members of an ensemble have weights by step, or none"):
        Ensemble(members=(replace(first, steps=(0.5,) * 6), second))
    with pytest.raises(ConfigError, match="a median has no weights"):
        Ensemble(members=(replace(first, weight=0.4), replace(second, weight=0.6)), combine="median")
    with pytest.raises(ConfigError, match=r"way to combine members .*'meadian'"):
        Ensemble(members=(first, second), combine="meadian")


def test_a_bundle_of_an_ensemble_answers_where_no_training_library_is(members, tmp_path):
    some = [members[0], learn("lightgbm", options={"rounds": 3}), learn("dlinear", lookback=12)]
    fitted = fit_ensemble(some, panel=PANEL, split=SPLIT, rule="median")
    folder = save_bundle(fitted, panel=PANEL, folder=tmp_path / "it").folder
    PANEL.table.write_parquet(tmp_path / "table.parquet")
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'lightgbm', 'xgboost', 'catboost', 'sklearn']))\n"
        "import tidewright as tw, polars as pl; session = tw.open(sys.argv[1])\n"
        "print(session.backend, len(session.forecast(pl.read_parquet(sys.argv[2])).table))"
    )
    words = [sys.executable, "-c", code, str(folder), str(tmp_path / "table.parquet")]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    assert said == ["onnxruntime", str(4 * 6)]
