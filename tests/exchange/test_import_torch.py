"""Networks of MONAI's and of one's own come in with their weights, and are pruned, stored and exported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import monai.networks.nets as nets
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from cli.holding import release
from cli.import_torch import import_torch as command
from compress.config.read import from_document
from compress.errors import CheckpointError, ConfigError, InputError
from compress.exchange.import_torch import import_bundle, import_torch
from compress.exchange.monai_bundle import read_bundle
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
    monkeypatch.setattr(factory, "_named", {})
    import my_own_net  # pyright: ignore[reportMissingImports]

    torch.save(my_own_net.make().state_dict(), tmp_path / "w.pth")
    found = import_torch("my_own_net:make", tmp_path / "w.pth", described(tmp_path, {}))
    save(tmp_path / "it.safetensors", found.network, found.meta)
    assert load(tmp_path / "it.safetensors").meta.architecture == "factory"
    monkeypatch.setattr(factory, "_named", {})
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("which", ["weights", "description"])
def test_a_pipe_is_refused_and_not_waited_for(which: str, tmp_path: Path):
    paths = {"weights": tmp_path / "weights.pth", "description": described(tmp_path, {**ENDS, **NETWORKS["UNet"]})}
    paths[which] = tmp_path / "pipe"
    os.mkfifo(paths[which])
    with pytest.raises(InputError, match="no regular file"):
        import_torch("monai.networks.nets:UNet", **paths)


def test_aliases_that_multiply_are_refused(tmp_path: Path):
    path = tmp_path / "it.yaml"
    path.write_text("labels: &a {RV: 1}\npreprocessing: *a\n")
    with pytest.raises(ConfigError, match="aliases"):
        import_torch("monai.networks.nets:UNet", tmp_path / "weights.pth", path)


def bundle_of(tmp_path: Path, changes: dict[str, Any] | None = None) -> Path:
    """As `python -m monai.bundle init_bundle` and the model zoo lay one out."""
    folder = tmp_path / "bundle"
    told = {"_target_": "UNet", **ENDS, **NETWORKS["UNet"], **(changes or {})}
    document = {"imports": ["$import glob"], "network_def": told, "network": "$@network_def.to(@device)"}
    channels = {"0": "background", "1": "RV", "2": "MYO", "3": "LV"}
    metadata = {"network_data_format": {"outputs": {"pred": {"channel_def": channels}}}}
    for name, content in (("inference", document), ("metadata", metadata)):
        (folder / "configs").mkdir(parents=True, exist_ok=True)
        (folder / f"configs/{name}.json").write_text(json.dumps(content))
    (folder / "models").mkdir()
    weights_of("UNet", folder / "models", ending=".pth").rename(folder / "models/model.pt")
    return folder


def test_a_plain_bundle_is_the_network_that_it_describes(tmp_path: Path):
    path = described(tmp_path, {**ENDS, **NETWORKS["UNet"]})
    bundle, told = read_bundle(bundle_of(tmp_path)), yaml.safe_load(path.read_text())
    with pytest.raises(ConfigError, match="which a bundle says itself"):
        import_bundle(bundle, path)
    state = torch.load(tmp_path / "bundle/models/model.pt", weights_only=True)["state_dict"]
    for labels in ({}, {"labels": {"A": 1, "B": 2, "C": 3}}):
        path.write_text(yaml.safe_dump({"preprocessing": told["preprocessing"], **labels}))
        found = import_bundle(bundle, path)
        assert all(torch.equal(value, state[name]) for name, value in found.network.state_dict().items())
        assert found.meta.labels == labels.get("labels", {"RV": 1, "MYO": 2, "LV": 3})


def test_the_command_takes_a_bundle_or_a_factory_with_weights(tmp_path: Path, monkeypatch, capsys):
    path = described(tmp_path, {})
    path.write_text(path.read_text().replace("network: {}", ""))
    monkeypatch.chdir(tmp_path)
    try:
        command(str(bundle_of(tmp_path)), preprocessing=path)
    finally:
        release()
    assert "labels LV, MYO, RV" in " ".join(capsys.readouterr().out.split())
    assert load(tmp_path / "artifacts/cardiac/baseline/final_model.safetensors").meta.architecture == "factory"
    with pytest.raises(ConfigError, match="which has weights"):
        command(str(tmp_path / "bundle"), preprocessing=path, weights=path)
    with pytest.raises(ConfigError, match="no weights are given"):
        command("monai.networks.nets:UNet", preprocessing=path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"channels": "$list(range(3))"}, "network_def.channels is '\\$list"),
        ({"norm": ["batch", {"eps": "@eps"}]}, "network_def.norm.1.eps is '@eps'"),
        ({"act": {"_target_": "os.system"}}, "network_def.act has _target_"),
        ({"_mode_": "callable"}, "network_def has _mode_"),
        ({"_target_": "os.system"}, "only those of monai.networks.nets"),
        ({"_target_": "monai.networks.netsx.UNet"}, "only those of monai.networks.nets"),
        ({"spatial_dims": 3}, "spatial_dims is 3"),
        ({"pretrained": True}, "asks for a download"),
    ],
)
def test_a_bundle_that_is_no_plain_data_is_refused(changes: dict[str, Any], text: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=text) as fault:
        read_bundle(bundle_of(tmp_path, changes))
    assert "\n" not in str(fault.value)


def test_a_bundle_of_a_size_that_its_weights_do_not_have_takes_no_memory(tmp_path: Path):
    """Its first convolution alone would have 4 TiB."""
    bundle, path = read_bundle(bundle_of(tmp_path, {"channels": [10**6, 10**5, 10**5]})), described(tmp_path, {})
    path.write_text(path.read_text().replace("network: {}", ""))
    with pytest.raises(CheckpointError, match="does not fit the network"):
        import_bundle(bundle, path)


def test_what_a_bundle_lacks_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"none of configs/inference\.json"):
        read_bundle(tmp_path)
    (bundle_of(tmp_path) / "models/model.pt").unlink()
    with pytest.raises(ConfigError, match=r"none of models/model\.pt"):
        read_bundle(tmp_path / "bundle")
