"""The phantom: the same bytes for the same seed, ACDC's layout and traps, and hearts that fit their disease group."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from compress.data.phantom import MARKER, is_phantom, is_phantom_image, make_patient, write_phantom
from compress.data.phantom_anatomy import GROUPS, RANGES, sample_heart
from compress.data.phantom_scan import SUBSLICES, sample_scan
from compress.data.phantom_shape import solve_phases
from compress.data.volume import MYOCARDIAL_DENSITY
from compress.errors import ConfigError

SEED, PATIENTS = 4, 5


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom"), patients=PATIENTS, seed=SEED)


def info(patient: Path) -> dict[str, str]:
    return dict(line.split(": ") for line in (patient / "Info.cfg").read_text().splitlines())


def patients(folder: Path) -> list[Path]:
    return sorted((folder / "training").iterdir())


def masks(patient: Path) -> dict[str, tuple[np.ndarray, tuple[float, ...]]]:
    """Phase to (mask (X, Y, Z), spacing), read from disk."""
    found = {}
    for phase in ("ED", "ES"):
        image = nib.load(patient / f"{patient.name}_frame{int(info(patient)[phase]):02d}_gt.nii.gz")
        found[phase] = np.asanyarray(image.dataobj), image.header.get_zooms()
    return found


def volume(mask: np.ndarray, value: int, zooms: tuple[float, ...]) -> float:
    return float((mask == value).sum() * np.prod(zooms) / 1000)


def test_layout_is_acdcs(phantom: Path) -> None:
    assert [folder.name for folder in patients(phantom)] == [f"patient{n:03d}" for n in range(1, PATIENTS + 1)]
    for patient, group in zip(patients(phantom), GROUPS, strict=True):
        facts = info(patient)
        assert list(facts) == ["ED", "ES", "Group", "Height", "NbFrame", "Weight"]
        assert facts["Group"] == group and facts["ED"] == "1"
        assert 8 <= int(facts["ES"]) <= 15 and int(facts["ES"]) < int(facts["NbFrame"])
        frames = ("frame01", f"frame{int(facts['ES']):02d}")
        expected = {f"{patient.name}_{frame}{end}.nii.gz" for frame in frames for end in ("", "_gt")} | {"Info.cfg"}
        assert {path.name for path in patient.iterdir()} == expected


def test_spacing_is_in_the_zooms_alone_and_protocols_differ(phantom: Path) -> None:
    shapes, types, pixels = set(), set(), set()
    for path in phantom.glob("training/*/*.nii.gz"):
        image = nib.load(path)
        np.testing.assert_array_equal(image.affine, np.diag([-1.0, -1.0, 1.0, 1.0]))
        across, down, gap = image.header.get_zooms()
        assert 0.9 <= across <= 1.95 and across == down and 5 <= gap <= 10
        assert 6 <= image.shape[2] <= 14
        shapes.add(image.shape[:2])
        pixels.add(across)
        if not path.name.endswith("_gt.nii.gz"):
            types.add(image.get_data_dtype().name)
    assert len(shapes) >= 3 and len(pixels) == PATIENTS and len(types) >= 2


def test_labels_and_images_belong_together(phantom: Path) -> None:
    for patient in patients(phantom):
        for phase, (mask, zooms) in masks(patient).items():
            image = nib.load(patient / f"{patient.name}_frame{int(info(patient)[phase]):02d}.nii.gz")
            voxels = np.asarray(image.dataobj, dtype=np.float32)
            assert mask.dtype == np.uint8 and mask.shape == voxels.shape
            assert image.header.get_zooms() == zooms
            assert set(np.unique(mask)) == {0, 1, 2, 3}
            assert voxels.min() >= 0 and voxels.max() <= 4095
            assert voxels[mask == 3].mean() > 1.4 * voxels[mask == 2].mean()


def test_myocardium_closes_around_the_cavity(phantom: Path) -> None:
    for patient in patients(phantom):
        for mask, _ in masks(patient).values():
            slices = np.flatnonzero((mask == 3).any(axis=(0, 1)))
            assert len(slices) >= 4
            for k in slices[1:-1]:
                ring = mask[..., k] == 2
                assert ndi.binary_fill_holes(ring)[mask[..., k] == 3].all()
                assert ndi.label(ring, np.ones((3, 3)))[1] == 1


def test_right_ventricle_ends_before_the_left_one(phantom: Path) -> None:
    for patient in patients(phantom):
        mask, _ = masks(patient)["ED"]
        assert np.flatnonzero((mask == 1).any(axis=(0, 1)))[-1] <= np.flatnonzero((mask == 2).any(axis=(0, 1)))[-1]


def test_volumes_mass_and_function_fit_the_group(phantom: Path) -> None:
    for patient in patients(phantom):
        ranges, both = RANGES[info(patient)["Group"]], masks(patient)
        (diastole, zooms), (systole, _) = both["ED"], both["ES"]
        lv, rv = volume(diastole, 3, zooms), volume(diastole, 1, zooms)
        measured = {
            "lv_edv": lv,
            "rv_edv": rv,
            "mass": volume(diastole, 2, zooms) * MYOCARDIAL_DENSITY,
            "lv_ef": 1 - volume(systole, 3, zooms) / lv,
            "rv_ef": 1 - volume(systole, 1, zooms) / rv,
        }
        for name, value in measured.items():
            low, high = getattr(ranges, name)
            slack = 0.04 if name.endswith("_ef") else 0.08 * value
            assert low - slack <= value <= high + slack, f"{patient.name} {name} = {value:.2f}, not {low} to {high}"


def test_infarcted_wall_is_thinner_than_the_rest() -> None:
    mask = make_patient(2, seed=SEED).masks["ES"]
    widths = []
    for plane in mask:
        if (plane == 3).any() and (plane == 2).any():
            outside = ndi.distance_transform_edt(plane != 3)[(plane == 2) & ndi.binary_dilation(plane < 2)]
            widths.append(np.percentile(outside, 90) / np.percentile(outside, 10))
    assert max(widths) > 1.4


def test_same_seed_same_bytes_whatever_the_number_of_patients(phantom: Path, tmp_path: Path) -> None:
    again = write_phantom(tmp_path / "again", patients=1, first=3, seed=SEED)
    files = sorted(path for path in again.rglob("*") if path.is_file() and path.name != MARKER)
    assert len(files) == 5
    for path in files:
        assert path.read_bytes() == (phantom / path.relative_to(again)).read_bytes(), path.name


def test_another_seed_gives_another_patient(phantom: Path, tmp_path: Path) -> None:
    other = write_phantom(tmp_path / "other", patients=1, seed=SEED + 1)
    name = "training/patient001/patient001_frame01.nii.gz"
    assert (other / name).read_bytes() != (phantom / name).read_bytes()


def test_marker_says_synthetic(phantom: Path, tmp_path: Path) -> None:
    marker = json.loads((phantom / MARKER).read_text())
    assert marker["seed"] == SEED and marker["patients"] == PATIENTS and marker["version"] >= 1 and marker["generator"]
    assert is_phantom(phantom) and is_phantom(phantom / "training") and is_phantom(phantom / "training" / "patient001")
    assert not is_phantom(tmp_path)
    assert not is_phantom(tmp_path / "missing")


def test_progress_counts_up(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_phantom(tmp_path, patients=1, seed=0, first=8, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 1)]
    assert (tmp_path / "training" / "patient008" / "Info.cfg").is_file()


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"seed": -1}, {"first": 0}])
def test_impossible_numbers_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"Phantom {name} is {wrong[name]}; it must be at least"):
        write_phantom(tmp_path, **{"patients": 1, "seed": 0, **wrong})
    assert not (tmp_path / MARKER).exists()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), group=st.sampled_from(GROUPS))
def test_every_heart_can_be_built(seed: int, group: str) -> None:
    rng = np.random.default_rng(seed)
    heart = sample_heart(rng, group)
    scan = sample_scan(rng, heart)
    diastole, systole = solve_phases(heart, scan.sublevels, scan.gap / SUBSLICES)
    assert 6 <= len(scan.levels) <= 14
    assert 18 < diastole.radius < 45 and 5 < systole.radius < 1.06 * diastole.radius
    assert 3.5 < diastole.wall < 1.1 * systole.wall
    assert 0 < diastole.rv_reach < 95 and -10 < systole.rv_reach < 1.25 * diastole.rv_reach


def test_a_copied_image_still_says_what_it_is(phantom: Path, tmp_path: Path) -> None:
    source = next(patients(phantom)[0].glob("*frame01.nii.gz"))
    copied = tmp_path / "renamed.nii.gz"
    copied.write_bytes(source.read_bytes())
    assert is_phantom_image(copied) and not is_phantom(tmp_path)
    copied.write_bytes(b"junk")
    assert not is_phantom_image(copied)
