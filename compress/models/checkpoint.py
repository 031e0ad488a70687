"""Checkpoints: one safetensors file that holds the network's shape beside its weights.

The header carries one JSON document (`Meta`). Loading builds the network from it, then fills it:
no pickle, and no special case for pruned networks.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from compress.errors import CheckpointError, ConfigError, EnvironmentFault
from compress.files import atomic_path, digest_bytes, digest_json, parse_json
from compress.models.build import outline
from compress.outside import check_regular

SCHEMA = 1
_KEY = "cardiocompress"


@dataclass(frozen=True)
class Meta:
    """What a checkpoint knows of itself besides its weights."""

    architecture: str
    arguments: dict[str, Any]
    """Keyword arguments of the architecture's constructor, `widths` of every convolution included."""
    labels: dict[str, int]
    """Structure name -> label value = output channel."""
    preprocessing: dict[str, Any]
    epoch: int = 0
    stage: str = "dense"
    """How the weights came to be: initial, early, dense, pruned, start, finetuned."""
    phantom: bool = False
    """True when the training data was synthetic."""
    data_digest: str = ""
    parent: str = ""
    """Digest of the checkpoint that this one was pruned or tuned from."""
    plan: dict[str, Any] | None = None
    digest: str = ""
    """SHA-256 over the architecture and every weight; filled by `save`."""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode on the CPU, with its description."""

    network: nn.Module
    meta: Meta


def weights_digest(network: nn.Module, meta: Meta) -> str:
    """SHA-256 over the architecture, its arguments and every tensor in order of name."""
    parts = [digest_json([meta.architecture, meta.arguments]).encode()]
    for name, tensor in sorted(network.state_dict().items()):
        parts += [name.encode(), tensor.detach().cpu().contiguous().numpy().tobytes()]
    return digest_bytes(*parts)


def save(path: Path, network: nn.Module, meta: Meta) -> Meta:
    """Write the network and its description atomically; returns `meta` with the digest filled in."""
    meta = replace(meta, digest=weights_digest(network, meta))
    save_tensors(path, {k: v.detach().cpu() for k, v in network.state_dict().items()}, asdict(meta))
    return meta


def load(path: Path) -> Checkpoint:
    """Rebuild the network that a checkpoint describes and fill it. Raises `CheckpointError`.

    No memory is taken for it before its shapes are known to be those of the stored weights.
    """
    with _opened(path) as stream:
        meta = _meta(_document(stream, path), path)
        network = _outline(meta, stream, path)
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 not a dict
    with _as_misfit(path):
        network = network.to_empty(device="cpu")
        network.load_state_dict(tensors)
    if meta.digest and weights_digest(network, meta) != meta.digest:
        raise CheckpointError(f"{path} was altered after it was written: its digest does not match its weights.")
    return Checkpoint(network.eval(), meta)


def untrained(path: Path) -> tuple[nn.Module, Meta]:
    """The network that a checkpoint describes, its weights all zero, and the description; raises as `load` does."""
    with _opened(path) as stream:
        meta = _meta(_document(stream, path), path)
        network = _outline(meta, stream, path).to_empty(device="cpu")
    for tensor in network.state_dict().values():
        tensor.zero_()
    return network, meta


def _outline(meta: Meta, stream: Any, path: Path) -> nn.Module:
    """The network without memory behind its tensors, once they have the shapes and types of the stored ones."""
    with _as_misfit(path):
        network = outline(meta.architecture, meta.arguments, tensors=len(stream.keys()))
        wanted = {name: (list(tensor.shape), tensor.dtype) for name, tensor in network.state_dict().items()}
        parts = {name: stream.get_slice(name) for name in stream.keys()}  # noqa: SIM118 not a dict
        stored = {name: (list(part.get_shape()), _DTYPES.get(part.get_dtype())) for name, part in parts.items()}
        if odd := sorted(name for name in wanted.keys() | stored.keys() if wanted.get(name) != stored.get(name)):
            raise ValueError(f"'{odd[0][:80]}' and {len(odd) - 1} more have other shapes, or are not there")
    return network


_DTYPES = {"F32": torch.float32, "I64": torch.int64}
"""Those of the networks here, as safetensors calls them."""


@contextmanager
def _as_misfit(path: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, TypeError, KeyError, AttributeError, ValueError, OverflowError, ConfigError) as fault:
        told = " ".join(str(fault).split())[:500]
        raise CheckpointError(f"{path}: the weights do not fit the network that it describes: {told}") from fault


def read_meta(path: Path) -> Meta:
    """The description alone, without reading the weights."""
    with _opened(path) as stream:
        return _meta(_document(stream, path), path)


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], document: dict[str, Any]) -> None:
    """Write tensors and one JSON document into a safetensors file, atomically."""
    with atomic_path(Path(path)) as temporary:
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        header = {_KEY: json.dumps({"schema": SCHEMA, **document}, sort_keys=True)}
        try:
            save_file(contiguous, temporary, metadata=header)
        except SafetensorError as fault:  # its way of saying that the disk is full
            raise EnvironmentFault(f"Cannot write {path}: {fault}.", cure="Check the free space.") from fault


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `save_tensors` wrote. Raises `CheckpointError` for a missing, damaged or foreign file."""
    with _opened(path) as stream:
        document = _document(stream, path)
        return {name: stream.get_tensor(name) for name in stream.keys()}, document  # noqa: SIM118 not a dict


def _opened(path: Path) -> Any:
    if not Path(path).is_file():
        raise CheckpointError(f"No checkpoint at {path}.", cure="Run the step that writes it first.")
    check_regular(Path(path), most=None, named=True)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as fault:
        raise CheckpointError(f"{path} is not a readable safetensors checkpoint: {fault}.") from fault


def _document(stream: Any, path: Path) -> dict[str, Any]:
    text = (stream.metadata() or {}).get(_KEY)
    if text is None:
        raise CheckpointError(f"{path} is a safetensors file, but not one that cardiocompress wrote.")
    try:
        document = parse_json(text)
    except (ValueError, RecursionError) as fault:
        raise CheckpointError(f"{path} has a damaged description: {fault}.") from fault
    if not isinstance(document, dict) or document.pop("schema", None) != SCHEMA:
        raise CheckpointError(f"{path} was written by another version (schema is not {SCHEMA}).")
    return document


def _meta(document: dict[str, Any], path: Path) -> Meta:
    known = {f.name for f in fields(Meta)}
    try:
        meta = Meta(**{k: v for k, v in document.items() if k in known})
    except TypeError as fault:
        raise CheckpointError(f"{path} lacks parts of its description: {fault}.") from fault
    for name, kind in _KINDS.items():
        if not isinstance(value := getattr(meta, name), kind) or (kind is int and isinstance(value, bool)):
            raise CheckpointError(f"{path} has a damaged description: '{name}' is {reprlib.repr(value)}.")
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in meta.labels.values()):
        raise CheckpointError(f"{path} has a damaged description: its labels are {reprlib.repr(meta.labels)}.")
    return meta


_KINDS = {
    **dict.fromkeys(("labels", "preprocessing", "extra"), dict),
    **dict.fromkeys(("architecture", "stage", "data_digest", "parent", "digest"), str),
    "epoch": int,
    "phantom": bool,
    "plan": dict | None,
}
"""What the parts of a description are; the arguments are for the architecture to judge."""
