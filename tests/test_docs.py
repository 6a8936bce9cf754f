"""The documents say only what is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
OWN = ("ensembles", "serving", "training")  # pages whose blocks have a test of their own


def named_tests() -> list[str]:
    return sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", (ROOT / "docs" / "rows.md").read_text())))


@pytest.mark.parametrize("name", named_tests())
def test_every_test_that_the_rows_name_exists(name: str) -> None:
    path, _, function = name.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not function or function in functions


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
)
def test_every_link_of_a_document_leads_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text()):
        assert (ROOT / document).parent.joinpath(target).exists(), f"{document} links to {target}"


def test_the_architecture_names_every_stage() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    stages = [path.name for path in (ROOT / "src" / "tidewright").iterdir() if (path / "__init__.py").exists()]
    assert [stage for stage in stages if f"`{stage}/`" not in text] == []


def read_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.DOTALL)


@pytest.mark.parametrize(
    "page",
    sorted(page.name for page in (ROOT / "docs").glob("*.md") if page.stem not in OWN and read_blocks(page.name)),
)
def test_the_blocks_of_a_page_run_one_after_the_other(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in read_blocks(page):
        exec(compile(block, f"docs/{page}", "exec"), names)
    assert capsys.readouterr().out.strip()  # every page shows a result


def test_the_blocks_of_the_training_page_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = read_blocks("training.md")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/training.md", "exec"), names)
    assert len(blocks) >= 6
    assert (tmp_path / "ensemble-model" / "manifest.json").exists()
    assert "'validation_loss'" in capsys.readouterr().out
    assert len(names["population"].fitted) == 4


def test_the_blocks_of_the_ensembles_page_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "ensembles.md").read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/ensembles.md", "exec"), names)
    assert (tmp_path / "stacked-model" / "manifest.json").exists()
    assert "'mae_in_time'" in capsys.readouterr().out
    assert len(names["both"].spec.members) == 11


def test_the_block_of_the_presets_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "presets.md").read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/presets.md", "exec"), names)
    assert "the preset quick tries each model once" in capsys.readouterr().out
    assert "nlinear" in {one.model for one in names["account"].attempts}
