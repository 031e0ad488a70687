"""`predict` on what hospitals have beside clean stacks: what is refused, and what is stated when forced."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nifti_kit import raw_file

from cli.predict import show_predictions
from compress.inference.predict import PredictReport, PredictRequest, predict

SPACING = (8.0, 2.0, 2.0)  # mm along (z, y, x)


def heart(slices: int = 6, seed: int = 0) -> np.ndarray:
    """(Z, Y, X) int16: a bright blob that becomes narrower, and noise."""
    noise = np.random.default_rng(seed).integers(0, 60, (slices, 96, 96))
    y, x = np.meshgrid(*[np.abs(np.arange(96) - 48)] * 2, indexing="ij")
    wide = np.hypot(y, x) < np.linspace(26, 14, slices)[:, None, None]
    return (noise + 200 * wide).astype(np.int16)


def write(path: Path, array: np.ndarray, **fields: object) -> Path:
    return raw_file(path, array, **{"pixdim": [1.0, *SPACING[::-1], 1, 1, 1, 1], "xyzt_units": 2, **fields})


@pytest.fixture
def run(sealed_path: Path, tmp_path: Path):
    """run(source, **options) -> report; results go to tmp_path / "out"."""

    def call(source: Path, **options) -> PredictReport:
        return predict(PredictRequest(**{"model": sealed_path, "source": source, "out": tmp_path / "out", **options}))

    return call


@pytest.mark.parametrize(
    "array, like",
    [
        (np.stack([heart(seed=seed)[3:4] for seed in range(5)]), "a long-axis or single-slice cine"),
        (heart()[2:5], "a part of a stack"),
        (np.concatenate([heart(1, seed) for seed in range(16)]), "time in the place of slices"),
    ],
    ids=["cine of one slice", "three slices", "time as slices"],
)
def test_no_volume_of_slices_that_cannot_hold_a_ventricle(array, like, run, tmp_path: Path, capsys) -> None:
    source = write(tmp_path / "la.nii.gz", array)
    (problem,) = run(source).problems
    assert like in problem.message and "--force" in problem.message
    (study,) = run(source, force=True).studies
    assert study["clinical"] == study["phases"] == study["images"][0]["volumes_ml"] == {}
    assert [flag["kind"] for flag in study["flags"]] == ["no-volumes"]
    show_predictions(run(source, force=True, earlier="resume"))
    told = capsys.readouterr()
    assert " ml" not in told.out and "no volume, EF or mass is stated" in told.err and like in told.err


def test_a_pair_named_ed_and_es_is_one_study(run, tmp_path: Path) -> None:
    for name in ("anna_sa_ED", "anna_sa_ES", "bert_ED", "carl", "carl_ED", "carl_ES"):
        write(tmp_path / "in" / f"{name}.nii.gz", heart(seed=len(name)))
    studies = {study["study"]: study for study in run(tmp_path / "in").studies}
    assert list(studies) == ["anna_sa", "bert_ED", "carl", "carl_ED", "carl_ES"]
    told = studies["anna_sa"]["phases"]
    assert told["ES"] == {"mask": "anna_sa_ES.nii.gz", "frame": 1, "known_by": "file name"}
    assert "LV EDV" in studies["anna_sa"]["clinical"] and not studies["bert_ED"]["phases"]


def test_a_failed_patient_has_its_own_name(run, tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / "in" / f"patient{number:03d}"
        for frame in (1, 9):
            write(folder / f"{folder.name}_frame{frame:02d}.nii.gz", heart(seed=frame))
        (folder / "Info.cfg").write_text("ED: 1\nES: 9\n")
    (tmp_path / "in" / "patient001" / "Info.cfg").write_text("ED: one\n")
    (tmp_path / "in" / "patient002" / "patient002_frame09.nii.gz").write_bytes(b"")
    run(tmp_path / "in")
    rows = (tmp_path / "out" / "summary.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:2] for row in rows] == [["patient001", "failed"], ["patient002", "failed"]]


def test_phantom_is_said_of_the_model_and_not_of_the_study(run, tmp_path: Path, capsys) -> None:
    for name in ("anna", "bert"):
        write(tmp_path / "in" / f"{name}.nii.gz", heart(seed=len(name)))
    show_predictions(run(tmp_path / "in"))
    told = capsys.readouterr().out
    assert "2 studies (phantom-trained model) segmented" in told and "(phantom)" not in told


def test_a_folder_states_no_volume_either(run, tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.nii.gz", heart()[3:4])
    write(tmp_path / "in" / "b.nii.gz", heart(seed=1))
    run(tmp_path / "in", force=True)
    head, first, second = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    column = head.split(",").index("LV volume (ml)")
    assert first.split(",")[column] == "" and float(second.split(",")[column]) >= 0
    assert json.loads((tmp_path / "out" / "a.json").read_text())["images"][0]["concerns"][0]["kind"] == "flat-stack"
