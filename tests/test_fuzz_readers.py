"""Every reader of what comes from outside, on damaged files: a typed error or a result, nothing else, and soon.

Some examples each in `make test`; `CARDIOCOMPRESS_FUZZ=60 python -m pytest -m fuzz` goes on for a minute each.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fuzz_kit import Reader, fuzz
from nifti_kit import raw_file
from shipping_kit import make_verdict, quantize_record, scores
from workspace_kit import tiny_workspace

from compress.bench.report import BenchReport
from compress.bundle.files import check_files
from compress.bundle.manifest import Manifest
from compress.bundle.ship import ShipRequest, ship
from compress.bundle.signature import signer, verifier
from compress.config.read import load_config, load_ratios
from compress.data.acdc import read_info
from compress.data.frames import open_image
from compress.data.label_values import read_labels, read_others
from compress.data.mnms import _read_table
from compress.data.nifti import read_image, read_mask
from compress.evaluate.again import judge_again
from compress.evaluate.quantized import read_quantize_record
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Verdict
from compress.files import read_json
from compress.inference.earlier import reports_in
from compress.inference.measure import MeasureRequest, measure_files
from compress.inference.predict import predict
from compress.inference.request import PredictRequest
from compress.inference.study_table import is_whole
from compress.models.checkpoint import load, load_tensors
from compress.progress import SILENT
from compress.prune.plan import PruningPlan
from compress.runtime.card import read_card
from compress.runtime.golden import read_golden
from compress.runtime.modelfile import read_model_file
from compress.steps.benching.elsewhere import read_machine_bench
from compress.train.callbacks import read_metrics


def _model(path: Path) -> object:
    file = read_model_file(path)
    return read_golden(file, read_card(file.metadata, path))


def _scores(path: Path) -> object:
    return EvaluationReport.from_json(read_json(path)).to_json()


def _verdict(path: Path) -> object:
    found = Verdict.from_json(read_json(path))
    return found.sentence, judge_again(found, scores(), scores(lost=1))


def _nifti(path: Path) -> object:
    return open_image(path), read_image(path), read_mask(path)


READERS: dict[str, tuple[str, Reader]] = {
    "YAML": ("a.yaml", lambda path: load_config(path)),
    "ratios": ("ratios.yaml", lambda path: load_ratios(path, levels=2)),
    "Info.cfg": ("Info.cfg", read_info),
    "dataset.json": ("dataset.json", lambda path: (read_labels(path), read_others(path))),
    "NIfTI": ("image.nii.gz", _nifti),
    "NIfTI, unpacked": ("image.nii", _nifti),
    "checkpoint": ("net.safetensors", load),
    "model": ("model.onnx", _model),
    "manifest": ("manifest.json", lambda path: Manifest.loads(path.read_bytes(), path)),
    "bundle": ("SHA256SUMS", lambda path: check_files(path.parent)),
    "scores": ("candidate.json", _scores),
    "verdict": ("verdict.json", _verdict),
    "record of quantize": ("quantize.json", read_quantize_record),
    "plan": ("plan.json", lambda path: PruningPlan.from_json(read_json(path))),
    "benchmark": ("bench.json", lambda path: BenchReport.from_json(read_json(path))),
    "metrics": ("metrics.jsonl", read_metrics),
    "M&Ms' table": ("table.csv", lambda path: _read_table(path.parent)),
    "machine benchmark": ("sent.json", read_machine_bench),
    "reports of predict": ("heart.json", lambda path: [is_whole(told) for _, told in reports_in(path.parent)]),
    "public key": ("key.pem", verifier),
    "private key": ("key.pem", signer),
    "resumed training": ("resume.safetensors", load_tensors),
}
"""What is read -> its file's name, and the reader."""


def keys() -> tuple[bytes, bytes]:
    """A pair as `openssl` writes it, the private one first."""
    form, pair = serialization, ec.generate_private_key(ec.SECP256R1())
    private = pair.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return private, pair.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)


def report(folder: Path, model: Path) -> bytes:
    """What `predict` writes beside a mask."""
    heart = np.random.default_rng(0).integers(0, 60, (4, 64, 64)).astype(np.int16)
    heart[:, 24:40, 24:40] += 200
    raw_file(folder / "images" / "heart.nii.gz", heart, pixdim=[1.0, 2.0, 2.0, 8.0, 1, 1, 1, 1], xyzt_units=2)
    predict(PredictRequest(model, folder / "images" / "heart.nii.gz", folder / "masks", threads=1))
    return (folder / "masks" / "heart.json").read_bytes()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, tiny_phantom: Path, sealed_path: Path) -> dict[str, bytes]:
    """A good file of every kind."""
    folder = tmp_path_factory.mktemp("good")
    image = raw_file(folder / "image.nii.gz", np.arange(60, dtype=np.int16).reshape(3, 4, 5)).read_bytes()
    bundle = ship(ShipRequest(sealed_path, out=folder / "bundle", ungated=True, threads=1)).folder
    verdict, record = make_verdict(sealed_path, sealed_path), quantize_record("a" * 64)
    info = next(tiny_phantom.rglob("Info.cfg")).read_bytes()
    plan = {"criterion": "l1", "scope": "local", "align": 1, "ratios": {}, "keep": {"a": [0, 1]}, "whole": {}}
    ws = tiny_workspace(folder, tiny_phantom)
    sent = folder / "sent.json"
    measure_files([sealed_path], MeasureRequest(threads=1, rounds=3, warmup=1), out=sent, progress=SILENT)
    texts = {
        "YAML": "experiment: {seed: 3}\ntrain:\n  batch_size: 4\n  model: {features: [4, 8]}\n",
        "ratios": "default: 0.5\nblock_ratios: {encoders.0: 0.25}\nalign: none\n",
        "dataset.json": json.dumps({"labels": {"background": 0, "RV": 1, "MYO": 2, "LV": 3}, "numTraining": 3}),
        "scores": json.dumps(scores(lost=1).to_json()),
        "verdict": json.dumps(verdict.to_json()),
        "record of quantize": json.dumps(record.to_json()),
        "plan": json.dumps(plan),
        "benchmark": json.dumps({"shape": [1, 1, 32, 32], "seed": 0, "baseline": "a", "models": []}),
        "M&Ms' table": "External code,ED,ES,Pathology\nA0S9V9,1,9,NOR\n",
        "machine benchmark": sent.read_text(),
        "metrics": '{"epoch": 1, "val_dice": 0.5}\n{"epoch": 2}\n',
    }
    files = {"Info.cfg": info, "NIfTI": image, "NIfTI, unpacked": gzip.decompress(image)}
    files |= {"checkpoint": ws.run.baseline.final.read_bytes(), "model": sealed_path.read_bytes()}
    files |= {"manifest": (bundle / "manifest.json").read_bytes(), "bundle": (bundle / "SHA256SUMS").read_bytes()}
    files |= dict(zip(("private key", "public key"), keys(), strict=True))
    files |= {"resumed training": files["checkpoint"], "reports of predict": report(folder, sealed_path)}
    return files | {name: text.encode() for name, text in texts.items()}


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", READERS)
def test_a_typed_error_or_a_result(kind: str, good: dict[str, bytes], tmp_path: Path) -> None:
    name, read = READERS[kind]
    fuzz(good[kind], tmp_path / name, read)
