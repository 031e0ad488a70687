"""Masks, volumes and ejection fractions of torch against ONNX Runtime, and the document over all providers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_unet import build
from workspace_kit import tiny_workspace

from cli.export import parity_rows, unmeasured_lines
from compress.data.preprocess import Preprocessing
from compress.data.volume import Case, Volume
from compress.errors import CheckpointError, DataError, InputError, ProviderError
from compress.export.mask_parity import compare_masks, join_volumes
from compress.export.onnx import export_onnx
from compress.models.checkpoint import Checkpoint
from compress.rundir import Stage
from compress.runtime.proof import prove
from compress.runtime.providers import find_provider
from compress.steps.exporting import parity as steps
from compress.steps.exporting.parity import (
    ParityDocument,
    ProviderParity,
    Sample,
    Unmeasured,
    measure,
    measure_parity,
    restore_parity,
)
from compress.steps.training.dense import dense_checkpoint

SPACING = (10.0, 2.0, 1.0)
"""One voxel is 0.02 ml."""
RULES = Preprocessing(spacing_mm=(2.0, 2.0), size=(16, 12))


def heart(columns: int = 8) -> np.ndarray:
    """(3, 20, 24) labels; the LV is `columns` wide."""
    mask = np.zeros((3, 20, 24), np.uint8)
    mask[:, 3:7, 4:14] = 1
    mask[:, 8:17, 4:16] = 2
    mask[:, 10:15, 5 : 5 + columns] = 3
    return mask


def volume(phase: str = "ED", *, patient: str = "p1", columns: int = 8) -> Volume:
    mask = heart(columns)
    noise = np.random.default_rng(len(patient) + columns).standard_normal(mask.shape)
    case = Case(patient, phase, Path(f"{patient}_{phase}.nii.gz"), None)
    return Volume(case, (30.0 * mask + 5 * noise).astype(np.float32), mask, SPACING, np.eye(4))


def samples() -> list[Sample]:
    found = [volume(phase, patient=p, columns=c) for p in ("p1", "p22") for phase, c in (("ED", 8), ("ES", 4))]
    return [(each, RULES.forward(each)) for each in found]


def measured(network: torch.nn.Module, path: Path, *, phantom: bool = True) -> ParityDocument:
    return measure(network, path, samples(), phantom=phantom, batch_size=2, providers=["cpu"])


@pytest.fixture(scope="module")
def document(exported: Path) -> ParityDocument:
    return measure(build(), exported, samples(), phantom=True, batch_size=2)


@pytest.fixture(scope="module")
def perturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of `build()` with one weight of 1.0 more."""
    network = build()
    with torch.no_grad():
        network.head.weight[3, 0] += 1.0
    return export_onnx(network, tmp_path_factory.mktemp("perturbed") / "broken.onnx", divisor=2)


def test_equal_masks_differ_in_nothing() -> None:
    found = join_volumes([compare_masks(heart(), heart(), volume())])
    assert (found.differing_voxels, found.voxels, found.patients) == (0, 3 * 20 * 24, 1)
    assert (found.smallest_dice, found.largest_ml_delta) == (1.0, 0.0)
    lv = found.structures()["LV"]
    assert (lv.torch_dice, lv.onnx_dice) == (1.0, 1.0)


def test_every_figure_of_a_known_difference() -> None:
    ours, theirs = heart(), heart()
    theirs[0, 10, 5:9] = 2  # four LV voxels become myocardium: 0.08 ml
    record = compare_masks(ours, theirs, volume())
    assert (record.patient, record.phase, record.differing_voxels) == ("p1", "ED", 4)
    lv = record.structures["LV"]
    assert lv.dice == lv.onnx_dice == pytest.approx(2 * 116 / 236)
    assert (lv.torch_dice, lv.torch_ml) == (1.0, pytest.approx(2.4))
    found = join_volumes([record, compare_masks(ours, ours, volume("ES"))])
    assert found.smallest_dice == pytest.approx(2 * 116 / 236)
    assert abs(found.largest_ml_delta) == pytest.approx(0.08)
    assert found.structures()["LV"].largest_ml_delta == pytest.approx(-0.08)
    assert found.structures()["RV"].largest_ml_delta == 0.0


def test_ejection_fractions_are_compared_in_points() -> None:
    smaller = heart(4)
    smaller[0, 10, 5:9] = 2
    pairs = [(volume(), heart(), heart()), (volume("ES", columns=4), heart(4), smaller)]
    found = join_volumes(compare_masks(ours, theirs, v) for v, ours, theirs in pairs)
    lv, rv = found.ejection()["LV"], found.ejection()["RV"]
    assert (lv.patients, lv.largest_delta) == (1, pytest.approx(100 * 4 / 120))
    assert (rv.patients, rv.largest_delta) == (1, 0.0)
    assert found.largest_ef_delta == pytest.approx(100 * 4 / 120)


def test_without_both_phases_there_is_no_ejection_fraction() -> None:
    found = join_volumes([compare_masks(heart(), heart(), volume())])
    assert found.largest_ef_delta is None
    assert found.to_json()["ejection_fraction"]["LV"] == {"patients": 0, "largest_delta": None}


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError, match="at least one volume"):
        join_volumes([])
    with pytest.raises(InputError, match="p1_ED has no reference mask"):
        compare_masks(heart(), heart(), replace(volume(), mask=None))
    with pytest.raises(DataError, match="native grid"):
        compare_masks(heart()[:2], heart()[:2], volume())


def test_an_export_has_parity_on_every_volume(document: ParityDocument) -> None:
    assert document.ok and document.phantom and document.failure == ""
    cpu = document.measured[0]
    assert (cpu.provider, cpu.logits.images) == ("cpu", 12)
    assert cpu.logits.voxels == 12 * 16 * 12
    assert (cpu.masks.patients, cpu.masks.voxels, cpu.masks.differing_voxels) == (2, 4 * 3 * 20 * 24, 0)
    assert cpu.masks.smallest_dice == 1.0 and cpu.masks.largest_ml_delta == 0.0
    assert document.max_abs_difference >= cpu.logits.max_abs_difference > 0
    labels = {found.torch_ml for v in cpu.masks.volumes for found in v.structures.values()}
    assert len(labels) > 3, "the masks hold something"


def test_a_broken_file_is_refused_with_figures(perturbed: Path) -> None:
    found = measured(build(), perturbed)
    cpu = found.measured[0]
    assert not found.ok and not cpu.ok
    assert cpu.logits.differing_voxels > 0 and cpu.masks.differing_voxels > 0
    assert cpu.masks.smallest_dice < 1 and cpu.masks.largest_ml_delta != 0
    text = found.failure
    assert text.startswith("by ") and "in its logits on 'cpu', where at most 0.001 is accepted" in text
    assert text.endswith(f"in the label of {cpu.masks.differing_voxels:,} of 5,760 phantom voxels")
    assert "phantom" not in replace(found, phantom=False).failure


def test_a_network_or_a_file_without_comparable_logits_is_refused(exported: Path, tmp_path: Path) -> None:
    network = build()
    with torch.no_grad():
        network.head.bias[0] = float("nan")  # pyright: ignore[reportOptionalSubscript]
    with pytest.raises(InputError, match="The network gives non-finite logits"):
        measured(network, exported)
    network.head = torch.nn.Conv2d(11, 5, 1)
    other = export_onnx(network, tmp_path / "five.onnx", divisor=2)
    with pytest.raises(InputError, match=r"gives logits \(3, 4, 16, 12\), .*five\.onnx gives \(3, 5, 16, 12\)"):
        measured(build(), other)


def test_every_known_provider_has_an_honest_row(document: ParityDocument) -> None:
    assert [getattr(row, "provider") for row in document.providers] == ["cpu", "cuda", "openvino"]  # noqa: B009
    for row, plain in zip(document.providers[1:], document.to_json()["providers"][1:], strict=True):
        name = plain["provider"]
        try:
            prove(name)
        except ProviderError as fault:
            assert row == Unmeasured(name, fault.message)
            assert plain == {"provider": name, "measured": False, "reason": fault.message}
        else:
            assert isinstance(row, ProviderParity) and row.ok
            assert row.logits.bound == find_provider(name).logit_bound


def test_a_second_provider_is_held_to_its_own_bound(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = steps.open_session

    def opened(path: Path, *, provider: str, tf32: bool):
        assert tf32 is False
        session = original(path, provider="cpu")
        if provider == "openvino":
            raise ProviderError("not installed")
        shift = {"cpu": 0.0, "cuda": 4e-3}[provider]
        return _Shifted(**{**vars(session), "provider_proven": provider}, shift=shift)

    class _Shifted(steps.Session):
        def __init__(self, *, shift: float, **fields: object) -> None:
            super().__init__(**fields)  # pyright: ignore[reportArgumentType]
            object.__setattr__(self, "shift", shift)

        def run(self, images: np.ndarray) -> np.ndarray:
            return super().run(images) + np.float32(self.shift)  # pyright: ignore[reportAttributeAccessIssue]

    monkeypatch.setattr(steps, "open_session", opened)
    cpu, cuda = measure(build(), exported, samples(), phantom=True).measured
    assert (cpu.provider, cpu.logits.bound) == ("cpu", 1e-3) and cpu.logits.max_abs_difference < 1e-5
    assert (cuda.provider, cuda.logits.bound, cuda.ok) == ("cuda", 5e-3, True)
    assert cuda.logits.max_abs_difference == pytest.approx(4e-3, abs=1e-5)


def test_a_missing_cpu_is_no_row_but_an_error(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path, *, provider: str, tf32: bool):
        raise ProviderError(f"no {provider}")

    monkeypatch.setattr(steps, "open_session", missing)
    with pytest.raises(ProviderError, match="no cpu"):
        measure(build(), exported, samples(), phantom=True)


def test_nothing_measured_is_not_ok() -> None:
    assert not ParityDocument(False, (Unmeasured("cuda", "no driver"),)).ok


def test_the_document_survives_json(document: ParityDocument, perturbed: Path) -> None:
    for found in (document, measured(build(), perturbed)):
        text = json.dumps({"network": "x", **found.to_json()}, allow_nan=False)
        assert ParityDocument.from_json(json.loads(text)) == found
    no_volume = document.to_json()
    no_volume["providers"][0]["masks"]["volumes"] = []
    for damaged in ({}, {"phantom": True, "providers": [{}]}, {"phantom": True, "providers": [3]}, no_volume):
        with pytest.raises(DataError, match=r"Not a parity report.*Export again"):
            ParityDocument.from_json(damaged)


def test_parity_of_a_run_is_measured_on_its_validation_patients(
    tiny_phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = tiny_workspace(tmp_path, tiny_phantom, "train.val_ratio=0.5")
    dense = dense_checkpoint(ws)
    path = export_onnx(dense.network, tmp_path / "run.onnx", divisor=2)
    monkeypatch.setattr(steps, "PARITY_PATIENTS", 2)
    found = measure_parity(ws, dense, path)
    seen = [(volume.patient, volume.phase) for volume in found.measured[0].masks.volumes]
    assert seen == [(patient, phase) for patient in ws.split.val[:2] for phase in ("ED", "ES")]
    assert found.ok and found.phantom
    with pytest.raises(CheckpointError, match="was trained on labels"):
        measure_parity(ws, Checkpoint(dense.network, replace(dense.meta, labels={"LV": 1})), path)


def test_a_stored_document_holds_until_its_format_or_the_machine_changes(
    document: ParityDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = document.to_json()
    assert restore_parity(stored) == document
    assert restore_parity({**stored, "schema": 0}) is None
    assert restore_parity({"provider": "cpu", "ok": True}) is None, "a report of an earlier version"
    stored["providers"][1] = Unmeasured("cuda", "no driver").to_json()
    older = {**stored, "providers": stored["providers"][:2]}  # written before there was an OpenVINO provider

    def refuse(provider: str) -> None:
        raise ProviderError(f"no {provider}")

    monkeypatch.setattr(steps, "prove", refuse)
    assert restore_parity(older) is not None
    monkeypatch.setattr(steps, "prove", lambda provider: refuse(provider) if provider == "openvino" else None)
    assert restore_parity(stored) is None, "CUDA is here now"
    monkeypatch.setattr(steps, "prove", lambda provider: refuse(provider) if provider == "cuda" else None)
    assert restore_parity(older) is None, "OpenVINO is here now"


def test_the_table_tells_every_provider(document: ParityDocument, tmp_path: Path) -> None:
    stage = Stage(tmp_path / "pruned" / "none", "final_model.safetensors")
    stage.onnx.parent.mkdir(parents=True)
    stage.onnx.write_bytes(bytes(2**20))
    (row,) = parity_rows("pruned-none", stage, replace(document, providers=document.providers[:1]))
    assert row[:3] == ["pruned-none", "cpu", "1.00"]
    assert row[4:8] == ["0.001", "0", "5,760", "1.000000"] and row[8:] == ["0.000", "0.000"]
    both = {name: ParityDocument(False, (Unmeasured("cuda", "no driver."),)) for name in ("dense", "pruned-none")}
    assert unmeasured_lines(both) == ["Parity on 'cuda' was not measured for dense, pruned-none: no driver."]
