"""The picture of Dice against ratio for each block."""

from __future__ import annotations

import pytest
from PIL import Image

from compress.errors import DataError
from compress.report.sensitivity_plot import sensitivity_plot


def _rows(blocks: int) -> list[dict[str, object]]:
    return [
        {"block": f"decoders.{b}", "ratio": r, "dice": 0.9 - 0.05 * b * r} for b in range(blocks) for r in (0.25, 0.9)
    ]


def test_more_blocks_than_colours_get_more_panels(tmp_path):
    sizes = []
    for blocks in (6, 7, 16):
        with Image.open(sensitivity_plot(tmp_path / f"{blocks}.png", _rows(blocks), dense=0.9)) as picture:
            sizes.append(picture.width)
    assert sizes[0] < sizes[1] < sizes[2]


def test_pictures_are_reproducible_and_stamped(tmp_path):
    first, again = (sensitivity_plot(tmp_path / f"{n}.png", _rows(3), dense=0.9).read_bytes() for n in "ab")
    stamped = sensitivity_plot(tmp_path / "c.png", _rows(3), dense=0.9, phantom=True).read_bytes()
    assert first == again != stamped


def test_nothing_to_draw(tmp_path):
    with pytest.raises(DataError, match="No blocks"):
        sensitivity_plot(tmp_path / "none.png", [], dense=0.9)
