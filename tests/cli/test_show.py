"""What people read on the terminal."""

from __future__ import annotations

import pytest

from tidewright.cli.show import show_table


def test_no_number_is_broken_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tidewright.cli.show.WIDTH", 60)
    row = {"model": "lightgbm", "mase": "0.7276", "corrected": "0.7294", "test": None, "why": "all the trials were run"}
    show_table([row, row | {"model": "nlinear", "test": "0.7133"}], title="scores")
    told = capsys.readouterr().out
    assert all(word in told for word in ("lightgbm", "nlinear", "0.7276", "0.7294", "0.7133", "corrected"))
    assert max(map(len, told.splitlines())) <= 60
