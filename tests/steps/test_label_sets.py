"""Data sets with other structures than RV, MYO and LV: the whole chain with those that are there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from heart_kit import make_heart
from workspace_kit import tiny_workspace

from compress.data.check import check_folder
from compress.data.phantom import write_image
from compress.errors import CheckpointError, ConfigError
from compress.inference.predict import PredictRequest, predict
from compress.runtime.segmenter import Segmenter
from compress.steps.exporting.export import export_stage
from compress.steps.gating.gate import gate
from compress.steps.reporting.refresh import write_pages
from compress.steps.scoring.cohort import score_cohort, torch_run
from compress.steps.training.dense import dense_checkpoint, train_dense
from compress.steps.training.request import Policy

SETS = {
    "LV alone": {"LV blood pool": 3},
    "LA too": {"RV": 1, "MYO": 2, "LV": 3, "left atrium": 4, "ignore": 9},
}
EXPECTED = {
    "LV alone": {"LV": 1},
    "LA too": {"RV": 1, "MYO": 2, "LV": 3, "LA": 4},
}
QUICK = ("train.parameters.num_epochs=1", "evaluation.num_visuals=1", "gate.min_patients=6", "train.val_ratio=0.5")


def hearts(root: Path, named: dict[str, int], patients: int = 12) -> Path:
    """nnU-Net's layout; each structure of `make_heart` under the value that `named` gives it, an atrium beside them."""
    meant = {"RV": 1, "MYO": 2, "LVM": 2, "LV": 3, "LVBP": 3, "LV blood pool": 3, "left atrium": 4}
    for number in range(patients):
        for frame, scale in ((1, 1.0), (8, 0.75)):
            image, mask = make_heart(slices=6, side=112, seed=10 * number + frame, scale=scale)
            mask[0, 4:14, 4:14], mask[1, 4:6, 4:6] = 4, 5
            told = np.sum([(mask == meant.get(name, 5)) * value for name, value in named.items()], axis=0)
            name = f"p{number}_frame{frame:02d}"
            for path, array in ((f"imagesTr/{name}_0000.nii.gz", image), (f"labelsTr/{name}.nii.gz", told)):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                write_image(root / path, array.astype(np.int16), (8.0, 1.5, 1.5))
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, **named}}))
    return root


@pytest.mark.parametrize("kind", ["LV alone", pytest.param("LA too", marks=pytest.mark.long)])
def test_the_whole_chain(kind: str, tmp_path: Path) -> None:
    data, labels = hearts(tmp_path / "data", SETS[kind]), EXPECTED[kind]
    assert not check_folder(data).problems
    ws = tiny_workspace(tmp_path / "run", data, *QUICK, features=(4, 8))
    assert ws.labels == labels
    report = train_dense(ws, policy=Policy(force=True))
    assert report.structures == list(labels)
    assert {name for name, found in report.clinical().items() if found.n} == quantities(labels)
    export_stage(ws, ws.run.baseline)
    model = ws.run.baseline.onnx
    card = Segmenter(model).card
    assert card.labels == labels and card.heads == len(labels) + 1 and all(name in card.intended_use for name in labels)
    verdict, _ = gate(ws, model, model)
    assert {row.name for row in verdict.endpoints if row.name.startswith("Dice")} == {f"Dice {n}" for n in labels}
    shown = write_pages(ws)
    assert shown is not None
    page = shown[1].read_text()
    assert ("Dice RV" in page) == ("RV" in labels) and ("Dice LA" in page) == ("LA" in labels)
    told = predict(PredictRequest(model, data / "imagesTr", tmp_path / "masks", threads=1, force=True))
    assert not told.problems and len(told.studies) == 12
    assert all(set(image["volumes_ml"]) <= set(labels) for study in told.studies for image in study["images"])
    assert f"{[*labels][-1]} volume (ml)" in (tmp_path / "masks/summary.csv").read_text()


def quantities(labels: dict[str, int]) -> set[str]:
    """What can be known of these structures."""
    found = {f"{name} {what}" for name in ("LV", "RV") if name in labels for what in ("EDV", "ESV", "SV", "EF")}
    return found | ({"MYO mass"} if "MYO" in labels else set())


def test_numbers_follow_the_structures_that_count(tmp_path: Path) -> None:
    data = hearts(tmp_path / "data", {"LV": 1, "LVM": 2}, patients=3)
    report = check_folder(data)
    assert not report.problems and set(report.millilitres["ED"]) == {"MYO", "LV"}
    assert all(fact.lv_edge is not None for fact in report.facts)
    assert tiny_workspace(tmp_path / "run", data).labels == {"MYO": 1, "LV": 2}


def test_structures_are_chosen_by_the_configuration(tmp_path: Path) -> None:
    data = hearts(tmp_path / "data", SETS["LA too"], patients=3)
    assert tiny_workspace(tmp_path / "a", data, "data.structures=[LV, RV]").labels == {"RV": 1, "LV": 2}
    with pytest.raises(ConfigError, match=r"has no septum: its masks tell RV, MYO, LV, LA, ignore"):
        tiny_workspace(tmp_path / "b", data, "data.structures=[LV, septum]")
    with pytest.raises(ConfigError, match=r"out_channels is 4; background and RV, MYO, LV, LA are 5"):
        tiny_workspace(tmp_path / "c", data, "train.model.out_channels=4")
    ws = tiny_workspace(tmp_path / "d", data, "data.structures=[LV]")
    with pytest.raises(CheckpointError, match=r"Set data.structures to \['LV'\]"):
        tiny_workspace(tmp_path / "e", data).check_labels(dense_checkpoint(ws).meta)


def test_data_sets_of_other_structures_are_kept_apart(tmp_path: Path) -> None:
    hearts(tmp_path / "all" / "a", SETS["LA too"], patients=1)
    hearts(tmp_path / "all" / "b", SETS["LV alone"], patients=1)
    with pytest.raises(ConfigError, match=r"holds masks of RV, MYO, LV, LA, ignore and of LV \(b_p0_ED\)"):
        assert tiny_workspace(tmp_path / "run", tmp_path / "all", "data.recursive=true").labels


def test_another_cohort_is_scored_with_what_its_masks_tell(tmp_path: Path) -> None:
    data = hearts(tmp_path / "data", SETS["LA too"], patients=3)
    other = hearts(tmp_path / "other", {"LVBP": 7}, patients=2)
    ws = tiny_workspace(tmp_path / "run", data, f"evaluation.paths.eval_dir={other}")
    checkpoint = dense_checkpoint(ws)
    cohort = ws.evaluation
    assert cohort.labels == {"LV": 3}
    run = torch_run(checkpoint.network, torch.device("cpu"))
    report = score_cohort(ws, run, cohort, ws.rules_of(checkpoint.meta), name="other")
    assert report.structures == ["LV"] and all(v.structures["LV"].reference_ml > 10 for v in report.volumes)
    organs = hearts(tmp_path / "organs", {"ignore": 1, "liver": 2}, patients=2)
    with pytest.raises(ConfigError, match=r"has no RV, MYO, LV, LA: its masks tell liver"):
        assert tiny_workspace(tmp_path / "far", data, f"evaluation.paths.eval_dir={organs}").evaluation
