"""How many channels each group keeps, from ratios per block."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from compress.errors import PlanError
from compress.prune.groups import Group


def block_ratio(block: str, *, default: float, ratios: Mapping[str, float]) -> float:
    """The ratio of a block: its own, else what it follows, else the default.

    A transposed convolution (even decoder index) follows the double convolution that it feeds.
    """
    if block in ratios:
        return ratios[block]
    head, _, index = block.partition(".")
    if head == "decoders" and index.isdigit() and int(index) % 2 == 0:
        return ratios.get(f"decoders.{int(index) + 1}", default)
    return default


def keep_counts(groups: Sequence[Group], *, default: float, ratios: Mapping[str, float]) -> dict[str, int]:
    """Group name -> how many channels stay: width minus ratio x width, rounded half up.

    Raises `PlanError` naming every block that would be emptied and the largest ratio that it allows.
    """
    counts = {}
    faults = []
    for group in groups:
        ratio = block_ratio(group.block, default=default, ratios=ratios)
        counts[group.name] = group.width - math.floor(ratio * group.width + 0.5)
        if counts[group.name] < 1:
            limit = math.floor(1000 * (group.width - 0.5) / group.width - 1e-9) / 1000
            faults.append(f"{group.name} ({group.width} filters, ratio {ratio:g}; at most {limit:g})")
    if faults:
        raise PlanError(f"These ratios would remove every filter of {', '.join(faults)}.", cure="Lower them.")
    return counts
