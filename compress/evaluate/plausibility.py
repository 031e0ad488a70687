"""What is odd about a predicted mask or the values computed from it: data for a person to look at, never an error.

Every limit was set on the reference masks of ACDC's 100 training patients, so that experts are almost never flagged:
of 200 volumes 3 have "rv-pieces" and none has any other flag.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compress.data.pieces import label_pieces
from compress.data.volume import VENTRICLES
from compress.evaluate.metrics import check_label_mask, volume_ml

PIECE_ML = 0.5
"""A second piece of a ventricle below this is a speck: it changes no volume by more than the experts differ."""
GAP_MM = 8.0
"""How much of a cavity's outline in one slice may lack myocardium. Ragged edges come to 3 mm in the experts' basal
slices and to 7 mm in masks that come from a grid of 1.5 mm; a ring that is truly open has 10 mm and more."""
EF_PERCENT = (5.0, 85.0)
"""Ejection fractions outside are hardly compatible with life. Experts' masks of ACDC give 10 to 82 for the LV, and
for three RVs of 100 values outside: 2, 4 and 86."""
MASS_G = (20.0, 600.0)
"""Myocardium of a living adult with a very generous margin; experts' masks give 34 to 272 g."""
STROKE_RATIO = 3.0
"""Both ventricles pump the same blood; a valve that leaks half of it, or a large shunt, makes a ratio of 2 to 3.
Three of 100 patients exceed it in the experts' masks, each with an RV that hardly changes."""

ORDERS_AGREE = 0.8
"""Dice, structure by structure, of the masks of two storage orders of one volume. Of 40 volumes of ACDC that a network
validated on 36 lie above; in the others a ventricle's two volumes differ by 28% and more (benchmarks/ROBUSTNESS.md)."""

MAX_RUNS = 6
"""Runs of slices that a message names."""
WORDS = {
    "empty": "No structure was found in any slice.",
    "missing": "No {names} in any slice.",
    "no-lv": "No LV in any slice.",
    "no-lv-mid": "No LV in mid {slices}.",
    "open-ring": "The myocardium does not close around the LV in mid {slices}.",
    "pieces": "The {name} is in {count} separate pieces of {sizes} ml.",
    "gap-part": "no {name} in {slices}",
    "gap": "There is {parts}, between slices that have it.",
    "touches-border": "The heart touches the image border in {slices}: a part may be missing.",
    "window-edge": "The heart reaches the edge of the network's window in {slices}: a part may be missing.",
    "orientation": "With {order}, the network finds another {names}: their masks agree to a Dice of {dice} alone.",
    "ef-range": "Ejection fraction outside {low:g}-{high:g}%: {odd}.",
    "negative-stroke": "Larger at ES than at ED: {odd}; are the phases swapped?",
    "stroke-mismatch": "Stroke volumes differ more than {ratio:g}-fold: LV {left:.1f} ml, RV {right:.1f} ml.",
    "mass-range": "Myocardial mass outside {low:g}-{high:g} g: {mass:.1f} g.",
}
"""What is said of a mask or a study, as format strings; `segment.html` of a bundle fills in the same ones."""


@dataclass(frozen=True)
class Flag:
    """One oddity, as data."""

    kind: str
    """What is odd. Of a mask: "empty", "missing", "no-lv", "open-ring", "lv-pieces", "rv-pieces", "gap",
    "touches-border", "window-edge" or "orientation"; of a study: "ef-range", "negative-stroke", "stroke-mismatch" or
    "mass-range"."""
    message: str
    """One sentence; slices are counted from 1."""


def mask_flags(mask: np.ndarray, *, labels: Mapping[str, int], spacing_mm: Sequence[float]) -> list[Flag]:
    """Oddities of a (Z, Y, X) label mask with voxels of `spacing_mm` (z, y, x); at most one flag of each kind.

    Structures are looked up in `labels` by the names LV, RV and MYO; checks of others are left out. Mid slices are
    the middle third of the slices with any structure: at base and apex rings are open and ventricles end.
    Raises `DataError` for a mask that is not 3D or a spacing that is not positive.
    """
    z, y, x = check_label_mask(mask, spacing_mm)
    if not mask.any():
        return [Flag("empty", WORDS["empty"])]
    structures = {name: mask == value for name, value in labels.items()}
    middle = _middle(mask)
    return [
        *_missing(structures),
        *_no_lv(structures, middle),
        *_open_ring(structures, middle, (y, x)),
        *_pieces(structures, (z, y, x)),
        *_gaps(structures),
        *_touches_border(mask),
    ]


def window_flags(cut: Sequence[int]) -> list[Flag]:
    """The flag of a mask whose heart reaches an edge of the network's window in the slices `cut`, counted from 0."""
    return [Flag("window-edge", WORDS["window-edge"].format(slices=_slices(cut)))] if cut else []


def orientation_flags(agreement: Mapping[str, float] | None, order: str) -> list[Flag]:
    """The flag of structures whose masks of two storage orders (the second one in words) agree too little.

    agreement: Dice by structure; None where nobody asked.
    """
    poor = {name: value for name, value in (agreement or {}).items() if value < ORDERS_AGREE}
    if not poor:
        return []
    told = {"names": " and ".join(poor), "dice": " and ".join(f"{value:.2f}" for value in poor.values())}
    return [Flag("orientation", WORDS["orientation"].format(order=order, **told))]


def study_flags(values: Mapping[str, float | None]) -> list[Flag]:
    """Oddities of one study's clinical values, named as in `compress.evaluate.clinical.QUANTITIES`.

    Values that are None or left out are not looked at; at most one flag of each kind.
    """
    known = {name: value for name, value in values.items() if value is not None}
    return [*_ef_range(known), *_negative_stroke(known), *_stroke_mismatch(known), *_mass_range(known)]


def _middle(mask: np.ndarray) -> range:
    found = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last = int(found[0]), int(found[-1])
    third = (last - first + 1) // 3
    return range(first + third, last + 1 - third)


def _missing(structures: Mapping[str, np.ndarray]) -> Iterable[Flag]:
    absent = [name for name, voxels in structures.items() if name != "LV" and not voxels.any()]
    if absent:
        yield Flag("missing", WORDS["missing"].format(names=" and no ".join(absent)))


def _no_lv(structures: Mapping[str, np.ndarray], middle: range) -> Iterable[Flag]:
    if "LV" not in structures:
        return
    if not structures["LV"].any():
        yield Flag("no-lv", WORDS["no-lv"])
    elif without := [z for z in middle if not structures["LV"][z].any()]:
        yield Flag("no-lv", WORDS["no-lv-mid"].format(slices=_slices(without)))


def _open_ring(structures: Mapping[str, np.ndarray], middle: range, pixel_mm: tuple[float, float]) -> Iterable[Flag]:
    if "LV" not in structures or "MYO" not in structures:
        return
    lv, myo = structures["LV"], structures["MYO"]
    bare = [z for z in middle if _bare_mm(lv[z], lv[z] | myo[z], pixel_mm) > GAP_MM]
    if bare:
        yield Flag("open-ring", WORDS["open-ring"].format(slices=_slices(bare)))


def _bare_mm(cavity: np.ndarray, covered: np.ndarray, pixel_mm: tuple[float, float]) -> float:
    """Length in mm of the (Y, X) cavity's outline along pixel edges that has something not `covered` behind it."""
    above = (cavity[1:] & ~covered[:-1]).sum() + (cavity[:-1] & ~covered[1:]).sum()
    beside = (cavity[:, 1:] & ~covered[:, :-1]).sum() + (cavity[:, :-1] & ~covered[:, 1:]).sum()
    return float(above * pixel_mm[1] + beside * pixel_mm[0])


def _pieces(structures: Mapping[str, np.ndarray], spacing_mm: tuple[float, float, float]) -> Iterable[Flag]:
    """Ventricles only: the myocardium of an oblique apex often falls apart in experts' masks (13 of 200)."""
    for name in VENTRICLES:
        found = _piece_sizes(structures[name], spacing_mm) if name in structures else []
        if len(found) > 1:
            shown = ", ".join(f"{size:.1f}" for size in found[:4]) + (", ..." if len(found) > 4 else "")
            words = WORDS["pieces"].format(name=name, count=len(found), sizes=shown)
            yield Flag(f"{name.lower()}-pieces", words)


def _piece_sizes(voxels: np.ndarray, spacing_mm: tuple[float, float, float]) -> list[float]:
    """Volumes in ml of the sizeable pieces, largest first."""
    counts = np.bincount(label_pieces(voxels)[voxels])[1:]
    sizes = counts * volume_ml(np.ones(1, bool), spacing_mm)
    return sorted((float(size) for size in sizes if size >= PIECE_ML), reverse=True)


def _gaps(structures: Mapping[str, np.ndarray]) -> Iterable[Flag]:
    parts = []
    for name, voxels in structures.items():
        present = np.flatnonzero(voxels.any(axis=(1, 2)))
        if len(present) and (gaps := sorted({*range(present[0], present[-1])} - {*present.tolist()})):
            parts.append(WORDS["gap-part"].format(name=name, slices=_slices(gaps)))
    if parts:
        yield Flag("gap", WORDS["gap"].format(parts=" and ".join(parts)))


def _touches_border(mask: np.ndarray) -> Iterable[Flag]:
    edges = mask[:, [0, -1]].any(axis=(1, 2)) | mask[:, :, [0, -1]].any(axis=(1, 2))
    if edges.any():
        touching = _slices(np.flatnonzero(edges).tolist())
        yield Flag("touches-border", WORDS["touches-border"].format(slices=touching))


def _slices(indices: Sequence[int]) -> str:
    """Slice indices for people, counted from 1: "slice 4" or "slices 2-5, 8"."""
    runs: list[list[int]] = []
    for number in (index + 1 for index in indices):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    named = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    shown = ", ".join(named[:MAX_RUNS]) + (f" and {len(runs) - MAX_RUNS} more" if len(runs) > MAX_RUNS else "")
    return f"slice{'s' if len(indices) > 1 else ''} {shown}"


def _ef_range(values: Mapping[str, float]) -> Iterable[Flag]:
    low, high = EF_PERCENT
    fractions = {name: values[f"{name} EF"] for name in VENTRICLES if f"{name} EF" in values}
    odd = [f"{name} {value:.1f}%" for name, value in fractions.items() if not low <= value <= high]
    if odd:
        yield Flag("ef-range", WORDS["ef-range"].format(low=low, high=high, odd=", ".join(odd)))


def _negative_stroke(values: Mapping[str, float]) -> Iterable[Flag]:
    odd = [f"{name} by {-value:.1f} ml" for name in VENTRICLES if (value := values.get(f"{name} SV", 0.0)) < 0]
    if odd:
        yield Flag("negative-stroke", WORDS["negative-stroke"].format(odd=", ".join(odd)))


def _stroke_mismatch(values: Mapping[str, float]) -> Iterable[Flag]:
    left, right = values.get("LV SV", 0.0), values.get("RV SV", 0.0)
    if min(left, right) > 0 and max(left, right) > STROKE_RATIO * min(left, right):
        words = WORDS["stroke-mismatch"].format(ratio=STROKE_RATIO, left=left, right=right)
        yield Flag("stroke-mismatch", words)


def _mass_range(values: Mapping[str, float]) -> Iterable[Flag]:
    low, high = MASS_G
    if "MYO mass" in values and not low <= values["MYO mass"] <= high:
        words = WORDS["mass-range"].format(low=low, high=high, mass=values["MYO mass"])
        yield Flag("mass-range", words)
