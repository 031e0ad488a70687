"""Which frames of an examination belong together: those of one series, or of several that were taken slice by slice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from compress.data.dicom.header import Frame, Instance, Plane
from compress.data.dicom.views import normal_of

MIN_SLICES = 3
"""Fewer parallel slices are single views, not a stack."""

SAME_PLACE_MM = 0.5
"""Slices closer than this lie at one place."""

UNEVEN = 0.1
"""How far one step between slices may differ from the others, as a part of it."""

PARALLEL = 0.9998
"""Cosine of one degree."""

Slice = tuple[float, list[Frame]]
"""Where a slice lies along the direction across it, in millimetres, and its frames."""


@dataclass
class Run:
    """Frames of one geometry and kind."""

    numbers: tuple[int, ...]
    """Its series, as people call them."""
    description: str
    """The first one's name."""
    image_type: tuple[str, ...]
    reference: str
    """The frame of reference of its first file."""
    kind: tuple[object, ...]
    plane: Plane
    frames: list[Frame] = field(default_factory=list)

    def slices(self) -> list[Slice]:
        """Its slices in order along the direction across them."""
        across = normal_of(self.plane.orientation)
        found: list[Slice] = []
        for place, frame in sorted(((float(across @ f.position), f) for f in self.frames), key=lambda pair: pair[0]):
            if found and place - found[-1][0] < SAME_PLACE_MM:
                found[-1][1].append(frame)
            else:
                found.append((place, [frame]))
        return found

    @property
    def is_cine(self) -> bool:
        """Whether slices were taken more than once."""
        return len(self.frames) > len(self.slices())

    @property
    def name(self) -> str:
        """What messages call it: numbers alone, as a series' own name may be a patient's."""
        shown = ", ".join(map(str, self.numbers[:6])) + (" and more" if len(self.numbers) > 6 else "")
        return f"series {shown}"


def runs_of(instances: Iterable[Instance]) -> list[Run]:
    """The frames of each series, apart where they differ in orientation, pixels or kind."""
    found: dict[tuple[object, ...], list[Run]] = {}
    for instance in instances:
        for frame in instance.frames:
            near = found.setdefault((instance.series, instance.kind, _pixels(frame)), [])
            run = next((run for run in near if parallel(run.plane, frame.plane)), None)
            if run is None:
                kind = (*instance.kind, _pixels(frame))
                words = instance.description, instance.image_type, instance.reference
                run = Run((instance.number,), *words, kind, frame.plane)
                near.append(run)
            run.frames.append(frame)
    return [run for near in found.values() for run in near]


def _pixels(frame: Frame) -> tuple[object, ...]:
    return frame.pixels.rows, frame.pixels.columns, *(round(size, 3) for size in frame.plane.spacing)


def parallel(one: Plane, other: Plane) -> bool:
    """Whether rows and columns of two planes point in the same directions, within a degree."""
    pairs = ((one.orientation[:3], other.orientation[:3]), (one.orientation[3:], other.orientation[3:]))
    return all(sum(a * b for a, b in zip(*pair, strict=True)) > PARALLEL for pair in pairs)


def join(runs: Sequence[Run]) -> list[Run]:
    """Runs that are parts of one stack as one: together they lie at even steps, or each is less than a stack.

    Whole stacks stay apart, as a scan that was repeated is another scan.
    """
    groups: list[list[Run]] = []
    for run in runs:
        group = next((group for group in groups if _one_kind(group[0], run)), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return [joined for group in groups for joined in _join(group)]


def _one_kind(one: Run, other: Run) -> bool:
    told = [(run.kind, run.is_cine, run.reference) for run in (one, other)]
    return told[0] == told[1] and parallel(one.plane, other.plane)


def _join(group: list[Run]) -> list[Run]:
    whole = _merged(group)
    slices = whole.slices()
    apart = len(slices) == sum(len(run.slices()) for run in group)
    if len(group) == 1 or (apart and len(slices) >= MIN_SLICES and uneven_step(slices) is None):
        return [whole]
    stacks = [run for run in group if len(run.slices()) >= MIN_SLICES]
    parts = [run for run in group if len(run.slices()) < MIN_SLICES]
    return [*stacks, *([_merged(parts)] if parts else [])]


def _merged(group: Sequence[Run]) -> Run:
    first = group[0]
    numbers = tuple(dict.fromkeys(number for run in group for number in run.numbers))
    frames = [frame for run in group for frame in run.frames]
    return replace(first, numbers=numbers, frames=frames)


def uneven_step(slices: Sequence[Slice]) -> tuple[int, float, float] | None:
    """The first step between slices that is unlike the others: (slice before it from 1, its mm, the others' mm)."""
    steps = np.diff([place for place, _ in slices])
    usual = float(sorted(steps)[(len(steps) - 1) // 2]) if len(steps) else 0.0
    for index, step in enumerate(steps, start=1):
        if abs(step - usual) > UNEVEN * usual:
            return index, float(step), usual
    return None
