"""Results folders, archives, weights and descriptions of strangers: one line, soon, and nothing taken before."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from limits_kit import within
from nnunet_kit import Kind, write_results
from torch import nn

from compress.errors import CheckpointError, InputError
from compress.exchange.export_nnunet import export_nnunet
from compress.exchange.import_nnunet import EXTRA, import_nnunet
from compress.exchange.import_torch import import_torch
from compress.models import factory
from compress.models.checkpoint import Checkpoint, load, save_tensors

MONAI = "monai.networks.nets"
UNET = {"spatial_dims": 2, "in_channels": 1, "out_channels": 4, "channels": [8, 16], "strides": [2]}
DESCRIPTION: dict[str, Any] = {
    "preprocessing": {"spacing_mm": [4.0, 4.0], "size": [32, 32], "clip_percentiles": [0.5, 99.5]},
    "labels": {"RV": 1, "MYO": 2, "LV": 3},
    "network": UNET,
}


def refused(run: Callable[[], object], says: str = "") -> None:
    """One typed line, soon."""
    with within(), pytest.raises(InputError) as told:
        run()
    assert says in str(told.value) and "\n" not in str(told.value) and len(str(told.value)) < 3000, told.value


def change(folder: Path, name: str, edit: Callable[[Any], object]) -> None:
    document = json.loads((folder / name).read_text())
    edit(document)
    (folder / name).write_text(json.dumps(document))


def kwargs(plans: dict[str, Any]) -> dict[str, Any]:
    return plans["configurations"]["2d"]["architecture"]["arch_kwargs"]


def link(target: str) -> Callable[[Path], None]:
    return lambda path: (path.unlink(), path.symlink_to(target))[1]


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


PLANS: dict[str, Callable[[dict[str, Any]], object]] = {
    "wide": lambda p: kwargs(p).update(features_per_stage=[200_000] * 3),
    "deep": lambda p: kwargs(p).update(n_conv_per_stage=[10**6] * 3),
    "of a billion stages": lambda p: kwargs(p).update(n_stages=10**9),
    "of one list": lambda p: p.update(configurations=[]),
    "of numbers": lambda p: p["configurations"]["2d"].update(spacing=["a", None]),
    "of an endless size": lambda p: p["configurations"]["2d"].update(patch_size=[10**30, 10**30]),
}


@pytest.mark.parametrize("kind", PLANS)
def test_plans_take_nothing_before_the_weights_fit(kind: str, tmp_path: Path) -> None:
    folder = write_results(tmp_path, Kind())
    change(folder, "plans.json", PLANS[kind])
    refused(lambda: import_nnunet(folder))


REPLACED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a pipe": (pipe, "plans.json", "no regular file"),
    "a link out": (link("/etc/passwd"), "plans.json", "leads out"),
    "a device": (link("/dev/zero"), "fold_0/checkpoint_final.pth", "leads out"),
    "a pipe of weights": (pipe, "fold_0/checkpoint_final.pth", "no regular file"),
    "doubled keys": (lambda p: p.write_text('{"labels": 1, "labels": 2}'), "dataset.json", "stands there twice"),
    "deep": (lambda p: p.write_text("[" * 10**6), "dataset.json", "is not JSON"),
    "an endless label": (lambda p: p.write_text('{"labels": {"a": 1e300}}'), "dataset.json", ""),
}


@pytest.mark.parametrize("kind", REPLACED)
def test_a_file_of_the_folder_that_is_none(kind: str, tmp_path: Path) -> None:
    put, name, says = REPLACED[kind]
    folder = write_results(tmp_path, Kind())
    put(folder / name)
    refused(lambda: import_nnunet(folder), says)


def test_a_linked_folder_is_not_searched(tmp_path: Path) -> None:
    """It could be the root of everything, or the folder itself."""
    folder = write_results(tmp_path / "real", Kind())
    outer = tmp_path / "given"
    outer.mkdir()
    (outer / "m").symlink_to(folder)
    (outer / "everything").symlink_to("/")
    refused(lambda: import_nnunet(outer), "no trained model")


def test_a_fold_with_a_strange_number_is_none(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Kind())
    (folder / "fold_0").rename(folder / "fold_²")
    refused(lambda: import_nnunet(folder), "no checkpoint_final.pth in any fold")


def test_an_archive_that_names_a_file_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for content in ("{}", "[]"):
            archive.writestr("m/plans.json", content)
    refused(lambda: import_nnunet(tmp_path / "it.zip"), "a file twice")


def _claims_a_terabyte(path: Path) -> None:
    tensor = torch.zeros(4)
    torch.save({"network_weights": {"a": tensor}}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    small = pickle.dumps(4, protocol=2)[2:-1]
    assert small in content
    path.write_bytes(content.replace(small, pickle.dumps(2**40, protocol=2)[2:-1]))


WEIGHTS: dict[str, Callable[[Path], object]] = {
    "a storage of a terabyte": _claims_a_terabyte,
    "sparse": lambda p: torch.save({k: v.to_sparse() for k, v in _state().items()}, p),
    "empty": lambda p: torch.save({k: v.to("meta") for k, v in _state().items()}, p),
    "complex": lambda p: torch.save({k: v.to(torch.complex64) for k, v in _state().items()}, p),
    "one number everywhere": lambda p: torch.save({"a": torch.zeros(1).expand(2**40)}, p),
    "code": lambda p: p.write_bytes(b"cos\nsystem\n(S'echo'\ntR."),
    "a pipe": lambda p: os.mkfifo(p),
    "a device": lambda p: p.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "nothing": Path.touch,
}


def _state() -> dict[str, torch.Tensor]:
    import monai.networks.nets as nets

    return nets.UNet(**UNET).state_dict()  # pyright: ignore[reportArgumentType]


@pytest.fixture
def described(tmp_path: Path) -> Path:
    path = tmp_path / "it.yaml"
    path.write_text(yaml.safe_dump(DESCRIPTION))
    return path


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, about sparse tensors
def test_weights_that_are_none(kind: str, described: Path, tmp_path: Path) -> None:
    WEIGHTS[kind](tmp_path / "w.pth")
    refused(lambda: import_torch(f"{MONAI}:UNet", tmp_path / "w.pth", described))


def _safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


SAFE = {
    "cut": _safetensors(b'{"a":')[:9],
    "an unknown type": _safetensors(b'{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}') + b"x",
    "far too much": _safetensors(b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'),
    "deep": _safetensors(b"[" * 10**6),
}


@pytest.mark.parametrize("kind", SAFE)
def test_safetensors_that_are_none(kind: str, described: Path, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(SAFE[kind])
    refused(lambda: import_torch(f"{MONAI}:UNet", tmp_path / "w.safetensors", described))


TEXTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (os.mkfifo, "no regular file"),
    "a device": (lambda p: p.symlink_to("/dev/zero"), "no regular file"),
    "aliases": (lambda p: p.write_text("labels: &a {RV: 1}\npreprocessing: *a\n"), "aliases"),
    "keys twice": (lambda p: p.write_text("labels: {RV: 1}\nlabels: {LV: 1}\npreprocessing: {}\n"), "twice"),
    "deep": (lambda p: p.write_text("[" * 3000), "YAML"),
    "code": (lambda p: p.write_text("labels: !!python/object/apply:os.system [echo]\n"), "YAML"),
    "a list": (lambda p: p.write_text("[1]"), "mapping"),
    "no such file": (lambda p: None, "No such file"),
    "a huge network": (
        lambda p: p.write_text(yaml.safe_dump({**DESCRIPTION, "network": {**UNET, "channels": [200_000] * 2}})),
        "does not fit",
    ),
    "a deep network": (
        lambda p: p.write_text(yaml.safe_dump({**DESCRIPTION, "network": {**UNET, "num_res_units": 10**7}})),
        "far more layers",
    ),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_descriptions_that_are_none(kind: str, tmp_path: Path) -> None:
    make, says = TEXTS[kind]
    make(tmp_path / "it.yaml")
    torch.save(_state(), tmp_path / "w.pth")
    refused(lambda: import_torch(f"{MONAI}:UNet", tmp_path / "w.pth", tmp_path / "it.yaml"), says)


def _stored(path: Path, made_by: str, network: dict[str, Any]) -> Path:
    arguments = {"factory": made_by, "in_channels": 1, "out_channels": 4, "network": network}
    document = {"architecture": "factory", "arguments": arguments, "labels": {}, "preprocessing": {}}
    save_tensors(path, {"a": torch.zeros(1)}, document)
    return path


@pytest.mark.parametrize("name", ["HoVerNet", "EfficientNetBN", "MILModel", "TorchVisionFCModel", "DenseNet121", "nn"])
def test_a_checkpoint_alone_has_nothing_fetched(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of MONAI's networks load weights from wherever an argument says."""
    monkeypatch.setattr(factory, "_named", {})
    monkeypatch.setattr("socket.socket", lambda *_, **__: pytest.fail("it asked a network"))
    path = _stored(tmp_path / "it.safetensors", f"{MONAI}:{name}", {"pretrained_url": "http://localhost/x.pth"})
    refused(lambda: load(path), "not imported because a file names it")


def test_those_that_a_file_may_name_exist_and_take_no_weights() -> None:
    import inspect

    import monai.networks.nets as nets

    for name in factory.TRUSTED:
        made = getattr(nets, name.partition(":")[2])
        assert issubclass(made, nn.Module)
        told = inspect.signature(made).parameters
        assert not [p for p in told if any(word in p for word in ("pretrained", "url", "weights", "backbone"))]


def test_a_checkpoint_of_endless_layers_is_refused(tmp_path: Path) -> None:
    path = _stored(tmp_path / "it.safetensors", f"{MONAI}:UNet", {**UNET, "num_res_units": 10**7})
    refused(lambda: load(path), "far more layers")


@pytest.mark.parametrize("folds", [["x/../../../../outside"], [], None, [0], ["0", "../a"], "ab"])
def test_what_a_checkpoint_remembers_leads_nowhere(folds: Any, tmp_path: Path) -> None:
    found = import_nnunet(write_results(tmp_path, Kind())).checkpoint
    found.meta.extra[EXTRA]["folds"] = folds
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointError, match="is damaged"):
        export_nnunet(Checkpoint(found.network, found.meta), tmp_path / "out" / "deep")
    assert sorted(tmp_path.rglob("*")) == before
