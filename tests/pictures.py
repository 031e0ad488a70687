"""Looking at written pictures."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def is_drawn(path: Path) -> bool:
    """Whether the file is a whole picture of more than one colour; a damaged one raises."""
    with Image.open(path) as found:
        return any(low < high for low, high in found.convert("RGB").getextrema())


def unet(levels: int, share: float = 1.0) -> dict[str, list[int]]:
    """The widths of a U-Net's blocks, 16 times two to the level, of which a share is left."""
    widths = [int(16 * 2**level * share) for level in range(levels + 1)]
    blocks = {f"encoders.{level}": [widths[level]] * 2 for level in range(levels)} | {"bottleneck": [widths[-1]] * 2}
    for pair, width in enumerate(widths[-2::-1]):
        blocks |= {f"decoders.{2 * pair}": [width], f"decoders.{2 * pair + 1}": [width] * 2}
    return blocks
