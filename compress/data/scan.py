"""What a layout's reader hands back: the cases that it found, and what is wrong with the others; which names count."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compress.data.images import image_paths
from compress.data.volume import NIFTI_ENDINGS, Case
from compress.errors import DataError
from compress.outside import leads_out

_IMAGE = re.compile(r"(?P<stem>.+)\.(nii(\.gz)?|mha|nrrd|hdr)", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Problem:
    """One fault in one file or folder, as data."""

    path: Path
    message: str
    study: str = ""
    """Whose file it is, "" where that is not known."""


@dataclass
class Scan:
    """A folder's cases and faults. A reader adds to it patient by patient, so one bad patient hides no other."""

    cases: list[Case] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was left out on purpose, and what else a person should know."""

    def fault(self, path: Path, error: DataError, *, study: str = "") -> None:
        """Remember a fault instead of raising it."""
        self.problems.append(Problem(path, str(error), study))

    def sorted_cases(self) -> list[Case]:
        """The cases by patient, phase and file name."""
        return sorted(self.cases, key=lambda case: (case.patient, case.phase, case.image_path.name))


def image_stem(path: Path) -> str | None:
    """A file's name without .nii.gz, .nii, .mha, .nrrd or .hdr; None for a file that is no image by its name."""
    named = _IMAGE.fullmatch(path.name)
    return named["stem"] if named else None


def image_names(folder: Path) -> Iterator[str]:
    """What is called as `image_stem` has it in a folder, sorted, without hidden files."""
    names = sorted(child.name for child in folder.iterdir())
    return (name for name in names if _IMAGE.fullmatch(name) and not name.startswith("."))


def unusable(path: Path) -> DataError | None:
    """What is wrong with a path before it is opened: a pipe may never end, and its name becomes a mask's."""
    if _UNPRINTABLE.search(path.name):
        return DataError(f"{str(path)!r} has a name with control characters, or not in UTF-8.", cure="Rename it.")
    return None if path.is_file() else DataError(f"{path} is not a file that can be read.", cure="Remove it.")


def stays_inside(found: Scan, folder: Path, label_dir: Path | None = None) -> Scan:
    """The scan without cases whose files are links out of the folder that the user named; those become faults.

    A data set may be laid out by links, but a stranger's must not lead to other files of the reader's.
    """
    kept = Scan(problems=found.problems, notes=found.notes)
    roots = [root for root in (folder, label_dir) if root is not None]
    for case in found.cases:
        files = [path for path in (*image_paths(case), case.label_path) if path is not None]
        out = [p for p in files if leads_out(p, next((r for r in roots if p.is_relative_to(r)), p.parent))]
        if out:
            fault = DataError(f"{out[0]} is a link that leads out of {folder}.", cure="Put the file itself there.")
            kept.fault(out[0], fault, study=case.patient)
        else:
            kept.cases.append(case)
    return kept


def refuse_both(folder: Path, halves: Sequence[str]) -> None:
    """Raise `DataError` when a folder holds two halves of a data set: nobody said which one is meant."""
    if len(halves) > 1:
        raise DataError(f"{folder} holds both {' and '.join(halves)}.", cure=f"Name one of them: {folder / halves[0]}.")


def image_named(folder: Path, stem: str) -> Path | None:
    """What is called `stem` with an image's ending, whatever it is (see `unusable`); None where there is nothing."""
    if usual := next((path for ending in NIFTI_ENDINGS if (path := folder / f"{stem}{ending}").exists()), None):
        return usual
    return next((folder / name for name in image_names(folder) if image_stem(Path(name)) == stem), None)
