"""Splitting patients into training and validation: by patient, stratified, duplicates on one side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from compress.data.bids import person
from compress.data.images import read_case_image
from compress.data.volume import Case
from compress.errors import ConfigError, DataError
from compress.files import digest_bytes

Unit = tuple[str, ...]
"""Patients that stay together: one patient, or several with an identical volume."""


@dataclass(frozen=True)
class Split:
    """Which patients train and which validate, both sorted."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...] = ()
    """Groups of patients with an identical volume, as they were kept together."""


def fingerprint(case: Case) -> str:
    """SHA-256 of the case's decoded voxels (float32) and shape: the same picture under another name or packing."""
    return array_fingerprint(read_case_image(case).array)


def array_fingerprint(image: np.ndarray) -> str:
    """As `fingerprint`, from an image in memory (`Volume.image`)."""
    return digest_bytes(repr(image.shape).encode(), image.tobytes())


def find_duplicates(cases: Sequence[Case]) -> list[tuple[str, ...]]:
    """Groups of patients that share an identical volume, each group and the list sorted. Reads every image."""
    return group_by_fingerprint((case.patient, fingerprint(case)) for case in cases)


def same_person(cases: Sequence[Case]) -> list[tuple[str, ...]]:
    """Groups of patients that are sessions of one person, as BIDS names them; each group and the list sorted."""
    owners: dict[str, set[str]] = {}
    for case in cases:
        owners.setdefault(person(case.patient), set()).add(case.patient)
    return sorted(tuple(sorted(unit)) for unit in owners.values() if len(unit) > 1)


def group_by_fingerprint(prints: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """As `find_duplicates`, from (patient, fingerprint) pairs."""
    owners: dict[str, set[str]] = {}
    for patient, digest in prints:
        owners.setdefault(digest, set()).add(patient)
    return [unit for unit in _join(owners.values()) if len(unit) > 1]


def split_patients(
    cases: Sequence[Case], *, val_ratio: float, seed: int, duplicates: Iterable[Sequence[str]] = ()
) -> Split:
    """Split the patients of `cases`, with `val_ratio` of them in validation.

    Stratified by disease group (patients of unknown group are a stratum of their own) by largest remainder.
    `duplicates` (from `find_duplicates`) never end on two sides. The same patients and seed give the same split
    in any order of `cases`, on any machine; a group keeps its order when another group gains patients.
    Raises `ConfigError` for a `val_ratio` outside (0, 1), `DataError` when a side would be empty.
    """
    if not 0 < val_ratio < 1:
        raise ConfigError(f"val_ratio is {val_ratio}; expected a fraction between 0 and 1, such as 0.2.")
    groups, kept, units = _units_of(cases, duplicates)
    _check_enough(len(units), 2, len(groups))
    val = _choose(units, groups, min(max(math.floor(len(groups) * val_ratio + 0.5), 1), len(groups) - 1), seed)
    return _split(groups, val, kept)


def split_in_folds(
    cases: Sequence[Case], *, folds: int, seed: int, duplicates: Iterable[Sequence[str]] = ()
) -> list[Split]:
    """`folds` splits, in each of which another part of the patients validates; every patient validates once.

    Stratified and kept together as in `split_patients`. Raises `DataError` where a part would be empty.
    """
    groups, kept, units = _units_of(cases, duplicates)
    _check_enough(len(units), folds, len(groups))
    parts: list[set[str]] = []
    for left in range(folds, 0, -1):
        patients = sum(map(len, units))
        wanted = max(1, round(patients / left))
        # The last part is all that is left: what would not fit into a part is not lost.
        part = _choose(units, groups, wanted, seed) if left > 1 else set(chain.from_iterable(units))
        parts.append(part)
        units = [unit for unit in units if not part & set(unit)]
        _check_enough(len(units), left - 1, len(groups))
    return [_split(groups, part, kept) for part in parts]


def _units_of(
    cases: Sequence[Case], duplicates: Iterable[Sequence[str]]
) -> tuple[dict[str, str], list[Unit], list[Unit]]:
    """Patient to group, the duplicates among these patients, and what stays together."""
    groups = _group_of(cases)
    kept = [unit for unit in _join(set(unit) & groups.keys() for unit in duplicates) if len(unit) > 1]
    return groups, kept, _join([*({patient} for patient in groups), *map(set, kept)])


def _check_enough(units: int, parts: int, patients: int) -> None:
    if units < parts:
        into = "training and validation" if parts <= 2 else f"{parts} parts"
        least = "two" if parts <= 2 else str(parts)
        raise DataError(
            f"Cannot split {patients} patient{'s' if patients != 1 else ''} into {into}.",
            cure=f"At least {least} different patients are needed.",
        )


def _split(groups: Mapping[str, str], val: set[str], duplicates: Sequence[Unit]) -> Split:
    return Split(tuple(sorted(groups.keys() - val)), tuple(sorted(val)), tuple(duplicates))


def _choose(units: list[Unit], groups: Mapping[str, str], wanted: int, seed: int) -> set[str]:
    """`wanted` patients, or the nearest number below it that whole units allow, but at least one unit."""
    ordered = sorted(units, key=lambda unit: digest_bytes(f"{seed}:{unit[0]}".encode()))
    strata: dict[str, list[Unit]] = {}
    for unit in ordered:
        strata.setdefault(groups[unit[0]], []).append(unit)
    quotas = _largest_remainder({name: sum(map(len, members)) for name, members in strata.items()}, wanted)
    val: set[str] = set()
    for name, members in strata.items():
        val |= _fill(members, quotas[name])
    val |= _fill([unit for unit in ordered if unit[0] not in val], wanted - len(val))
    return val or set(min(ordered, key=len))


def _fill(units: Iterable[Unit], room: int) -> set[str]:
    taken: set[str] = set()
    for unit in units:
        if len(unit) <= room - len(taken):
            taken.update(unit)
    return taken


def _largest_remainder(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    """Share `wanted` among strata in proportion to their sizes, in whole patients."""
    total = sum(sizes.values())
    quotas = {name: wanted * size // total for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(wanted * sizes[name] % total), name))
    for name in by_remainder[: wanted - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def _group_of(cases: Sequence[Case]) -> dict[str, str]:
    """Patient to disease group, "" when unknown."""
    groups: dict[str, str] = {}
    for case in cases:
        groups[case.patient] = max(groups.get(case.patient, ""), case.group or "")
    return groups


def _join(sets: Iterable[set[str]]) -> list[Unit]:
    """Merge sets that overlap; each result sorted, and the list sorted."""
    merged: list[set[str]] = []
    for new in sets:
        apart = [old for old in merged if not old & new]
        merged = [*apart, new.union(*(old for old in merged if old & new))]
    return sorted(tuple(sorted(unit)) for unit in merged if unit)
