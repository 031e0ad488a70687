"""Images of several channels in nnU-Net's layout: which files belong together, and what is said of the others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import makers
import numpy as np
import pytest

from compress.data.cache import prepare
from compress.data.images import digests_of
from compress.data.layouts import find_cases, read_volume, scan_cases
from compress.data.preprocess import Preprocessing
from compress.errors import DataError

RULES = Preprocessing((1.5, 1.5), (32, 32))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for case in ("a", "b"):
        makers.nnunet_case(tmp_path, case)
        makers.save(tmp_path / "imagesTr" / f"{case}_0001.nii.gz", makers.make_image(7))
    return tmp_path


def told(root: Path, channels: object, key: str = "channel_names") -> Path:
    makers.dataset_json(root, {"background": 0, "RV": 1, "MYO": 2, "LV": 3})
    path = root / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: channels}))
    return root


@pytest.mark.parametrize(
    ("channels", "key"),
    [
        (None, ""),
        ({"0": "cine", "1": "T1"}, "channel_names"),
        ({"0": "MR", "1": "MR"}, "modality"),
        (["a", "b"], "modality"),
    ],
)
def test_all_files_of_an_image_are_one_case(data: Path, channels: object, key: str) -> None:
    if channels is not None:
        told(data, channels, key)
    first, second = find_cases(data)
    assert (first.patient, second.patient, first.channels, second.channels) == ("a", "b", 2, 2)
    volume = read_volume(first)
    assert volume.image.shape == (2, *makers.SHAPE) and (volume.shown == volume.image[0]).all()
    assert volume.mask is not None and volume.mask.shape == makers.SHAPE


def test_each_channel_is_prepared_by_itself_and_digests_name_them_all(data: Path, tmp_path: Path) -> None:
    case = find_cases(data)[0]
    whole, volume = prepare(case, RULES, cache=tmp_path / "cache"), read_volume(case)
    alone = [RULES.forward(replace(volume, image=channel)).images for channel in volume.image]
    assert (whole.images == np.stack(alone, axis=1)).all()
    again = prepare(case, RULES, cache=tmp_path / "cache")
    assert (again.images == whole.images).all()
    before = digests_of(case)
    makers.save(data / "imagesTr" / "a_0001.nii.gz", makers.make_image(8))
    assert digests_of(case) != before and (prepare(case, RULES, cache=tmp_path / "cache").images != whole.images).any()


def test_what_is_missing_or_too_much_is_said_of_its_case(data: Path) -> None:
    told(data, {"0": "cine", "1": "T1"})
    (data / "imagesTr" / "b_0001.nii.gz").unlink()
    makers.save(data / "imagesTr" / "a_0002.nii.gz", makers.make_image(1))
    makers.save(data / "imagesTr" / "c_0001.nii.gz", makers.make_image(1))
    found = scan_cases(data)
    assert [case.patient for case in found.cases] == ["a"]
    said = "\n".join(problem.message for problem in found.problems)
    for part in (
        "a_0002.nii.gz is a further channel; 2 channels are expected",
        "b_0001.nii.gz is missing: 2 channels of every image are expected",
        "c_0001.nii.gz has no first channel, c_0000",
    ):
        assert part in said


def test_nobody_said_that_an_image_has_two_where_one_case_has_one(data: Path) -> None:
    (data / "imagesTr" / "b_0001.nii.gz").unlink()
    with pytest.raises(DataError, match=r"a_0001.nii.gz is a further channel; one channel \(_0000\) is expected"):
        find_cases(data)


@pytest.mark.parametrize(
    "channels",
    [{}, {"1": "cine"}, {"0": "cine", "2": "T1"}, {"zero": "cine"}, 2, "cine", {str(n): "x" for n in range(65)}],
)
def test_channels_are_numbered_from_nought(data: Path, channels: object) -> None:
    with pytest.raises(DataError, match=r"gives channels .* expected numbers from 0 on, 64 at most"):
        find_cases(told(data, channels))


def test_sixty_five_channels_are_too_many(tmp_path: Path) -> None:
    makers.nnunet_case(tmp_path, "a")
    for number in range(1, 65):
        (tmp_path / "imagesTr" / f"a_{number:04d}.nii.gz").touch()
    with pytest.raises(DataError, match="65 channels of every case; 64 at most"):
        find_cases(tmp_path)


def test_channels_lie_on_one_grid(data: Path) -> None:
    second = data / "imagesTr" / "a_0001.nii.gz"
    case = find_cases(data)[0]
    makers.save(second, makers.make_image(1), spacing=(10.0, 2.0, 2.0))
    with pytest.raises(DataError, match=r"a_0001\.nii\.gz does not lie on the grid of .*a_0000"):
        read_volume(case)
    makers.save(second, makers.make_image(1), affine=np.diag([-1.0, 1.0, 1.0, 1.0]) @ makers.ACDC_AFFINE)
    with pytest.raises(DataError, match="does not lie on the grid"):
        read_volume(case)
    makers.save(second, np.full(makers.SHAPE, 3, np.int16))
    with pytest.raises(DataError, match=r"a_0001\.nii\.gz is constant"):
        read_volume(case)


def test_a_channel_that_leads_out_of_the_folder_is_its_case_fault(data: Path, tmp_path_factory) -> None:
    outside = makers.save(tmp_path_factory.mktemp("private") / "heart.nii.gz", makers.make_image(2))
    second = data / "imagesTr" / "a_0001.nii.gz"
    second.unlink()
    second.symlink_to(outside)
    found = scan_cases(data)
    assert [case.patient for case in found.cases] == ["b"]
    assert "a_0001.nii.gz is a link that leads out of" in found.problems[0].message
