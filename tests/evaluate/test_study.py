"""Volumes and clinical values of one study without a reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.data.volume import ACDC_LABELS
from compress.errors import DataError
from compress.evaluate.clinical import QUANTITIES
from compress.evaluate.study import clinical_values, find_phases, jumping_frames, structure_volumes

ED, ES = {"LV": 120.0, "RV": 150.0, "MYO": 100.0}, {"LV": 48.0, "RV": 90.0, "MYO": 104.0}


def test_volumes_by_hand():
    mask = np.zeros((2, 10, 10), np.uint8)
    mask[:, 2:4] = 3  # 40 voxels of 20 mm3
    mask[1, 0] = 1
    volumes = structure_volumes(mask, labels=ACDC_LABELS, spacing_mm=(10.0, 2.0, 1.0))
    assert volumes == pytest.approx({"RV": 0.2, "MYO": 0.0, "LV": 0.8})


@given(st.permutations([1, 2, 3]))
def test_volumes_follow_the_label_map(values):
    labels = dict(zip(("A", "B", "C"), values, strict=True))
    mask = np.repeat(np.array([0, 1, 2, 3], np.uint8), [5, 100, 200, 300]).reshape(1, 5, 121)
    volumes = structure_volumes(mask, labels=labels, spacing_mm=(10.0, 1.0, 1.0))
    assert volumes == pytest.approx({name: float(value) for name, value in labels.items()})


@pytest.mark.parametrize(
    "mask, spacing, message",
    [
        (np.zeros((4, 4), np.uint8), (1.0, 1.0, 1.0), r"shape \(4, 4\)"),
        (np.zeros((1, 4, 4), np.uint8), (1.0, 0.0, 1.0), "three positive"),
    ],
)
def test_volumes_need_a_3d_mask_and_a_spacing(mask, spacing, message):
    with pytest.raises(DataError, match=message):
        structure_volumes(mask, labels=ACDC_LABELS, spacing_mm=spacing)


def test_all_quantities_of_a_whole_study():
    values = clinical_values({"ED": ED, "ES": ES})
    assert list(values) == list(QUANTITIES)
    assert values["LV EDV"] == 120.0 and values["LV ESV"] == 48.0 and values["LV SV"] == 72.0
    assert values["LV EF"] == pytest.approx(60.0) and values["RV EF"] == pytest.approx(40.0)
    assert values["MYO mass"] == pytest.approx(105.0)


@pytest.mark.parametrize(
    "phases, names",
    [
        ({"ED": ED}, ["LV EDV", "RV EDV", "MYO mass"]),
        ({"ES": ES}, ["LV ESV", "RV ESV"]),
        ({"": ED}, []),
        ({}, []),
        ({"ED": {"LV": 120.0}, "ES": ES}, ["LV EDV", "LV ESV", "LV SV", "LV EF", "RV ESV"]),
    ],
)
def test_what_cannot_be_computed_is_left_out(phases, names):
    assert list(clinical_values(phases)) == names


def test_an_empty_ventricle_has_volumes_but_no_ejection_fraction():
    values = clinical_values({"ED": {"LV": 0.0}, "ES": {"LV": 0.0}})
    assert values == {"LV EDV": 0.0, "LV ESV": 0.0, "LV SV": 0.0, "LV EF": None}


@given(st.lists(st.floats(0, 400), min_size=2, max_size=40).filter(lambda volumes: min(volumes) < max(volumes)))
def test_phases_are_the_first_extremes(volumes):
    ed, es = find_phases(volumes)
    assert ed == volumes.index(max(volumes)) and es == volumes.index(min(volumes))


@pytest.mark.parametrize("frames", [15, 20, 30])
def test_one_bad_frame_is_told_from_a_beating_heart(frames):
    beat = 95 + 45 * np.cos(2 * np.pi * np.arange(frames) / frames)
    assert jumping_frames(beat) == []
    for place in range(frames):
        broken = beat.copy()
        broken[place] = 5.0 if beat[place] > 90 else 200.0
        assert jumping_frames(broken) == [place]
    assert jumping_frames([120, 5, 118]) == [], "too few to tell"


@pytest.mark.parametrize(
    "volumes, message",
    [
        ([], "from 0 LV volumes"),
        ([100.0], "from 1 LV volumes"),
        ([100.0, -1.0], "negative or not finite"),
        ([100.0, float("nan")], "negative or not finite"),
        ([0.0, 0.0, 0.0], "has 0 ml in all 3 frames"),
    ],
)
def test_series_without_two_phases_are_refused(volumes, message):
    with pytest.raises(DataError, match=message):
        find_phases(volumes)
