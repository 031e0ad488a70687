from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compress.errors import ModelFileError
from compress.export.seal import golden_image, seal, stamp
from compress.runtime import verify as module
from compress.runtime.card import KEY, read_card
from compress.runtime.golden import GOLDEN_KEY, read_golden
from compress.runtime.modelfile import read_metadata, read_model_file
from compress.runtime.verify import BIT_EQUAL, BROKEN, ROUNDED, WITHIN, verify


@pytest.fixture
def copy(sealed_path: Path, tmp_path: Path) -> Path:
    path = tmp_path / "copy.onnx"
    path.write_bytes(sealed_path.read_bytes())
    return path


def change_weight(path: Path, by: float) -> None:
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(by), tensor.name))
    path.write_bytes(model.SerializeToString())


def test_a_file_just_exported_is_bit_equal(sealed_path: Path) -> None:
    found = verify(sealed_path)
    assert (found.verdict, found.ok, found.reasons, found.differing_voxels) == (BIT_EQUAL, True, (), 0)
    assert found.provider == "cpu"
    assert found.versions["onnxruntime"]
    assert found.model == read_model_file(sealed_path).sha256


def test_other_numbers_of_threads_stay_within_tolerance(sealed_path: Path) -> None:
    assert verify(sealed_path, threads=2).ok


def test_other_rounding_is_within_tolerance_and_not_bit_equal(copy: Path) -> None:
    metadata = read_metadata(copy)
    golden = json.loads(metadata[GOLDEN_KEY])
    golden["logits_sha256"] = "0" * 64  # what another vector width would have computed
    stamp(copy, {**metadata, GOLDEN_KEY: json.dumps(golden)})
    assert verify(copy).verdict == WITHIN


def _made_for(path: Path, provider: str) -> None:
    """Seal the file as if it held whole numbers that were measured on `provider`."""
    card = read_card(read_metadata(path), path)
    about = {"kind": "int8", "provider": provider, "source": "0" * 64, "logit_bound": 0.1}
    seal(path, dataclasses.replace(card, quantization=about))


@pytest.mark.parametrize(
    ("made_for", "flipped", "verdict"),
    [("openvino", 0.01, ROUNDED), ("openvino", 0.2, BROKEN), ("cpu", 0.01, BROKEN), ("openvino", 0, BIT_EQUAL)],
)
def test_whole_numbers_rounded_by_another_provider_are_not_broken(
    copy, monkeypatch, made_for, flipped, verdict
) -> None:
    _made_for(copy, made_for)
    real = module.compute

    def rounded(*arguments):
        computed = real(*arguments)
        mask, logits = computed.mask.copy(), computed.logits + np.float32(0.5 * (flipped > 0))
        mask.ravel()[: int(flipped * mask.size)] += 1
        return dataclasses.replace(computed, mask=mask, logits=logits)

    monkeypatch.setattr(module, "compute", rounded)
    found = verify(copy)
    assert (found.verdict, found.ok) == (verdict, verdict != BROKEN)
    assert found.differing_voxels == int(flipped * found.voxels)


@pytest.mark.parametrize(("made_for", "verdict"), [("openvino", ROUNDED), ("cpu", WITHIN)])
def test_whole_numbers_elsewhere_are_named_even_within_the_bounds(copy, monkeypatch, made_for, verdict) -> None:
    _made_for(copy, made_for)
    real = module.compute

    def shifted(*arguments):
        computed = real(*arguments)
        return dataclasses.replace(computed, logits=computed.logits + np.float32(0.01))

    monkeypatch.setattr(module, "compute", shifted)
    assert verify(copy).verdict == verdict


def test_a_user_is_told_when_whole_numbers_run_elsewhere(copy: Path) -> None:
    for made_for, told in (("cpu", False), ("openvino", True)):
        _made_for(copy, made_for)
        note = module.rounding_note(read_card(read_metadata(copy), copy), "cpu")
        assert ("measured on 'openvino'" in note) is told


def test_changed_weights_are_broken(copy: Path) -> None:
    change_weight(copy, 0.5)
    found = verify(copy)
    assert (found.verdict, found.ok) == (BROKEN, False)
    assert found.reasons == ("its weights or graph changed after export",), "and nothing of it has run"
    assert found.max_logit_difference is None


def test_a_change_too_small_to_see_is_still_broken(copy: Path) -> None:
    change_weight(copy, 1e-7)
    found = verify(copy)
    assert found.reasons == ("its weights or graph changed after export",)
    assert found.verdict == BROKEN


def test_a_changed_card_is_broken(copy: Path) -> None:
    metadata = read_metadata(copy)
    stamp(copy, {**metadata, KEY: metadata[KEY].replace('"licence": "none"', '"licence": "MIT"')})
    assert verify(copy).reasons == ("its model card changed after export",)


def vouch(path: Path) -> Path:
    """Let the self-test name the graph that is there, as a machine that computes otherwise would see it."""
    metadata = read_metadata(path)
    golden = {**json.loads(metadata[GOLDEN_KEY]), "graph_sha256": read_model_file(path).graph_sha256}
    return stamp(path, {**metadata, GOLDEN_KEY: json.dumps(golden)})


def test_a_machine_that_computes_something_else_is_found(copy: Path) -> None:
    change_weight(copy, 0.5)
    found = verify(vouch(copy))
    assert found.verdict == BROKEN and found.max_logit_difference is not None
    assert any("logits differ by" in reason for reason in found.reasons)


def test_a_model_that_gives_no_numbers_is_broken(copy: Path) -> None:
    change_weight(copy, np.nan)
    vouch(copy)
    found = verify(copy)
    assert found.verdict == BROKEN
    assert found.max_logit_difference is None
    assert any("not finite" in reason for reason in found.reasons)


def test_sealing_again_makes_it_whole(copy: Path) -> None:
    change_weight(copy, 0.5)
    card = read_card(read_metadata(copy), copy)
    assert verify(seal(copy, card)).verdict == BIT_EQUAL


def test_sealing_gives_the_same_bytes_twice(copy: Path, sealed_path: Path) -> None:
    seal(copy, read_card(read_metadata(copy), copy))
    assert copy.read_bytes() == sealed_path.read_bytes()


def test_the_self_test_holds_the_generated_image(sealed_path: Path) -> None:
    file = read_model_file(sealed_path)
    golden = read_golden(file, read_card(file.metadata, sealed_path))
    image, spacing = golden_image()
    np.testing.assert_array_equal(golden.image, image)
    assert golden.spacing_mm == spacing
    assert len(file.metadata[GOLDEN_KEY]) < 100_000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", 2),
        ("stride", 1),
        ("spacing_mm", [1, 2]),
        ("spacing_mm", [0, 1, 1]),
        ("image", {"shape": [2**31, 2**31], "type": "uint8", "data": ""}),
        ("image", {"shape": [1, 1], "type": "object", "data": ""}),
        ("image", {"shape": [1, 8, 8], "type": "uint8", "data": "!!"}),
        ("mask", {"shape": [2, 2, 2], "type": "uint8", "data": "eJxjYEAGAAAMAAE="}),
        ("mask", {"shape": [1, 1, 1], "type": "uint8", "data": "eJxjAAAAAQAB"}),
        ("mask", {"shape": [2, 8, 8], "type": "uint8", "data": "AAAA"}),
        ("image", {"shape": [10**400], "type": "uint8", "data": ""}),
        ("image", {"shape": [1e309], "type": "uint8", "data": ""}),
        ("spacing_mm", [1e309, 1, 1]),
        ("logits", None),
    ],
)
def test_a_damaged_self_test_is_refused(key: str, value: object, copy: Path) -> None:
    metadata = read_metadata(copy)
    golden = {**json.loads(metadata[GOLDEN_KEY]), key: value}
    stamp(copy, {**metadata, GOLDEN_KEY: json.dumps(golden)})
    with pytest.raises(ModelFileError, match="self-test"):
        verify(copy)


def test_a_file_without_a_self_test_says_so(copy: Path) -> None:
    metadata = read_metadata(copy)
    stamp(copy, {key: value for key, value in metadata.items() if key != GOLDEN_KEY})
    with pytest.raises(ModelFileError, match="carries no self-test"):
        verify(copy)
