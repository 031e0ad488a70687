"""Prepared volumes on disk: equal to fresh ones, never stale, never trusted when damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from makers import SHAPE, make_image, make_mask, save

import compress.data.cache as cache_module
from compress.data.cache import prepare, prepare_all
from compress.data.preprocess import Prepared, Preprocessing
from compress.data.volume import Study
from compress.errors import DataError

RULES = Preprocessing(size=(16, 16))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path, 1)


def make_study(folder: Path, seed: int) -> Study:
    image = save(folder / "data" / f"p{seed}.nii.gz", make_image(seed))
    return Study(f"patient{seed:03d}", "ED", image, save(folder / "data" / f"p{seed}_gt.nii.gz", make_mask()))


def assert_equal(mine: Prepared, other: Prepared) -> None:
    assert np.array_equal(mine.images, other.images)
    assert np.array_equal(mine.mask, other.mask)
    assert (mine.images.dtype, mine.mask.dtype) == (other.images.dtype, other.mask.dtype) == (np.float32, np.uint8)
    assert mine.geometry == other.geometry


def test_a_hit_equals_a_fresh_one_without_reading_the_volume(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fresh = prepare(study, RULES, cache=tmp_path / "cache")
    assert fresh.images.shape == (SHAPE[0], 16, 16)
    monkeypatch.setattr(cache_module, "read_volume", lambda _: pytest.fail("the volume was read again"))
    assert_equal(prepare(study, RULES, cache=tmp_path / "cache"), fresh)
    (stored,) = (tmp_path / "cache").iterdir()
    assert stored.name.startswith("patient001_ED-")


def test_damaged_files_are_computed_again(study: Study, tmp_path: Path):
    fresh = prepare(study, RULES, cache=tmp_path)
    (stored,) = tmp_path.glob("*.npz")
    whole = stored.read_bytes()
    # From the first byte over local headers and deflated data to the directory at the end.
    spots = sorted({*range(0, 120, 3), *range(0, len(whole), 97), *range(len(whole) - 250, len(whole), 3)})
    damaged = [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in spots]
    for content in [b"", whole[:50], whole[: len(whole) // 2], b"not a zip file", *damaged]:
        stored.write_bytes(content)
        assert_equal(prepare(study, RULES, cache=tmp_path), fresh)
    stored.write_bytes(whole[:50])
    prepare(study, RULES, cache=tmp_path)
    assert len(stored.read_bytes()) == len(whole), "the damaged file was replaced"


@pytest.mark.parametrize("what", ["rule", "image", "mask", "labels"])
def test_whatever_changes_writes_another_file(study: Study, tmp_path: Path, what: str):
    cache, rules = tmp_path / "cache", RULES
    before = prepare(study, rules, cache=cache)
    if what == "rule":
        rules = replace(RULES, clip_percentiles=(1.0, 99.0))
    elif what == "image":
        save(study.image_path, make_image(2))
    elif what == "mask":
        save(study.label_path, make_mask(4))
    else:
        study = replace(study, labels={"RV": 3, "MYO": 2, "LV": 1})
    after = prepare(study, rules, cache=cache)
    assert len(list(cache.iterdir())) == 2
    assert np.array_equal(before.images, after.images) == (what in ("mask", "labels"))
    assert np.array_equal(before.mask, after.mask) == (what in ("rule", "image"))


def test_all_are_prepared_in_order(tmp_path: Path):
    studies = [make_study(tmp_path, seed) for seed in (3, 1, 2)]
    found = prepare_all(studies, RULES, cache=tmp_path / "cache")
    for study, mine in zip(studies, found, strict=True):
        assert_equal(mine, prepare(study, RULES, cache=tmp_path / "other"))


def test_a_study_without_a_mask_is_refused(study: Study, tmp_path: Path):
    with pytest.raises(DataError):
        prepare(replace(study, label_path=None), RULES, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
