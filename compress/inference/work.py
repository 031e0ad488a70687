"""One study from its images to its files; the same in this process, in a pool and on a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.label_file import write_labels
from compress.data.scan import Problem
from compress.data.sources import Source
from compress.errors import CardioCompressError, DataError
from compress.files import digest_file, write_json
from compress.inference.dicom_out import write_segmentations
from compress.inference.jobs import Job
from compress.inference.request import PredictRequest
from compress.inference.study_report import Segmented, Window, describe_study, trace_of
from compress.progress import Task
from compress.runtime.concerns import Concern
from compress.runtime.segmenter import Segmenter

_TOLD = 200
"""Characters of a fault that nobody foresaw."""


@dataclass(frozen=True)
class Outcome:
    """What came of one study."""

    document: dict[str, Any] | None
    """Its report; None where there is none."""
    problem: Problem | None
    """Why there is none."""
    seconds: float


class Worker:
    """Segments studies one after the other with one opened model."""

    def __init__(self, request: PredictRequest, *, threads: int | None) -> None:
        """Raises as `Segmenter` does, and `ModuleNotFoundError` where overlays are wanted and cannot be drawn."""
        self.request = request
        self.draw = _overlay_drawer() if request.overlays else None
        self.segmenter = Segmenter(
            request.model,
            provider=request.provider,
            threads=threads,
            batch_size=request.batch_size,
            tta=request.tta,
            check_orientation=request.check_orientation,
        )
        self.trace = trace_of(self.segmenter, force=request.force)

    def close(self) -> None:
        """Give the opened model back; others segment in this one's place."""
        del self.segmenter

    def do(self, job: Job, task: Task | None = None) -> Outcome:
        """Segment one study and write its results; nothing of it is written when an image cannot be segmented.

        Whatever fails of a study is its own line, memory included. What cannot be written is raised: it would fail for
        every other study.
        """
        began = time.perf_counter()
        document, images, told = None, None, ""
        try:
            images = [self._segment(source, task or Task()) for source in job.sources]
            document = self._write(job, images)
        except MemoryError:
            told = "There is not enough memory to segment it."
        except (CardioCompressError, OSError) as fault:
            if images is not None and not isinstance(fault, DataError):
                raise
            told = str(fault)
        except Exception as fault:
            told = f"It cannot be segmented ({' '.join(f'{type(fault).__name__}: {fault}'.split())[:_TOLD]})."
        problem = None if document is not None else Problem(job.sources[0].path, told, job.study)
        return Outcome(document, problem, time.perf_counter() - began)

    def _write(self, job: Job, images: list[Segmented]) -> dict[str, Any]:
        with _all_or_nothing() as written:
            masks = []
            for image, path in zip(images, job.masks, strict=True):
                written.append(write_labels(path, image.mask, like=image.file))
                masks.append((path, digest_file(path)))
            document = describe_study(images, masks, segmenter=self.segmenter, trace=self.trace)
            if self.draw is not None:
                written.append(self.draw(job.overlay, images, document))
            if self.request.dicom_seg:
                written += write_segmentations(job, images, document)
            write_json(job.report, document)
        return document

    def _segment(self, source: Source, task: Task) -> Segmented:
        """All frames of one image; one frame of voxels is held at a time."""
        file = source.image.open()
        labels = np.empty((file.frames, *file.shape), np.uint8)
        concerns: dict[Concern, None] = {}
        windows: list[Window] = []
        for number, found in enumerate(self.segmenter.segment_frames(file, force=self.request.force)):
            labels[number] = found.mask
            concerns |= dict.fromkeys(found.concerns)
            windows.append(Window(found.moves_mm, found.cut_slices, found.agreement))
            where = f" frame {number + 1} of {file.frames}" if file.is_cine else ""
            task.advance(0, info=source.study + where)
        return Segmented(source, file, file.digest or source.image.digest(), labels, tuple(concerns), tuple(windows))


@contextmanager
def _all_or_nothing() -> Iterator[list[Path]]:
    """Yield a list for the files that are written; they go again when the block fails, on a full disk for example."""
    written: list[Path] = []
    try:
        yield written
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _overlay_drawer() -> Any:
    """What draws a study's overlay; imported first, so that a missing matplotlib is told before any work."""
    from compress.inference.study_overlay import draw_overlay

    return draw_overlay
