"""The documents say only what is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def named_tests() -> list[str]:
    return sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", (ROOT / "docs" / "rows.md").read_text())))


@pytest.mark.parametrize("name", named_tests())
def test_every_test_that_the_rows_name_exists(name: str) -> None:
    path, _, function = name.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not function or function in functions


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/rows.md"])
def test_every_link_of_a_document_leads_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text()):
        assert (ROOT / document).parent.joinpath(target).exists(), f"{document} links to {target}"


def test_the_architecture_names_every_stage() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    stages = [path.name for path in (ROOT / "src" / "tidewright").iterdir() if (path / "__init__.py").exists()]
    assert [stage for stage in stages if f"`{stage}/`" not in text] == []
