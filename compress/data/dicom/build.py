"""Making a stack of a run: its slices at even steps, each with the same frames, in the order of time; or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from compress.data.dicom.header import Frame
from compress.data.dicom.runs import Run, Slice, uneven_step
from compress.data.dicom.stack import Stack
from compress.data.dicom.views import normal_of
from compress.data.frames import MAX_CINE_VOXELS, MAX_FRAMES
from compress.errors import DataError

ACROSS = 0.99
"""Cosine of how far the steps between slices may lean from the direction across them."""
_ONE_SCAN = "Give a folder with one whole scan."


def build_stack(run: Run, folder: Path) -> tuple[Stack, list[str]]:
    """The stack that a run is, and what has to be said about it.

    Raises `DataError`, one line that names the folder, for a slice that is missing, doubled or out of line, and for
    slices with unequal numbers of frames or frames whose order nothing tells.
    """
    where, slices = f"{folder}: {run.name}", run.slices()
    _check_doubles(where, slices)
    _check_counts(where, slices)
    _check_steps(where, slices)
    ordered, how = zip(*(_by_time(where, frames) for _, frames in slices), strict=True)
    _check_line(where, [frames[0] for frames in ordered])
    count = len(ordered[0])
    if count > MAX_FRAMES or count * len(ordered) * ordered[0][0].pixels.rows * ordered[0][0].pixels.columns > (
        MAX_CINE_VOXELS
    ):
        raise DataError(f"{where} has {count} frames of {len(ordered)} slices: too many to read.", cure=_ONE_SCAN)
    times = tuple(tuple(slices[t] for slices in ordered) for t in range(count))
    stack = Stack(folder, run.numbers, times, _interval(ordered))
    by_number = "number" in how
    return stack, [f"{where} tells no trigger times: frames are in the order of their numbers"] if by_number else []


def _check_doubles(where: str, slices: Sequence[Slice]) -> None:
    fewest = min(len(frames) for _, frames in slices)
    for place, frames in slices:
        numbers = sorted({frame.series for frame in frames})
        if len(numbers) > 1 and len(frames) > fewest:
            raise DataError(
                f"{where}: the slice at {place:.1f} mm was taken by series {' and '.join(map(str, numbers))}.",
                cure="Move those that do not count out of the folder.",
            )


def _check_counts(where: str, slices: Sequence[Slice]) -> None:
    counts = [len(frames) for _, frames in slices]
    usual = int(np.bincount(counts).argmax())
    for number, count in enumerate(counts, start=1):
        if count != usual:
            raise DataError(
                f"{where}: slice {number} of {len(counts)} has {count} frames, the others {usual}: files are missing "
                "or there twice.",
                cure="Copy the folder again.",
            )


def _check_steps(where: str, slices: Sequence[Slice]) -> None:
    if (found := uneven_step(slices)) is not None:
        before, step, usual = found
        what = "a slice is missing" if step > usual else "two scans overlap"
        raise DataError(
            f"{where}: slices {before} and {before + 1} of {len(slices)} lie {step:.1f} mm apart, the others "
            f"{usual:.1f}: {what}.",
            cure=_ONE_SCAN,
        )


def _check_line(where: str, first: Sequence[Frame]) -> None:
    """One affine must hold for all slices: equal steps, straight across them (a leaning stack has other volumes)."""
    steps = np.diff([frame.position for frame in first], axis=0)
    usual = np.median(steps, axis=0)
    length = float(np.linalg.norm(usual))
    if float(np.linalg.norm(steps - usual, axis=1).max()) > 0.2 * length:
        raise DataError(f"{where}: its slices do not lie behind each other on one line.", cure=_ONE_SCAN)
    if abs(float(normal_of(first[0].plane.orientation) @ usual)) < ACROSS * length:
        raise DataError(f"{where}: its slices lie askew behind each other.", cure="Resample it straight first.")


def _by_time(where: str, frames: Sequence[Frame]) -> tuple[list[Frame], str]:
    """One slice's frames in the order of time, and what told it: "time", or "number" where nothing better did."""
    if len(frames) == 1:
        return list(frames), "time"
    times = [frame.time for frame in frames]
    if None not in times and len(set(times)) == len(times):
        return sorted(frames, key=lambda frame: frame.time or 0.0), "time"
    if None not in times and len(set(times)) > 1:
        raise DataError(
            f"{where} holds two different images at one place and one time ({_doubled(frames)}).",
            cure="Move those that do not count out of the folder.",
        )
    if None in times and any(time is not None for time in times):
        raise DataError(f"{where} tells the trigger times of some images only.", cure="Copy the folder again.")
    for key, how in ((0, "time"), (1, "number")):
        if len({frame.order[key] for frame in frames}) == len(frames):
            return sorted(frames, key=lambda frame: frame.order[key]), how
    raise DataError(f"{where} tells neither times nor numbers of its frames.", cure="Export the study again.")


def _doubled(frames: Sequence[Frame]) -> str:
    by_time: dict[float | None, Frame] = {}
    for frame in frames:
        if (other := by_time.setdefault(frame.time, frame)) is not frame:
            return f"{other.path.name} and {frame.path.name}"
    return ""


def _interval(slices: Sequence[Sequence[Frame]]) -> float:
    """Mean milliseconds from frame to frame; 0 where times are not told."""
    spans = [(frames[-1].time or 0.0) - (frames[0].time or 0.0) for frames in slices]
    return float(np.mean(spans)) / max(len(slices[0]) - 1, 1)
