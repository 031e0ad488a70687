from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from compress.data.layouts import find_cases, read_volume
from compress.data.nifti import read_image, read_mask
from compress.data.volume import Volume
from compress.errors import ConfigError, DataError, ModelFileError, ProviderError
from compress.export.seal import stamp
from compress.runtime import Segmenter
from compress.runtime.modelfile import read_metadata
from compress.runtime.predict import predict_mask


@pytest.fixture(scope="module")
def segmenter(sealed_path: Path) -> Segmenter:
    return Segmenter(sealed_path, threads=1)


@pytest.fixture(scope="module")
def volume(tiny_phantom: Path) -> Volume:
    return read_volume(find_cases(tiny_phantom)[0])


def test_a_mask_lies_on_the_images_own_grid(segmenter: Segmenter, volume: Volume) -> None:
    found = segmenter.segment(volume.image, spacing_mm=volume.spacing)
    assert found.mask.shape == volume.image.shape
    assert found.mask.dtype == np.uint8
    assert set(np.unique(found.mask)) <= {0, 1, 2, 3}
    assert found.labels == {"RV": 1, "MYO": 2, "LV": 3}


def test_volumes_are_voxels_times_their_size(segmenter: Segmenter, volume: Volume) -> None:
    found = segmenter.segment(volume.image, spacing_mm=volume.spacing)
    voxel = np.prod(volume.spacing) / 1000
    assert found.volumes_ml["LV"] == pytest.approx((found.mask == 3).sum() * voxel)


def test_the_batch_size_changes_memory_and_not_the_mask(sealed_path: Path, volume: Volume) -> None:
    masks = [
        Segmenter(sealed_path, threads=1, batch_size=size).segment(volume.image, spacing_mm=volume.spacing).mask
        for size in (1, 3, 100)
    ]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


def test_only_one_batch_of_slices_reaches_the_network_at_a_time(segmenter: Segmenter, volume: Volume) -> None:
    seen: list[int] = []

    def run(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return segmenter.session.run(images)

    prepared = segmenter.card.preprocessing.forward(volume)
    predict_mask(run, prepared, batch_size=4)
    assert max(seen) == 4
    assert sum(seen) == len(volume.image)


def test_a_file_and_its_array_give_the_same_mask_and_the_file_can_be_saved(
    segmenter: Segmenter, volume: Volume, tmp_path: Path
) -> None:
    path = volume.case.image_path
    found = segmenter.segment_file(path)
    np.testing.assert_array_equal(found.mask, segmenter.segment(volume.image, spacing_mm=volume.spacing).mask)
    saved = read_mask(found.save(tmp_path / "mask.nii.gz"))
    np.testing.assert_array_equal(saved.array, found.mask)
    assert saved.spacing_mm == read_image(path).spacing_mm


def test_what_was_no_file_cannot_be_saved(segmenter: Segmenter, volume: Volume, tmp_path: Path) -> None:
    found = segmenter.segment(volume.image, spacing_mm=volume.spacing)
    with pytest.raises(DataError, match="Use segment_file"):
        found.save(tmp_path / "mask.nii.gz")


def test_a_doubtful_image_is_refused_unless_forced(segmenter: Segmenter, volume: Volume) -> None:
    far = (volume.spacing[0], 9.0, 9.0)
    with pytest.raises(DataError, match=r"p7: pixels are 9 x 9 mm.*force=True"):
        segmenter.segment(volume.image, spacing_mm=far, name="p7")
    assert segmenter.segment(volume.image, spacing_mm=far, force=True).concerns


def test_one_slice_has_a_mask_when_forced_and_no_volume(segmenter: Segmenter, volume: Volume) -> None:
    with pytest.raises(DataError, match="it has 1 slice"):
        segmenter.segment(volume.image[4:5], spacing_mm=volume.spacing)
    found = segmenter.segment(volume.image[4:5], spacing_mm=volume.spacing, force=True)
    assert found.mask.any()
    with pytest.raises(DataError, match=r"No volume is stated of this image: it has 1 slice.*whole short-axis stack"):
        _ = found.volumes_ml


@pytest.mark.parametrize(
    ("image", "spacing", "said"),
    [
        (np.zeros((4, 64)), (8, 2, 2), "expected plain numbers"),
        (np.zeros((0, 64, 64)), (8, 2, 2), "expected plain numbers"),
        (np.full((4, 64, 64), "x"), (8, 2, 2), "expected plain numbers"),
        (np.zeros((4, 64, 64)), (8, 2, 2), "is constant"),
        (np.full((4, 64, 64), np.nan), (8, 2, 2), "NaN"),
        (np.arange(4 * 64 * 64.0).reshape(4, 64, 64) * 1e34, (8, 2, 2), "grey levels"),
        (np.ones((4, 64, 64)), (8, 2), "three positive lengths"),
        (np.ones((4, 64, 64)), (8, 2, -2), "three positive lengths"),
    ],
)
def test_what_is_no_volume_is_refused_even_when_forced(image, spacing, said: str, segmenter: Segmenter) -> None:
    with pytest.raises(DataError, match=said):
        segmenter.segment(image, spacing_mm=spacing, force=True)


def test_a_loop_is_refused_before_anything_runs(sealed_path: Path, tmp_path: Path) -> None:
    model = onnx.load(sealed_path)
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", "", "image"], ["forever"], body=body))
    path = tmp_path / "loop.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="uses Loop"):
        Segmenter(path)


def test_a_card_that_does_not_fit_the_graph_is_refused(sealed_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.onnx"
    path.write_bytes(sealed_path.read_bytes())
    stamp(path, {**read_metadata(path), "divisor": "8"})
    with pytest.raises(ModelFileError, match="its model card says 1, 4 and 4"):
        Segmenter(path)


def test_a_file_that_was_altered_is_refused_before_it_runs_unless_asked_for(
    sealed_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "copy.onnx"
    content = bytearray(sealed_path.read_bytes())
    model = onnx.load(sealed_path)
    at = bytes(content).index(model.graph.initializer[0].raw_data)
    content[at] ^= 1  # the smallest bit of one weight
    path.write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setattr("compress.runtime.segmenter.open_session", None)
        with pytest.raises(ModelFileError, match=r"weights or graph changed after export\. Do not use it"):
            Segmenter(path)
    assert Segmenter(path, altered=True)


def test_words_that_are_not_known_are_refused(sealed_path: Path) -> None:
    with pytest.raises(ConfigError, match="Unknown provider 'gpu'"):
        Segmenter(sealed_path, provider="gpu")
    with pytest.raises(ConfigError, match="at least 1 slice"):
        Segmenter(sealed_path, batch_size=0)


def test_cuda_is_proven_or_refused(sealed_path: Path) -> None:
    try:
        proven = Segmenter(sealed_path, provider="cuda").session.provider_proven
    except ProviderError as fault:
        assert "'cuda' was asked for but is not there" in str(fault)
    else:
        assert proven == "cuda"
