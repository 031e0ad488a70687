"""What the blocks of a U-Net are called."""

from __future__ import annotations


def block_names(levels: int) -> list[str]:
    """Every block of a U-Net with `levels` encoders, from input to output."""
    encoders = [f"encoders.{i}" for i in range(levels)]
    return [*encoders, "bottleneck", *(f"decoders.{i}" for i in range(2 * levels))]


def double_blocks(levels: int) -> list[str]:
    """Those of them that are double convolutions."""
    return [n for n in block_names(levels) if not n.startswith("decoders.") or int(n.split(".")[1]) % 2]


def ratio_names(levels: int) -> list[str]:
    """Every name that `block_ratios` may hold: the blocks, and the convolutions inside the double ones."""
    doubles = double_blocks(levels)
    return [*block_names(levels), *(f"{name}.conv{index}" for name in doubles for index in (1, 2))]


def top_level(levels: int) -> tuple[str, str, str]:
    """The blocks that compute at full resolution."""
    return "encoders.0", f"decoders.{2 * levels - 2}", f"decoders.{2 * levels - 1}"
