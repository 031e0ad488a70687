"""Networks of MONAI's and of one's own come in with their weights, and are pruned, stored and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import monai.networks.nets as nets
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from compress.config.read import from_document
from compress.errors import CheckpointError, ConfigError, InputError
from compress.exchange.import_torch import import_torch
from compress.export.onnx import export_checkpoint
from compress.export.parity import reference_run
from compress.models import factory
from compress.models.checkpoint import load, save
from compress.prune.ranking import rank
from compress.prune.rebuild import rebuild_checkpoint
from compress.runtime.session import open_session
from compress.steps.exchanging import bring
from compress.steps.workspace import Workspace

ENDS = {"spatial_dims": 2, "in_channels": 1, "out_channels": 4}
NETWORKS: dict[str, dict[str, Any]] = {
    "UNet": {"channels": [8, 16, 32], "strides": [2, 2], "num_res_units": 1},
    "BasicUNet": {"features": [8, 8, 16, 16, 32, 8]},
    "SegResNet": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
    "AttentionUnet": {"channels": [8, 16, 32], "strides": [2, 2]},
}


def described(tmp_path: Path, arguments: dict[str, Any], **changed: Any) -> Path:
    document = {
        "preprocessing": {"spacing_mm": [4.0, 4.0], "size": [32, 32], "clip_percentiles": [0.5, 99.5]},
        "labels": {"RV": 1, "MYO": 2, "LV": 3},
        "network": arguments,
    }
    path = tmp_path / "it.yaml"
    path.write_text(yaml.safe_dump({**document, **changed}))
    return path


def weights_of(name: str, tmp_path: Path, *, ending: str) -> Path:
    torch.manual_seed(0)
    state = getattr(nets, name)(**ENDS, **NETWORKS[name]).state_dict()
    path = tmp_path / f"weights{ending}"
    save_file(state, path) if ending == ".safetensors" else torch.save({"state_dict": state}, path)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_monai_s_networks_are_pruned_stored_and_exported(name: str, tmp_path: Path):
    ending = ".pth" if name == "UNet" else ".safetensors"
    yaml_file = described(tmp_path, {**ENDS, **NETWORKS[name]})
    found = import_torch(f"monai.networks.nets:{name}", weights_of(name, tmp_path, ending=ending), yaml_file)
    plan = rank(found.network, torch.zeros(1, 1, 32, 32), ratio=0.5, align="none")
    small = rebuild_checkpoint(found, plan)
    save(tmp_path / "small.safetensors", small.network, small.meta)
    again = load(tmp_path / "small.safetensors")
    images = np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype(np.float32)
    logits = reference_run(again.network)(images)
    assert np.array_equal(logits, reference_run(small.network)(images))
    counts = [sum(p.numel() for p in each.network.parameters()) for each in (found, again)]
    assert counts[1] < 0.6 * counts[0]
    session = open_session(export_checkpoint(again, tmp_path / "small.onnx"), threads=1)
    assert np.abs(session.run(images) - logits).max() < 1e-4


def test_a_file_alone_has_no_module_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_own_net.py").write_text(
        "from torch import nn\n\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(factory, "_named", set())
    import my_own_net  # pyright: ignore[reportMissingImports]

    torch.save(my_own_net.make().state_dict(), tmp_path / "w.pth")
    found = import_torch("my_own_net:make", tmp_path / "w.pth", described(tmp_path, {}))
    save(tmp_path / "it.safetensors", found.network, found.meta)
    assert load(tmp_path / "it.safetensors").meta.architecture == "factory"
    monkeypatch.setattr(factory, "_named", set())
    with pytest.raises(CheckpointError, match=r"--set train.model.factory=my_own_net:make"):
        load(tmp_path / "it.safetensors")


FAULTS: dict[str, dict[str, Any]] = {
    "labels are": {"labels": {"RV": 1, "MYO": 3}},
    "preprocessing is not understood": {"preprocessing": {"size": [32, 32]}},
    "must hold": {"colour": "red"},
    "cannot make the network": {"network": {"colour": "red"}},
    "does not fit the network": {"network": {**ENDS, "channels": [4, 8], "strides": [2]}},
    "are needed": {"labels": {"LV": 1}},
}


@pytest.mark.parametrize("words", FAULTS)
def test_what_does_not_fit_is_refused_in_one_line(words: str, tmp_path: Path):
    yaml_file = described(tmp_path, {**ENDS, **NETWORKS["UNet"]}, **FAULTS[words])
    with pytest.raises(InputError, match=words) as told:
        import_torch("monai.networks.nets:UNet", weights_of("UNet", tmp_path, ending=".pth"), yaml_file)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["os.system", "a:b:c", "a b:c", "os:system; x"])
def test_only_a_factory_is_a_factory(name: str, tmp_path: Path):
    with pytest.raises(ConfigError, match="is no factory"):
        import_torch(name, tmp_path / "w.pth", tmp_path / "it.yaml")


def test_an_import_that_was_cut_short_is_made_again_and_a_whole_one_is_kept(tmp_path: Path, monkeypatch):
    weights = weights_of("UNet", tmp_path, ending=".pth")
    arguments = {**ENDS, **NETWORKS["UNet"]}
    found = import_torch("monai.networks.nets:UNet", weights, described(tmp_path, arguments))
    settings = [f"train.paths.save_root={tmp_path}", "train.model.factory=monai.networks.nets:UNet"]

    def ws() -> Workspace:
        return Workspace(from_document({}, settings))

    with monkeypatch.context() as patch:
        patch.setattr(bring, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            bring.bring(ws(), found)
    made = bring.bring(ws(), found)
    assert ws().run.config.is_file() and ws().run.environment.is_file()
    before = ws().run.baseline.final.stat().st_mtime_ns
    assert bring.bring(ws(), found) == made and ws().run.baseline.final.stat().st_mtime_ns == before
    with torch.no_grad():
        next(found.network.parameters()).add_(1)
    with pytest.raises(ConfigError, match="holds a network already"):
        bring.bring(ws(), found)
