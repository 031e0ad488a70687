"""What is written beside the masks of one study: volumes, clinical values, flags, and a trace of what was run.

Plain JSON without times and without folders, so the same inputs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.frames import ImageFile
from compress.data.sources import Source
from compress.data.volume import PHASES
from compress.errors import DataError
from compress.evaluate.clinical import QUANTITIES
from compress.evaluate.plausibility import (
    ORDERS_AGREE,
    Flag,
    mask_flags,
    orientation_flags,
    study_flags,
    window_flags,
)
from compress.evaluate.study import (
    REPORT_SCHEMA,
    WORDS,
    clinical_values,
    find_phases,
    jumping_frames,
    structure_volumes,
)
from compress.runtime.concerns import Concern, holds_ventricle
from compress.runtime.orders import ORDER
from compress.runtime.segmenter import Segmenter
from compress.runtime.verify import rounding_note
from compress.runtime.versions import versions

Volumes = dict[str, float]
"""Structure name to millilitres."""


@dataclass(frozen=True)
class Window:
    """Where the network looked for the heart of one frame, and whether another storage order shows it the same."""

    moves_mm: tuple[tuple[float, float], ...] = ()
    """As in `Segmentation`."""
    cut_slices: tuple[int, ...] = ()
    agreement: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Segmented:
    """One image of a study, segmented and not yet written."""

    source: Source
    file: ImageFile
    sha256: str
    """The digest of the image file."""
    labels: np.ndarray
    """(T, Z, Y, X) uint8; T is 1 for a 3D image."""
    concerns: tuple[Concern, ...]
    windows: tuple[Window, ...]
    """Of each frame."""

    @property
    def mask(self) -> np.ndarray:
        """As it is written: (Z, Y, X), or (T, Z, Y, X) for a cine."""
        return self.labels if self.file.is_cine else self.labels[0]


@dataclass(frozen=True)
class Phase:
    """The frame that stands for one phase of the heart."""

    image: int
    """Index of the image in its study."""
    frame: int
    """Index of the frame in the image."""
    known_by: str
    """How the phase is known."""


def trace_of(segmenter: Segmenter, *, force: bool) -> dict[str, Any]:
    """What computed: digests of file and network, the provider that was proven, versions."""
    session = segmenter.session
    rounded = rounding_note(segmenter.card, session.provider_proven)
    return {
        **({"rounding": rounded} if rounded else {}),
        "model": session.file.sha256,
        "model_file": session.path.name,
        "network": segmenter.card.provenance.get("network", ""),
        "provider": session.provider_proven,
        "force": force,
        **({} if segmenter.card.nnunet is None else {"mirrored_axes": list(segmenter.mirror_axes)}),
        "versions": versions(),
    }


def describe_study(
    images: Sequence[Segmented], masks: Sequence[tuple[Path, str]], *, segmenter: Segmenter, trace: dict[str, Any]
) -> dict[str, Any]:
    """The document of one study; `masks` are the written files and their SHA-256, in the images' order."""
    labels = segmenter.card.labels
    volumes = [_volumes(image, segmenter.card.members) for image in images]
    phases = find_study_phases(images, volumes)
    flags = [*_not_stated(images), *_left_out(images, volumes, phases)]
    values = clinical_values({name: volumes[p.image][p.frame] for name, p in phases.items()})
    # The value that a region paints is not all of it: flags would speak of another structure.
    flagged = all(values == (labels[name],) for name, values in segmenter.card.members.items())
    rows = zip(images, volumes, masks, strict=True)
    described = [_image(*row, labels=labels, flagged=flagged) for row in rows]
    return {
        "schema": REPORT_SCHEMA,
        "study": images[0].source.study,
        "phantom": {"images": any(i.source.phantom for i in images), "model": segmenter.card.phantom},
        "phases": {name: _phase(p, described) for name, p in phases.items()},
        "clinical": {name: {"value": _rounded(value), "unit": QUANTITIES[name].unit} for name, value in values.items()},
        "flags": [asdict(flag) for flag in (*flags, *study_flags(values))],
        "images": described,
        "labels": labels,
        "intended_use": segmenter.card.intended_use,
        "trace": trace,
    }


def _volumes(image: Segmented, members: Mapping[str, Sequence[int]]) -> list[Volumes]:
    """Of each frame; nothing of slices that cannot hold a ventricle."""
    if not holds_ventricle(image.concerns):
        return [{} for _ in image.labels]
    return [structure_volumes(frame, labels=members, spacing_mm=image.file.spacing) for frame in image.labels]


def _not_stated(images: Sequence[Segmented]) -> list[Flag]:
    names = [image.source.path.name for image in images if not holds_ventricle(image.concerns)]
    return [Flag("no-volumes", WORDS["no-volumes"].format(names=" and ".join(names)))] if names else []


def find_study_phases(images: Sequence[Segmented], volumes: Sequence[Sequence[Volumes]]) -> dict[str, Phase]:
    """ED and ES of a study, as its files tell them, else by the largest and smallest predicted LV; {} when unknown."""
    told = {
        image.source.phase: Phase(index, 0, image.source.phase_from)
        for index, image in enumerate(images)
        if image.source.phase and not image.file.is_cine
    }
    if told:
        return {name: told[name] for name in PHASES if name in told}
    places = _one_heart(images, volumes)
    try:
        first, last = find_phases([volumes[i][t]["LV"] for i, t in places])
    except DataError:  # fewer than two frames with an LV, or an LV that never changes
        return {}
    return {
        "ED": Phase(*places[first], WORDS["largest"]),
        "ES": Phase(*places[last], WORDS["smallest"]),
    }


def _one_heart(images: Sequence[Segmented], volumes: Sequence[Sequence[Volumes]]) -> list[tuple[int, int]]:
    """(image, frame) of all frames with an LV that surely show one heart in one scan.

    That is one cine, or two still images on one grid; anything else might be different scans, or patients.
    """
    grids = {(image.file.shape, tuple(round(size, 2) for size in image.file.spacing)) for image in images}
    pair = len(images) == 2 and len(grids) == 1 and not any(image.file.is_cine for image in images)
    if len(images) != 1 and not pair:
        return []
    odd = _jumping(volumes[0]) if len(images) == 1 else []
    found = [(i, t) for i, frames in enumerate(volumes) for t in range(len(frames)) if frames[t].get("LV", 0) > 0]
    return [(i, t) for i, t in found if t not in odd]


def _jumping(frames: Sequence[Volumes]) -> list[int]:
    return jumping_frames([frame.get("LV", 0.0) for frame in frames])


def _left_out(
    images: Sequence[Segmented], volumes: Sequence[Sequence[Volumes]], phases: dict[str, Phase]
) -> list[Flag]:
    """Frames of a cine that ED and ES were chosen without: an LV of nothing would make an EF of 100%."""
    if not phases or len(images) != 1:
        return []
    empty = [number for number, frame in enumerate(volumes[0]) if frame.get("LV") == 0]
    odd = [number for number in _jumping(volumes[0]) if number not in empty]
    reasons = {"empty": empty, "jumping": odd}
    parts = [WORDS[why].format(frames=_frames(numbers)) for why, numbers in reasons.items() if numbers]
    return [Flag("frames-left-out", WORDS["frames-left-out"].format(parts=" and ".join(parts)))] if parts else []


def _frames(numbers: Sequence[int]) -> str:
    return ", ".join(str(number + 1) for number in numbers[:8]) + (" and more" if len(numbers) > 8 else "")


def _image(
    image: Segmented,
    volumes: Sequence[Volumes],
    written: tuple[Path, str],
    *,
    labels: dict[str, int],
    flagged: bool,
) -> dict[str, Any]:
    mask, digest = written
    return {
        "file": image.source.path.name,
        "sha256": image.sha256,
        "phase": image.source.phase,
        "phantom": image.source.phantom,
        "mask": mask.name,
        "mask_sha256": digest,
        "frames": image.file.frames,
        "shape_zyx": list(image.file.shape),
        "spacing_mm_zyx": [round(size, 6) for size in image.file.spacing],
        "volumes_ml": {name: [round(frame[name], 3) for frame in volumes] for name in labels if name in volumes[0]},
        "concerns": [asdict(concern) for concern in image.concerns],
        "recentred": _recentred(image),
        **_orientation(image),
        "flags": _flags(image, labels) if flagged else [],
    }


def _flags(image: Segmented, labels: dict[str, int]) -> list[dict[str, Any]]:
    """Flags of every frame; those of a cine say which frame."""
    found = []
    for number, (frame, window) in enumerate(zip(image.labels, image.windows, strict=True), start=1):
        flags: list[Flag] = mask_flags(frame, labels=labels, spacing_mm=image.file.spacing)
        flags += [*window_flags(window.cut_slices), *orientation_flags(window.agreement, ORDER)]
        found += [{**asdict(flag), "frame": number} if image.file.is_cine else asdict(flag) for flag in flags]
    return found


def _recentred(image: Segmented) -> list[dict[str, Any]]:
    """Frames that the heart lay off centre in: where the window was moved to, time after time."""
    return [
        {"frame": number, "moves_mm_yx": [[round(mm, 3) for mm in move] for move in window.moves_mm]}
        for number, window in enumerate(image.windows, start=1)
        if window.moves_mm
    ]


def _orientation(image: Segmented) -> dict[str, Any]:
    """How well the masks of two storage orders agree, frame by frame; nothing where nobody asked."""
    told = [window.agreement for window in image.windows]
    if any(each is None for each in told):
        return {}
    rows = [{name: round(value, 4) for name, value in (each or {}).items()} for each in told]
    return {"orientation": {"order": ORDER, "dice": rows, "at_least": ORDERS_AGREE}}


def _phase(phase: Phase, described: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"mask": described[phase.image]["mask"], "frame": phase.frame + 1, "known_by": phase.known_by}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
