"""Which label value means which structure: what a dataset.json says, or ACDC's values, which are then assumed aloud."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from compress.data.volume import ACDC_LABELS, HEART, MAX_CHANNELS, Case
from compress.errors import DataError, InputError
from compress.files import read_json
from compress.outside import is_there

_WHOLE = re.compile("[0-9]{1,9}")
_LONGEST = 60
"""Characters of a structure's name."""
_SHOWN = 300
"""Characters of what a message quotes."""
_LEFT, _RIGHT = "(lv|leftventric(le|ular))", "(rv|rightventric(le|ular))"
_CAVITY = "(c|cav|cavity|blood|bloodpool|bp|pool|lumen|chamber|endo|endocardium|endocardial)*"
_MUSCLE = "(m|myo|myocard|myocardium|myocardial|muscle|wall|epi|epicardium|epicardial)"
STRUCTURE_NAMES = {
    "RV": re.compile(f"{_RIGHT}{_CAVITY}"),
    "MYO": re.compile(f"mlv|myo|myocard|myocardium|{_LEFT}{_MUSCLE}+|myocardium(of)?(the)?{_LEFT}"),
    "LV": re.compile(f"{_LEFT}{_CAVITY}"),
    "LA": re.compile(f"(la|leftatri(um|al)){_CAVITY}"),
    "RA": re.compile(f"(ra|rightatri(um|al)){_CAVITY}"),
}
"""Spellings in dataset.json, lower case, without spaces and signs. A label has one meaning, so what a data set calls
endocardium is the cavity inside it, and epicardium what lies between it and the cavity. No muscle of the RV: others
leave it out."""

_IGNORE = "ignore"
"""nnU-Net's name for voxels that nobody labelled."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,30}")
"""As a model card takes it."""


def read_labels(path: Path) -> dict[str, int]:
    """Structure to label value from dataset.json, v1 `{"1": "RV"}` or v2 `{"RV": 1}`; ACDC's when there is no file.

    These are the structures of `HEART` that it names; where it names none of them, all that it does name.
    Raises `DataError` for structures that are doubled, regions of several labels, or nothing but background.
    """
    return _told(path)[0] if is_there(path) else dict(ACDC_LABELS)


def read_others(path: Path) -> dict[str, int]:
    """What dataset.json names beside background and `read_labels`, with its label value; read as background."""
    return _told(path)[1] if is_there(path) else {}


def read_channels(path: Path) -> int:
    """How many files dataset.json says an image has (`channel_names`, or `modality` as it was called); 0: it does not.

    Raises `DataError` where it numbers them otherwise than from 0 on, and for more than `MAX_CHANNELS`.
    """
    document = _document(path) if is_there(path) else {}
    told = document.get("channel_names", document.get("modality"))
    if told is None:
        return 0
    numbers = [str(number) for number in range(len(told))] if isinstance(told, list | dict) else []
    if not 1 <= len(numbers) <= MAX_CHANNELS or (isinstance(told, dict) and set(told) != set(numbers)):
        raise DataError(
            f"{path} gives channels {reprlib.repr(told)}; expected numbers from 0 on, {MAX_CHANNELS} at most, "
            "with their names.",
            cure='Write them as nnU-Net does: "channel_names": {"0": "cine"}.',
        )
    return len(numbers)


def _told(path: Path) -> tuple[dict[str, int], dict[str, int]]:
    return structures_of(_entries(path), path)


def structures_of(entries: Mapping[str, int], path: Path) -> tuple[dict[str, int], dict[str, int]]:
    """The structures that count and the others, of all names with their values in the file at `path`.

    Raises `DataError` as `read_labels`.
    """
    named = {name: value for name, value in entries.items() if value}
    pairs = [(structure, value) for name, value in named.items() if (structure := structure_of(name))]
    known = dict(pairs)
    if len(known) != len(pairs) or len(set(named.values())) != len(named):
        raise DataError(
            f"{path} must give each structure one label of its own; got {str(named)[:_SHOWN]}.",
            cure="Usual names are understood, such as LVBP, LV cavity, RVENDO or left ventricular myocardium.",
        )
    others = {name: value for name, value in named.items() if not structure_of(name)}
    if known:
        return {name: known[name] for name in HEART if name in known}, others
    unknown = {name: value for name, value in others.items() if name != _IGNORE}
    if unfit := [name for name in unknown if not _NAME.fullmatch(name)] or ([] if unknown else ["nothing"]):
        raise DataError(
            f"{path} names {unfit[0]!r:.60} as structures; {', '.join(HEART)} or other plain names are needed."
        )
    return unknown, {name: value for name, value in others.items() if name == _IGNORE}


def structure_of(name: str) -> str | None:
    """The structure of `HEART` that a name in use stands for; None for another structure."""
    if len(name) > _LONGEST:  # spellings are tried in every way: what repeats them would take for ever
        return None
    plain = re.sub(r"[^a-z]", "", name.lower())
    return next((structure for structure, usual in STRUCTURE_NAMES.items() if usual.fullmatch(plain)), None)


def label_notes(cases: Iterable[Case]) -> list[str]:
    """What was assumed of the masks, and what of them is left out, in sentences for whoever reads them."""
    masked = [case for case in cases if case.label_path is not None]
    notes = []
    if any(not case.labels_told for case in masked):
        shown = ", ".join(f"{value} {name}" for name, value in ACDC_LABELS.items())
        notes.append(f"Label values are assumed to be ACDC's ({shown}): no dataset.json says what they are.")
    others = {f"{name} ({value})" for case in masked for name, value in case.others.items()}
    if others:
        notes.append(f"Left out, read as background: {', '.join(sorted(others))}.")
    return notes


def _entries(path: Path) -> dict[str, int]:
    """Every name in the file with its label value."""
    found = _document(path).get("labels")
    if not isinstance(found, dict):
        raise DataError(f"{path} has no 'labels' table.")
    return _by_name(found, path)


def _document(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except InputError as error:
        raise DataError(str(error)) from error
    return content if isinstance(content, dict) else {}


def _by_name(found: Mapping[str, Any], path: Path) -> dict[str, int]:
    named: dict[str, int] = {}
    for key, value in found.items():
        name, label = (value, key) if isinstance(value, str) and _WHOLE.fullmatch(key) else (key, value)
        if isinstance(label, bool) or not _WHOLE.fullmatch(str(label)) or int(label) > 255:
            told = f"label {reprlib.repr(label)} to {reprlib.repr(name)}"
            raise DataError(f"{path} gives {told}; expected one whole number from 0 to 255.")
        named[name] = int(label)
    return named
