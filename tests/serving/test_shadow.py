"""What a shadow that sees other inputs than its champion gets, and how answers are compared."""

from dataclasses import replace

import numpy as np
import pytest

from tests.serving.running import LOOKBACK, save_ridge
from tidewright.data.task import Task
from tidewright.inference.session import open_session
from tidewright.registry.manifest import Widths
from tidewright.serving import copies as copies_module
from tidewright.serving.copies import Copies
from tidewright.serving.desk import Desk
from tidewright.serving.difference import measure_difference
from tidewright.serving.lineup import line_up
from tidewright.serving.options import ServeOptions
from tidewright.serving.rollout import Plan, explain_windows, same_windows
from tidewright.serving.served import make_served
from tidewright.serving.shadow import Shadow
from tidewright.serving.shadow_tally import ShadowTally


@pytest.fixture(scope="module")
def pair(ridge, tmp_path_factory):
    """A bundle that sees the target, and as one that sees a known price too."""
    view = ridge.manifest.view
    roles = replace(view.schema.roles, known=("price",))
    seen = replace(ridge.manifest, widths=Widths(known=1), view=replace(view, schema=replace(view.schema, roles=roles)))
    return ridge, replace(ridge, manifest=seen)


def test_a_version_with_covariates_of_its_own_gets_tables_alone(pair):
    plain, priced = pair
    assert explain_windows(plain, priced) == "its known covariates are others: price"
    assert (explain_windows(priced, plain), same_windows(priced, plain)) == ("", False)
    assert same_windows(plain, plain)


def test_a_shadow_takes_of_the_windows_what_it_sees_and_their_newest_steps(pair, tmp_path):
    _, priced = pair
    desk = Desk(ServeOptions(port=0))
    short = save_ridge(tmp_path / "short", lookback=LOOKBACK - 12)

    def serve(bundle, version):
        tally = desk.metrics.tally("sales", version)
        return make_served(
            bundle, open_session(short), version=version, mark=(), tally=tally, options=desk.options, wrap=None
        )

    champion, rival = replace(serve(short, "1"), bundle=priced, inputs=("target", "known")), serve(short, "2")
    shadow = Shadow(champion, rival, copies=Copies("a test's"), tally=ShadowTally(), record=None)
    given = {"target": np.arange(48.0).reshape(2, 24), "known": np.zeros((2, 28, 1))}
    assert np.array_equal(shadow._cut(given), given["target"][:, 12:])
    both = replace(rival, inputs=("target", "known", "static"))
    shadow = Shadow(champion, both, copies=Copies("a test's"), tally=ShadowTally(), record=None)
    cut = shadow._cut({**given, "static": np.ones((2, 3))})
    assert [cut[name].shape for name in ("target", "known", "static")] == [(2, 12), (2, 16, 1), (2, 3)]
    desk.close()


def test_a_shadow_of_windows_of_many_lengths_gets_their_newest_steps_and_counts_those_that_are_too_short(
    ridge, tmp_path
):
    free = replace(ridge, manifest=replace(ridge.manifest, lengths=(12, 48)))
    longer = replace(ridge, manifest=replace(ridge.manifest, view=replace(ridge.manifest.view, lookback=36)))
    assert (same_windows(free, ridge), same_windows(ridge, free), same_windows(free, free)) == (False, False, True)
    assert explain_windows(free, longer) == ""
    assert explain_windows(ridge, longer).startswith("it looks back 36 steps at least, and the champion's windows")
    desk = Desk(ServeOptions(port=0))
    session, tally = open_session(ridge), ShadowTally()
    one = make_served(
        ridge, session, version="1", mark=(), tally=desk.metrics.tally("sales", "1"), options=desk.options, wrap=None
    )
    champion, looked = replace(one, bundle=free), []

    class Kept:
        def put(self, look, what, *, size):
            looked.append(what)
            return True

    shadow = Shadow(champion, one, copies=Kept(), tally=tally, record=None)
    for steps in (12, 23, 24, 40):
        shadow.show(np.ones((2, steps), np.float32), np.ones((2, 4, 3), np.float32))
    shadow.show({"target": np.ones((2, 12), np.float32)}, np.ones((2, 4, 3), np.float32))
    assert tally.outcomes == {"unfit": 3}
    shadow._look(looked)
    assert (tally.outcomes, tally.windows) == ({"unfit": 3, "answered": 2}, 4)
    newest = np.arange(80.0).reshape(2, 40)
    assert np.array_equal(shadow._cut(newest), newest[:, 16:])
    wide = Shadow(champion, replace(one, bundle=free), copies=Kept(), tally=tally, record=None)
    assert wide._cut(newest) is newest
    assert wide._cut(np.ones((2, 60))).shape == (2, 48)
    arms = {"1": champion, "2": replace(one, version="2")}
    plan = Plan("1", (("1", 50.0), ("2", 50.0)))
    found = line_up(plan, arms, make_shadow=lambda *_: shadow)
    assert not found.split.windows
    assert "windows of other inputs or lengths: forecasts alone are split" in found.notes[0]
    arms["2"] = replace(arms["2"], bundle=free)
    assert line_up(plan, arms, make_shadow=lambda *_: shadow).split.windows
    desk.close()


def test_answers_are_compared_over_the_spread_by_medians_and_as_probabilities():
    ours = np.array([[[1.0, 2.0, 5.0]], [[3.0, 3.0, 3.0]]])
    absolute, relative = measure_difference(ours, ours + 1, task=Task(1), other=Task(1))
    assert (absolute.tolist(), relative[0], np.isnan(relative[1])) == ([1.0, 1.0], 0.25, True)
    absolute, relative = measure_difference(ours, ours[:, :, 1:2] + 2, task=Task(1), other=Task(1, (0.5,)))
    assert (absolute.tolist(), relative[0]) == ([2.0, 2.0], 0.5)
    one = Task(1, kind="classify", classes=("a", "b"))
    absolute, relative = measure_difference(np.array([[[0.25, 0.75]]]), np.array([[[0.5, 0.5]]]), task=one, other=one)
    assert (absolute.tolist(), relative.tolist()) == ([0.25], [0.25])


def test_a_tally_counts_only_what_can_be_compared():
    tally = ShadowTally()
    tally.compare(np.array([1.0, 3.0]), np.array([np.nan, 0.5]))
    told = tally.describe()["difference"]
    assert told == {"target": {"mean": 2.0, "largest": 3.0}, "spread": {"mean": 0.5, "largest": 0.5}}
    assert ShadowTally().describe()["difference"]["spread"] == {"mean": None, "largest": None}


def test_copies_wait_for_a_quiet_moment_and_no_longer_than_a_while(monkeypatch):
    now, slept, looked, asking = [10.0], [], [], [True]
    monkeypatch.setattr(copies_module, "monotonic", lambda: now[0])
    copies = copies_module.Copies("a test's")

    def sleep(seconds):
        slept.append(seconds)
        now[0] += max(seconds, 0.001)
        copies._last = now[0] if asking else 0.0

    monkeypatch.setattr(copies_module, "sleep", sleep)
    copies._await_quiet(10.0)
    assert slept[0] == pytest.approx(0.005)
    assert 0.05 <= now[0] - 10.005 <= 0.06
    asking.clear()
    now[0] += 0.5
    slept.clear()
    copies._await_quiet(10.0)
    assert slept == [0.0]
    for number in range(20):
        copies._held.append(copies_module._Copy(looked.append, number, 1, now[0] - (1.0 if number < 17 else 0.0)))
    assert [one.what for one in copies._take()] == list(range(16))
    assert [one.what for one in copies._take()] == [16]  # the others' answers may not have been sent
    copies.close()
    assert not copies.put(looked.append, 1, size=1)
