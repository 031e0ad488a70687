"""Checkpoints: one safetensors file that holds the network's shape beside its weights.

The header carries one JSON document (`Meta`). Loading builds the network from it, then fills it:
no pickle, and no special case for pruned networks.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from compress.errors import CheckpointError, ConfigError, EnvironmentFault
from compress.files import atomic_path, digest_bytes, digest_json
from compress.models.build import build

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
    """Rebuild the network that a checkpoint describes and fill it. Raises `CheckpointError`."""
    tensors, document = load_tensors(path)
    meta = _meta(document, path)
    try:
        network = build(meta.architecture, meta.arguments)
        network.load_state_dict(tensors)
    except (RuntimeError, TypeError, KeyError, AttributeError, ConfigError) as fault:
        raise CheckpointError(f"{path}: the weights do not fit the network that it describes: {fault}") from fault
    if meta.digest and weights_digest(network, meta) != meta.digest:
        raise CheckpointError(f"{path} was altered after it was written: its digest does not match its weights.")
    return Checkpoint(network.eval(), meta)


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
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as fault:
        raise CheckpointError(f"{path} is not a readable safetensors checkpoint: {fault}.") from fault


def _document(stream: Any, path: Path) -> dict[str, Any]:
    text = (stream.metadata() or {}).get(_KEY)
    if text is None:
        raise CheckpointError(f"{path} is a safetensors file, but not one that cardiocompress wrote.")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as fault:
        raise CheckpointError(f"{path} has a damaged description: {fault}.") from fault
    if not isinstance(document, dict) or document.pop("schema", None) != SCHEMA:
        raise CheckpointError(f"{path} was written by another version (schema is not {SCHEMA}).")
    return document


def _meta(document: dict[str, Any], path: Path) -> Meta:
    known = {f.name for f in fields(Meta)}
    try:
        return Meta(**{k: v for k, v in document.items() if k in known})
    except TypeError as fault:
        raise CheckpointError(f"{path} lacks parts of its description: {fault}.") from fault
