"""What one folder of DICOM files holds: its short-axis stacks, and in words all that was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compress.data.dicom.build import build_stack
from compress.data.dicom.files import files_below, is_dicom
from compress.data.dicom.header import Instance, read_instance
from compress.data.dicom.runs import MIN_SLICES, Run, join, runs_of
from compress.data.dicom.stack import Stack
from compress.data.dicom.views import describe_view, is_short_axis
from compress.errors import DataError
from compress.files import digest_file

PHASE_IMAGES = {"P", "PHASE", "PHASE MAP", "VELOCITY"}
_SHOWN = 6
"""Series that one message lists."""


@dataclass
class Examination:
    """One patient's examination."""

    stacks: list[Stack] = field(default_factory=list)
    faults: list[DataError] = field(default_factory=list)
    """Short-axis scans that cannot be put together."""
    notes: list[str] = field(default_factory=list)
    """What was left out, and what else a person should know."""


def read_examination(folder: Path, files: Iterable[Path] | None = None) -> Examination:
    """The stacks below a folder, or in these `files` of it.

    Raises `DataError`, one line, for a damaged MR image, for more than one patient or examination, and when there is
    no short-axis stack.
    """
    found = Examination()
    instances = _one_examination(folder, _instances(folder, files, found.notes))
    runs = runs_of(instances)
    for run in runs:
        if (why := _left_out(run)) is not None:
            found.notes.append(f"{_called(run)}: {len(run.slices())} slice(s), {why}: left out")
    stacks = join([run for run in runs if _left_out(run) is None])
    whole = [run for run in stacks if len(run.slices()) >= MIN_SLICES]
    cines = [run for run in whole if run.is_cine]
    for run in stacks:
        if run not in whole:
            found.notes.append(f"{_called(run)}: {len(run.slices())} short-axis slice(s) are no stack: left out")
        elif cines and run not in cines:
            found.notes.append(f"{_called(run)}: short axis without motion, beside a cine: left out")
        else:
            _build(run, folder, found)
    if not found.stacks and not found.faults:
        raise DataError(f"{folder} holds no short-axis stack: {_listed(runs)}.", cure="Give the whole examination.")
    return found


def _build(run: Run, folder: Path, found: Examination) -> None:
    try:
        stack, notes = build_stack(run, folder)
    except DataError as fault:
        found.faults.append(fault)
        return
    frames = f", {len(stack.frames)} frames" if len(stack.frames) > 1 else ""
    found.notes += [f"{_called(run)}: short axis, {len(stack.frames[0])} slices{frames}", *notes]
    found.stacks.append(stack)


def _left_out(run: Run) -> str | None:
    """Why a run cannot be a part of a stack, None when it can."""
    if PHASE_IMAGES & set(map(str, run.image_type)):
        return "phase images"
    return None if is_short_axis(run.plane.orientation) else describe_view(run.plane.orientation)


def _called(run: Run) -> str:
    return f"{run.name} '{run.description}'" if run.description else run.name


def _listed(runs: Sequence[Run]) -> str:
    if not runs:
        return "no file in it is an MR image"
    shown = [f"{run.name} has {len(run.slices())} slice(s), {describe_view(run.plane.orientation)}" for run in runs]
    return "; ".join(shown[:_SHOWN]) + (f"; and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")


def _instances(folder: Path, files: Iterable[Path] | None, notes: list[str]) -> list[Instance]:
    """All MR images, each once."""
    found: dict[str, Instance] = {}
    skipped: Counter[str] = Counter()
    for path in files_below(folder) if files is None else files:
        read = read_instance(path) if is_dicom(path) else "not DICOM"
        if isinstance(read, str):
            skipped[read] += 1
        elif (other := found.setdefault(read.uid, read)) is not read:
            _check_copy(other.path, path)
            skipped["a copy of another"] += 1
    notes += [f"{count} file(s) left out: {reason}" for reason, count in sorted(skipped.items())]
    return list(found.values())


def _check_copy(one: Path, other: Path) -> None:
    if digest_file(one) != digest_file(other):
        raise DataError(f"{one} and {other} differ, but claim to be one image.", cure="Copy the folder again.")


def _one_examination(folder: Path, instances: list[Instance]) -> list[Instance]:
    for what, names in (
        ("patients", {instance.patient for instance in instances}),
        ("examinations", {instance.study for instance in instances}),
    ):
        if len(names) > 1:
            raise DataError(f"{folder} mixes images of {len(names)} {what}.", cure="Give each a folder of its own.")
    return instances
