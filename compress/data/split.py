"""Splitting patients into training and validation: by patient, stratified, duplicates on one side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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
    groups = _group_of(cases)
    kept = [unit for unit in _join(set(unit) & groups.keys() for unit in duplicates) if len(unit) > 1]
    units = _join([*({patient} for patient in groups), *map(set, kept)])
    if len(units) < 2:
        raise DataError(
            f"Cannot split {len(groups)} patient{'s' if len(groups) != 1 else ''} into training and validation.",
            cure="At least two different patients are needed.",
        )
    val = _choose(units, groups, min(max(math.floor(len(groups) * val_ratio + 0.5), 1), len(groups) - 1), seed)
    train = tuple(sorted(groups.keys() - val))
    return Split(train=train, val=tuple(sorted(val)), duplicates=tuple(kept))


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
