"""From a trained run to a box without torch: what `export` writes, `info`, `verify` and `predict` read."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from cli_kit import settings

from compress.data.layouts import find_cases, read_volume
from compress.data.phantom import write_phantom
from compress.data.pieces import drop_bare, drop_small, fill_holes
from compress.data.preprocess import Preprocessing
from compress.data.volume import ACDC_LABELS, Case
from compress.models.checkpoint import load
from compress.runtime.card import read_card
from compress.runtime.modelfile import read_metadata
from compress.runtime.predict import Run, find
from compress.runtime.session import open_session
from compress.steps.scoring.cohort import torch_run

NEAR_TIES = 2e-5
"""Share of voxels where a network of two epochs is so undecided that torch and ONNX Runtime may round apart."""


def rules_of(model: Path) -> Preprocessing:
    """Those in the file."""
    return read_card(read_metadata(model), model).preprocessing


def training_side(run: Run, rules: Preprocessing, case: Case) -> np.ndarray:
    """The mask that evaluation computes."""
    look = partial(rules.forward, read_volume(case, require_mask=False))
    return find(run, look, recentre=rules.recentre, batch_size=8).mask


def check_volumes(stage: Path, written: Path) -> None:
    """The volumes of `eval` are those of `predict`, up to near-ties."""
    scores = json.loads((stage / "eval/metrics.json").read_text())["volumes"]
    assert scores
    for score in scores:
        mask = nib.load(written / f"{score['patient']}_{score['phase']}.nii.gz")
        voxel_ml = np.prod(mask.header.get_zooms()) / 1000
        for name, value in ACDC_LABELS.items():
            voxels = np.count_nonzero(np.asarray(mask.dataobj) == value)
            ours = score["structures"][name]["prediction_ml"] / voxel_ml
            assert abs(ours - voxels) <= NEAR_TIES * np.prod(mask.shape)


def check_masks(command, folder: Path, data: Path, out: Path) -> None:
    """Dense and pruned: every voxel of `predict` is that of evaluation, through ONNX Runtime and through torch."""
    for name in ("baseline/final_model", "pruned/keep/pruned_model"):
        model, checkpoint = folder / f"{name}.onnx", load(folder / f"{name}.safetensors")
        done = command("predict", model, data, "-o", out / name)
        assert done.code == 0, done.err
        rules = rules_of(model)
        session, network = open_session(model), torch_run(checkpoint.network, torch.device("cpu"))
        for case in find_cases(data):
            written = np.asarray(nib.load(out / name / f"{case.name}.nii.gz").dataobj).T
            np.testing.assert_array_equal(written, training_side(session.run, rules, case))
            assert (written != training_side(network, rules, case)).mean() <= NEAR_TIES
        check_volumes(model.parent, out / name)


@pytest.mark.usefixtures("without_pages")
def test_from_training_to_masks(trained, tiny_phantom, tmp_path, command):
    run = trained
    assert command("prune", "--ratios", "ratios.yaml", *settings()).code == 0
    done = command("export", *settings())
    assert done.code == 0, done.err
    assert "(phantom)" in done.out and "cuda" in done.out
    parity = json.loads((run / "baseline/parity.json").read_text())["report"]
    assert parity["ok"] is True
    check_masks(command, run, tiny_phantom, tmp_path / "masks")

    model = run / "pruned/keep/pruned_model.onnx"
    shown = command("info", model)
    assert shown.code == 0
    for word in ("RV", "PHANTOM", "cubic spline", "criterion l1", "not a medical device", "self-test"):
        assert word in shown.out
    assert "at most 2 times onto a heart that it cuts" in shown.out
    card = json.loads(command("info", model, "--json").out)
    assert card["preprocessing"]["recentre"]["at_most"] == 2
    assert card["pruning"]["criterion"] == "l1"
    assert card["training"]["range"]["slices"][0] >= 1
    verified = command("verify", model)
    assert verified.code == 0
    assert verified.out.startswith("bit-equal")
    assert json.loads(command("verify", model, "--json").out)["verdict"] == "bit-equal"


@pytest.mark.usefixtures("without_pages")
def test_an_export_is_made_again_when_its_card_would_change(trained, command):
    assert command("export", *settings()).code == 0
    model = trained / "baseline/final_model.onnx"
    first = model.read_bytes()
    assert command("export", *settings()).code == 0
    assert model.read_bytes() == first
    assert command("export", *settings("export.licence=CC BY-NC-SA 4.0")).code == 0
    assert json.loads(command("info", model, "--json").out)["licence"] == "CC BY-NC-SA 4.0"


@pytest.mark.usefixtures("without_pages")
def test_small_pieces_are_dropped_by_whoever_runs_the_file(trained, tiny_phantom, tmp_path, command):
    others = ("--fill-holes", "LV,MYO", "--drop-bare", "all")
    done = command("export", *settings(), "--postprocess", "LV=0.6,RV=0.9", *others)
    assert done.code == 0, done.err
    rule = (
        "pieces that are dropped: RV below 0.9 of its largest, LV below 0.6 of its largest (as configured, not "
        "measured); cavities that are dropped: LV in slices with less than 0.1 of its outline on MYO and more of it "
        "than in any other (as configured, not measured); holes that are filled: MYO, LV (as configured, not measured)"
    )
    assert rule in done.out
    model = trained / "baseline/final_model.onnx"
    assert "RV below 0.9" in command("info", model).out
    assert command("verify", model).code == 0
    assert command("predict", model, tiny_phantom, "-o", tmp_path / "out").code == 0
    rules = rules_of(model)
    run, changed = open_session(model).run, 0
    for case in find_cases(tiny_phantom):
        whole = training_side(run, rules, case)
        kept = fill_holes(drop_bare(drop_small(whole, {3: 0.6, 1: 0.9}), {2: 3}), [2, 3], {2: 3})
        written = np.asarray(nib.load(tmp_path / "out" / f"{case.name}.nii.gz").dataobj).T
        np.testing.assert_array_equal(written, kept)
        changed += not np.array_equal(whole, kept)
    assert changed, "a network of two epochs leaves islands"

    plain = json.loads((trained / "baseline/eval/metrics.json").read_text())
    told = command("eval", *settings("evaluation.num_visuals=0"))
    assert "the exported file does otherwise with masks: pieces" in told.out.replace("\n", " ")
    done = command("eval", *settings(), "--postprocess", "LV=0.6,RV=0.9", *others)
    assert done.code == 0 and "the exported file" not in done.out
    tidied = json.loads((trained / "baseline/eval/metrics.json").read_text())
    assert tidied["postprocessing"] == rule and f"Masks: {rule}." in (trained / "baseline/eval/metrics.md").read_text()
    assert tidied["volumes"] != plain["volumes"]

    auto = command("export", *settings(), "--postprocess", "auto")
    assert auto.code == 0, auto.err
    card = json.loads(command("info", model, "--json").out)["postprocessing"]
    measured = json.loads((trained / "baseline/eval/postprocessing.json").read_text())["effects"]
    assert [(row["structure"], row["share"]) for row in measured] == [
        (name, share) for share in (0.5, 0.2, 0.1, None, None) for name in ("RV", "MYO", "LV")
    ]
    better = {(row["rule"], row["structure"]) for row in measured if row["dice"][1] > row["dice"][0]}
    assert {("holes", name) for name in card.get("holes", {"structures": []})["structures"]} <= better
    assert {("bare", name) for name in card.get("bare", {"rings": {}})["rings"].values()} <= better
    assert any(row["changed"] for row in measured)
    helps = [
        (row["structure"], row["share"])
        for row in measured
        if row["share"]
        and row["hd95_mm"][1] < row["hd95_mm"][0]
        and row["dice"][1] >= row["dice"][0]
        and row["largest_loss"] <= 0.01
    ]
    assert card.get("small_pieces", {"shares": {}})["shares"] == dict(reversed(helps)), "the largest share that helps"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("--postprocess LV", "export.postprocess"),
        ("--postprocess LV=", "--postprocess is LV=; a word or a list such as LV=0.5,RV=0.5 is needed"),
        ("--postprocess LA=0.5", "export.postprocess names LA; the network segments"),
        ("--postprocess LV=1.5", "export.postprocess"),
        ("--fill-holes LA", "export.fill_holes names LA; the network segments"),
        ("--fill-holes LV=1", "export.fill_holes"),
        ("--drop-bare LV", "export.drop_bare"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(asked: str, said: str, trained, command):
    refused = command("export", *settings(), *asked.split())
    assert refused.code == 2 and said in refused.err.replace("\n", " ")
    assert not (trained / "baseline/final_model.onnx").exists()


def test_a_network_is_not_exported_with_other_data_than_it_was_trained_on(trained, tmp_path, command):
    other = write_phantom(tmp_path / "other", patients=4, seed=3)
    refused = command("export", *settings(f"train.paths.train_dir={other}"))
    assert refused.code == 2
    assert "was trained on data" in refused.err and "train.paths.train_dir" in refused.err
    assert not (trained / "baseline/final_model.onnx").exists()


def test_one_study_is_shown_with_its_values(sealed_path, tiny_phantom, tmp_path, command):
    done = command("predict", sealed_path, tiny_phantom / "training/patient001", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "patient001 (phantom)" in done.out
    assert "LV EDV" in done.out and "1 study (phantom) segmented" in done.out


def test_a_folder_is_shown_in_one_line_with_its_failures(sealed_path, tiny_phantom, tmp_path, command):
    import shutil

    data = shutil.copytree(tiny_phantom, tmp_path / "data")
    next(data.glob("training/patient002/*frame01.nii.gz")).write_bytes(b"")
    done = command("predict", sealed_path, data, "-o", tmp_path / "out")
    assert done.code == 2
    assert "5 studies (phantom) segmented" in done.out
    assert "patient002_frame01.nii.gz is empty (0 bytes)" in done.err
    assert done.err.strip().splitlines()[-1].startswith("error: 1 of 6 could not be segmented")
    again = command("predict", sealed_path, data, "-o", tmp_path / "out", "--resume")
    assert again.code == 2
    assert "5 of them by an earlier run" in again.out


@pytest.mark.acdc
def test_masks_of_real_patients_are_those_of_the_training_side(acdc_dir, tmp_path, command, monkeypatch):
    import shutil

    source = acdc_dir / "training" if (acdc_dir / "training").is_dir() else acdc_dir
    for number in (1, 21, 41, 61, 81, 90):
        shutil.copytree(source / f"patient{number:03d}", tmp_path / "few/training" / f"patient{number:03d}")
    monkeypatch.chdir(tmp_path)
    assert command("init", "--data", tmp_path / "few").code == 0
    for step in (("train",), ("prune",), ("export",)):
        done = command(*step, *settings())
        assert done.code == 0, done.err
    check_masks(command, tmp_path / "artifacts/cardiac", tmp_path / "few", tmp_path / "masks")
