"""Checkpoints: what is written is read back bit for bit, and nothing else is accepted."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from compress.data.volume import ACDC_LABELS
from compress.errors import CheckpointError
from compress.models.checkpoint import (
    Meta,
    load,
    load_tensors,
    read_meta,
    save,
    save_tensors,
    untrained,
    weights_digest,
)
from compress.models.unet import UNet, dense_widths, initialise

WIDTHS = dense_widths([4, 8])
META = Meta(
    architecture="unet",
    arguments={"in_channels": 1, "out_channels": 4, "widths": WIDTHS},
    labels=ACDC_LABELS,
    preprocessing={"spacing_mm": [1.5, 1.5], "size": [32, 32]},
    epoch=3,
    phantom=True,
    plan={"criterion": "l1_norm"},
    extra={"rewound_to_epoch": 1},
)


@pytest.fixture
def network() -> UNet:
    network = UNet(1, 4, WIDTHS)
    initialise(network, seed=0)
    generator = torch.Generator().manual_seed(1)
    for tensor in network.buffers():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator))
    return network


def rewrite_header(path: Path, change: dict[str, object]) -> None:
    tensors, document = load_tensors(path)
    save_tensors(path, tensors, {**document, **change})


def test_round_trip_is_bit_equal(network: UNet, tmp_path: Path):
    written = save(tmp_path / "deep" / "net.safetensors", network, META)
    loaded = load(tmp_path / "deep" / "net.safetensors")
    assert loaded.meta == written == replace(META, digest=written.digest)
    assert read_meta(tmp_path / "deep" / "net.safetensors") == written
    assert not loaded.network.training
    state = loaded.network.state_dict()
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["net.safetensors"]


def test_the_digest_is_of_weights_and_shape_alone(network: UNet, tmp_path: Path):
    digest = weights_digest(network, META)
    assert len(digest) == 64
    assert weights_digest(network, replace(META, epoch=9, parent="x", labels={})) == digest
    assert weights_digest(network.to(memory_format=torch.channels_last), META) == digest
    assert save(tmp_path / "a.safetensors", network, META).digest == digest
    with torch.no_grad():
        network.head.bias[0] += 1e-6
    assert weights_digest(network, META) != digest


def test_the_digest_is_pinned():
    """Published runs are recognised by it, so it must never change."""
    network = UNet(1, 4, dense_widths([2]))
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape))
    meta = replace(META, arguments={"in_channels": 1, "out_channels": 4, "widths": dense_widths([2])})
    assert weights_digest(network, meta) == "0d137dc0d8a00539785a8e0632882912643ad8148a52bdbf04935477622ad6e6"


def test_altered_weights_are_refused(network: UNet, tmp_path: Path):
    path = tmp_path / "net.safetensors"
    save(path, network, META)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"net\.safetensors was altered after it was written"):
        load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, r"written by another version \(schema is not 1\)"),
        ({"architecture": "resnet"}, "do not fit the network that it describes: Unknown architecture 'resnet'"),
        ({"arguments": {**META.arguments, "widths": dense_widths([4])}}, "do not fit the network"),
        ({"arguments": {**META.arguments, "widths": [4, 8]}}, "do not fit the network"),
        ({"arguments": {**META.arguments, "depth": 3}}, "do not fit the network"),
        ({"arguments": None}, "do not fit the network"),
    ],
)
def test_altered_descriptions_are_refused(network: UNet, tmp_path: Path, change: dict[str, object], message: str):
    path = tmp_path / "net.safetensors"
    save(path, network, META)
    rewrite_header(path, change)
    with pytest.raises(CheckpointError, match=message):
        load(path)


@pytest.mark.parametrize("size", [0, 5, 100, 3000])
def test_truncated_files_are_refused(network: UNet, tmp_path: Path, size: int):
    path = tmp_path / "net.safetensors"
    save(path, network, META)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="not a readable safetensors checkpoint"):
        load(path)


def test_foreign_files_are_refused(tmp_path: Path):
    path = tmp_path / "other.safetensors"
    tensors = {"weight": torch.zeros(2)}
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="not one that cardiocompress wrote"):
        load(path)
    for text in ("{", "[1]"):
        save_file(tensors, path, metadata={"cardiocompress": text})
        with pytest.raises(CheckpointError, match=r"damaged description|another version"):
            load(path)
    save_file(tensors, path, metadata={"cardiocompress": json.dumps({"schema": 1, "epoch": 3})})
    with pytest.raises(CheckpointError, match="lacks parts of its description"):
        load(path)


def test_a_missing_file_names_the_path(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"No checkpoint at .*absent\.safetensors\. Run the step"):
        load(tmp_path / "absent.safetensors")


WIDE = {f"encoders.{level}": [9000, 9000] for level in range(2)} | {
    "bottleneck": [9000, 9000],
    **{f"decoders.{step}": [9000] if step % 2 == 0 else [9000, 9000] for step in range(4)},
}


@pytest.mark.parametrize("read", [load, untrained])
def test_no_memory_is_taken_for_shapes_that_are_not_there(read, tmp_path: Path):
    """Ten gigabytes by a header of some hundred bytes; built for real it would be 15 s as well."""
    path = tmp_path / "wide.safetensors"
    document = {"architecture": "unet", "arguments": {"in_channels": 1, "out_channels": 4, "widths": WIDE}}
    save_tensors(path, {"head.bias": torch.zeros(1)}, {**document, "labels": {}, "preprocessing": {}})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="have other shapes"):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_a_thousand_encoders_are_none(tmp_path: Path):
    widths = {f"encoders.{level}": [1, 1] for level in range(1000)}
    path = tmp_path / "deep.safetensors"
    document = {"architecture": "unet", "arguments": {"in_channels": 1, "out_channels": 4, "widths": widths}}
    save_tensors(path, {"head.bias": torch.zeros(1)}, {**document, "labels": {}, "preprocessing": {}})
    with pytest.raises(CheckpointError, match="at most 12 encoders"):
        load(path)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"schema": ' + "1" * 5000 + "}", '{"schema": 1, "schema": 1}', '{"schema": NaN}'],
    ids=["deep", "long", "twice", "no number"],
)
def test_descriptions_that_are_no_json_are_one_line(text: str, tmp_path: Path):
    path = tmp_path / "bad.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata={"cardiocompress": text})
    with pytest.raises(CheckpointError, match="damaged description") as caught:
        read_meta(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"labels": "RV"}, {"labels": {"RV": "1"}}, {"epoch": "9"}, {"plan": 3}, {"extra": 0}]
)
def test_descriptions_of_other_types_are_refused(network: UNet, tmp_path: Path, change: dict[str, object]):
    path = tmp_path / "net.safetensors"
    save(path, network, META)
    rewrite_header(path, change)
    with pytest.raises(CheckpointError, match="damaged description"):
        load(path)
