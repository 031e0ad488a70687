"""Looking a data folder over before anything is trained on it: what is there, and every fault in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from compress.data.belonging import EDGES
from compress.data.facts import VolumeFacts, look_at
from compress.data.label_values import label_notes
from compress.data.layouts import contents, detect_layout, layouts_below, scan_cases
from compress.data.scan import Problem, Scan
from compress.data.split import group_by_fingerprint
from compress.data.volume import VENTRICLES, Case

_FEW = 3
"""Volumes from which on a median shows what none of them does alone."""


@dataclass(frozen=True)
class Spread:
    """The range of one quantity."""

    min: float
    median: float
    mean: float
    max: float


@dataclass(frozen=True)
class OutsideCrop:
    """How much of one structure a centred crop would cut away."""

    fraction: float
    """The share of the structure's volume over all masks."""
    volumes: int
    """How many volumes lose anything."""
    worst_fraction: float
    worst_volume: str
    """The file that loses the largest fraction, "" when none does."""


@dataclass(frozen=True)
class CheckReport:
    """Everything that `check_folder` found."""

    folder: Path
    layout: str
    phantom: bool
    """Whether these are generated images, not patients."""
    patients: int
    volumes: int
    """Readable images; `masks` counts those with a readable mask."""
    masks: int
    groups: dict[str, int]
    """Patients per disease group, "unknown" last resort."""
    geometry: dict[str, Spread]
    """slices; rows and columns (pixels); slice_mm, row_mm and column_mm (voxel size)."""
    intensity_max: Spread | None
    """The spread over volumes, in the scanner's units; None without a readable image."""
    millilitres: dict[str, dict[str, Spread]]
    """Phase ("ED", "ES", "unknown") to structure to volume in ml."""
    ejection_fraction: dict[str, Spread]
    """LV and RV where they are there, in per cent of the ED volume, over patients with both phases."""
    crop_mm: float
    outside_crop: dict[str, OutsideCrop]
    duplicates: tuple[tuple[str, ...], ...]
    """Groups of patients that share an identical volume."""
    notes: tuple[str, ...]
    """What was assumed of the masks' label values, and which structures are left out."""
    problems: tuple[Problem, ...]
    facts: tuple[VolumeFacts, ...]
    """One entry per readable volume."""

    def to_json(self) -> dict[str, Any]:
        """Plain values only, in the order of the fields."""
        return _plain(asdict(self))


def check_folder(
    image_dir: Path, *, label_dir: Path | None = None, crop_mm: float = 240.0, recursive: bool = False
) -> CheckReport:
    """Read every case in `image_dir` and report what it holds; a faulty file becomes a `Problem`, never an end.

    `crop_mm` is the side of the centred in-plane crop whose losses are measured; `recursive`: of every data set below.
    Raises `DataError` only when there is no folder, no known layout, or the label folder cannot be right.
    """
    from compress.data.phantom import is_phantom, is_phantom_image

    folder = Path(image_dir)
    found = scan_cases(folder, label_dir=label_dir, require_masks=False, recursive=recursive)
    problems = [*found.problems, *_missing_masks(folder, found.cases)]
    facts = [fact for case in found.cases if (fact := look_at(case, crop_mm=crop_mm, problems=problems))]
    measured = [fact for fact in facts if fact.millilitres]
    problems += [*_nothing_read(folder, found), *_same_twice(facts), *_beating_backwards(measured)]
    problems += _beside_their_hearts(folder, measured)
    return CheckReport(
        folder=folder,
        layout=layouts_below(folder) if recursive else detect_layout(folder),
        phantom=is_phantom(folder) or any(is_phantom_image(case.image_path) for case in found.cases),
        patients=len({case.patient for case in found.cases}),
        volumes=len(facts),
        masks=len(measured),
        groups=_groups(found.cases),
        geometry=_geometry(facts),
        intensity_max=_spread(fact.intensity_max for fact in facts) if facts else None,
        millilitres=_by_phase(measured),
        ejection_fraction=_ejection_fractions(measured),
        crop_mm=crop_mm,
        outside_crop={name: _outside(measured, name) for name in _structures(measured)},
        duplicates=tuple(group_by_fingerprint((fact.patient, fact.fingerprint) for fact in facts)),
        notes=(*found.notes, *label_notes(found.cases)),
        problems=tuple(problems),
        facts=tuple(facts),
    )


def _nothing_read(folder: Path, found: Scan) -> list[Problem]:
    if found.cases or found.problems:
        return []
    images = folder / "imagesTr" if (folder / "imagesTr").is_dir() else folder
    what = f"{images} holds no image that is read: it holds {contents(images)}."
    return [Problem(images, f"{what} Images end in .nii.gz, .nii, .mha, .nrrd or .hdr: convert others first.")]


def _same_twice(facts: list[VolumeFacts]) -> list[Problem]:
    """Two volumes of one patient that are one image, or have one mask: ED and ES are two frames."""
    kinds: dict[str, Callable[[VolumeFacts], str]] = {
        "is the same image as": lambda fact: fact.fingerprint,
        "has the same mask as": lambda fact: fact.mask_fingerprint,
    }
    problems, told = [], set()
    for verb, of in kinds.items():
        first: dict[tuple[str, str], VolumeFacts] = {}
        for fact in facts:
            other = first.setdefault((fact.patient, of(fact)), fact) if of(fact) else fact
            if other is not fact and (other.image, fact.image) not in told:
                told.add((other.image, fact.image))
                problems.append(
                    Problem(fact.image, f"{fact.image} {verb} {other.image.name}: ED and ES are two frames.")
                )
    return problems


def _beside_their_hearts(folder: Path, facts: list[VolumeFacts]) -> list[Problem]:
    """Masks of which each alone may be right, and all together cannot."""
    shares = sorted((fact.lv_edge, fact.patient) for fact in facts if fact.lv_edge is not None)
    middle = median(share for share, _ in shares) if shares else 1.0
    if len(shares) < _FEW or middle >= EDGES:
        return []
    told = f"along {middle:.0%} of their edge in the median, in {shares[0][1]} along {shares[0][0]:.0%}"
    message = f"{folder}: its masks lie beside their hearts: the LV is brighter than the muscle around it {told}."
    return [Problem(folder, f"{message} Are they mirrored, shifted, or of other images?")]


def _missing_masks(folder: Path, cases: list[Case]) -> list[Problem]:
    bare = [case.image_path for case in cases if case.label_path is None]
    if cases and len(bare) == len(cases):
        return [Problem(folder, f"{folder} holds no masks at all: it serves prediction, not training.")]
    return [Problem(path, f"{path} has no mask.") for path in bare]


def _spread(values: Iterable[float]) -> Spread:
    found = [float(value) for value in values]
    return Spread(min=min(found), median=median(found), mean=fmean(found), max=max(found))


def _geometry(facts: list[VolumeFacts]) -> dict[str, Spread]:
    read: dict[str, Callable[[VolumeFacts], float]] = {
        "slices": lambda fact: fact.shape[0],
        "rows": lambda fact: fact.shape[1],
        "columns": lambda fact: fact.shape[2],
        "slice_mm": lambda fact: fact.spacing_mm[0],
        "row_mm": lambda fact: fact.spacing_mm[1],
        "column_mm": lambda fact: fact.spacing_mm[2],
    }
    return {name: _spread(map(value, facts)) for name, value in read.items()} if facts else {}


def _groups(cases: list[Case]) -> dict[str, int]:
    of_patient = {case.patient: case.group or "unknown" for case in cases}
    names = sorted(set(of_patient.values()), key=lambda name: (name == "unknown", name))
    return {name: sum(group == name for group in of_patient.values()) for name in names}


def _structures(facts: list[VolumeFacts]) -> list[str]:
    """Of all masks together; data sets further down may have others."""
    return list(dict.fromkeys(name for fact in facts for name in fact.millilitres))


def _by_phase(facts: list[VolumeFacts]) -> dict[str, dict[str, Spread]]:
    return {
        phase or "unknown": {
            name: _spread(found)
            for name in _structures(facts)
            if (found := [f.millilitres[name] for f in facts if f.phase == phase and name in f.millilitres])
        }
        for phase in sorted({fact.phase for fact in facts}, key=lambda phase: (not phase, phase))
    }


def _both_phases(facts: list[VolumeFacts]) -> Iterable[tuple[VolumeFacts, VolumeFacts]]:
    at = {(fact.patient, fact.phase): fact for fact in facts}
    return ((at[patient, "ED"], at[patient, "ES"]) for patient, phase in at if phase == "ED" and (patient, "ES") in at)


def _beating_backwards(facts: list[VolumeFacts]) -> list[Problem]:
    """Cavities that are larger at end systole: mostly swapped frames or swapped labels."""
    return [
        Problem(es.image, f"{es.image} (ES) has a larger {name} than ED: {es_ml:.1f} against {ed_ml:.1f} ml.")
        for ed, es in _both_phases(facts)
        for name in VENTRICLES
        if (es_ml := es.millilitres.get(name, 0.0)) > (ed_ml := ed.millilitres.get(name, es_ml))
    ]


def _ejection_fractions(facts: list[VolumeFacts]) -> dict[str, Spread]:
    found: dict[str, list[float]] = {"LV": [], "RV": []}
    for ed, es in _both_phases(facts):
        for name, values in found.items():
            if ed.millilitres.get(name, 0) > 0 and name in es.millilitres:
                values.append(100 * (1 - es.millilitres[name] / ed.millilitres[name]))
    return {name: _spread(values) for name, values in found.items() if values}


def _outside(facts: list[VolumeFacts], name: str) -> OutsideCrop:
    facts = [fact for fact in facts if name in fact.millilitres]
    cut, total = (sum(each) for each in zip(*((f.outside_crop[name], f.millilitres[name]) for f in facts), strict=True))
    losses = [(f.outside_crop[name] / f.millilitres[name], f.image.name) for f in facts if f.outside_crop[name] > 0]
    worst, image = max(losses, default=(0.0, ""))
    return OutsideCrop(cut / total if total else 0.0, len(losses), worst, image)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
