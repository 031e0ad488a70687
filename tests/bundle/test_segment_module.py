"""segment.mjs in a real browser: each part of it against the Python module that it mirrors, and its public face."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_kit import Browser, browser
from nifti_kit import raw_file

from compress.bundle.web.knowledge import knowledge
from compress.data.pieces import BARE, drop_bare, drop_small, fill_holes
from compress.data.preprocess import Preprocessing, inverse
from compress.data.volume import ACDC_LABELS, Case, Volume
from compress.evaluate.plausibility import mask_flags, study_flags
from compress.runtime.segmenter import Segmenter

FLOAT = 2e-6
"""Largest difference of a z-scored grey level: sums are float64 on both sides, rounded once to float32."""


@pytest.fixture(scope="module")
def module(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A page that has the module as `m`, and `array` and `text` to hand arrays over."""
    with browser(tmp_path_factory.mktemp("profile")) as found:
        start = tmp_path_factory.mktemp("page") / "page.html"
        start.write_text("<!DOCTYPE html><title>page</title>")
        found.open(start.as_uri())
        code = base64.b64encode((bundle / "segment.mjs").read_bytes()).decode()
        found.run(
            "(async () => { const bytes = t => Uint8Array.from(atob(t), c => c.charCodeAt(0));"
            "globalThis.array = (kind, t) => new kind(bytes(t).buffer);"
            "globalThis.text = a => { let t = ''; const b = new Uint8Array(a.buffer, a.byteOffset, a.byteLength);"
            "for (const v of b) t += String.fromCharCode(v); return btoa(t); };"
            f"const code = new Blob([bytes('{code}')], {{type: 'text/javascript'}});"
            "globalThis.m = await import(URL.createObjectURL(code));"
            "})()"
        )
        yield found
        assert found.requests == [start.as_uri()] and found.said == []


def js(value: Any) -> str:
    """A value as JavaScript; arrays as typed ones."""
    if isinstance(value, np.ndarray):
        kind = {"float32": "Float32Array", "uint8": "Uint8Array"}[value.dtype.name]
        return f"array({kind}, '{base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()}')"
    return json.dumps(value)


def array(text: str, dtype: type[np.generic]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


CASES = [
    ((3, 60, 75), (8.0, 1.4, 1.7), (1.5, 1.5), (64, 48)),
    ((2, 41, 33), (8.0, 3.0, 2.5), (1.5, 1.0), (64, 64)),
    ((2, 64, 64), (8.0, 1.5, 1.5), (1.5, 1.5), (48, 80)),
    ((4, 101, 97), (9.0, 0.7, 0.83), (1.5, 1.5), (32, 32)),
]


@pytest.mark.parametrize(("shape", "spacing", "target", "size"), CASES)
def test_grids_and_grey_levels_are_those_of_python(shape, spacing, target, size, module):
    image = np.random.default_rng(5).gamma(2.0, 120.0, shape).astype(np.float32)
    rules = Preprocessing(target, size)
    volume = Volume(Case("x", "", Path("x"), None), image, None, spacing, np.eye(4))
    prepared = rules.forward(volume)
    told = {"spacing_mm": target, "size": size, "clip_percentiles": [0.5, 99.5]}
    code = f"{{image: {js(image)}, shape: {js(shape)}, spacing: {js(spacing)}}}"
    module.run(f"globalThis.p = m.parts.forward({code}, {js(told)}, 'x'), 0")
    found = array(module.run("text(p.images)"), np.float32).reshape(prepared.images.shape)
    assert np.abs(found - prepared.images).max() <= FLOAT
    scores = np.random.default_rng(6).normal(0, 3, (4, *size)).astype(np.float32)
    labels = array(module.run(f"text(m.parts.inverse({js(scores)}, 4, p.geometry))"), np.uint8)
    wanted = inverse(scores[None], prepared.geometry)[0]
    assert np.count_nonzero(labels.reshape(wanted.shape) != wanted) == 0


def heart(seed: int) -> np.ndarray:
    """(6, 40, 44): something like a heart, with what can be odd about one."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((6, 40, 44), np.uint8)
    rows, columns = np.mgrid[:40, :44]
    for z in range(6):
        radius = np.hypot(rows - 20, columns - 20 - rng.integers(0, 3))
        mask[z][radius < 11] = 2
        mask[z][radius < 7] = 3
        mask[z][np.hypot(rows - 20, columns - 5) < 4] = 1
    for z, y, x in rng.integers(0, (6, 38, 42), (seed % 7, 3)):
        mask[z, y : y + 2 + seed % 5, x : x + 3] = rng.integers(0, 4)
    mask[rng.integers(0, 6, seed % 3)] = 0
    return mask


@pytest.mark.parametrize("seed", range(12))
def test_pieces_and_flags_are_those_of_python(seed, module):
    mask, spacing = heart(seed), (8.0, 2.0, 1.9)
    told = f"{js(mask)}, {js(mask.shape)}, {js(spacing)}, {js(ACDC_LABELS)}, {js(knowledge()['flags'])}"
    found = module.run(f"m.parts.maskFlags({told})")
    assert found == [asdict(flag) for flag in mask_flags(mask, labels=ACDC_LABELS, spacing_mm=spacing)]
    dropped = f"(() => {{ const a = {js(mask)}; m.parts.dropSmall(a, {js(mask.shape)}, new Map([[1, .5], [3, .1]]));"
    kept = array(module.run(f"{dropped} return text(a); }})()"), np.uint8).reshape(mask.shape)
    assert np.array_equal(kept, drop_small(mask, {1: 0.5, 3: 0.1}))
    mask[np.random.default_rng(seed).random(mask.shape) < 0.02] = 0
    mask[seed % 6][mask[seed % 6] == 3] = 0
    mask[(seed + 1) % 6][mask[(seed + 1) % 6] == 2] = 3
    bare = f"(() => {{ const a = {js(mask)}; m.parts.dropBare(a, {js(mask.shape)}, new Map([[2, 3]]), {BARE});"
    left = array(module.run(f"{bare} return text(a); }})()"), np.uint8).reshape(mask.shape)
    assert np.array_equal(left, drop_bare(mask, {2: 3}))
    filled = (
        f"(() => {{ const a = {js(mask)}; m.parts.fillHoles(a, {js(mask.shape)}, new Set([2, 3]), new Map([[2, 3]]));"
    )
    found = array(module.run(f"{filled} return text(a); }})()"), np.uint8).reshape(mask.shape)
    assert np.array_equal(found, fill_holes(mask, [2, 3], {2: 3})) and not np.array_equal(found, mask)


def test_flags_of_values_are_those_of_python(module):
    for values in (
        {"LV EF": 3.96, "RV EF": 90.25, "LV SV": -4.25, "RV SV": 20.0, "MYO mass": 650.0},
        {"LV EF": None, "RV EF": 50.0, "LV SV": 10.0, "RV SV": 30.05, "MYO mass": 19.95},
        {"LV EF": 5.0, "RV EF": 85.0, "LV SV": 10.0, "RV SV": 30.0, "MYO mass": 20.0},
    ):
        found = module.run(f"m.parts.studyFlags({js(values)}, {js(knowledge()['flags'])})")
        assert found == [asdict(flag) for flag in study_flags(values)]


def test_numbers_are_written_as_python_writes_them(module):
    rng = np.random.default_rng(1)
    numbers = [*(10.0 ** rng.uniform(-7, 9, 300) * rng.choice([-1, 1], 300)), 0.0, 0.5, 2.5, 0.125, 1e16, 999.95, 1e-5]
    numbers += [*(rng.integers(0, 4000, 200) / 8), 100000.0, 1234567.0, 0.0001, 99999.95]
    for spec in ("g", ".3g", ".6g", ".2g", ".0f", ".1f", ".3f"):
        found = module.run(f"{js(numbers)}.map(n => m.parts.formatNumber(n, {js(spec)}))")
        assert found == [format(number, spec) for number in numbers], spec


def image(path: Path, frames: int = 1) -> Path:
    array = np.random.default_rng(3).integers(0, 200, (frames, 5, 96, 110)).astype(np.int16)
    return raw_file(path, array if frames > 1 else array[0], pixdim=[1, 1.5, 1.5, 8, 1, 1, 1, 1])


def test_a_page_of_ones_own_segments(module, bundle, tmp_path):
    path = image(tmp_path / "cine.nii.gz", 2)
    model, content = (base64.b64encode(each.read_bytes()).decode() for each in (bundle / "model.onnx", path))
    module.run(f"m.open({{model: array(Uint8Array, '{model}')}}).then(s => {{ globalThis.s = s; }})")
    assert module.run("s.verification.verdict") in ("bit-equal", "within tolerance")
    asked = "{name: 'cine', progress: (done, total) => (globalThis.at = [done, total])}"
    module.run(f"s.segment(array(Uint8Array, '{content}').buffer, {asked}).then(r => {{ globalThis.r = r; }})")
    found = module.run("({shape: r.shape, volumes: r.volumes, flags: r.flags})")
    expected = [*Segmenter(bundle / "model.onnx", threads=1).segment_frames(path)]
    masks = array(module.run("text(r.mask)"), np.uint8).reshape(found["shape"])
    assert module.run("at") == [10, 10] and found["shape"] == [2, 5, 96, 110]
    assert np.count_nonzero(masks != np.stack([each.mask for each in expected])) <= 2
    assert found["volumes"][0] == pytest.approx(expected[0].volumes_ml, abs=0.04) and found["flags"]
    told = "[fault instanceof m.DataFault, fault.message, fault.cure]"
    refused = module.run(f"s.segment(new ArrayBuffer(400), {{name: 'x'}}).catch(fault => {told})")
    assert refused == [True, "x is not a single-file NIfTI image.", "Convert it to .nii.gz (X, Y, Z)."]


def test_another_model_is_refused(module):
    said = module.run("m.open({model: new Uint8Array(9)}).catch(fault => fault.message)")
    assert said == "The model is another one than this module was made for."


def test_webgpu_computes_only_where_it_is_there_and_proven(module, bundle):
    """This browser has none; a runtime that computes nonsense is caught by the self-test."""
    model = base64.b64encode((bundle / "model.onnx").read_bytes()).decode()
    fake = (
        "{env: {wasm: {}}, Tensor: class {}, InferenceSession: {create: async () => ({release: async () => {},"
        " run: async () => ({logits: {getData: async () => new Float32Array(4 * 32 * 32)}})})}}"
    )
    module.run("Object.defineProperty(navigator, 'gpu', {value: {}, configurable: true}), 0")
    asked = f"{{model: array(Uint8Array, '{model}'), webgpu: {fake}}}"
    provider, why = module.run(f"m.open({asked}).then(s => [s.verification.provider, s.withoutWebgpu])")
    assert provider == "wasm" and why.startswith("the self-test is broken here: logits differ by ")
