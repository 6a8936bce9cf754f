"""The parts of the page on the run itself: choices, how to do it again, what to do next."""

from __future__ import annotations

from pathlib import Path

from tidewright.report.blocks import Block, Cell, Column, Section, Table, Words, absent
from tidewright.report.numbers import choose_decimals, write_number, write_seconds
from tidewright.report.reproduce import flatten, list_overrides, list_versions, write_command
from tidewright.workflows.result import RunResult


def tell_notes(result: RunResult) -> Section:
    """Every choice, repair and fallback: nothing happens in silence."""
    title = "Choices and fallbacks"
    if not result.notes:
        return Section(
            "notes",
            title,
            "Nothing else was used than was asked for.",
            [absent("There is no choice, repair or fallback to tell of.")],
        )
    columns = (Column("Kind"), Column("Asked for"), Column("Used"), Column("Why"))
    rows = tuple((Cell(n.kind, tone="strong"), Cell(n.asked), Cell(n.used), Cell(n.reason)) for n in result.notes)
    return Section("notes", title, "What was done differently from what was asked, and why.", [Table(columns, rows)])


def tell_reproduction(result: RunResult) -> Section:
    """The command, the settings, the versions and the time that each stage took."""
    command = write_command(result.settings)
    blocks: list[Block] = []
    if command is None:
        blocks.append(
            absent(
                "The table was handed over in memory, so that no command can name it. In Python, with the same table:"
            )
        )
        blocks.append(Words((_in_python(result),), code=True))
    else:
        blocks.append(Words((command,), title="The same run again", code=True))
    blocks.append(Words((result.next_command,), title="Next", code=True))
    blocks += [_stages(result), _settings(result), _versions()]
    lead = (
        f"Run {result.run_id}, seed {result.settings.seed}. The same seed on the same kind of machine gives the same "
        "numbers, as far as training is not cut off by the time budget."
    )
    return Section("reproduce", "Do it again, and next", lead, blocks)


def _in_python(result: RunResult) -> str:
    return f"tidewright.run(table, overrides={list_overrides(result.settings)!r})"


def _stages(result: RunResult) -> Table | Words:
    if not result.stages:
        return absent("The run kept no times of its stages.", title="Time by stage")
    decimals = choose_decimals(result.stages.values(), digits=2, most=2)
    rows = tuple((Cell(name), Cell(write_number(s, decimals=decimals), value=s)) for name, s in result.stages.items())
    told = f"Where {write_seconds(sum(result.stages.values()))} went"
    return Table((Column("Stage"), Column("Time", "s", number=True)), rows, folded=told)


def _versions() -> Table:
    rows = tuple(
        (Cell(name), Cell(text, tone="muted" if text == "not installed" else ""))
        for name, text in list_versions().items()
    )
    return Table((Column("Package"), Column("Version")), rows, sortable=False, folded="Versions")


def _settings(result: RunResult) -> Table:
    flat = flatten(result.settings.model_dump(mode="json"))
    rows = tuple((Cell(key), _setting(key, value)) for key, value in flat.items())
    return Table((Column("Setting"), Column("Value")), rows, folded=f"All {len(rows)} settings")


def _setting(key: str, value: object) -> Cell:
    if value is None or value in ([], {}, ()):
        return Cell("none", tone="muted")
    if key in ("data.path", "folder") and Path(str(value)).is_absolute():
        return Cell(Path(str(value)).name, small="an absolute path, shown by its last part")
    return Cell(str(value))
