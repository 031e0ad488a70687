"""Masks that cannot be their image's are doubted, those that are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from heart_kit import SPACING, make_heart

from compress.data.belonging import EDGE, edge_share, mask_doubt
from compress.data.layouts import find_cases, read_volume
from compress.data.volume import ACDC_LABELS, Case, Volume

SWAP = np.array([0, 3, 2, 1], np.uint8)
WRONG = {
    "LV and RV are swapped: myocardium surrounds": lambda mask: SWAP[mask],
    "the label values are mixed up": lambda mask: np.array([0, 1, 3, 2], np.uint8)[mask],
    "mirrored along y": lambda mask: mask[:, ::-1],
    "mirrored along x": lambda mask: mask[:, :, ::-1],
    "mirrored along y and mirrored along x": lambda mask: mask[:, ::-1, ::-1],
    "with its slices reversed": lambda mask: mask[::-1],
    "shifted by 20 mm": lambda mask: np.roll(mask, 13, 2),
    "shifted by 10 mm": lambda mask: np.roll(mask, 7, 1),
    "another image's": lambda mask: np.roll(mask, (-50, 50), (1, 2)),
}


def volume(mask: np.ndarray | None, image: np.ndarray | None = None) -> Volume:
    own = make_heart()[0] if image is None else image
    return Volume(Case("p", "ED", Path("p"), Path("m")), own, mask, SPACING, np.eye(4))


def test_a_true_mask_gives_no_doubt() -> None:
    assert mask_doubt(volume(make_heart()[1])) == ""
    assert mask_doubt(volume(None)) == ""
    assert mask_doubt(volume(make_heart(scale=0.9)[1])) == "", "experts draw a little wider and narrower"


@pytest.mark.parametrize("cause", WRONG)
def test_a_wrong_mask_is_doubted_with_its_cause(cause: str) -> None:
    assert cause in mask_doubt(volume(WRONG[cause](make_heart()[1])))


def test_a_mask_on_noise_fits_nowhere() -> None:
    noise = np.random.default_rng(1).normal(size=make_heart()[1].shape).astype(np.float32)
    assert "hardly brighter" in mask_doubt(volume(make_heart()[1], noise))


@pytest.mark.parametrize("gone", [2, 3])
def test_a_mask_without_lv_or_myocardium_is_not_looked_at(gone: int) -> None:
    mask = make_heart()[1]
    assert mask_doubt(volume(np.where(mask == gone, 0, mask).astype(np.uint8)[:, ::-1])) == ""


@pytest.mark.parametrize("cause", [cause for cause in WRONG if "RV" not in cause])
def test_a_wrong_mask_of_the_lv_and_its_muscle_alone_is_doubted(cause: str) -> None:
    mask = np.where(make_heart()[1] == 1, 0, make_heart()[1]).astype(np.uint8)
    assert mask_doubt(volume(mask)) == ""
    assert cause in mask_doubt(volume(np.ascontiguousarray(WRONG[cause](mask))))


BLOOD = {"the LV alone": {"LV": 1}, "both cavities": {"RV": 1, "LV": 2}}


def cavities(found: Volume, mask: np.ndarray, values: dict[str, int]) -> Volume:
    """As a data set without myocardium has it."""
    table = np.zeros(4, np.uint8)
    for name, value in values.items():
        table[ACDC_LABELS[name]] = value
    return replace(found, case=replace(found.case, labels=values, values=values), mask=table[mask])


@pytest.mark.parametrize("known", BLOOD)
@pytest.mark.parametrize("cause", [cause for cause in WRONG if "mirrored" in cause or "shifted" in cause])
def test_a_wrong_mask_of_the_blood_alone_is_doubted(cause: str, known: str) -> None:
    mask = make_heart()[1]
    assert mask_doubt(cavities(volume(mask), mask, BLOOD[known])) == ""
    assert cause in mask_doubt(cavities(volume(mask), WRONG[cause](mask), BLOOD[known]))
    assert edge_share(cavities(volume(mask), mask, BLOOD[known])) > EDGE
    assert edge_share(cavities(volume(mask), np.roll(mask, 13, 2), BLOOD[known])) < EDGE


def test_values_of_another_data_set_are_looked_at_as_acdc_has_them() -> None:
    mask, values = make_heart()[1], {"MYO": 1, "LV": 2}
    for moved in (mask, np.roll(mask, 7, 1)):
        without_rv = np.where(moved == 1, 0, moved).astype(np.uint8)
        assert mask_doubt(cavities(volume(mask), moved, values)) == mask_doubt(volume(without_rv))


def test_the_phantom_gives_no_doubt(tiny_phantom: Path) -> None:
    assert [mask_doubt(read_volume(case)) for case in find_cases(tiny_phantom)] == [""] * 12


def test_the_edge_of_the_lv_tells_a_mask_that_lies_beside_it() -> None:
    image, mask = make_heart()
    assert edge_share(volume(mask)) == pytest.approx(1.0, abs=0.02)
    assert edge_share(volume(np.roll(mask, 13, 2))) < EDGE
    assert edge_share(volume(mask, -image.astype(np.float32))) == pytest.approx(0.0, abs=0.02)
    assert edge_share(volume(np.where(mask == 2, 0, mask).astype(np.uint8))) is None
    assert edge_share(volume(None)) is None


@pytest.mark.acdc
def test_real_masks_give_no_doubt_and_changed_ones_do(acdc_dir: Path) -> None:
    for case in find_cases(acdc_dir)[:40]:
        found = read_volume(case)
        assert found.mask is not None and mask_doubt(found) == "", case.name
        for cause in ("LV and RV", "mirrored along y", "mirrored along x", "slices reversed", "shifted by 20 mm"):
            edit = next(edit for name, edit in WRONG.items() if cause in name)
            assert mask_doubt(replace(found, mask=edit(found.mask))), (case.name, cause)
            for values in BLOOD.values() if "RV" not in cause else ():
                assert mask_doubt(cavities(found, found.mask, values)) == ""
                assert mask_doubt(cavities(found, edit(found.mask), values)), (case.name, cause, values)
