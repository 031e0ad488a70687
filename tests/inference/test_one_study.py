"""One study's failure is that study's line: the others go on, and the table tells no folder and no formula."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from nifti_kit import raw_file

from compress.data.frames import ImageFile
from compress.errors import EnvironmentFault
from compress.inference import predict as module
from compress.inference.predict import PredictRequest, predict
from compress.runtime.segmenter import Segmenter


def write_images(folder: Path, *names: str) -> Path:
    import numpy as np

    for seed, name in enumerate(names):
        noise = np.random.default_rng(seed).integers(0, 60, (4, 64, 64)).astype(np.int16)
        noise[:, 24:40, 24:40] += 200
        raw_file(folder / f"{name}.nii.gz", noise, pixdim=[1.0, 2.0, 2.0, 8.0, 1, 1, 1, 1], xyzt_units=2)
    return folder


FAULTS = {
    "memory": MemoryError(),
    "ONNX Runtime": EnvironmentFault("model.onnx failed on (16, 1, 32, 32) images: bad allocation."),
    "a defect": KeyError("LV"),
    "the disk of the image": OSError(5, "Input/output error"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_the_others_go_on_and_resume_passes_it_by(kind, tmp_path, sealed_path, monkeypatch) -> None:
    source, real = write_images(tmp_path / "images", "a", "b", "c"), Segmenter.segment_frames

    def fail(self: Segmenter, image: ImageFile, **words: Any) -> Any:
        if image.path.name.startswith("b."):
            raise FAULTS[kind]
        return real(self, image, **words)

    monkeypatch.setattr(Segmenter, "segment_frames", fail)
    request = PredictRequest(sealed_path, source, tmp_path / "out", threads=1)
    for earlier in ("refuse", "resume"):
        report = predict(PredictRequest(**{**vars(request), "earlier": earlier}))
        assert [study["study"] for study in report.studies] == ["a", "c"]
        assert [problem.study for problem in report.problems] == ["b"]
    rows = list(csv.reader((tmp_path / "out" / "summary.csv").read_text().splitlines()))
    assert [row[:2] for row in rows[1:]] == [["a", "segmented"], ["c", "segmented"], ["b", "failed"]]


def test_a_defect_while_the_results_are_written_is_that_study_s_too(tmp_path, sealed_path, monkeypatch) -> None:
    source, real = write_images(tmp_path / "images", "a", "b"), module.describe_study

    def fail(images: Any, *words: Any, **more: Any) -> Any:
        if images[0].source.study == "a":
            raise KeyError("LV")
        return real(images, *words, **more)

    monkeypatch.setattr(module, "describe_study", fail)
    report = predict(PredictRequest(sealed_path, source, tmp_path / "out", threads=1))
    assert [p.study for p in report.problems] == ["a"] and "KeyError" in report.problems[0].message
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"b.nii.gz", "b.json", "summary.csv"}


def test_the_table_tells_no_folder_and_no_formula(tmp_path: Path, sealed_path: Path) -> None:
    folder = tmp_path / "My Patients" / "Erika Mustermann"
    names = ("Meier;=1+1", "\uff1d1+1", "=2", "x,+3", "good")
    source = write_images(folder, *names)
    (source / "broken;@SUM(1).nii.gz").write_bytes(b"x")
    predict(PredictRequest(sealed_path, source, tmp_path / "out", threads=1))
    text = (tmp_path / "out" / "summary.csv").read_text()
    assert "Erika" not in text and str(tmp_path) not in text
    for separator in (",", ";", "\t", "|"):
        for row in csv.reader(text.splitlines(), delimiter=separator):
            assert not any(cell.strip().startswith(("=", "+", "-", "@", "\uff1d")) for cell in row), row


def test_a_large_image_is_refused_by_its_header_alone(tmp_path, sealed_path, monkeypatch) -> None:
    import numpy as np

    path = raw_file(tmp_path / "huge.nii.gz", np.zeros((4, 2100, 2100), np.uint8), pixdim=[1.0] * 8, xyzt_units=2)

    def read(*_: Any) -> Any:
        raise AssertionError("its voxels were read")

    monkeypatch.setattr(ImageFile, "volumes", read)
    report = predict(PredictRequest(sealed_path, path, tmp_path / "out", threads=1))
    assert "expected at least 32 pixels and 100 to 600 mm a side" in report.problems[0].message
