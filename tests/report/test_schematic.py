"""The U-Net drawing: where its blocks lie, and which blocks it refuses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox
from pictures import unet

from compress.errors import PlanError
from compress.report import schematic
from compress.report.schematic import unet_schematic


def drawn_boxes(levels: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Bbox]:
    """Block -> the box around its bars, each of which has one outline."""
    figure = Figure(layout="constrained")

    @contextmanager
    def kept(*_: object, **__: object) -> Iterator[Figure]:
        yield figure

    monkeypatch.setattr(schematic, "picture", kept)
    blocks = unet(levels)
    unet_schematic(Path("unused.png"), blocks, None)
    (axes,) = figure.axes
    outlines = iter([p.get_bbox() for p in axes.patches if isinstance(p, Rectangle) and not p.get_fill()])
    names = [text.get_text() for text in axes.texts if text.get_text() in blocks]
    boxes = {name: Bbox.union([next(outlines) for _ in blocks[name]]) for name in names}
    assert set(boxes) == set(blocks) and not list(outlines)
    return boxes


@pytest.mark.parametrize("levels", range(1, 7))
def test_blocks_of_a_level_share_a_row_and_never_overlap(levels: int, monkeypatch: pytest.MonkeyPatch):
    boxes = drawn_boxes(levels, monkeypatch)
    for level in range(levels):
        encoder, decoder = boxes[f"encoders.{level}"], boxes[f"decoders.{2 * (levels - 1 - level) + 1}"]
        assert (encoder.y0, encoder.y1) == (decoder.y0, decoder.y1)
    for one, other in itertools.combinations(boxes.values(), 2):
        apart = one.x1 < other.x0 or other.x1 < one.x0
        assert apart or one.y1 < other.y0 or other.y1 < one.y0


def test_wrong_blocks_are_named(tmp_path: Path):
    path, good = tmp_path / "a.png", unet(2)
    with pytest.raises(PlanError, match=r"decoders\.3"):
        unet_schematic(path, {name: widths for name, widths in good.items() if name != "decoders.3"}, None)
    with pytest.raises(PlanError, match=r"decoders\.0 \(2 widths, not 1\)"):
        unet_schematic(path, {**good, "decoders.0": [4, 4]}, None)
    with pytest.raises(PlanError, match="no encoders"):
        unet_schematic(path, {"bottleneck": [4, 4]}, None)
    with pytest.raises(PlanError, match=r"before and after: encoders\.1\."):
        unet_schematic(path, good, {**good, "encoders.1": [64, 64]})
    with pytest.raises(PlanError, match=r"before and after: bottleneck\."):
        unet_schematic(path, good, {**good, "bottleneck": [1]})
