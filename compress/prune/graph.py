"""Following the channels of any network that torch.export can trace.

The network is exported in evaluation and in training mode (deep-supervision heads often exist in the
latter only); both graphs are walked with entries instead of values (`compress.prune.values`), by the
rules of `compress.prune.rules`. Where no rule is known, the channels that arrive are frozen with the
operation's name as the reason: nothing is skipped silently.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.export.graph_signature import InputKind
from torch.fx.node import map_arg

from compress.errors import PlanError
from compress.models.modules import copied
from compress.prune.call import Call, as_ids
from compress.prune.entries import Entries
from compress.prune.parameters import alone
from compress.prune.rules import RULES
from compress.prune.values import Derived, Stored, along, entries_of, unknown

WRAPPERS = ("wrap_with_autocast", "wrap_with_set_grad_enabled")
"""Operations that hold a block of the network."""

Example = torch.Tensor | tuple[torch.Tensor, ...]


def inputs_of(example: Example) -> tuple[torch.Tensor, ...]:
    """The example as the arguments of a call. Raises `PlanError` for anything but tensors."""
    inputs = example if isinstance(example, tuple) else (example,)
    if wrong := [type(value).__name__ for value in inputs if not isinstance(value, torch.Tensor)]:
        raise PlanError(
            f"The example holds {', '.join(wrong)}; a tensor or a tuple of tensors is needed.",
            cure="Wrap the network in a module that takes tensors alone.",
        )
    return inputs


def follow(network: nn.Module, example: Example) -> Entries:
    """The united and frozen entries of every channel dimension of a network.

    example: input (N, C, ...) or a tuple of inputs; only shapes and types matter. Raises `PlanError`
    with torch.export's reason when the network cannot be traced in evaluation mode.
    """
    inputs = inputs_of(example)
    entries = Entries()
    # Tracing may leave marks in networks that keep tensors as attributes: each mode gets a copy.
    _Walk(entries, network, _export(copied(network).eval(), inputs)).run()
    # BatchNorm refuses to train on a single value per channel: two samples are always enough.
    doubled = tuple(torch.cat([x, x]) if x.ndim else x for x in inputs)
    try:
        _Walk(entries, network, _export(copied(network).train(), doubled)).run()
    except PlanError as fault:
        entries.notes.append(f"only evaluation mode was followed: {fault}")
    return entries


def _export(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.export.ExportedProgram:
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(network, inputs, strict=False)
    except Exception as fault:  # torch.export raises dozens of types, most of them private
        reason = next((line for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
        raise PlanError(
            f"{type(network).__name__} cannot be traced: {reason.strip()}",
            cure="torch.export must be able to follow its forward; avoid control flow that depends on tensor values.",
        ) from fault


class _Walk:
    """One pass over one exported graph."""

    def __init__(self, entries: Entries, network: nn.Module, program: torch.export.ExportedProgram) -> None:
        self.entries, self.network, self.program = entries, network, program
        self.stored = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        self.values: dict[fx.Node, Any] = {}

    def run(self) -> None:
        for node in self.program.graph.nodes:
            self.values[node] = self._visit(node)
            if node.op == "output":
                map_arg(node.args, self._leaves)

    def _visit(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._placeholder(node)
        if node.op == "output":
            return map_arg(node.args, lambda n: self.values[n])
        if node.op == "get_attr":
            return _attribute(node)
        args = map_arg(node.args, lambda n: self.values[n])
        kwargs = map_arg(node.kwargs, lambda n: self.values[n])
        if node.target is operator.getitem:
            return args[0][int(str(args[1]))] if isinstance(args[0], list | tuple) else None
        self.entries.reached.update(path for path, _ in (node.meta.get("nn_module_stack") or {}).values())
        call = Call(self.entries, self.network, node, args, kwargs)
        if call.name in WRAPPERS:
            return self._inside(call)
        rule = RULES.get(call.name)
        if not any(isinstance(v, torch.Tensor) for v in call.flat()):
            return alone(call, rule)
        return rule(call) if rule is not None else call.give_up(f"{call.name} cannot be followed")

    def _inside(self, call: Call) -> Any:
        """The results of a block that only changes how it is computed, such as autocast."""
        at, block = next((i, v) for i, v in enumerate(call.args) if isinstance(v, fx.GraphModule))
        nodes = list(block.graph.nodes)
        arrive = [n for n in nodes if n.op == "placeholder"]
        self.values.update(zip(arrive, call.args[at + 1 :], strict=True))
        for node in nodes[len(arrive) :]:
            self.values[node] = self._visit(node)
        (result,) = self.values[nodes[-1]]
        return result

    def _placeholder(self, node: fx.Node) -> Any:
        spec = self.stored[node.name]
        if spec.kind is not InputKind.USER_INPUT:
            value = node.meta.get("val")
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else ()
            if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and spec.target is not None:
                if node.users:
                    self.entries.used.add(spec.target)
                return Stored(spec.target, shape)
            return Derived(shape)
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            return None
        if value.ndim < 2:
            return unknown(value.shape)
        ids = self.entries.fresh(value.shape[1])
        self.entries.freeze(ids, "they are the network's input")
        return along(ids, 1, value.shape)

    def _leaves(self, node: fx.Node) -> None:
        for value in _flatten(self.values[node]):
            ids = as_ids(value)
            if ids is not None:
                self.entries.freeze(entries_of(ids), "they leave the network")


def _attribute(node: fx.Node) -> Any:
    owner = node.graph.owning_module
    value = None if owner is None else getattr(owner, str(node.target), None)
    if isinstance(value, fx.GraphModule):
        return value
    return Derived(tuple(value.shape)) if isinstance(value, torch.Tensor) else Derived(())


def _flatten(value: Any) -> Sequence[Any]:
    return [v for part in value for v in _flatten(part)] if isinstance(value, list | tuple) else [value]
