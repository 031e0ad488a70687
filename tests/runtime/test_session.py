from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from compress.errors import ConfigError, DataError, ModelFileError, ProviderError
from compress.runtime import providers
from compress.runtime.modelfile import read_model_file
from compress.runtime.proof import assert_owner, prove
from compress.runtime.providers import PROVIDERS
from compress.runtime.session import SPINNING, open_session


def _images(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def test_run_gives_float32_logits_for_any_batch_and_size(tiny_path: Path) -> None:
    session = open_session(tiny_path, threads=1)
    for shape in ((1, 1, 2, 2), (3, 1, 6, 10)):
        logits = session.run(_images(*shape))
        assert logits.shape == (shape[0], 4, *shape[2:])
        assert logits.dtype == np.float32


def test_a_batch_equals_its_images_alone(tiny_path: Path) -> None:
    session, images = open_session(tiny_path, threads=1), _images(4, 1, 8, 8)
    alone = np.concatenate([session.run(images[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(session.run(images), alone, atol=1e-5)


def test_non_contiguous_images_are_accepted(tiny_path: Path) -> None:
    session, images = open_session(tiny_path, threads=1), _images(1, 1, 8, 6)
    flipped = images[..., ::-1]
    np.testing.assert_array_equal(session.run(flipped), session.run(flipped.copy()))


def test_the_session_tells_what_it_is(tiny_path: Path) -> None:
    session = open_session(tiny_path, threads=1, spinning="off")
    assert (session.provider_asked, session.provider_proven) == ("cpu", "cpu")
    assert session.divisor == 2
    assert session.channels == 1
    assert session.metadata["labels"] == '{"RV": 1}'
    assert session.details["threads"] == 1
    assert session.details["spinning"] == "off"
    assert session.details["tf32"] is None


@pytest.mark.parametrize("spinning", SPINNING)
def test_spinning_does_not_change_the_result(spinning: str, tiny_path: Path) -> None:
    images = _images(1, 1, 8, 8)
    reference = open_session(tiny_path, threads=1).run(images)
    np.testing.assert_allclose(open_session(tiny_path, threads=2, spinning=spinning).run(images), reference, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (_images(1, 8, 8), r"Expected images \(N, 1, H, W\) float32, got \(1, 8, 8\) float32.*Stack 2D slices"),
        (np.zeros((1, 1, 8, 8)), r"got \(1, 1, 8, 8\) float64.*astype"),
        ([[1.0]], "got list"),
        (_images(1, 3, 8, 8), r"image of 1 channel\(s\), got \(1, 3, 8, 8\)"),
        (_images(0, 1, 8, 8), "at least one image"),
        (_images(1, 1, 7, 8), "Image size 7x8 does not fit tiny.onnx: both must be multiples of 2. Pad to 8x8."),
    ],
)
def test_images_that_do_not_fit_teach_the_cure(images, message: str, tiny_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        open_session(tiny_path, threads=1).run(images)


def test_damaged_files_are_the_users_fault_whatever_the_provider(tiny_path: Path) -> None:
    tiny_path.write_bytes(tiny_path.read_bytes()[:-200])
    for provider in PROVIDERS:
        with pytest.raises(ModelFileError, match="is not an ONNX file, or it is truncated"):
            open_session(tiny_path, provider=provider)


def test_models_with_other_ends_are_refused(tiny_model: onnx.ModelProto, tmp_path: Path) -> None:
    tiny_model.graph.input[0].name = tiny_model.graph.node[0].input[0] = "x"
    path = tmp_path / "foreign.onnx"
    path.write_bytes(tiny_model.SerializeToString())
    with pytest.raises(ModelFileError, match=r"foreign.onnx maps \[\('x'.*expected 'image'"):
        open_session(path)


def test_unknown_names_list_the_known_ones(tiny_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Unknown provider 'gpu'. Known: cpu, cuda, openvino"):
        open_session(tiny_path, provider="gpu")
    with pytest.raises(ConfigError, match=r"Unknown spinning 'never'. Known: off, on, per-run"):
        open_session(tiny_path, spinning="never")
    with pytest.raises(ConfigError, match="threads is 0"):
        open_session(tiny_path, threads=0)


def _cuda_works() -> bool:
    try:
        prove("cuda")
    except ProviderError:
        return False
    return True


@pytest.fixture
def without_gpu() -> None:
    if _cuda_works():
        pytest.skip("this machine has a working GPU")


@pytest.mark.usefixtures("without_gpu")
def test_cuda_without_a_gpu_is_one_quiet_error_and_never_a_cpu_number(tiny_path: Path, capfd) -> None:
    for attempt in (lambda: open_session(tiny_path, provider="cuda"), lambda: prove("cuda")):
        with pytest.raises(
            ProviderError, match=r"'cuda' was asked for but is not there: .*choose the provider 'cpu'"
        ) as e:
            attempt()
        assert e.value.exit_code == 3
    assert capfd.readouterr() == ("", "")


def test_cuda_on_a_build_without_it_is_the_same_error(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderError, match="the installed onnxruntime is built without CUDA"):
        open_session(tiny_path, provider="cuda")


def test_the_cpu_is_proven_too() -> None:
    assert prove("cpu") is None


def _fake_session(first: str, owners: list[str]) -> SimpleNamespace:
    nodes = [SimpleNamespace(name="a", op_type="Conv"), SimpleNamespace(name="b", op_type="Relu")]
    parts = [SimpleNamespace(ep_name=name, get_nodes=lambda: nodes) for name in owners]
    return SimpleNamespace(
        get_providers=lambda: [first, "CPUExecutionProvider"], get_provider_graph_assignment_info=lambda: parts
    )


def test_a_session_that_fell_back_is_caught() -> None:
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    row = providers.Provider("cuda", cuda, "a GPU", lambda: 8, "Buy one.", 1e-3)
    found = assert_owner(_fake_session(cuda, [cuda, cuda]), row)
    assert found is not None
    assert [(node.name, node.piece) for node in found] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    with pytest.raises(ProviderError, match=f"the session runs on {cpu}. Buy one."):
        assert_owner(_fake_session(cpu, [cpu]), row)
    with pytest.raises(ProviderError, match="part of the graph runs on cpu"):
        assert_owner(_fake_session(cuda, [cuda, cpu]), row)


def test_runtime_and_bench_never_load_torch(tiny_path: Path) -> None:
    code = (
        "import sys, compress.bench.report, compress.bench.memory, compress.bench.model_facts, compress.bench.latency;"
        "from compress.runtime.session import open_session; open_session(sys.argv[1]);"
        "sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, str(tiny_path)], cwd=root, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_was_checked_is_what_runs(tiny_path: Path) -> None:
    """Whoever replaces the file between the check and the run gets nowhere."""
    images = np.ones((1, 1, 32, 32), np.float32)
    expected = open_session(tiny_path).run(images)
    file = read_model_file(tiny_path)
    tiny_path.write_bytes(b"another model")
    session = open_session(file)
    np.testing.assert_array_equal(session.run(images), expected)
    assert session.file.content == b"" and session.file.sha256 == file.sha256
