"""The patient split: disjoint, complete, stratified, repeatable, duplicates together."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import makers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.data.layouts import find_cases
from compress.data.split import find_duplicates, fingerprint, split_in_folds, split_patients
from compress.data.volume import Case
from compress.errors import ConfigError, DataError

GROUPS = ("NOR", "MINF", "DCM", "HCM", "RV")


def cohort(sizes: dict[str | None, int]) -> list[Case]:
    groups = [group for group, size in sizes.items() for _ in range(size)]
    return [
        Case(f"patient{number:03d}", phase, Path("x"), None, group)
        for number, group in enumerate(groups, start=1)
        for phase in ("ED", "ES")
    ]


def test_acdc_cohort_gives_80_to_20_with_four_of_each_group() -> None:
    cases = cohort(dict.fromkeys(GROUPS, 20))
    group = {case.patient: case.group for case in cases}
    for seed in range(20):
        split = split_patients(cases, val_ratio=0.2, seed=seed, duplicates=[("patient014", "patient016")])
        assert (len(split.train), len(split.val)) == (80, 20)
        assert Counter(group[patient] for patient in split.val) == dict.fromkeys(GROUPS, 4)
        assert split.duplicates == (("patient014", "patient016"),)


def test_seed_decides_and_order_does_not() -> None:
    cases = cohort({"A": 12, "B": 9})
    first = split_patients(cases, val_ratio=0.3, seed=1)
    shuffled = random.Random(0).sample(cases, len(cases))
    assert split_patients(shuffled, val_ratio=0.3, seed=1) == first
    assert split_patients(cases, val_ratio=0.3, seed=2).val != first.val
    # Pinned: a split that silently changed would put old validation patients into training.
    assert first.val == ("patient002", "patient007", "patient008", "patient017", "patient018", "patient019")


def test_unknown_group_is_a_stratum_of_its_own() -> None:
    cases = cohort({None: 10, "A": 10})
    group = {case.patient: case.group for case in cases}
    split = split_patients(cases, val_ratio=0.2, seed=3)
    assert Counter(group[patient] for patient in split.val) == {None: 2, "A": 2}


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, 2, float("nan")])
def test_ratio_out_of_range(ratio: float) -> None:
    with pytest.raises(ConfigError, match="expected a fraction between 0 and 1"):
        split_patients(cohort({"A": 5}), val_ratio=ratio, seed=0)


def test_a_side_is_never_empty() -> None:
    split = split_patients(cohort({"A": 2}), val_ratio=0.01, seed=0)
    assert (len(split.train), len(split.val)) == (1, 1)
    with pytest.raises(DataError, match="Cannot split 1 patient into"):
        split_patients(cohort({"A": 1}), val_ratio=0.5, seed=0)
    with pytest.raises(DataError, match="Cannot split 2 patients"):
        split_patients(cohort({"A": 2}), val_ratio=0.5, seed=0, duplicates=[("patient001", "patient002")])
    with pytest.raises(DataError, match="Cannot split 0 patients"):
        split_patients([], val_ratio=0.5, seed=0)


@given(
    sizes=st.dictionaries(st.sampled_from([None, *GROUPS]), st.integers(1, 15), min_size=1),
    ratio=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_split_properties(sizes: dict[str | None, int], ratio: float, seed: int, data: st.DataObject) -> None:
    cases = cohort(sizes)
    patients = sorted({case.patient for case in cases})
    shuffled = data.draw(st.permutations(patients))
    pairs = [tuple(shuffled[i : i + 2]) for i in range(0, 2 * data.draw(st.integers(0, len(patients) // 2)), 2)]
    if len(patients) < 2 or (len(patients) == 2 and pairs):
        return
    split = split_patients(cases, val_ratio=ratio, seed=seed, duplicates=[*pairs, ("stranger", patients[0])])
    assert sorted(split.train + split.val) == patients
    assert split.train and split.val
    assert all(len({patient in split.val for patient in pair}) == 1 for pair in pairs)
    wanted = min(max(math.floor(ratio * len(patients) + 0.5), 1), len(patients) - 1)
    assert abs(len(split.val) - wanted) <= (1 if pairs else 0)
    assert split == split_patients(cases[::-1], val_ratio=ratio, seed=seed, duplicates=pairs[::-1])


@given(chain=st.integers(2, 9), seed=st.integers(0, 99))
def test_overlapping_duplicates_are_one_unit(chain: int, seed: int) -> None:
    pairs = [(f"patient{n:03d}", f"patient{n + 1:03d}") for n in range(1, chain)]
    split = split_patients(cohort({"A": 12}), val_ratio=0.4, seed=seed, duplicates=pairs)
    assert split.duplicates == (tuple(f"patient{n:03d}" for n in range(1, chain + 1)),)
    assert set(split.duplicates[0]) <= set(split.val) or set(split.duplicates[0]) <= set(split.train)


def test_duplicates_are_found_by_voxels_not_by_packing(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        makers.acdc_patient(tmp_path, number)
    makers.acdc_patient(tmp_path, 4, seed=2)
    copy = tmp_path / "patient004" / "patient004_frame01.nii.gz"
    makers.save(copy, makers.make_image(1 + 200).astype("float32"))
    cases = find_cases(tmp_path)
    assert find_duplicates(cases) == [("patient002", "patient004")]
    assert fingerprint(cases[2]) == fingerprint(cases[6]) != fingerprint(cases[0])


@pytest.mark.acdc
def test_real_duplicates_and_split(acdc_dir: Path) -> None:
    cases = find_cases(acdc_dir)
    duplicates = find_duplicates(cases)
    assert duplicates == [("patient074", "patient076")]
    split = split_patients(cases, val_ratio=0.2, seed=42, duplicates=duplicates)
    group = {case.patient: case.group for case in cases}
    assert Counter(group[patient] for patient in split.val) == dict.fromkeys(GROUPS, 4)


@pytest.mark.parametrize("folds", [2, 3, 5, 7])
def test_in_folds_every_patient_validates_once_and_groups_are_spread(folds: int):
    cases = cohort({"DCM": 10, "HCM": 10, "NOR": 11, "": 4})
    twins = [(cases[0].patient, cases[-1].patient)]
    splits = split_in_folds(cases, folds=folds, seed=3, duplicates=twins)
    everybody = sorted({case.patient for case in cases})
    assert sorted(patient for split in splits for patient in split.val) == everybody
    sizes = [len(split.val) for split in splits]
    assert max(sizes) - min(sizes) <= 2
    group = {case.patient: case.group for case in cases}
    for split in splits:
        assert sorted((*split.train, *split.val)) == everybody
        assert set(twins[0]) <= set(split.val) or set(twins[0]) <= set(split.train)
        counts = [sum(group[patient] == name for patient in split.val) for name in ("DCM", "HCM", "NOR")]
        assert max(counts) - min(counts) <= 2
    assert splits == split_in_folds(cases[::-1], folds=folds, seed=3, duplicates=twins)
    assert splits != split_in_folds(cases, folds=folds, seed=4, duplicates=twins)


def test_too_few_patients_for_so_many_folds():
    with pytest.raises(DataError, match=r"Cannot split 3 patients into 5 parts\. At least 5 different patients"):
        split_in_folds(cohort({"": 3}), folds=5, seed=0)
