"""`predict` over folders: what is written, what a resume keeps, and what is never mixed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from pictures import is_drawn

import compress.inference.work as predicting
from compress.data.images import WholeFile
from compress.data.phantom import write_phantom
from compress.data.sources import Source
from compress.data.volume import ACDC_LABELS
from compress.errors import ConfigError, DataError, InputError
from compress.inference.predict import PredictReport, PredictRequest, predict
from compress.inference.study_report import Segmented, Window, describe_study
from compress.lock import locked


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("patients"), patients=3, seed=5)


@pytest.fixture
def run(sealed_path: Path, patients: Path, tmp_path: Path):
    """run(source=..., **options) -> report; results go to tmp_path / "out"."""

    def call(source: Path = patients, **options) -> PredictReport:
        asked = {"model": sealed_path, "source": source, "out": tmp_path / "out", "threads": 1, **options}
        return predict(PredictRequest(**asked))

    return call


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def cine(path: Path, patients: Path, frames: int = 3) -> Path:
    """A 4D file from one phantom image, darker frame by frame."""
    image = nib.load(next(patients.glob("training/patient001/*frame01.nii.gz")))
    voxels = np.asarray(image.dataobj, dtype=np.float32)
    whole = nib.Nifti1Image(np.stack([voxels * (1 - 0.1 * i) for i in range(frames)], axis=-1), image.affine)
    whole.header.set_zooms((*image.header.get_zooms()[:3], 0.03))
    nib.save(whole, path)
    return path


def test_every_study_gets_masks_and_a_report(run, tmp_path: Path) -> None:
    report = run()
    names = [f"patient00{n}" for n in (1, 2, 3)]
    wanted = {f"{name}{end}" for name in names for end in ("_ED.nii.gz", "_ES.nii.gz", ".json")}
    assert set(content(tmp_path / "out")) == {*wanted, "summary.csv"}
    assert [study["study"] for study in report.studies] == names
    assert not report.problems and report.kept == 0


def test_a_report_holds_volumes_clinic_flags_and_trace(run, tmp_path: Path, sealed_path: Path) -> None:
    run()
    text = (tmp_path / "out/patient001.json").read_text()
    study = json.loads(text)
    assert set(study["clinical"]) >= {"LV EDV", "LV ESV", "LV EF", "RV EF", "MYO mass"}
    assert study["phases"]["ES"] == {"mask": "patient001_ES.nii.gz", "frame": 1, "known_by": "Info.cfg"}
    assert study["phantom"] == {"images": True, "model": True}
    assert {len(image["sha256"]) for image in study["images"]} == {64}
    assert study["trace"]["provider"] == "cpu"
    assert set(study["trace"]["versions"]) >= {"cardiocompress", "onnxruntime", "numpy"}
    for place in (tmp_path, sealed_path.parent, Path.home()):
        assert str(place) not in text


def test_volumes_in_the_report_are_those_of_the_mask(run, tmp_path: Path) -> None:
    study = run().studies[0]
    for image in study["images"]:
        mask = nib.load(tmp_path / "out" / image["mask"])
        voxel = np.prod(mask.header.get_zooms()) / 1000
        for name, value in study["labels"].items():
            assert image["volumes_ml"][name] == [pytest.approx((mask.get_fdata() == value).sum() * voxel, abs=1e-3)]


def test_masks_keep_affine_and_zooms(run, tmp_path: Path, patients: Path) -> None:
    run()
    theirs = nib.load(next(patients.glob("training/patient002/*frame01.nii.gz")))
    ours = nib.load(tmp_path / "out/patient002_ED.nii.gz")
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    assert ours.header.get_zooms() == theirs.header.get_zooms()
    assert ours.get_data_dtype() == np.uint8


def test_results_are_the_same_bytes_every_time(run, tmp_path: Path) -> None:
    run()
    first = content(tmp_path / "out")
    run(earlier="restart", batch_size=3)
    assert content(tmp_path / "out") == first


def test_earlier_results_are_not_touched_unless_asked(run, tmp_path: Path) -> None:
    run()
    first = content(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"holds earlier results.*--resume"):
        run()
    assert content(tmp_path / "out") == first


def stopper(after: int):
    """`describe_study` that is interrupted after so many studies: the masks were written, the report was not."""
    calls = []

    def stop(*args, **kwargs):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return describe_study(*args, **kwargs)

    return stop


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    stop_after: int, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    whole = content(tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(predicting, "describe_study", stopper(stop_after))
        run()
    (tmp_path / "out" / ".patient003_ED.nii.abcd1234.partial.gz").write_bytes(b"half a file")  # what a kill leaves
    report = run(earlier="resume")
    assert report.kept == stop_after
    assert content(tmp_path / "out") == whole


@pytest.mark.parametrize(
    "damage", ["mask changed", "mask gone", "report damaged", "report of nothing", "image changed"]
)
def test_a_resume_trusts_nothing_that_changed(damage: str, run, tmp_path: Path) -> None:
    source = write_phantom(tmp_path / "data", patients=2, seed=6)
    run(source)
    whole, out = content(tmp_path / "out"), tmp_path / "out"
    if damage == "mask changed":
        (out / "patient001_ED.nii.gz").write_bytes(whole["patient002_ED.nii.gz"])
    elif damage == "mask gone":
        (out / "patient001_ES.nii.gz").unlink()
    elif damage == "report damaged":
        (out / "patient001.json").write_text("{")
    elif damage == "report of nothing":
        (out / "patient001.json").write_text("[]")
    else:
        frame = next(source.glob("training/patient001/*frame01.nii.gz"))
        frame.write_bytes(next(source.glob("training/patient002/*frame01.nii.gz")).read_bytes())
    report = run(source, earlier="resume")
    assert report.kept == 1
    assert (content(out) == whole) == (damage != "image changed")


@pytest.fixture
def other_model(tmp_path: Path, sealed_path: Path) -> Path:
    path = tmp_path / "other.onnx"
    path.write_bytes(sealed_path.read_bytes() + b"\x32\x00")  # an empty doc_string: another file
    return path


def test_results_of_two_models_are_never_mixed(run, tmp_path: Path, other_model: Path) -> None:
    run()
    with pytest.raises(ConfigError, match=r"patient001\.json was made with model \w{12}; here it is \w{12}"):
        run(model=other_model, earlier="resume")
    assert run(model=other_model, earlier="restart").kept == 0


def test_other_patients_do_not_come_beside_another_models_results(run, tmp_path: Path, other_model: Path) -> None:
    run()
    more = write_phantom(tmp_path / "more", patients=2, seed=8, first=7)
    for earlier in ("refuse", "resume", "restart"):
        with pytest.raises(ConfigError):
            run(more, model=other_model, earlier=earlier)
    assert run(more, earlier="resume").kept == 0
    rows = list(csv.DictReader((tmp_path / "out/summary.csv").read_text().splitlines()))
    assert [row["study"] for row in rows] == [f"patient00{n}" for n in (1, 2, 3, 7, 8)]


def test_an_interrupted_restart_can_be_resumed(run, tmp_path, other_model, monkeypatch) -> None:
    run(overlays=True)
    with monkeypatch.context() as patched:
        patched.setattr(predicting, "describe_study", stopper(1))
        with pytest.raises(KeyboardInterrupt):
            run(model=other_model, earlier="restart")
    assert run(model=other_model, earlier="resume").kept == 1
    assert not list((tmp_path / "out").glob("*.png")), "pictures of the first model would be left"


@pytest.mark.parametrize("earlier", ["refuse", "resume", "restart"])
@pytest.mark.parametrize("name", ["patient001_ED.nii.gz", "patient002.json", "summary.csv", "patient003.png"])
def test_what_predict_did_not_write_is_never_replaced(run, tmp_path, patients, name: str, earlier: str) -> None:
    theirs = tmp_path / "out" / name
    theirs.parent.mkdir()
    image = next(patients.glob("training/patient001/*frame01.nii.gz"))
    theirs.write_bytes(image.read_bytes() if name.endswith(".gz") else b"{}")
    before = theirs.read_bytes()
    with pytest.raises(ConfigError, match=f"{name} was not written by predict"):
        run(earlier=earlier)
    assert theirs.read_bytes() == before
    assert len(content(tmp_path / "out")) == 1


def test_two_processes_do_not_share_a_folder(run, tmp_path: Path) -> None:
    with locked(tmp_path / "out"), pytest.raises(ConfigError, match="Another process is writing to"):
        run()
    assert run().studies


def test_forcing_after_a_refusal_goes_on(run, tmp_path: Path) -> None:
    run()
    assert run(earlier="resume", force=True).kept == 3


def test_a_resume_draws_the_pictures_that_are_missing(run, tmp_path: Path) -> None:
    run()
    assert run(earlier="resume", overlays=True).kept == 0
    assert len(list((tmp_path / "out").glob("patient*.png"))) == 3


def test_a_corrected_phase_is_noticed(run, tmp_path: Path) -> None:
    source = write_phantom(tmp_path / "data", patients=1, seed=9)
    first = run(source).studies[0]["clinical"]
    info = source / "training/patient001/Info.cfg"
    lines = info.read_text().replace("ED:", "XX:").replace("ES:", "ED:").replace("XX:", "ES:")
    info.write_text(lines)
    second = run(source, earlier="resume").studies[0]["clinical"]
    assert second["LV EDV"] == first["LV ESV"]


def test_ed_and_es_given_one_by_one_keep_both_reports(run, tmp_path: Path, patients: Path) -> None:
    for image in sorted(patients.glob("training/patient001/*_frame[0-9][0-9].nii.gz")):
        run(image)
    assert {"patient001_ED.json", "patient001_ES.json"} <= set(content(tmp_path / "out"))


def test_images_of_different_scans_give_no_ejection_fraction(run, tmp_path: Path, patients: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    images = [next(patients.glob(f"training/patient00{n}/*frame01.nii.gz")) for n in (1, 2, 3)]
    for number, image in enumerate(images):
        (folder / f"anna_frame0{number}_0000.nii.gz").write_bytes(image.read_bytes())
    (study,) = run(folder).studies
    assert study["phases"] == {} and study["clinical"] == {}


def test_masks_do_not_come_among_the_images(run, tmp_path: Path, patients: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    image = next(patients.glob("training/patient001/*frame01.nii.gz"))
    (folder / "anna_0000.nii.gz").write_bytes(image.read_bytes())
    with pytest.raises(ConfigError, match="masks would lie among them"):
        run(folder, out=folder)


@pytest.mark.parametrize("name", ["mask.mha", "mask.png", "mask.gz"])
def test_a_mask_is_a_nifti_file(name: str, run, tmp_path: Path, patients: Path) -> None:
    with pytest.raises(ConfigError, match="is no mask's name"):
        run(next(patients.glob("training/patient001/*frame01.nii.gz")), out=tmp_path / name)


def segmented(labels: np.ndarray, windows: tuple[Window, ...]) -> Segmented:
    """An image of these labels (T, Z, Y, X), as `predict` has segmented it."""
    size = labels.shape[1:]
    file = SimpleNamespace(shape=size, spacing=(10.0, 10.0, 10.0), is_cine=len(labels) > 1, frames=len(labels))
    source = Source("a", Path("a.nii"), "a.nii.gz", "", False, WholeFile(Path("a.nii")))
    return Segmented(source, file, "", labels, (), windows)  # pyright: ignore


def still(labels: np.ndarray, window: Window) -> Segmented:
    return segmented(labels[None], (window,))


def described(images: list[Segmented]) -> dict:
    members = {name: (value,) for name, value in ACDC_LABELS.items()}
    card = SimpleNamespace(labels=ACDC_LABELS, members=members, nnunet=None, phantom=False, intended_use="Tests.")
    return describe_study(images, [(Path("a.nii.gz"), "")], segmenter=SimpleNamespace(card=card), trace={})


def test_a_frame_without_an_lv_is_no_end_systole() -> None:
    volumes = [20, 0, 12, 16]
    labels = np.zeros((len(volumes), 1, 8, 8), np.uint8)
    for frame, voxels in zip(labels, volumes, strict=True):
        frame.ravel()[:voxels] = 3
    found = described([segmented(labels, (Window(),) * len(volumes))])
    assert [found["phases"][name]["frame"] for name in ("ED", "ES")] == [1, 3]
    assert any("without frame 2" in flag["message"] for flag in found["flags"])
    assert found["images"][0]["recentred"] == []


def test_where_the_window_was_moved_is_told_and_what_it_still_cuts_is_flagged() -> None:
    image = still(np.full((5, 8, 8), 3, np.uint8), Window(((12.0, -34.5), (60.0, 0.0)), (1, 2)))
    (told,) = described([image])["images"]
    assert told["recentred"] == [{"frame": 1, "moves_mm_yx": [[12.0, -34.5], [60.0, 0.0]]}]
    flags = {flag["kind"]: flag["message"] for flag in told["flags"]}
    assert "edge of the network's window in slices 2-3" in flags["window-edge"]


def test_one_bad_study_hides_no_other(run, tmp_path: Path) -> None:
    source = write_phantom(tmp_path / "data", patients=3, seed=7)
    next(source.glob("training/patient002/*frame01.nii.gz")).write_bytes(b"\x1f\x8bno")
    report = run(source)
    assert [study["study"] for study in report.studies] == ["patient001", "patient003"]
    assert "patient002" in report.problems[0].message
    assert not list((tmp_path / "out").glob("patient002*"))
    rows = list(csv.DictReader((tmp_path / "out/summary.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["segmented", "segmented", "failed"]


def test_one_image_can_name_its_mask(run, tmp_path: Path, patients: Path) -> None:
    source = next(patients.glob("training/patient001/*frame01.nii.gz"))
    run(source, out=tmp_path / "here/heart.nii")
    assert set(content(tmp_path / "here")) == {"heart.nii", "heart.json"}


def test_many_images_cannot_share_one_name(run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"names one file, but .* holds 6 images"):
        run(out=tmp_path / "all.nii.gz")


def test_the_image_is_never_overwritten(run, tmp_path: Path, patients: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    image = plain / "a.nii.gz"
    image.write_bytes(next(patients.glob("training/patient001/*frame01.nii.gz")).read_bytes())
    before = image.read_bytes()
    with pytest.raises(ConfigError, match="would overwrite its image"):
        run(plain, out=plain, earlier="restart")
    assert image.read_bytes() == before


def test_a_cine_gives_one_mask_with_time_and_its_own_ed_and_es(run, tmp_path: Path, patients: Path) -> None:
    source = cine(tmp_path / "heart_4d.nii.gz", patients)
    report = run(source)
    mask = nib.load(tmp_path / "out/heart_4d.nii.gz")
    assert mask.shape == nib.load(source).shape
    assert mask.header.get_zooms() == nib.load(source).header.get_zooms()
    (image,) = report.studies[0]["images"]
    assert image["frames"] == 3
    lv = image["volumes_ml"]["LV"]
    phases = report.studies[0]["phases"]
    if len(set(lv)) > 1:
        assert phases["ED"]["frame"] == lv.index(max(lv)) + 1
        assert phases["ES"]["frame"] == lv.index(min(lv)) + 1
    else:
        assert phases == {}


def test_overlays_are_drawn_for_every_study(run, tmp_path: Path) -> None:
    run(overlays=True)
    assert len(list((tmp_path / "out").glob("patient*.png"))) == 3


def test_overlays_of_a_study_with_unknown_phases(run, tmp_path: Path, patients: Path) -> None:
    source = tmp_path / "single.nii.gz"
    source.write_bytes(next(patients.glob("training/patient001/*frame01.nii.gz")).read_bytes())
    run(source, overlays=True)
    assert is_drawn(tmp_path / "out/single.png")


def test_nothing_to_segment_is_an_error(run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        run(tmp_path / "empty")


def test_a_folder_that_cannot_be_written_is_an_error(run, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="a part of that path is a file"):
        run()
