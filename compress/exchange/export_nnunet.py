"""Back to nnU-Net: a pruned network with one width per stage as a results folder that stock nnU-Net loads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from compress.errors import CheckpointError, PlanError
from compress.exchange.import_nnunet import EXTRA
from compress.exchange.plans import written
from compress.files import write_json, writing
from compress.models.checkpoint import Checkpoint
from compress.models.nnunet import Folds, stock_tensors

_CURE = "Prune with --keep-nnunet-compatible."


def export_nnunet(checkpoint: Checkpoint, out: Path) -> Path:
    """Write plans.json, dataset.json and fold_X/checkpoint_final.pth; returns the folder Trainer__Plans__Configuration.

    Stock nnU-Net predicts with it, and trains it on (`nnUNetv2_train ... -pretrained_weights`). Raises
    `CheckpointError` for a network that did not come from nnU-Net, and `PlanError` for widths that its classes cannot
    have.
    """
    told = checkpoint.meta.extra.get(EXTRA)
    if not isinstance(told, Mapping) or not {"plans", "dataset", "configuration"} <= told.keys():
        raise CheckpointError("This network was not imported from nnU-Net, so that it cannot go back there.")
    arguments, network = checkpoint.meta.arguments, checkpoint.network
    members = list(network.members) if isinstance(network, Folds) else [network]
    settings = {**arguments["settings"], "features_per_stage": stage_widths(members[0], arguments["settings"])}
    _check_projections(arguments, settings)
    _check_told(told)
    plans, name = json.loads(json.dumps(told["plans"])), told["configuration"]
    plans["configurations"][name] = _configuration(plans["configurations"][name], arguments["network"], settings)
    folder = Path(out) / _folder_name(told)
    states = []
    for member in members:
        tensors = {key: value.detach().cpu().clone() for key, value in member.state_dict().items()}
        ends = (arguments["in_channels"], arguments["out_channels"])
        states.append(stock_tensors(arguments["network"], *ends, settings, tensors))
    write_json(folder / "plans.json", plans)
    write_json(folder / "dataset.json", told["dataset"])
    for fold, state in zip(told["folds"], states, strict=True):
        _write(folder / f"fold_{fold}" / "checkpoint_final.pth", state, plans, told, fold)
    return folder


def _check_told(told: Mapping[str, Any]) -> None:
    """What a checkpoint remembers comes from a file; names of folders are made of it."""
    try:
        configuration = told["plans"]["configurations"][told["configuration"]]
        whole = isinstance(configuration, Mapping) and isinstance(told["dataset"], Mapping)
        whole = whole and bool(told["folds"]) and all(re.fullmatch("[0-9]{1,4}|all", fold) for fold in told["folds"])
    except (KeyError, TypeError):
        whole = False
    if not whole or not isinstance(told.get("trainer"), str):
        raise CheckpointError("What this checkpoint remembers of nnU-Net is damaged.", cure="Import the network again.")


def stage_widths(network: torch.nn.Module, settings: Mapping[str, Any]) -> list[int]:
    """Filters of each stage of the encoder. Raises `PlanError` where a stage has several widths."""
    found: list[int] = []
    for stage in range(int(settings["n_stages"])):
        widths = {module.out_channels for module in _convolutions(network, stage, int(settings["n_stages"]))}
        if len(widths) != 1:
            shown = ", ".join(map(str, sorted(widths)))
            raise PlanError(f"Stage {stage} has convolutions of {shown} filters; nnU-Net's have one width.", cure=_CURE)
        found.append(widths.pop())
    return found


def _convolutions(network: torch.nn.Module, stage: int, stages: int) -> list[Any]:
    """All that have the width of an encoder's stage: it, the decoder's stage of its size, what leads up to that."""
    places = [f"encoder.stages.{stage}."]
    if stage == 0:
        places.append("encoder.stem.")
    if stage < stages - 1:
        step = stages - 2 - stage
        places += [f"decoder.stages.{step}.", f"decoder.transpconvs.{step}"]
    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Conv3d, torch.nn.ConvTranspose3d)
    return [m for name, m in network.named_modules() if isinstance(m, kinds) and name.startswith(tuple(places))]


def _check_projections(arguments: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """A ResidualEncoderUNet has a projection only between stages of different widths."""
    if arguments["network"] != "ResidualEncoderUNet":
        return
    dense, now = (list(each["features_per_stage"]) for each in (arguments["settings"], settings))
    for stage, ((a, b), (c, d)) in enumerate(zip(pairwise(dense), pairwise(now), strict=True), start=1):
        if (a == b) != (c == d):
            raise PlanError(
                f"Stages {stage - 1} and {stage} had {a} and {b} filters and now have {c} and {d}: nnU-Net's residual "
                f"network {'has no' if a == b else 'needs a'} projection between them.",
                cure=_CURE,
            )


def _configuration(told: Mapping[str, Any], network: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its network spelt out: old plans cannot express such widths."""
    old = ("UNet_class_name", "UNet_base_num_features", "unet_max_num_features", "n_conv_per_stage_encoder")
    old += ("n_conv_per_stage_decoder", "num_pool_per_axis", "pool_op_kernel_sizes", "conv_kernel_sizes")
    return {k: v for k, v in told.items() if k not in old} | {"architecture": written(network, settings)}


def _folder_name(told: Mapping[str, Any]) -> str:
    plans = str(told["plans"].get("plans_name", "nnUNetPlans"))
    return "__".join(_safe(word) for word in (told["trainer"], plans, told["configuration"]))


def _safe(word: str) -> str:
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in str(word))


def _write(
    path: Path, state: dict[str, torch.Tensor], plans: Mapping[str, Any], told: Mapping[str, Any], fold: str
) -> None:
    axes: Sequence[int] = told.get("mirror_axes") or ()
    document = {
        "network_weights": state,
        "init_args": {
            "plans": dict(plans),
            "configuration": told["configuration"],
            "fold": int(fold) if str(fold).isdigit() else fold,
            "dataset_json": dict(told["dataset"]),
        },
        "trainer_name": told["trainer"],
        "inference_allowed_mirroring_axes": tuple(axes) or None,
    }
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(document, path)
