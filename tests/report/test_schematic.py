"""The U-Net drawing, from two to six levels."""

import itertools

import pytest

from compress.errors import PlanError
from compress.report.schematic import _layout, unet_schematic


def unet(levels: int, share: float = 1.0) -> dict[str, list[int]]:
    widths = [int(16 * 2**level * share) for level in range(levels + 1)]
    blocks = {f"encoders.{level}": [widths[level]] * 2 for level in range(levels)} | {"bottleneck": [widths[-1]] * 2}
    for pair, width in enumerate(widths[-2::-1]):
        blocks |= {f"decoders.{2 * pair}": [width], f"decoders.{2 * pair + 1}": [width] * 2}
    return blocks


@pytest.mark.parametrize("levels", [2, 4, 6])
def test_drawn(levels, tmp_path):
    half, quarter, stamped = (
        unet_schematic(tmp_path / "unet.png", unet(levels), unet(levels, share), phantom=phantom).read_bytes()
        for share, phantom in ((0.5, False), (0.25, False), (0.5, True))
    )
    assert len({half, quarter, stamped}) == 3


def test_before_alone_and_deterministic(tmp_path):
    first, second = (unet_schematic(tmp_path / name, unet(2), None).read_bytes() for name in ("a.png", "b.png"))
    assert first == second
    assert unet_schematic(tmp_path / "c.png", unet(2), unet(2, 0.5)).read_bytes() != first


@pytest.mark.parametrize("levels", range(1, 7))
def test_blocks_of_a_level_share_a_row_and_never_overlap(levels):
    boxes = {box.name: box for box in _layout(levels)}
    assert set(boxes) == set(unet(levels))
    for level in range(levels):
        encoder, decoder = boxes[f"encoders.{level}"], boxes[f"decoders.{2 * (levels - 1 - level) + 1}"]
        assert (encoder.y, encoder.height) == (decoder.y, decoder.height)
    for one, other in itertools.combinations(boxes.values(), 2):
        apart = abs(one.x - other.x) >= (one.width + other.width) / 2
        assert apart or one.top < other.y or other.top < one.y


def test_wrong_blocks_are_named(tmp_path):
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
