"""What the storage order, and a heart off centre, cost a network: Dice and volumes of the same patients, changed.

    python benchmarks/robustness.py MODEL.onnx DATA --patients patient011,patient017 [--threads 1]

MODEL is run as `predict` runs it. Images are moved by reflecting what comes in from beyond their border.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from compress.data.layouts import find_cases, read_volume
from compress.data.volume import ACDC_LABELS, Volume
from compress.evaluate.summary import score_volume
from compress.runtime import Segmenter

MOVES_MM = (0, 20, 40, 60)
Change = Callable[[Volume], Volume]


def main() -> None:
    asked = parse()
    segmenter = Segmenter(asked.model, threads=asked.threads)
    cases = [case for case in find_cases(asked.data) if case.patient in asked.patients.split(",")]
    volumes = [read_volume(case) for case in cases]
    print(f"{len(volumes)} volumes of {len({case.patient for case in cases})} patients\n", flush=True)
    if asked.check_orientation:
        return agreements(segmenter, volumes)
    if not asked.moves_only:
        table("storage order", segmenter, volumes, {name: order(*how) for name, how in ORDERS.items()})
    table("off centre (mm), window moved", segmenter, volumes, {f"{mm}": off_centre(mm) for mm in MOVES_MM})
    rules = segmenter.card.preprocessing
    segmenter.card = replace(segmenter.card, preprocessing=replace(rules, recentre=0))
    table("off centre (mm), window fixed", segmenter, volumes, {f"{mm}": off_centre(mm) for mm in MOVES_MM})


ORDERS = {
    ", ".join(["transposed" if swap else "as stored", *["rows reversed"] * rows, *["columns reversed"] * columns]): (
        swap,
        rows,
        columns,
    )
    for swap in (False, True)
    for rows in (False, True)
    for columns in (False, True)
}


def order(swap: bool, rows: bool, columns: bool) -> Change:
    """One of the eight ways to store slices."""

    def turn(array: np.ndarray) -> np.ndarray:
        array = array[:, :: -1 if rows else 1, :: -1 if columns else 1]
        return np.ascontiguousarray(array.transpose(0, 2, 1) if swap else array)

    return lambda volume: changed(volume, turn, swap=swap)


def off_centre(mm: float) -> Change:
    """Everything moved along the columns, the heart away from the centre; the mask is not reflected."""

    def change(volume: Volume) -> Volume:
        assert volume.mask is not None
        steps, width = round(mm / volume.spacing[2]), volume.mask.shape[2]
        left = np.argwhere(volume.mask)[:, 2].mean() < width / 2

        def move(array: np.ndarray) -> np.ndarray:
            mode = "constant" if array.dtype == np.uint8 else "symmetric"
            padded = np.pad(array, ((0, 0), (0, 0), (0, steps) if left else (steps, 0)), mode=mode)
            return padded[:, :, -width:] if left else padded[:, :, :width]

        return changed(volume, move)

    return change


def changed(volume: Volume, change: Callable[[np.ndarray], np.ndarray], *, swap: bool = False) -> Volume:
    assert volume.mask is not None
    z, y, x = volume.spacing
    spacing = (z, x, y) if swap else volume.spacing
    return replace(volume, image=change(volume.image), mask=change(volume.mask), spacing=spacing)


def table(title: str, segmenter: Segmenter, volumes: Sequence[Volume], changes: dict[str, Change]) -> None:
    """Mean Dice and mean volume of each structure, for every change."""
    names = list(ACDC_LABELS)
    print(f"| {title} | {' | '.join(f'{n} Dice' for n in names)} | {' | '.join(f'{n} ml' for n in names)} | flagged |")
    print("|---" * (2 * len(names) + 2) + "|")
    for name, change in changes.items():
        rows, flagged = [], 0
        for volume in map(change, volumes):
            found = segmenter.segment(volume.image, spacing_mm=volume.spacing, name=volume.case.name)
            flagged += bool(found.cut_slices)
            told = score_volume(found.mask, volume, labels=ACDC_LABELS).structures
            rows.append([*(told[n].overlap["dice"] for n in names), *(told[n].prediction_ml for n in names)])
        means = np.mean(rows, axis=0)
        cells = [*(f"{v:.4f}" for v in means[: len(names)]), *(f"{v:.1f}" for v in means[len(names) :])]
        print(f"| {name} | {' | '.join(cells)} | {flagged} |", flush=True)
    print()


def agreements(segmenter: Segmenter, volumes: Sequence[Volume]) -> None:
    """What `predict --check-orientation` finds of each volume, beside Dice with the reference; the poorest first."""
    segmenter.check_orientation, rows = True, []
    for volume in volumes:
        found = segmenter.segment(volume.image, spacing_mm=volume.spacing, name=volume.case.name)
        told = score_volume(found.mask, volume, labels=ACDC_LABELS).structures
        for name, value in (found.agreement or {}).items():
            rows.append((value, volume.case.name, name, told[name].overlap["dice"]))
    print("| volume | structure | Dice of both orders | Dice with the reference |\n|---|---|---|---|")
    for value, case, name, reference in sorted(rows):
        print(f"| {case} | {name} | {value:.3f} | {reference:.3f} |")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--patients", required=True, help="names, separated by commas")
    parser.add_argument("--moves-only", action="store_true", help="leave the storage orders out")
    parser.add_argument("--check-orientation", action="store_true", help="how well two storage orders agree, alone")
    parser.add_argument("--threads", type=int, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
