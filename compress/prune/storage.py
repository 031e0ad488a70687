"""Pruned networks of any kind on disk: weights and plan in one safetensors file, never a pickle.

Reloading needs the original constructor; the file holds the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from compress.errors import CheckpointError
from compress.models.checkpoint import load_tensors, save_tensors
from compress.prune.plan import PruningPlan
from compress.prune.rebuild import check_fits, history, remember
from compress.prune.resize import resize


def save(network: nn.Module, plan: PruningPlan, path: Path | str) -> Path:
    """Write a pruned network's weights with the plan that shaped it, atomically.

    plan: the last one, for a network that was pruned several times: it knows the others.
    """
    known = history(network)
    plans = known if known and known[-1].digest == plan.digest else (plan,)
    tensors = {name: tensor.detach().cpu() for name, tensor in _unique(network).items()}
    first, *later = [each.to_json() for each in plans]
    document = {"kind": "pruned module", "plan": first, **({"later": later} if later else {})}
    save_tensors(Path(path), tensors, document)
    return Path(path)


def load(build: Callable[[], nn.Module], path: Path | str) -> nn.Module:
    """The network that `save` wrote, in evaluation mode on the CPU.

    build: makes the ORIGINAL, unpruned network; its weights are replaced. Raises `CheckpointError`
    when the file is damaged or not one of `save`'s, `PlanError` when `build` makes another network.
    """
    tensors, document = load_tensors(Path(path))
    if document.get("kind") != "pruned module":
        raise CheckpointError(
            f"{path} does not hold a pruned module.", cure="Files of `cardiocompress prune` load by their own command."
        )
    plans = [PruningPlan.from_json(each) for each in [document.get("plan"), *document.get("later", [])]]
    network = build()
    for plan in plans:
        check_fits(network, plan)
        resize(network, plan.channel_groups, plan.kept)
    _fill(network, tensors, path)
    remember(network, plans)
    return network.eval()


@torch.no_grad()
def _fill(network: nn.Module, tensors: dict[str, torch.Tensor], path: Path | str) -> None:
    own = _unique(network)
    if own.keys() != tensors.keys():
        odd = sorted(own.keys() ^ tensors.keys())[0]
        raise CheckpointError(f"{path} does not fit the network that was built: {odd} is only on one side.")
    for name, tensor in own.items():
        if tensor.shape != tensors[name].shape:
            raise CheckpointError(
                f"{path}: {name} has shape {tuple(tensors[name].shape)}, the network needs {tuple(tensor.shape)}."
            )
        tensor.copy_(tensors[name])


def _unique(network: nn.Module) -> dict[str, torch.Tensor]:
    """Every stored tensor once, under the first of its names; buffers that are not saved left out."""
    saved = network.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    for name, tensor in saved.items():
        first.setdefault(id(tensor), name)
    return {name: tensor for name, tensor in saved.items() if first[id(tensor)] == name}
