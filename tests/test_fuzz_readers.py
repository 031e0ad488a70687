"""Every reader of what comes from outside, on damaged files: a typed error or a result, nothing else, and soon.

Some examples each in `make test`; `CARDIOCOMPRESS_FUZZ=60 python -m pytest -m fuzz` goes on for a minute each.
"""

from __future__ import annotations

import gzip
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from nifti_kit import raw_file
from shipping_kit import make_verdict, quantize_record, scores
from workspace_kit import tiny_workspace

from compress.bench.report import BenchReport
from compress.bundle.files import check_files
from compress.bundle.manifest import Manifest
from compress.bundle.ship import ShipRequest, ship
from compress.config.read import load_config, load_ratios
from compress.data.acdc import read_info
from compress.data.frames import open_image
from compress.data.label_values import read_labels, read_others
from compress.data.nifti import read_image, read_mask
from compress.errors import CardioCompressError
from compress.evaluate.again import judge_again
from compress.evaluate.quantized import read_quantize_record
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Verdict
from compress.files import read_json
from compress.models.checkpoint import load
from compress.prune.plan import PruningPlan
from compress.runtime.card import read_card
from compress.runtime.golden import read_golden
from compress.runtime.modelfile import read_model_file
from compress.train.callbacks import read_metrics

SECONDS = float(os.environ.get("CARDIOCOMPRESS_FUZZ", "0"))
EXAMPLES, SLOW = 25, 5.0

Reader = Callable[[Path], object]


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
}
"""What is read -> its file's name, and the reader."""


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
    texts = {
        "YAML": "experiment: {seed: 3}\ntrain:\n  batch_size: 4\n  model: {features: [4, 8]}\n",
        "ratios": "default: 0.5\nblock_ratios: {encoders.0: 0.25}\nalign: none\n",
        "dataset.json": json.dumps({"labels": {"background": 0, "RV": 1, "MYO": 2, "LV": 3}, "numTraining": 3}),
        "scores": json.dumps(scores(lost=1).to_json()),
        "verdict": json.dumps(verdict.to_json()),
        "record of quantize": json.dumps(record.to_json()),
        "plan": json.dumps(plan),
        "benchmark": json.dumps({"shape": [1, 1, 32, 32], "seed": 0, "baseline": "a", "models": []}),
        "metrics": '{"epoch": 1, "val_dice": 0.5}\n{"epoch": 2}\n',
    }
    files = {"Info.cfg": info, "NIfTI": image, "NIfTI, unpacked": gzip.decompress(image)}
    files |= {"checkpoint": ws.run.baseline.final.read_bytes(), "model": sealed_path.read_bytes()}
    files |= {"manifest": (bundle / "manifest.json").read_bytes(), "bundle": (bundle / "SHA256SUMS").read_bytes()}
    return files | {name: text.encode() for name, text in texts.items()}


TOKENS = (b"null", b"-1", b"1e400", b"NaN", b"[]", b"{}", b'""', b"true", b"9" * 400, b"\xff", b"\x00", b"*a", b"&a ")


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Cut, flip, repeat, or put a token somewhere; several times."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["cut", "flip", "token", "repeat", "swap"]),
                st.floats(0, 1, exclude_max=True),
                st.integers(0, 255),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def damage(content: bytes) -> bytes:
        for kind, share, number in steps:
            at = int(share * len(content))
            if kind == "cut":
                content = content[:at] + content[at + number :]
            elif kind == "flip":
                content = content[:at] + bytes([content[at] ^ (number or 1)]) + content[at + 1 :] if content else b""
            elif kind == "token":
                content = content[:at] + TOKENS[number % len(TOKENS)] + content[at + number % 7 :]
            elif kind == "repeat":
                content = content[:at] + content[at : at + 40] * number + content[at:]
            else:
                content = content[at:] + content[:at]
        return content

    return damage


def _in_json(damage: Callable[[bytes], bytes], content: bytes) -> bytes:
    return damage(content)


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", READERS)
def test_a_typed_error_or_a_result(kind: str, good: dict[str, bytes], tmp_path: Path) -> None:
    name, read = READERS[kind]
    path = tmp_path / name

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None, database=None)
    @given(damage=damages())
    def run(damage: Callable[[bytes], bytes]) -> None:
        path.write_bytes(damage(good[kind]))
        before = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read(path)
        except CardioCompressError as fault:
            assert "\n" not in str(fault), str(fault)
        assert time.process_time() - before < SLOW

    until, number = time.monotonic() + SECONDS, 0
    while number == 0 or time.monotonic() < until:
        again: Any = seed(number)(run)
        again()
        number += 1
