"""Plausibility flags: each fires on a heart that was damaged on purpose, and on no whole one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.data.layouts import find_cases, read_volume
from compress.data.volume import ACDC_LABELS
from compress.errors import DataError
from compress.evaluate.plausibility import EF_PERCENT, mask_flags, study_flags
from compress.evaluate.study import clinical_values, structure_volumes

RV, MYO, LV = ACDC_LABELS.values()
SPACING = (8.0, 1.5, 1.5)
SLICES = 9  # of 13: slices 3 to 11 counted from 1; mid slices 6 to 8


def heart() -> np.ndarray:
    """(13, 80, 80): LV of 15 mm radius in a ring 9 mm thick, beside a crescent of RV, on 9 slices."""
    y, x = np.mgrid[:80, :80]
    ring, crescent = np.hypot(y - 40, x - 50), np.hypot(y - 40, x - 34)
    plane = np.zeros((80, 80), np.uint8)
    plane[crescent < 20] = RV
    plane[ring < 16] = MYO
    plane[ring < 10] = LV
    mask = np.zeros((13, 80, 80), np.uint8)
    mask[2 : 2 + SLICES] = plane
    return mask


def found(mask: np.ndarray, **changes) -> dict[str, str]:
    flags = mask_flags(mask, labels=changes.get("labels", ACDC_LABELS), spacing_mm=changes.get("spacing", SPACING))
    kinds = [flag.kind for flag in flags]
    assert len(set(kinds)) == len(kinds), "one flag of a kind per volume"
    return {flag.kind: flag.message for flag in flags}


def cut_ring(mask: np.ndarray, slices: slice, width: int) -> None:
    """A channel from the cavity outwards, away from the RV."""
    channel = mask[slices, 40 : 40 + width, 50:]
    channel[channel == MYO] = 0


@given(
    slices=st.integers(1, 13),
    pixel=st.floats(0.7, 2.0),
    shift=st.integers(-8, 8),
    values=st.permutations([1, 2, 3]),
)
def test_a_whole_heart_has_no_flags(slices, pixel, shift, values):
    labels = dict(zip(("RV", "MYO", "LV"), values, strict=True))
    mask = np.roll(np.take([0, *values], np.repeat(heart()[4:5], slices, axis=0)), shift, axis=(1, 2))
    assert found(mask.astype(np.uint8), labels=labels, spacing=(8.0, pixel, pixel)) == {}


def test_nothing_at_all():
    assert found(np.zeros((4, 9, 9), np.uint8)) == {"empty": "No structure was found in any slice."}


def test_no_lv_anywhere():
    mask = heart()
    mask[mask == LV] = MYO
    assert found(mask) == {"no-lv": "No LV in any slice."}


def test_no_lv_in_mid_slices():
    mask = heart()
    mask[5:7][mask[5:7] == LV] = MYO
    flags = found(mask)
    assert flags["no-lv"] == "No LV in mid slices 6-7."
    assert flags["gap"] == "There is no LV in slices 6-7, between slices that have it."
    assert set(flags) == {"no-lv", "gap", "lv-pieces"}


def test_an_apex_without_lv_is_normal():
    mask = heart()
    mask[2:5][mask[2:5] == LV] = MYO
    assert found(mask) == {}


def test_an_absent_structure():
    mask = heart()
    mask[mask == RV] = 0
    assert found(mask) == {"missing": "No RV in any slice."}
    mask[mask == MYO] = 0
    assert found(mask)["missing"] == "No RV and no MYO in any slice."


@pytest.mark.parametrize("slices, named", [(slice(5, 8), "slices 6-8"), (slice(6, 7), "slice 7")])
def test_an_open_ring(slices, named):
    mask = heart()
    cut_ring(mask, slices, width=7)
    assert found(mask) == {"open-ring": f"The myocardium does not close around the LV in mid {named}."}


def test_an_lv_that_reaches_the_rv_is_an_open_ring():
    mask = heart()
    wall = mask[6, 35:46, :50]
    wall[wall == MYO] = RV
    assert set(found(mask)) == {"open-ring"}


def test_no_myocardium_at_all():
    mask = heart()
    mask[mask == MYO] = 0
    assert set(found(mask)) == {"missing", "open-ring"}


def test_a_ragged_edge_or_an_open_base_is_no_open_ring():
    mask = heart()
    cut_ring(mask, slice(6, 7), width=4)  # 6 mm
    cut_ring(mask, slice(2, 5), width=10)  # not mid slices
    cut_ring(mask, slice(8, 11), width=10)
    assert found(mask) == {}


def test_the_gap_is_measured_in_mm():
    mask = heart()
    cut_ring(mask, slice(6, 7), width=2)
    assert set(found(mask, spacing=(8.0, 5.0, 1.0))) == {"open-ring"}
    assert found(mask, spacing=(8.0, 1.0, 5.0)) == {}


@pytest.mark.parametrize("name, value", [("LV", LV), ("RV", RV)])
def test_a_second_piece(name, value):
    mask = heart()
    mask[3:5, 2:8, 2:8] = value  # 72 voxels of 18 mm3 = 1.3 ml
    flags = found(mask)
    assert set(flags) == {f"{name.lower()}-pieces"}
    assert f"The {name} is in 2 separate pieces of " in flags[f"{name.lower()}-pieces"]
    assert flags[f"{name.lower()}-pieces"].endswith(", 1.3 ml.")


def test_many_pieces_are_not_all_listed():
    mask = heart()
    for column in range(2, 72, 10):
        mask[2:4, 2:6, column : column + 6] = RV
    message = found(mask)["rv-pieces"]
    assert message.startswith("The RV is in 8 separate pieces of ") and message.endswith(", 0.9, 0.9, 0.9, ... ml.")


def test_specks_and_shifted_slices_are_no_pieces():
    mask = heart()
    mask[3, 2:7, 2:7] = RV  # 25 voxels = 0.45 ml
    mask[8:] = np.roll(mask[8:], 5, axis=1)
    assert found(mask) == {}


def test_pieces_that_meet_at_a_corner_are_one():
    mask = heart()
    mask[mask == RV] = 0
    mask[3, 2:10, 2:10] = mask[4, 10:18, 10:18] = RV
    assert found(mask) == {}
    mask[4] = np.where(mask[4] == RV, 0, mask[4])
    mask[4, 11:19, 11:19] = RV
    assert set(found(mask)) == {"rv-pieces"}


def test_a_split_rv():
    mask = heart()
    strip = mask[:, 39:42]
    strip[strip == RV] = 0
    assert set(found(mask)) == {"rv-pieces"}


def test_a_slice_without_the_heart():
    mask = heart()
    mask[3] = 0
    flags = found(mask)
    assert flags["gap"] == "There is no RV in slice 4 and no MYO in slice 4 and no LV in slice 4, " + (
        "between slices that have it."
    )


@pytest.mark.parametrize("edge", [np.s_[:, 24:], np.s_[:, :, 16:], np.s_[:, :56], np.s_[:, :, :62]])
def test_a_heart_cut_off_by_the_border(edge):
    flags = found(heart()[edge])
    assert flags["touches-border"].startswith("The heart touches the image border in slices 3-11:")


def test_structures_that_the_label_map_lacks_are_not_looked_for():
    mask = heart()
    mask[mask == LV] = 0
    assert found(mask, labels={"RV": RV, "MYO": MYO}) == {}
    mask = heart()
    mask[mask == MYO] = 0
    assert found(mask, labels={"LV": LV, "RV": RV}) == {}


@pytest.mark.parametrize(
    "mask, spacing", [(np.zeros((4, 4), np.uint8), SPACING), (np.zeros((1, 4, 4), np.uint8), (1.0, -1.0, 1.0))]
)
def test_a_mask_that_is_not_3d_or_has_no_spacing(mask, spacing):
    with pytest.raises(DataError):
        mask_flags(mask, labels=ACDC_LABELS, spacing_mm=spacing)


WELL = {"LV EF": 60.0, "RV EF": 55.0, "LV SV": 80.0, "RV SV": 75.0, "MYO mass": 110.0}


@pytest.mark.parametrize(
    "change, kind, message",
    [
        ({"LV EF": 4.9}, "ef-range", "Ejection fraction outside 5-85%: LV 4.9%."),
        ({"LV EF": 3.0, "RV EF": 90.0}, "ef-range", "Ejection fraction outside 5-85%: LV 3.0%, RV 90.0%."),
        ({"RV SV": -12.0}, "negative-stroke", "Larger at ES than at ED: RV by 12.0 ml; are the phases swapped?"),
        ({"RV SV": 20.0}, "stroke-mismatch", "Stroke volumes differ more than 3-fold: LV 80.0 ml, RV 20.0 ml."),
        ({"LV SV": 20.0}, "stroke-mismatch", "Stroke volumes differ more than 3-fold: LV 20.0 ml, RV 75.0 ml."),
        ({"MYO mass": 12.0}, "mass-range", "Myocardial mass outside 20-600 g: 12.0 g."),
        ({"MYO mass": 1100.0}, "mass-range", "Myocardial mass outside 20-600 g: 1100.0 g."),
    ],
)
def test_odd_values(change, kind, message):
    (flag,) = study_flags({**WELL, **change})
    assert (flag.kind, flag.message) == (kind, message)


@given(st.dictionaries(st.sampled_from(sorted(WELL)), st.none()), st.sets(st.sampled_from(sorted(WELL))))
def test_well_undefined_and_absent_values_have_no_flags(undefined, absent):
    values = {**WELL, **undefined}
    assert study_flags({name: value for name, value in values.items() if name not in absent}) == []


@given(st.floats(-200, 100))
def test_the_ef_range(fraction):
    low, high = EF_PERCENT
    kinds = [flag.kind for flag in study_flags({"LV EF": fraction})]
    assert kinds == ([] if low <= fraction <= high else ["ef-range"])


def test_phases_swapped():
    phases = {"ED": {"LV": 50.0, "RV": 60.0, "MYO": 100.0}, "ES": {"LV": 120.0, "RV": 130.0, "MYO": 100.0}}
    assert {flag.kind for flag in study_flags(clinical_values(phases))} == {"ef-range", "negative-stroke"}


def test_rates_on_experts_masks(acdc_dir):
    """Experts' masks are almost never flagged; the same masks with the LV cut out of a mid slice always are."""
    studies = find_cases(acdc_dir)
    kinds, caught, volumes = [], 0, {}
    for study in studies:
        volume = read_volume(study)
        mask, spacing = volume.mask, volume.spacing
        assert mask is not None
        kinds += found(mask, spacing=spacing)
        phases = volumes.setdefault(study.patient, {})
        phases[study.phase] = structure_volumes(mask, labels=ACDC_LABELS, spacing_mm=spacing)
        present = np.flatnonzero(mask.any(axis=(1, 2)))
        middle = mask[present[len(present) // 2]]
        middle[middle == LV] = 0
        caught += "no-lv" in found(mask, spacing=spacing)
    assert set(kinds) <= {"rv-pieces"} and len(kinds) <= 0.02 * len(studies)
    assert caught == len(studies)
    odd = [patient for patient, phases in volumes.items() if study_flags(clinical_values(phases))]
    assert len(odd) <= 0.05 * len(volumes)


def test_a_message_names_a_few_slices() -> None:
    mask = np.repeat(heart()[6:7], 40, axis=0)
    mask[1:-1:2][mask[1:-1:2] == RV] = 0
    flags = {flag.kind: flag.message for flag in mask_flags(mask, labels=ACDC_LABELS, spacing_mm=SPACING)}
    assert "slices 2, 4, 6, 8, 10, 12 and 13 more" in flags["gap"]
