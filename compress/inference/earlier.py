"""What an earlier `predict` left in the output folder: what may be kept, what replaced, and what is not ours.

A study's report is written last, so masks without a report are an interrupted run's. A folder holds results of one
model, provider and set of versions: a reader compares what lies side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from compress.data.frames import open_image
from compress.data.label_file import DESCRIPTION
from compress.data.sources import Source
from compress.errors import ConfigError, DataError, EnvironmentFault, InputError
from compress.evaluate.study import REPORT_SCHEMA
from compress.files import digest_file, read_json, remove_partials
from compress.inference.jobs import Job
from compress.inference.study_table import HEADS, is_whole
from compress.outside import opened
from compress.text import short

Earlier = Literal["refuse", "resume", "restart"]
"""What to do about results that are already there."""

Document = dict[str, Any]
Reports = dict[Path, Document]
"""By the file that holds each."""


@dataclass(frozen=True)
class Extras:
    """What is wanted beside masks and reports."""

    overlays: bool = False
    dicom_seg: bool = False
    orientation: bool = False

    def are_there(self, job: Job, document: Document) -> bool:
        """Whether an earlier run left them; the document is the study's report."""
        images = document.get("images")
        if self.orientation and not (isinstance(images, list) and all("orientation" in image for image in images)):
            return False
        drawn = not self.overlays or job.overlay.is_file()
        return drawn and (not self.dicom_seg or any(path.is_file() for path in job.segmentations.values()))


def settle(
    jobs: Sequence[Job], table: Path, trace: Document, *, earlier: Earlier, wanted: Extras
) -> dict[str, Document]:
    """The reports of studies that need no work, by study; what the others left is removed.

    Raises `ConfigError` when results are there and `earlier` does not allow for them, when a file is in the way that
    `predict` did not write, and when the folder's results were made with something else.
    """
    reports = dict(reports_in(table.parent))
    there = [(job, path) for job in jobs for path in job.targets if path.exists()]
    foreign = [path for job, path in there if not _is_ours(path, job, reports)]
    if table.exists() and not _is_our_table(table):
        foreign.append(table)
    if foreign:
        raise ConfigError(
            f"{foreign[0]} was not written by predict and would be replaced.", cure="Name another output folder."
        )
    earlier_files = [path for _, path in there] + ([table] if table.exists() else [])
    if earlier_files and earlier == "refuse":
        raise ConfigError(
            f"{earlier_files[0].parent} holds earlier results ({earlier_files[0].name}).",
            cure="Pass --resume to keep what is finished, --restart to replace it, or name another folder.",
        )
    own = {job.report for job in jobs} if earlier == "restart" else set()
    for path, document in reports.items():
        if path not in own:
            _refuse_mixture(path, document, trace)
    done = {} if earlier == "restart" else _reusable_reports(jobs, reports, wanted)
    _clear([job for job in jobs if job.study not in done], table)
    return done


def reports_in(folder: Path) -> list[tuple[Path, Document]]:
    """Every report of `predict` in a folder, sorted by name."""
    found = []
    for path in sorted(folder.glob("*.json")):
        with suppress(InputError):
            document = read_json(path) if path.is_file() else None
            if _is_report(document):
                found.append((path, document))
    return found


def _is_report(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("trace"), dict) and "study" in document


def _is_ours(path: Path, job: Job, reports: Reports) -> bool:
    """A mask by its header; report and overlay by the report, or by a mask beside a report that was damaged."""
    if path in job.masks:
        return _is_our_mask(path)
    return job.report in reports or any(mask.exists() and _is_our_mask(mask) for mask in job.masks)


def _is_our_mask(path: Path) -> bool:
    try:
        header = open_image(path).header
    except (DataError, OSError):
        return False
    return header["descrip"].item() == DESCRIPTION and header.get_data_dtype() == np.uint8


def _is_our_table(path: Path) -> bool:
    try:
        with opened(path, most=None) as stream:
            return stream.read(len(HEADS)).decode("utf-8", "replace") == HEADS
    except (InputError, OSError):
        return False


def _refuse_mixture(path: Path, document: Document, trace: Document) -> None:
    theirs = document["trace"]
    for key in ("model", "provider", "versions"):
        if theirs.get(key) == trace[key]:
            continue
        then, now = _shown(theirs.get(key), trace[key]), _shown(trace[key], theirs.get(key))
        raise ConfigError(
            f"{path} was made with {key} {then}; here it is {now}.",
            cure="Name another folder, or pass --restart to replace the results of the same studies.",
        )


def _shown(value: Any, other: Any) -> str:
    """A digest's first digits; of a table of versions those that differ."""
    if isinstance(value, dict):
        known = other if isinstance(other, dict) else {}
        return ", ".join(f"{name} {text}" for name, text in value.items() if known.get(name) != text)
    return short(value)


def _reusable_reports(jobs: Sequence[Job], reports: Reports, extras: Extras) -> dict[str, Document]:
    whole = [job for job in jobs if job.report in reports and extras.are_there(job, reports[job.report])]
    found = {job.study: _reusable(job, reports[job.report]) for job in whole}
    return {study: document for study, document in found.items() if document is not None}


_KNOWN = ("file", "phase", "phantom", "sha256", "mask", "mask_sha256")


def _reusable(job: Job, document: Document) -> Document | None:
    """The stored report if images, phases and masks are still the same (by digest); else None."""
    if not all(path.is_file() for path in job.masks):
        return None
    try:
        told = [tuple(image[key] for key in _KNOWN) for image in document["images"]]
        now = [_known(*pair) for pair in zip(job.sources, job.masks, strict=True)]
    except (KeyError, TypeError, InputError, OSError):
        return None
    whole = document.get("schema") == REPORT_SCHEMA and document.get("study") == job.study and is_whole(document)
    return document if whole and told == now else None


def _known(source: Source, mask: Path) -> tuple[object, ...]:
    images = (source.path.name, source.phase, source.phantom, source.image.digest())
    return (*images, mask.name, digest_file(mask))


def _clear(jobs: Sequence[Job], table: Path) -> None:
    """Remove what unfinished studies left, reports first, and a table that no longer tells all."""
    remove_partials([path for job in jobs for path in job.targets] + [table])
    gone = [table, *(job.report for job in jobs), *(path for job in jobs for path in job.targets)]
    try:
        for path in gone if jobs else ():
            path.unlink(missing_ok=True)
    except OSError as fault:
        raise EnvironmentFault(
            f"Cannot replace {path}: {fault.strerror or fault}.", cure="Check the folder's permissions."
        ) from fault
