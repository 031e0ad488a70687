"""Export to one self-contained, reproducible ONNX file.

Two exports of the same weights are byte-identical, whichever process and folder they come from, so
a digest of the file says which network it is.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from compress.data.nnunet.rules import NnunetRules
from compress.data.rules import rules_from_json
from compress.errors import ConfigError, InputError
from compress.export.metadata import divisor_of
from compress.files import atomic_path
from compress.models.checkpoint import Checkpoint
from compress.models.modules import copied

_PRODUCER = "cardiocompress"
_OPSET = 20
"""What torch translates to; `_lower` then asks of a reader only what the graph needs."""
_LEAST_OPSET = 17
"""With it goes IR 8, which ONNX Runtime reads since 1.13; older ones are installed nowhere that we support."""


def export_onnx(
    network: nn.Module, path: Path, *, divisor: int, channels: int = 1, size: tuple[int, int] | None = None
) -> Path:
    """Write `network` as ONNX: "image" (N, channels, H, W) float32 -> "logits" (N, classes, H, W) float32.

    N is free; H and W are any multiples of `divisor`, which is stored under the metadata key
    "divisor" because ONNX itself cannot hold the rule; with `size` they are these alone. The file asks for the oldest
    version of ONNX (opset 17, IR 8, or what its operators need beyond) that says the same, so that old runtimes read
    it. The network is exported from a copy in evaluation mode and left untouched. Raises `ConfigError` for a bad
    divisor and `InputError` when the network cannot be exported.
    """
    if divisor < 1:
        raise ConfigError(f"divisor is {divisor}; a positive whole number is needed.")
    model = _translate(frozen_copy(network), divisor, channels, size)
    _clean(model)
    _lower(model)
    onnx.helper.set_model_props(model, {"divisor": str(divisor)})
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as fault:
        raise InputError(f"The exported graph is not valid ONNX: {fault}.") from fault
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
    return Path(path)


def frozen_copy(network: nn.Module) -> nn.Module:
    """A float32 copy on the CPU in evaluation mode and plain memory layout."""
    twin = copied(network).to(device="cpu", dtype=torch.float32)
    twin.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue] (torch's overloads lack it)
    return twin.eval().requires_grad_(False)


def _translate(network: nn.Module, divisor: int, channels: int, size: tuple[int, int] | None) -> onnx.ModelProto:
    # Sizes above one: torch.export would fix a size of one as a constant.
    example = torch.zeros(2, channels, *(size or (2 * divisor, 3 * divisor)))
    dims = {0: torch.export.Dim("batch")}
    if size is None:
        dims |= {2: _multiple("height", divisor), 3: _multiple("width", divisor)}
    importlib.import_module("torch._dynamo")  # Ctrl-C while it loads is no fault of the network, as it would be below
    try:
        with _quiet_exporter(), _one_table():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                verbose=False,
                opset_version=_OPSET,
                external_data=False,
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes=(dims,),
            )
    except Exception as fault:  # the exporter raises whatever the network's code or torch raises
        reason = " ".join(str(fault.__cause__ or fault).split())[:300]
        raise InputError(
            f"{type(network).__name__} cannot be exported to ONNX: {reason}.",
            cure=f"It must accept any batch of {channels}-channel images "
            + (f"whose sides are multiples of {divisor}." if size is None else f"of {size[0]} x {size[1]} pixels."),
        ) from fault
    assert program is not None
    return program.model_proto


def _multiple(name: str, divisor: int) -> Any:
    size = torch.export.Dim(name)
    return size if divisor == 1 else divisor * size


def _clean(model: onnx.ModelProto) -> None:
    """Remove what names the exporting machine: source paths, module names, traces, torch's version."""
    model.producer_name, model.producer_version, model.doc_string = _PRODUCER, "", ""
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    graph.doc_string = ""
    for entry in (*graph.node, *graph.initializer, *graph.input, *graph.output, *model.functions):
        entry.doc_string = ""
        del entry.metadata_props[:]
    for function in model.functions:
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]


def _lower(model: onnx.ModelProto) -> None:
    """Ask for the oldest opset, from `_LEAST_OPSET` on, in which every operator means what it means in this one.

    An operator's definition holds from the version that brought it until the next that changes it, so nothing in the
    graph is rewritten. A graph with functions of its own stays as it is.
    """
    if model.functions or {entry.domain for entry in model.opset_import} - {""}:
        return
    (imported,) = model.opset_import
    born = [onnx.defs.get_schema(node.op_type, imported.version).since_version for node in _nodes(model.graph)]
    imported.version = max(_LEAST_OPSET, *born)
    model.ir_version = onnx.helper.find_min_ir_version_for([imported])


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of graphs inside nodes included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hold back what torch's exporter prints, logs and warns about on every export."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")  # "torchvision is not installed"
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)", FutureWarning)
            yield
    finally:
        log.setLevel(level)


@contextlib.contextmanager
def _one_table() -> Iterator[None]:
    """torch reads its table of translations anew for each network, a quarter of an export's time; once is enough."""
    owner, name = ONNXRegistry, "from_torchlib"
    before = owner.__dict__[name]
    setattr(owner, name, staticmethod(_table))
    try:
        yield
    finally:
        setattr(owner, name, before)


_table = functools.cache(ONNXRegistry.from_torchlib)


def export_checkpoint(checkpoint: Checkpoint, path: Path) -> Path:
    """`export_onnx` of a checkpoint's network for the images that its rules make.

    nnU-Net's patch is fixed: its norms are of each image, so that another size would mean other masks. Of a network of
    somebody's own nobody knows which other sizes it takes.
    """
    rules = rules_from_json(checkpoint.meta.preprocessing)
    fixed = isinstance(rules, NnunetRules) or checkpoint.meta.architecture == "factory"
    return export_onnx(
        checkpoint.network,
        path,
        divisor=divisor_of(checkpoint),
        channels=int(checkpoint.meta.arguments.get("in_channels", 1)),
        size=rules.size if fixed else None,
    )
