"""Hostile checkpoints for `train --from`: what lies there, and the words that the one line must hold."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hostile_datasets import link
from safetensors.torch import save_file

Make = Callable[[Path], object]


def _raw(header: object, data: bytes = b"", *, size: int | None = None) -> Make:
    """A safetensors file with this header; `size` lies about its length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if size is None else size
    return lambda path: path.write_bytes(length.to_bytes(8, "little") + text + data)


def _tensor(**told: Any) -> dict[str, Any]:
    return {"head.bias": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **told}}


def _described(description: str) -> Make:
    def write(path: Path) -> None:
        save_file({"head.bias": torch.zeros(1)}, path, metadata={"cardiocompress": description})

    return write


def meta(**told: Any) -> Make:
    """A checkpoint of one number whose description says this."""
    whole = {"schema": 1, "architecture": "unet", "arguments": {}, "labels": {}, "preprocessing": {}}
    return _described(json.dumps({**whole, **told}))


_WIDTHS = {name: [4, 4] for name in ("encoders.0", "bottleneck", "decoders.1")} | {"decoders.0": [4]}
"""Of a U-Net with one level."""


def _unet(**told: Any) -> Make:
    """A checkpoint of one number that describes such a U-Net, but for this."""
    return meta(arguments={"in_channels": 1, "out_channels": 4, "widths": _WIDTHS, **told})


class _Run:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


_FACTORY = {"factory": "os:system", "in_channels": 1, "out_channels": 4, "network": {"command": "touch ran"}}
_DAMAGED, _OTHER, _NONE = "damaged description", "do not fit", "not a readable safetensors checkpoint"
CHECKPOINTS: dict[str, tuple[Make, str]] = {
    "missing": (lambda path: None, "No checkpoint at"),
    "a pipe": (os.mkfifo, "No checkpoint at"),
    "a folder": (Path.mkdir, "No checkpoint at"),
    "an endless device": (link("/dev/zero"), "No checkpoint at"),
    "a link to itself": (link("bad.safetensors"), "No checkpoint at"),
    "zero bytes": (Path.touch, _NONE),
    "a text": (lambda path: path.write_text("hello " * 99), _NONE),
    "zeros": (lambda path: path.write_bytes(bytes(10**6)), _NONE),
    "sparse and large": (lambda path: (path.touch(), os.truncate(path, 2**26)), _NONE),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(_Run())), _NONE),
    "torch's own": (lambda path: torch.save({"a": torch.zeros(1)}, path), _NONE),
    "a header without end": (_raw({}, size=2**63), _NONE),
    "a header longer than the file": (_raw({}, size=10**6), _NONE),
    "a header that is no JSON": (_raw(b"[" * 5000), _NONE),
    "a deep header": (_raw(b'{"a":' * 50_000), _NONE),
    "a header that is a list": (_raw([]), _NONE),
    "a header of no tensors": (_raw({}), "not one that cardiocompress wrote"),
    "tensors beyond the file": (_raw(_tensor(data_offsets=[0, 10**12], shape=[10**12 // 4])), _NONE),
    "tensors before the file": (_raw(_tensor(data_offsets=[4, 0]), bytes(4)), _NONE),
    "tensors over each other": (
        _raw({**_tensor(), "other": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        _NONE,
    ),
    "tensors below nothing": (_raw(_tensor(shape=[-1]), bytes(4)), _NONE),
    "tensors of more than memory": (_raw(_tensor(shape=[2**62, 2**62]), bytes(4)), _NONE),
    "tensors of a type of nobody's": (_raw(_tensor(dtype="F7"), bytes(4)), _NONE),
    "metadata that are a number": (_raw({"__metadata__": 7, **_tensor()}, bytes(4)), _NONE),
    "a description of numbers": (_raw({"__metadata__": {"cardiocompress": 7}, **_tensor()}, bytes(4)), _NONE),
    "no description": (lambda path: save_file({"a": torch.zeros(1)}, path), "not one that cardiocompress wrote"),
    "a deep description": (_described("[" * 100_000), _DAMAGED),
    "a long number": (_described('{"schema": ' + "1" * 5000 + "}"), _DAMAGED),
    "a description twice": (_described('{"schema": 1, "schema": 1}'), _DAMAGED),
    "a description of nothing": (_described(""), _DAMAGED),
    "a description that is a list": (_described("[]"), "another version"),
    "a description of tomorrow": (meta(schema=2), "another version"),
    "a description cut short": (_described('{"schema": 1}'), "lacks parts"),
    "labels of text": (meta(labels="RV"), _DAMAGED),
    "labels of true": (meta(labels={"RV": True}), _DAMAGED),
    "an epoch of text": (meta(epoch="1"), _DAMAGED),
    "arguments that are a list": (meta(arguments=[1]), _OTHER),
    "arguments of nobody's": (meta(arguments={"evil": 1}), _OTHER),
    "an architecture of nobody's": (meta(architecture="os"), _OTHER),
    "a factory that runs a command": (meta(architecture="factory", arguments=_FACTORY), "os:system"),
    "widths below nothing": (_unet(widths={**_WIDTHS, "bottleneck": [-1, -1]}), _OTHER),
    "widths of text": (_unet(widths="wide"), _OTHER),
    "no widths": (_unet(widths={}), _OTHER),
    "a width for a block of nobody's": (_unet(widths={**_WIDTHS, "spleen": [4]}), _OTHER),
    "classes without end": (_unet(out_channels=10**18), _OTHER),
    "huge by its header alone": (_unet(widths={name: [9000] * len(each) for name, each in _WIDTHS.items()}), _OTHER),
    "deep by its header alone": (
        _unet(widths={f"{part}.{level}": [4, 4] for part in ("encoders", "decoders") for level in range(500)}),
        _OTHER,
    ),
}
