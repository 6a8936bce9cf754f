"""The verb `monitor` as a user types it, and its page."""

import json
import re

import polars as pl
import pytest

from tests.workflows.test_monitor import ROLES, TASK, world
from tidewright.cli.main import _run
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.errors import ConfigError
from tidewright.models.spec import Ridge
from tidewright.registry.bundle import save_bundle
from tidewright.report.blocks import Section, Words
from tidewright.report.later import SLOTS, add_section
from tidewright.report.monitor_page import collect_monitoring
from tidewright.report.page import Page, write_page
from tidewright.training.fit import fit
from tidewright.workflows.monitor import monitor

LIVE = pl.datetime(2024, 3, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bundle, a table in which nothing changed, and one whose level rose."""
    folder = tmp_path_factory.mktemp("monitored")
    panel = Panel.from_table(world().filter(pl.col("hour") < LIVE), **ROLES)
    split = split_holdout(panel, TASK, validation=24 * 14, test=8)
    fitted = fit(Ridge(lookbacks=(24,)), panel=panel, split=split, task=TASK)
    save_bundle(fitted, panel=panel, folder=folder / "bundle", split=split)
    world().write_parquet(folder / "same.parquet")
    world(shift=8.0).write_parquet(folder / "risen.parquet")
    return folder


def ask(capsys, *words):
    code = _run(["monitor", *map(str, words)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_exit_codes_say_whether_it_drifted_only_where_that_is_asked(folder, capsys):
    bundle = folder / "bundle"
    assert ask(capsys, bundle, folder / "same.parquet", "--fail-on-drift")[0] == 0
    code, out, _ = ask(capsys, bundle, folder / "risen.parquet")
    assert code == 0
    assert "alert: input sold: its distribution" in out
    code, out, _ = ask(capsys, bundle, folder / "risen.parquet", "--fail-on-drift", "--json")
    told = json.loads(out)
    assert (code, told["drifted"]) == (1, True)
    assert "input" in {one["kind"] for one in told["alerts"]}
    assert {"psi", "ks", "mean"} <= {one["name"] for one in told["checks"]}
    times = [one["time"] for one in told["scores"]]
    assert len(times) > 3
    assert times == sorted(times)
    assert told["first"][:10] <= times[0][:10] <= times[-1][:10] <= told["last"][:10]  # none beyond the live values


def test_a_page_shows_what_was_found(folder, capsys):
    page = folder / "monitor.html"
    code, _, said = ask(capsys, folder / "bundle", folder / "risen.parquet", "--report", page)
    assert (code, f"report  {page}" in said) == (0, True)
    text = page.read_text()
    for words in ("Drift by feature", "Score and coverage over time", "input sold", "Largest PSI"):
        assert words in text


def test_the_pictures_hold_the_figures(folder):
    found = monitor(folder / "bundle", folder / "risen.parquet")
    page = collect_monitoring(found)
    drift, scores = page.sections[1], page.sections[2]
    bars = drift.blocks[0].figure.data[0]
    assert dict(zip(bars.y, bars.x, strict=True))["sold"] == next(
        one.test.statistic for one in found.checks if (one.column, one.name) == ("sold", "psi")
    )
    assert list(scores.blocks[0].blocks[0].figure.data[0].y) == [one.error for one in found.scores]
    assert page.headline == f"{len(found.alerts)} alerts"


def test_a_wrong_time_and_a_table_without_new_values_are_told(folder, capsys):
    code, _, said = ask(capsys, folder / "bundle", folder / "same.parquet", "--since", "2030-01-01")
    assert (code, "nothing is live" in said) == (1, True)
    code, _, said = ask(capsys, folder / "bundle", folder / "same.parquet", "--false-alarms", "2")
    assert (code, "false_alarms is a share from" in said) == (1, True)


def write_report(run):
    page = Page("A run", "run 1", "It won", "So it was.", "Sales.", (), (Section("data", "Data", "Rows.", ()),))
    return write_page(page, run / "report.html")


def test_the_newest_look_stands_in_the_report_of_the_run(folder, capsys):
    report = write_report(folder)
    before = report.read_text()
    for place, table in ((folder, "risen"), (folder / "bundle", "same"), (folder, "risen")):
        code, _, said = ask(capsys, place, folder / f"{table}.parquet")
        assert (code, f"report  {report}#since" in said) == (0, True)
    text = report.read_text()
    assert text.count("<h2>Since it was deployed</h2>") == text.count('<a href="#since">') == 1
    assert "input sold: its distribution" in text
    for name in ("since-psi", "since-error", "since-steps", "since-coverage"):
        assert f'id="chart-{name}"' in text
        _, _, rest = text.partition(f'id="figure-{name}">')
        assert json.loads(rest.partition("</script>")[0])["data"]
    assert text.index("Data</h2>") < text.index('id="since"') < text.index("</main>")
    for slot in SLOTS:
        text = re.sub(f"(<!--later:{slot}-->).*?(<!--/later:{slot}-->)", r"\1\2", text, flags=re.DOTALL)
    assert text == before
    report.unlink()


def test_a_bundle_elsewhere_and_a_page_without_a_place_are_left_alone(folder, capsys):
    assert "#since" not in ask(capsys, folder / "bundle", folder / "same.parquet")[2]
    page = folder / "report.html"
    page.write_text("<p>an older version's</p>")
    assert "#since" not in ask(capsys, folder / "bundle", folder / "same.parquet")[2]
    assert page.read_text() == "<p>an older version's</p>"
    with pytest.raises(ConfigError, match="has no place for a section"):
        add_section(Section("since", "Since", "", ()), page)
    page.unlink()


def test_a_text_of_a_user_is_no_mark_of_the_place(tmp_path):
    page = write_report(tmp_path)
    for number in range(2):
        told = Section("since", "Since", f"<!--/later:section--> {number} \\1", (Words(("<!--later:figures-->",)),))
        add_section(told, page)
    text = page.read_text()
    assert text.count("&lt;!--/later:section--&gt; 1 \\1") == 1
    assert "&gt; 0" not in text
    assert text.count("<!--/later:section-->") == text.count("<!--later:figures-->") == 1
