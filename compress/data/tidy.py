"""What is done to every mask after the network: small pieces and bare cavities go, holes are filled; by label value,
and by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from compress.data.pieces import BARE, drop_bare, drop_small, fill_holes

RINGS = {"MYO": "LV"}
"""Structures that enclose another one: where that is missing, their hole is its place; where they are, it is bare."""


def rings_of(labels: Collection[str]) -> dict[str, str]:
    """Those of `RINGS` of which both structures are segmented."""
    return {ring: inner for ring, inner in RINGS.items() if ring in labels and inner in labels}


def fillable(labels: Collection[str]) -> tuple[str, ...]:
    """The structures whose holes may be filled: a ring's only where what it encloses is segmented too."""
    return tuple(name for name in labels if RINGS.get(name, name) in labels)


@dataclass(frozen=True)
class Tidy:
    """What is done to every mask of a network, on the native grid: small pieces go, then bare cavities, then holes are
    filled."""

    shares: Mapping[int, float] = field(default_factory=dict)
    """Label value -> share, as `drop_small` has it."""
    holes: tuple[int, ...] = ()
    """Label values, as `fill_holes` has them."""
    rings: Mapping[int, int] = field(default_factory=dict)
    """As `fill_holes` has them."""
    bare: Mapping[int, int] = field(default_factory=dict)
    """As `drop_bare` has them."""

    def __call__(self, mask: np.ndarray) -> np.ndarray:
        """The mask (Z, Y, X) tidied; itself when nothing changes."""
        kept = drop_bare(drop_small(mask, self.shares), self.bare)
        return fill_holes(kept, self.holes, self.rings) if self.holes else kept


AS_FOUND = Tidy()
"""Masks stay as the network makes them."""


@dataclass(frozen=True)
class TidyRule:
    """The same by structure, as a model card tells it, and by what it was chosen."""

    shares: Mapping[str, float] = field(default_factory=dict)
    pieces_chosen: str = ""
    holes: tuple[str, ...] = ()
    holes_chosen: str = ""
    bare: Mapping[str, str] = field(default_factory=dict)
    """Ring -> what it encloses, which goes where it is bare."""
    bare_chosen: str = ""

    @property
    def rings(self) -> dict[str, str]:
        """Of the structures whose holes are filled, those that enclose another one."""
        return {ring: inner for ring, inner in RINGS.items() if ring in self.holes}

    def on(self, labels: Mapping[str, int]) -> Tidy:
        """The rule for a network with these labels."""
        shares = {labels[name]: share for name, share in self.shares.items()}
        rings = {labels[ring]: labels[inner] for ring, inner in self.rings.items()}
        bare = {labels[ring]: labels[inner] for ring, inner in self.bare.items()}
        return Tidy(shares, tuple(labels[name] for name in self.holes), rings, bare)

    def __str__(self) -> str:
        """The rule in words."""
        shares = ", ".join(f"{name} below {share:g} of its largest" for name, share in self.shares.items())
        dropped = f"pieces that are dropped: {shares} ({self.pieces_chosen})"
        filled = f"holes that are filled: {', '.join(self.holes)} ({self.holes_chosen})"
        pairs = ", ".join(
            f"{inner} in slices with less than {BARE:g} of its outline on {ring} and more of it than in any other"
            for ring, inner in self.bare.items()
        )
        bare = f"cavities that are dropped: {pairs} ({self.bare_chosen})"
        said = [dropped] * bool(self.shares) + [bare] * bool(self.bare) + [filled] * bool(self.holes)
        return "; ".join(said) or "every piece of a structure stays"
