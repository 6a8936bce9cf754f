"""The lines of a benchmark: one JSON object a comparison, printed as it is made and kept in a file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Line = Mapping[str, Any]


def open_parser(about: str | None) -> argparse.ArgumentParser:
    """The options of a script whose lines are kept where `--out` says."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a file for the lines")
    return parser


def make_line(name: str, ours: float, theirs: float, *, unit: str, n: int, note: str = "") -> dict[str, Any]:
    """One comparison."""
    return {"name": name, "ours": ours, "theirs": theirs, "unit": unit, "ratio": ours / theirs, "n": n, "note": note}


def round_line(line: Line, *, digits: int) -> dict[str, Any]:
    """The same with so many digits behind the point."""
    return {key: round(value, digits) if key in ("ours", "theirs", "ratio") else value for key, value in line.items()}


def tell(lines: Iterable[Line], *, out: Path | None = None) -> None:
    """Prints each line as it is made, and keeps all of them at the end where a file is named."""
    told: list[str] = []
    for line in lines:
        told.append(json.dumps(line))
        print(told[-1], flush=True)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("".join(f"{one}\n" for one in told))


def add(line: Line, *, out: Path | None) -> None:
    """Prints a line, and puts it at the end of a file where one is named."""
    print(json.dumps(line), flush=True)
    if out:
        with out.open("a") as file:
            file.write(json.dumps(line) + "\n")


def keep(line: Line, *, out: Path | None) -> None:
    """Prints a line, and where a file is named puts it there in the place of one of the same name."""
    print(json.dumps(line), flush=True)
    if out:
        kept = [json.loads(text) for text in out.read_text().splitlines()] if out.exists() else []
        lines = {one["name"]: one for one in [*kept, line]}
        out.write_text("".join(json.dumps(one) + "\n" for one in lines.values()))
