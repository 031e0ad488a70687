"""The files that we write run on the oldest ONNX Runtime that this Python can install: bit-equal in float32."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from compress.export.quantize import calibrate, prepare_int8, quantize_fp16, quantize_int8
from compress.runtime.session import open_session

FOLDER = Path(sys.prefix, "oldest-runtime")
_RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = 1
images = np.load(sys.argv[2])
for path in sys.argv[3:]:
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    np.save(path + ".npy", session.run(["logits"], {"image": images})[0])
print(ort.__version__)
"""


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def files(sealed_path: Path, images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of every kind that we write."""
    folder = tmp_path_factory.mktemp("oldest")
    ranges = calibrate(prepare_int8(sealed_path, folder / "prepared.onnx"), images, method="minmax", folder=folder)
    (folder / "float.onnx").write_bytes(sealed_path.read_bytes())
    return {
        "float": folder / "float.onnx",
        "int8": quantize_int8(ranges, folder / "int8.onnx"),
        "fp16": quantize_fp16(sealed_path, folder / "fp16.onnx"),
    }


@pytest.mark.parametrize("kind", ["float", "int8", "fp16"])
def test_every_kind_of_file_asks_for_no_newer_onnx_than_it_needs(files, kind):
    model = onnx.load(files[kind])
    versions = {entry.domain: entry.version for entry in model.opset_import}
    assert (model.ir_version, versions) == (8, {"": 17})


def test_the_oldest_runtime_computes_the_same(files, images, tmp_path):
    if not FOLDER.is_dir():
        pytest.skip(f"no oldest ONNX Runtime beside {sys.prefix}; `make test` installs it")
    np.save(tmp_path / "images.npy", images)
    arguments = [str(FOLDER), str(tmp_path / "images.npy"), *map(str, files.values())]
    done = subprocess.run([sys.executable, "-c", _RUN, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = (Path(__file__).parent / "oldest_runtime.txt").read_text()
    assert f"onnxruntime=={done.stdout.strip()};" in wanted
    ours = {kind: open_session(path, threads=1).run(images) for kind, path in files.items()}
    theirs = {kind: np.load(f"{path}.npy") for kind, path in files.items()}
    np.testing.assert_array_equal(theirs["float"], ours["float"])
    for kind in ("int8", "fp16"):  # an older runtime rounds whole numbers and halves another way
        flipped = (theirs[kind].argmax(1) != ours[kind].argmax(1)).mean()
        assert flipped < 0.02, kind
