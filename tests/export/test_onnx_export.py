from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_unet import build
from torch import nn

from compress.errors import ConfigError, InputError
from compress.export.onnx import export_onnx, frozen_copy
from compress.models.unet import UNet, dense_widths, initialise
from compress.runtime.modelfile import read_metadata
from compress.runtime.session import open_session


@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (1, 1, 8, 8), (3, 1, 12, 6), (2, 1, 4, 6)])
def test_batch_height_and_width_are_free(shape: tuple[int, ...], exported: Path) -> None:
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    with torch.inference_mode():
        expected = build().eval()(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(open_session(exported, threads=1).run(images), expected, atol=1e-5)


def test_the_file_tells_the_divisor(exported: Path) -> None:
    assert read_metadata(exported) == {"divisor": "2"}


def test_the_file_is_self_contained_and_names_no_machine(exported: Path) -> None:
    content = exported.read_bytes()
    folder = str(Path(__file__).parent)
    for word in (folder, sys.prefix, str(Path.home()), ".py", "torch", "TinyUNet"):
        assert word.encode() not in content
    model = onnx.load_model(exported)
    onnx.checker.check_model(model, full_check=True)
    assert ({opset.version for opset in model.opset_import}, model.ir_version) == ({17}, 8)
    assert [p.name for p in exported.parent.iterdir()] == [exported.name]


def test_another_process_and_folder_gives_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    code = (
        "from tiny_unet import build; from compress.export.onnx import export_onnx;"
        "export_onnx(build(), 'other.onnx', divisor=2)"
    )
    folders = os.pathsep.join(str(Path(__file__).parents[up]) for up in (0, 2))
    environment = {**os.environ, "PYTHONPATH": folders, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "other.onnx").read_bytes() == exported.read_bytes()


def test_layout_and_mode_do_not_change_the_file_and_the_network_is_untouched(
    exported: Path, tmp_path: Path, capfd
) -> None:
    network = build().to(memory_format=torch.channels_last)
    network.down[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    other = export_onnx(network, tmp_path / "other.onnx", divisor=2)
    assert other.read_bytes() == exported.read_bytes()
    assert capfd.readouterr() == ("", "")
    assert network.training and not network.down[1].training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.head.weight.is_contiguous(memory_format=torch.channels_last)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_pruned_network_exports_like_any_other(tmp_path: Path) -> None:
    widths = dense_widths([8, 8])
    widths["encoders.0"] = [3, 7]
    widths["decoders.2"] = [5]
    network = UNet(1, 4, widths)
    initialise(network, seed=0)
    path = export_onnx(network, tmp_path / "pruned.onnx", divisor=network.divisor)
    images = np.random.default_rng(0).standard_normal((2, 1, 8, 16)).astype(np.float32)
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(open_session(path, threads=1).run(images), expected, atol=1e-5)


def test_a_bad_divisor_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="divisor is 0; a positive whole number"):
        export_onnx(build(), tmp_path / "m.onnx", divisor=0)


class Smooth(nn.Module):
    """Its activation came with opset 20."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(self.head(x))


def test_a_newer_onnx_is_asked_for_only_where_an_operator_needs_it(tmp_path: Path) -> None:
    path = export_onnx(Smooth(), tmp_path / "m.onnx", divisor=2)
    model = onnx.load(path)
    assert ([opset.version for opset in model.opset_import], model.ir_version) == ([20], 9)
    assert "Gelu" in {node.op_type for node in model.graph.node}
    assert open_session(path, threads=1).run(np.ones((1, 1, 4, 4), np.float32)).shape == (1, 4, 4, 4)


class Undecided(nn.Module):
    """Its path depends on the voxels, which no fixed graph can say."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_what_cannot_be_exported_is_one_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Undecided cannot be exported to ONNX"):
        export_onnx(Undecided(), tmp_path / "m.onnx", divisor=2)
    assert list(tmp_path.iterdir()) == []


def test_frozen_copy_is_float32_and_shares_nothing() -> None:
    network = build().to(torch.bfloat16)
    twin = frozen_copy(network)
    assert not twin.training
    assert {p.dtype for p in twin.parameters()} == {torch.float32}
    assert network.head.weight.dtype == torch.bfloat16
