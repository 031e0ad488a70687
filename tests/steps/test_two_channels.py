"""Two images of one heart: a network that looks at both learns, is pruned, exported, judged and segments."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from test_label_sets import QUICK, hearts
from workspace_kit import tiny_workspace

from compress.config.pruning import Pruning, Ratios
from compress.data.check import check_folder
from compress.data.phantom import write_image
from compress.errors import ConfigError, DataError
from compress.inference.predict import PredictRequest, predict
from compress.models.checkpoint import load
from compress.runtime.segmenter import Segmenter
from compress.runtime.verify import verify
from compress.steps.exporting.export import export_stage
from compress.steps.gating.gate import gate
from compress.steps.pruning.prune import prune_and_retrain
from compress.steps.training.dense import train_dense
from compress.steps.training.request import Policy

NAMED = {"RV": 1, "MYO": 2, "LV": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hearts of nnU-Net's layout with a second, darker and noisier image of each."""
    root = hearts(tmp_path_factory.mktemp("two"), NAMED, patients=12)
    for seed, first in enumerate(sorted(root.glob("imagesTr/*_0000.nii.gz"))):
        voxels = np.asarray(nib.load(first).dataobj).T  # pyright: ignore[reportAttributeAccessIssue]
        noise = np.random.default_rng(seed).integers(0, 30, voxels.shape)
        second = first.with_name(first.name.replace("_0000", "_0001"))
        write_image(second, (voxels.max() - voxels // 2 + noise).astype(np.int16), (8.0, 1.5, 1.5))
    (root / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, **NAMED}, "channel_names": {"0": "cine", "1": "T1"}})
    )
    return root


def test_the_whole_chain(data: Path, tmp_path: Path) -> None:
    assert not check_folder(data).problems
    ws = tiny_workspace(tmp_path / "run", data, *QUICK, features=(4, 8))
    assert ws.channels == 2
    train_dense(ws, policy=Policy(force=True))
    settings = {"finetune_epochs": 1, "compensate": True, "distill": 0.5, "average": 0.9}
    prune_and_retrain(ws, Pruning(name="half", ratios=Ratios(default=0.5, align="none"), **settings))
    dense, small = ws.run.baseline, ws.run.pruned("half")
    assert load(small.final).network.encoders[0].conv1.weight.shape[:2] == (2, 2)  # pyright: ignore
    for stage in (dense, small):
        export_stage(ws, stage)
    card = Segmenter(small.onnx).card
    assert card.channels == 2 and card.to_json()["input"]["channels"] == 2
    assert verify(small.onnx, threads=1).verdict == "bit-equal"
    verdict, _ = gate(ws, dense.onnx, small.onnx)
    assert verdict.endpoints
    told = predict(
        PredictRequest(small.onnx, data / "imagesTr", tmp_path / "masks", threads=1, force=True, overlays=True)
    )
    assert not told.problems and len(told.studies) == 12
    both, one = (_prepared(Segmenter(small.onnx), data, blank) for blank in (False, True))
    assert (both[:, 0] == one[:, 0]).all() and (both[:, 1] != one[:, 1]).any()


def _prepared(segmenter: Segmenter, data: Path, blank: bool) -> np.ndarray:
    first = next(iter(sorted(data.glob("imagesTr/*_0000.nii.gz"))))
    files = [first, first if blank else first.with_name(first.name.replace("_0000", "_0001"))]
    image = np.stack([np.asarray(nib.load(path).dataobj).T for path in files])  # pyright: ignore
    return segmenter.prepare(image.astype(np.float32), (8.0, 1.5, 1.5), name="a").images


def test_other_channels_than_the_network_takes_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"in_channels is 1; an image of the data has 2 channel"):
        tiny_workspace(tmp_path / "a", data, "train.model.in_channels=1")
    single = Path(shutil.copytree(data, tmp_path / "single"))
    for path in single.glob("imagesTr/*_0001.nii.gz"):
        path.unlink()
    (single / "dataset.json").write_text(json.dumps({"labels": {"background": 0, **NAMED}}))
    ws = tiny_workspace(tmp_path / "b", data, f"evaluation.paths.eval_dir={single}")
    with pytest.raises(ConfigError, match=r"has 1 channel\(s\); 2 are expected"):
        _ = ws.evaluation
    export_stage(ws, ws.run.baseline)
    report = predict(
        PredictRequest(ws.run.baseline.onnx, single / "imagesTr", tmp_path / "masks", threads=1, force=True)
    )
    assert len(report.problems) == 12 and "_0001.nii.gz" in report.problems[0].message
    with pytest.raises(DataError, match=r"2 channel\(s\)"):
        next(Segmenter(ws.run.baseline.onnx).segment_frames(next(single.glob("imagesTr/*"))))
