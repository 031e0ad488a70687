"""Looking at written pictures."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def is_drawn(path: Path) -> bool:
    """Whether the file is a whole picture of more than one colour; a damaged one raises."""
    with Image.open(path) as found:
        return any(low < high for low, high in found.convert("RGB").getextrema())
