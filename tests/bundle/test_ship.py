"""Bundles: whole or not at all, reproducible, and only with evidence that speaks of the shipped file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from shipping_kit import accepted_request, contents, make_verdict, quantize_record, without_torch, write_gate

from compress import __version__
from compress.bundle import ship as shipping
from compress.bundle.example import example_image
from compress.bundle.ship import ShipRequest, ship
from compress.bundle.verify import verify_bundle
from compress.data.frames import open_image
from compress.errors import CardioCompressError, ConfigError, DataError, GateError, InputError, ModelFileError
from compress.export.seal import seal
from compress.files import digest_file, write_json
from compress.runtime.card import read_card
from compress.runtime.concerns import check_image
from compress.runtime.modelfile import read_model_file


def refuse(request: ShipRequest, kind: type[CardioCompressError], says: str) -> None:
    """The request fails so, and changes nothing on the disk."""
    folder = request.candidate.parent
    before = contents(folder)
    with pytest.raises(kind, match=says):
        ship(request)
    assert contents(folder) == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_gated_bundle_holds_everything_and_verifies_after_a_move(request_: ShipRequest, tmp_path: Path) -> None:
    shipped = ship(request_)
    assert shipped.not_gated == "" and shipped.manifest.gated and shipped.manifest.phantom
    moved = Path(shutil.move(shipped.folder, tmp_path / "elsewhere"))
    evidence = {
        f"evidence/{n}" for n in ("verdict.json", "baseline.json", "candidate.json", "verdict.md", "overlays.png")
    }
    own = {"model.onnx", "baseline.onnx", "README.md", "LICENSE-NOTE.md", "example.py", "example_phantom.nii.gz"}
    own |= {"sbom.cdx.json", "requirements.txt", f"wheels/cardiocompress-{__version__}-py3-none-any.whl"}
    assert set(contents(moved)) == {*own, *evidence, "manifest.json", "SHA256SUMS"}
    assert (moved / "model.onnx").read_bytes() == request_.candidate.read_bytes()
    found = verify_bundle(moved, threads=1)
    assert found.ok and found.gated and set(found.models) == {"model.onnx", "baseline.onnx"}
    assert {each.verdict for each in found.models.values()} == {"bit-equal"}


def test_equal_inputs_give_equal_bytes_and_modes_are_the_users(request_: ShipRequest, tmp_path: Path) -> None:
    first = contents(ship(request_).folder)
    before = os.umask(0o077)
    try:
        second = contents(ship(replace(request_, out=tmp_path / "deep" / "again")).folder)
    finally:
        os.umask(before)
    assert {name: content for name, (_, content) in first.items()} == {n: content for n, (_, content) in second.items()}
    assert {mode & 0o777 for mode, _ in first.values()} == {0o666 & ~before}
    assert {mode & 0o777 for mode, _ in second.values()} == {0o600}, "evidence shows patients"
    assert (tmp_path / "deep" / "again").stat().st_mode & 0o777 == 0o700


def test_another_day_can_be_told(request_: ShipRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert ship(request_).manifest.date == "1970-01-02"
    assert "1970-01-02" in (request_.out / "README.md").read_text() if request_.out else False


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_the_sums_hold_for_every_other_file(request_: ShipRequest) -> None:
    folder = ship(request_).folder
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": OK") == len(contents(folder)) - 1


def test_the_example_runs_without_torch(request_: ShipRequest, tmp_path: Path) -> None:
    folder = ship(request_).folder
    done = without_torch(folder / "example.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "PHANTOM" in done.stdout and "RV: " in done.stdout
    other = without_torch(folder / "example.py", tmp_path / "none.nii.gz")
    assert other.returncode == 1 and other.stderr.startswith("error: ") and other.stderr.count("\n") == 1
    assert verify_bundle(folder, threads=1).ok, "running it leaves nothing in the bundle"


def test_the_example_image_is_one_that_the_model_takes(request_: ShipRequest) -> None:
    folder = ship(request_).folder
    image = open_image(folder / "example_phantom.nii.gz")
    card = read_card(read_model_file(request_.candidate).metadata, request_.candidate)
    assert check_image(next(iter(image.volumes())), image.spacing, name="x", expected=card.range, force=False) == []
    assert card.range is not None
    narrow = replace(card, range=replace(card.range, slice_mm=(6.0, 6.5), pixel_mm=(1.0, 1.1)))
    assert example_image(narrow)[1] == (6.5, 1.1, 1.1)


@pytest.mark.parametrize("accepted", [None, False])
def test_without_an_accepted_verdict_nothing_is_shipped(accepted, request_: ShipRequest, tmp_path: Path) -> None:
    path = None
    if accepted is not None:
        path = write_gate(tmp_path / "other", make_verdict(request_.candidate, request_.candidate, accepted=False))
    bare = replace(request_, verdict=path)
    refuse(bare, GateError, "is not shipped: .*--ungated")
    shipped = ship(replace(bare, ungated=True))
    assert not shipped.manifest.gated
    for name in ("README.md", "LICENSE-NOTE.md", "example.py"):
        head = (shipped.folder / name).read_text().split("Model details")[0]
        assert "NOT GATED" in head and "PHANTOM" in head, name
    assert "NOT GATED" in without_torch(shipped.folder / "example.py").stdout


def test_an_accepted_verdict_stands_whatever_is_asked(request_: ShipRequest) -> None:
    shipped = ship(replace(request_, ungated=True))
    assert shipped.manifest.gated and "NOT GATED" not in (shipped.folder / "README.md").read_text()


def test_figures_of_phantoms_do_not_gate_a_model_of_patients(model: Path, tmp_path: Path) -> None:
    card = read_card(read_model_file(model).metadata, model)
    seal(model, replace(card, training={**card.training, "phantom": False}))
    request = accepted_request(tmp_path, model)
    refuse(request, GateError, "its verdict was measured on generated images")
    real = write_gate(tmp_path / "real", make_verdict(model, model, phantom=False))
    assert ship(replace(request, verdict=real)).manifest.gated


def test_the_run_folder_is_searched_for_the_verdict_on_this_file(request_: ShipRequest, sealed_path: Path) -> None:
    file = read_model_file(request_.candidate)
    assert request_.verdict is not None
    assert shipping.find_verdict([request_.verdict], file, None) == request_.verdict
    other = replace(file, sha256="0" * 64)
    assert shipping.find_verdict([request_.verdict], other, None) is None
    assert shipping.find_verdict([request_.verdict], file, other) is None
    with pytest.raises(ConfigError, match=r"2 verdicts speak of pruned\.onnx.*--verdict"):
        shipping.find_verdict([request_.verdict] * 2, file, None)


def test_a_verdict_on_another_file_is_refused(request_: ShipRequest, tmp_path: Path) -> None:
    verdict = make_verdict(request_.candidate, request_.candidate)
    other = write_gate(tmp_path / "x", replace(verdict, candidate=replace(verdict.candidate, sha256="0" * 64)))
    refuse(replace(request_, verdict=other), DataError, r"speaks of another file \(000000000000\)")
    other = write_gate(tmp_path / "y", replace(verdict, baseline=replace(verdict.baseline, sha256="1" * 64)))
    refuse(replace(request_, verdict=other), DataError, r"speaks of another file \(111111111111\)")


def test_a_verdict_that_contradicts_itself_is_refused(request_: ShipRequest, tmp_path: Path) -> None:
    refused, accepted = (make_verdict(request_.candidate, request_.candidate, accepted=yes) for yes in (False, True))
    for verdict in (
        replace(refused, accepted=True),
        replace(accepted, reasons=("x",)),
        replace(accepted, endpoints=()),
    ):
        forged = write_gate(tmp_path / "x", verdict)
        refuse(replace(request_, verdict=forged), DataError, "contradicts itself")


def test_records_beside_the_model_are_taken_along_when_they_are_its_own(request_: ShipRequest) -> None:
    beside = request_.candidate.parent
    write_json(beside / "parity.json", {"onnx": "0" * 64})
    record = write_json(beside / "pruned.quantize.json", quantize_record(digest_file(request_.candidate)).to_json())
    shipped = ship(request_)
    assert "quantize.json" in shipped.evidence
    assert "parity.json" not in shipped.evidence, "it is the float parent's"
    write_json(record, quantize_record("0" * 64).to_json())
    refuse(replace(request_, restart=True), DataError, "speaks of another file")


def test_given_evidence_must_speak_of_the_file(request_: ShipRequest, tmp_path: Path) -> None:
    bench = write_json(tmp_path / "bench-cpu.json", {"models": [{"sha256": digest_file(request_.candidate)}]})
    note = tmp_path / "bench-cpu.md"
    note.write_text("| a |\n")
    shipped = ship(replace(request_, evidence=(bench, note)))
    assert {"bench-cpu.json", "bench-cpu.md"} <= set(shipped.evidence)
    write_json(bench, {"models": [{"sha256": "0" * 64}]})
    refuse(replace(request_, evidence=(bench,), out=tmp_path / "b2"), DataError, "speaks of another file")
    image = tmp_path / "patient.nii.gz"
    image.write_bytes(b"")
    refuse(replace(request_, evidence=(image,), out=tmp_path / "b2"), ConfigError, "is no evidence")


def test_an_altered_model_is_refused(request_: ShipRequest, model: Path) -> None:
    parsed = onnx.load(model)
    tensor = parsed.graph.initializer[0]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.001), tensor.name))
    model.write_bytes(parsed.SerializeToString())
    refuse(replace(request_, verdict=None, baseline=None, ungated=True), GateError, "weights or graph changed")


def test_a_model_without_card_is_refused(tiny_path: Path) -> None:
    refuse(ShipRequest(tiny_path, ungated=True), ModelFileError, "does not say how its images are prepared")


def test_only_a_bundle_is_replaced_and_only_on_demand(request_: ShipRequest) -> None:
    folder = ship(request_).folder
    refuse(request_, ConfigError, "is there already")
    again = replace(request_, restart=True)
    (folder / "README.md").write_text("damaged")
    ship(again)
    assert verify_bundle(folder, threads=1).ok
    (folder / "mask.nii.gz").write_bytes(b"precious")
    refuse(again, ConfigError, "did not write.*mask.nii.gz")
    shutil.rmtree(folder)
    folder.mkdir()
    refuse(again, ConfigError, "is not replaced")


@pytest.mark.parametrize("step", ["documents", "example_bytes", "Manifest", "mkdir", "rename"])
@pytest.mark.parametrize("earlier", [False, True])
def test_interrupted_anywhere_it_leaves_what_was_there(step, earlier, request_, tmp_path, monkeypatch) -> None:
    if earlier:
        ship(request_)
    before = contents(tmp_path)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path if hasattr(Path, step) else shipping, step, interrupt)
        ship(replace(request_, restart=earlier, out=request_.out if earlier else tmp_path / "deep" / "bundle"))
    assert contents(tmp_path) == before
    assert not (tmp_path / "deep").exists() and not list(tmp_path.glob(".*"))


def test_an_earlier_bundle_stays_when_the_new_one_cannot_be_named(request_, tmp_path, monkeypatch) -> None:
    ship(request_)
    before, rename = contents(tmp_path), Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == "bundle" and path.parent.name.startswith(".bundle."):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(CardioCompressError, match="No space left"):
        ship(replace(request_, restart=True))
    assert contents(tmp_path) == before


def test_a_key_that_is_none_leaves_nothing(request_: ShipRequest, tmp_path: Path) -> None:
    pytest.importorskip("model_signing", reason="needs the extra [signing]")
    key = tmp_path / "key.pem"
    key.write_text("no key")
    refuse(replace(request_, sign_key=key), InputError, "no private key")


def test_the_bundle_is_json_that_says_gated(request_: ShipRequest) -> None:
    document = json.loads((ship(request_).folder / "manifest.json").read_text())
    assert (document["gated"], document["phantom"], document["signed"]) == (True, True, False)
    file = read_model_file(request_.candidate)
    assert document["models"] == {"model.onnx": file.graph_sha256, "baseline.onnx": file.graph_sha256}
