"""Prepared volumes on disk: equal to fresh ones, never stale, never trusted when damaged."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from makers import SHAPE, make_image, make_mask, save

import compress.data.cache as cache_module
from compress.data.cache import prepare, prepare_all
from compress.data.prepared import Prepared
from compress.data.preprocess import Preprocessing
from compress.data.volume import Case
from compress.errors import DataError

RULES = Preprocessing(size=(16, 16))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return make_study(tmp_path, 1)


def make_study(folder: Path, seed: int) -> Case:
    image = save(folder / "data" / f"p{seed}.nii.gz", make_image(seed))
    return Case(f"patient{seed:03d}", "ED", image, save(folder / "data" / f"p{seed}_gt.nii.gz", make_mask()))


def assert_equal(mine: Prepared, other: Prepared) -> None:
    assert np.array_equal(mine.images, other.images)
    assert np.array_equal(mine.mask, other.mask)
    assert (mine.images.dtype, mine.mask.dtype) == (other.images.dtype, other.mask.dtype) == (np.float32, np.uint8)
    assert mine.geometry == other.geometry


def test_a_hit_equals_a_fresh_one_without_reading_the_volume(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fresh = prepare(case, RULES, cache=tmp_path / "cache")
    assert fresh.images.shape == (SHAPE[0], 16, 16)
    monkeypatch.setattr(cache_module, "read_volume", lambda _: pytest.fail("the volume was read again"))
    assert_equal(prepare(case, RULES, cache=tmp_path / "cache"), fresh)
    (stored,) = (tmp_path / "cache").iterdir()
    assert stored.name.startswith("patient001_ED-")


def test_damaged_files_are_computed_again(case: Case, tmp_path: Path):
    fresh = prepare(case, RULES, cache=tmp_path)
    (stored,) = tmp_path.glob("*.npz")
    whole = stored.read_bytes()
    # From the first byte over local headers and deflated data to the directory at the end.
    spots = sorted({*range(0, 120, 3), *range(0, len(whole), 97), *range(len(whole) - 250, len(whole), 3)})
    damaged = [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in spots]
    for content in [b"", whole[:50], whole[: len(whole) // 2], b"not a zip file", *damaged]:
        stored.write_bytes(content)
        assert_equal(prepare(case, RULES, cache=tmp_path), fresh)
    stored.write_bytes(whole[:50])
    prepare(case, RULES, cache=tmp_path)
    assert len(stored.read_bytes()) == len(whole), "the damaged file was replaced"


@pytest.mark.parametrize("what", ["rule", "image", "mask", "labels"])
def test_whatever_changes_writes_another_file(case: Case, tmp_path: Path, what: str):
    cache, rules = tmp_path / "cache", RULES
    before = prepare(case, rules, cache=cache)
    if what == "rule":
        rules = replace(RULES, clip_percentiles=(1.0, 99.0))
    elif what == "image":
        save(case.image_path, make_image(2))
    elif what == "mask":
        save(case.label_path, make_mask(4))
    else:
        case = replace(case, labels={"RV": 3, "MYO": 2, "LV": 1})
    after = prepare(case, rules, cache=cache)
    assert len(list(cache.iterdir())) == 2
    assert np.array_equal(before.images, after.images) == (what in ("mask", "labels"))
    assert np.array_equal(before.mask, after.mask) == (what in ("rule", "image"))


def test_all_are_prepared_in_order(tmp_path: Path):
    cases = [make_study(tmp_path, seed) for seed in (3, 1, 2)]
    found = prepare_all(cases, RULES, cache=tmp_path / "cache")
    for case, mine in zip(cases, found, strict=True):
        assert_equal(mine, prepare(case, RULES, cache=tmp_path / "other"))


def test_a_study_without_a_mask_is_refused(case: Case, tmp_path: Path):
    with pytest.raises(DataError):
        prepare(replace(case, label_path=None), RULES, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_what_another_user_put_there_is_computed_again(case: Case, tmp_path: Path):
    """Whoever can write to a shared cache would otherwise choose what others train on."""
    fresh = prepare(case, RULES, cache=tmp_path)
    (stored,) = tmp_path.glob("*.npz")
    whole = stored.read_bytes()
    with np.load(stored) as data:
        parts = dict(data)
    forgeries = (
        {**parts, "images": np.zeros((7, 16, 16), np.float32), "mask": np.full((7, 16, 16), 3, np.uint8)},
        {**parts, "mask": np.roll(parts["mask"], 1)},
        parts,
    )
    for forged, end in product(forgeries, (b"", whole[-32:])):
        np.savez_compressed(stored, **forged)
        stored.write_bytes(stored.read_bytes() + end)
        if stored.read_bytes() == whole:
            continue
        planted = stored.read_bytes()
        assert_equal(prepare(case, RULES, cache=tmp_path), fresh)
        assert stored.read_bytes() != planted, "it was made anew"


def test_a_volume_of_another_name_is_no_answer(case: Case, tmp_path: Path):
    other = make_study(tmp_path / "other", 2)
    fresh = prepare(case, RULES, cache=tmp_path / "cache")
    (stored,) = (tmp_path / "cache").iterdir()
    prepare(other, RULES, cache=tmp_path / "cache2")
    (theirs,) = (tmp_path / "cache2").iterdir()
    stored.write_bytes(theirs.read_bytes())
    assert_equal(prepare(case, RULES, cache=tmp_path / "cache"), fresh)
