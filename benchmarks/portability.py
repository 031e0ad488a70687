"""Does an exported file compute the same in other runtimes? Writes the table of PORTABILITY.md.

    python benchmarks/portability.py MODEL.onnx ... --runtime "ONNX Runtime 1.18.1=FOLDER[:FOLDER]" ...

Each runtime lies in a folder of its own (`pip install --no-deps --target FOLDER onnxruntime==1.18.1`; several by
colons; none: this environment) and runs in a process of its own with one thread: a file loads there or it does not,
gives logits, and takes so much processor time. Compared is with this environment's ONNX Runtime. Without --images,
(N, 1, H, W) float32 and prepared: two slices of the embedded phantom. onnxruntime-web is that of `npm ci` in
compress/bundle/web, in headless Chromium by the tests' own kit:
"onnxruntime-web=compress/bundle/web/node_modules/onnxruntime-web:tests".
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from compress.bench.environment import current_environment
from compress.export.seal import golden_image
from compress.runtime.segmenter import Segmenter
from compress.runtime.session import open_session
from compress.text import markdown_table

_CHILD = """
import contextlib, json, sys, time
folders, kind, model, images, out = json.loads(sys.argv[1])
sys.path[:0] = folders
import numpy as np
batch = np.load(images)

def onnxruntime():
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return ort.__version__, lambda x: session.run(["logits"], {"image": x})[0], time.process_time

def openvino():
    import openvino as ov
    hints = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(model, "CPU", hints)
    return ov.__version__.split("-")[0], lambda x: compiled(x)[0], time.process_time

def opencv():
    import cv2
    cv2.setNumThreads(1)
    net = cv2.dnn.readNetFromONNX(model)
    def run(x):
        net.setInput(x, "image")
        return net.forward()
    return cv2.__version__, run, time.process_time

def onnx():
    import onnx
    from onnx.reference import ReferenceEvaluator
    session = ReferenceEvaluator(model)
    return onnx.__version__, lambda x: session.run(None, {"image": x})[0], time.process_time

def tract():
    import importlib.metadata
    import tract
    found = tract.onnx().load(model)
    found.set_input_fact(0, ",".join(map(str, batch[:1].shape)) + ",f32")
    runnable = found.into_model().into_runnable()
    return importlib.metadata.version("tract"), lambda x: runnable.run([x])[0].to_numpy(), time.process_time

def web():
    from pathlib import Path
    from browser_kit import browser
    import base64, tempfile
    folder, profile = Path(folders[0]), tempfile.TemporaryDirectory()
    page = stack.enter_context(browser(Path(profile.name, "profile")))
    start = Path(profile.name, "page.html")
    start.write_text("<!DOCTYPE html><title>page</title>")
    page.open(start.as_uri())
    code = lambda path: base64.b64encode(Path(path).read_bytes()).decode()
    page.run("globalThis.bytes = t => Uint8Array.from(atob(t), c => c.charCodeAt(0)), 0")
    page.run(f"(async () => {{ const code = new Blob([bytes('{code(folder / 'dist/ort.wasm.bundle.min.mjs')}')],"
             "{type: 'text/javascript'}); globalThis.ort = await import(URL.createObjectURL(code));"
             f"ort.env.wasm.numThreads = 1; ort.env.wasm.wasmBinary = "
             f"bytes('{code(folder / 'dist/ort-wasm-simd-threaded.wasm')}').buffer;"
             f"globalThis.session = await ort.InferenceSession.create(bytes('{code(model)}'),"
             "{executionProviders: ['wasm'], logSeverityLevel: 3}); })()")
    def run(x):
        text = page.run(
            f"(async () => {{ const x = new Float32Array(bytes('{base64.b64encode(x.tobytes()).decode()}').buffer);"
            f"const out = (await session.run({{image: new ort.Tensor('float32', x, {list(x.shape)})}})).logits;"
            "globalThis.dims = out.dims;"
            "const b = new Uint8Array(out.data.buffer, out.data.byteOffset, out.data.byteLength);"
            "let t = ''; for (const v of b) t += String.fromCharCode(v); return btoa(t); })()")
        return np.frombuffer(base64.b64decode(text), np.float32).reshape(page.run("dims"))
    clock = lambda: sum(each["cpuTime"] for each in page.call("SystemInfo.getProcessInfo")["processInfo"])
    return json.loads((folder / "package.json").read_text())["version"], run, clock

kinds = {"onnxruntime": onnxruntime, "openvino": openvino, "opencv": opencv, "onnx": onnx, "tract": tract, "web": web}
stack = contextlib.ExitStack()
try:
    version, run, clock = kinds[kind]()
    run(batch[:1])
    begun = clock()
    logits = np.concatenate([np.asarray(run(image[None])) for image in batch])
    spent = (clock() - begun) / len(batch)
    np.save(out, logits)
    print(json.dumps({"version": version, "seconds": spent}))
except BaseException as fault:
    print(json.dumps({"fault": type(fault).__name__ + ": " + " ".join(str(fault).split())[:160]}))
finally:
    stack.close()
"""
KINDS = {
    "ONNX Runtime": "onnxruntime",
    "onnxruntime-web": "web",
    "OpenVINO": "openvino",
    "OpenCV": "opencv",
    "ONNX": "onnx",
    "tract": "tract",
}
"""How a runtime's name begins -> what runs it."""


def answer(name: str, folders: list[str], model: Path, images: Path, out: Path) -> dict[str, Any]:
    """What one runtime in a process of its own says of one file; its logits lie in `out`."""
    kind = next((kind for begin, kind in KINDS.items() if name.startswith(begin)), None)
    if kind is None:
        sys.exit(f"{name} is no known runtime; its name begins with one of {', '.join(KINDS)}.")
    arguments = json.dumps([folders, kind, str(model), str(images), str(out)])
    done = subprocess.run([sys.executable, "-c", _CHILD, arguments], capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else {"fault": f"the process ended with {done.returncode}"}


def slices(model: Path, given: Path | None) -> np.ndarray:
    """(N, 1, H, W) float32, prepared by the file's own rules."""
    if given is not None:
        return np.load(given).astype(np.float32)
    image, spacing = golden_image()
    return np.ascontiguousarray(Segmenter(model, threads=1).prepare(image, spacing, name="phantom").images[:, None])


def row(name: str, model: Path, found: dict[str, Any], out: Path, ours: np.ndarray) -> list[str]:
    """One line of the table."""
    if "fault" in found:
        return [model.stem, name, f"no: {found['fault']}", "", "", ""]
    theirs = np.load(out)
    flipped = int((theirs.argmax(1) != ours.argmax(1)).sum())
    largest = float(np.abs(theirs - ours).max())
    said = "bit-equal" if np.array_equal(theirs, ours) else f"{largest:.1g}"
    voxels = ours[:, 0].size
    return [
        model.stem,
        name,
        "yes",
        said,
        f"{flipped} of {voxels} ({flipped / voxels:.3%})",
        f"{found['seconds'] * 1e3:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument(
        "--runtime", action="append", default=[], help="NAME=FOLDER[:FOLDER]; NAME= for this environment."
    )
    parser.add_argument("--images", type=Path, help="(N, 1, H, W) float32, prepared.")
    given = parser.parse_args()
    table = []
    with tempfile.TemporaryDirectory() as scrap:
        for model in given.models:
            images, out = Path(scrap, "images.npy"), Path(scrap, "logits.npy")
            batch = slices(model, given.images)
            np.save(images, batch)
            session = open_session(model, threads=1)
            ours = np.concatenate([session.run(image[None]) for image in batch])
            for runtime in given.runtime:
                name, _, folders = runtime.partition("=")
                found = answer(name, [f for f in folders.split(":") if f], model, images, out)
                table.append(row(name, model, found, out, ours))
    heads = ["file", "runtime", "loads", "largest logit difference", "flipped voxels", "processor time (ms per slice)"]
    machine = current_environment()
    print(markdown_table(heads, table))
    print(
        f"\nCompared with ONNX Runtime {machine.onnxruntime} on {machine.cpu} "
        f"({', '.join(machine.cpu_features or ())})."
    )


if __name__ == "__main__":
    main()
