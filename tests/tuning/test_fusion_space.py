"""The search spaces of the Temporal Fusion Transformer."""

from __future__ import annotations

from tidewright.tuning.read_space import find_space
from tidewright.tuning.space import Choice, FloatRange, IntRange


def test_the_wide_space_of_the_tft_holds_the_documented_ranges() -> None:
    ranges = find_space("tft_wide").ranges
    assert ranges["model.hidden"] == IntRange(256, 512, step=64)
    assert ranges["model.heads"] == Choice((4, 8))
    assert ranges["model.lstm_layers"] == IntRange(2, 4)
    assert ranges["model.dropout"] == FloatRange(0.1, 0.3)


def test_any_width_of_the_spaces_can_be_split_among_any_number_of_heads() -> None:
    for name in ("tft", "tft_wide"):
        ranges = find_space(name).ranges
        widths, heads = ranges["model.hidden"], ranges["model.heads"]
        assert isinstance(heads, Choice)
        sizes = widths.choices if isinstance(widths, Choice) else range(widths.low, widths.high + 1, widths.step)  # type: ignore[union-attr]
        assert all(size % count == 0 for size in sizes for count in heads.choices)
