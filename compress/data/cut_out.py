"""Folders in which ED and ES are cut out: one for each subject, each phase and its mask a file, the cine beside them.

UK Biobank's, label values as in Bai et al., JCMR 20:65, 2018 (ukbb_cardiac), and M&Ms-2's (Martin-Isla et al., IEEE
JBHI 27(7):3302-3313, 2023). Both: LV 1, MYO 2, RV 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compress.data.scan import Scan, image_named, unusable
from compress.data.volume import PHASES, Case
from compress.errors import DataError

LABELS = {"RV": 3, "MYO": 2, "LV": 1}
_FROM = "file name"


@dataclass(frozen=True)
class CutOut:
    """How one data set calls its files: patterns with {subject} (its folder's name) and {phase}."""

    called: str
    image: str
    mask: str
    cine: str

    @property
    def looks_like(self) -> str:
        """One line for messages: what is needed to train."""
        images, masks = (
            " and ".join(self._file(pattern, "SUBJECT", p) for p in PHASES) for pattern in (self.image, self.mask)
        )
        return f"{self.called}: SUBJECT/{images} with {masks}"

    @property
    def images_look_like(self) -> str:
        """The same to predict."""
        images = " and ".join(self._file(self.image, "SUBJECT", p) for p in PHASES)
        return f"{self.called} SUBJECT/{images}, or {self._file(self.cine, 'SUBJECT')}"

    def matches(self, folder: Path) -> bool:
        """Whether `folder` is a subject, or holds one."""
        return bool(self._subjects(folder))

    def scan(self, folder: Path, label_dir: Path | None, require_masks: bool) -> Scan:
        """The ED and ES cases of every subject.

        Raises `DataError` for a separate `label_dir`: masks lie beside the images.
        """
        if label_dir is not None and label_dir.resolve() != folder.resolve():
            raise DataError(
                f"{folder} is in {self.called}'s layout, whose masks lie beside the images.", cure="Leave label_dir."
            )
        found = Scan()
        for subject in self._subjects(folder):
            for phase in PHASES:
                self._add(found, subject, phase, require_masks)
        return found

    def scan_images(self, folder: Path) -> Scan:
        """The phases of every subject that are there, or its cine where they were not cut out; masks do not matter."""
        found = Scan()
        for subject in self._subjects(folder):
            there = [phase for phase in PHASES if self._named(subject, self.image, phase) is not None]
            for phase in there:
                self._add(found, subject, phase, False)
            if not there and (cine := self._named(subject, self.cine)) is not None:
                _keep(found, Case(subject.name, "", cine, None))
            found.notes += [f"{subject}: no {p}, so it has no EF" for p in PHASES if there and p not in there]
        return found

    @staticmethod
    def mask_stem(case: Case) -> str:
        """What a mask is called: by subject and phase."""
        return case.name

    def _add(self, found: Scan, subject: Path, phase: str, require_masks: bool) -> None:
        image, label = (self._named(subject, pattern, phase) for pattern in (self.image, self.mask))
        if image is None:
            missing = subject / self._file(self.image, subject.name, phase)
            found.fault(missing, DataError(f"{missing} is missing.", cure="Add it, or remove the subject."))
        elif label is None and require_masks:
            missing = subject / self._file(self.mask, subject.name, phase)
            found.fault(missing, DataError(f"{missing} is missing: the mask of {image.name}.", cure="Add it."))
        else:
            _keep(found, Case(subject.name, phase, image, label, labels=dict(LABELS), phase_from=_FROM))

    def _subjects(self, folder: Path) -> list[Path]:
        """`folder` itself when it is one subject, else the subjects in it."""
        if self._is_subject(folder):
            return [folder]
        return [child for child in sorted(folder.iterdir()) if child.is_dir() and self._is_subject(child)]

    def _is_subject(self, folder: Path) -> bool:
        phases = (self._named(folder, self.image, phase) for phase in PHASES)
        return any(found is not None for found in (*phases, self._named(folder, self.cine)))

    @staticmethod
    def _named(subject: Path, pattern: str, phase: str = "") -> Path | None:
        return image_named(subject, pattern.format(subject=subject.name, phase=phase))

    @staticmethod
    def _file(pattern: str, subject: str, phase: str = "") -> str:
        return f"{pattern.format(subject=subject, phase=phase)}.nii.gz"


def _keep(found: Scan, case: Case) -> None:
    if fault := unusable(case.image_path):
        found.fault(case.image_path, fault)
    else:
        found.cases.append(case)


UKBB = CutOut("UK Biobank", "sa_{phase}", "label_sa_{phase}", "sa")
MNMS2 = CutOut("M&Ms-2", "{subject}_SA_{phase}", "{subject}_SA_{phase}_gt", "{subject}_SA_CINE")
