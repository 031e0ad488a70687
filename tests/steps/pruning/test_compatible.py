"""A pruned network of nnU-Net's goes back into its own classes, with every width and every tensor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from nnunet_kit import KINDS, write_results

from compress.errors import CheckpointError, ConfigError, PlanError
from compress.exchange.export_nnunet import export_nnunet
from compress.exchange.import_nnunet import import_nnunet
from compress.models.checkpoint import Checkpoint, load, save
from compress.models.nnunet import every_head, followers
from compress.prune.plan import PruningPlan
from compress.prune.ranking import rank
from compress.prune.rebuild import rebuild_checkpoint
from compress.steps.pruning.compatible import with_one_width_per_stage


def ranked(source: Checkpoint, **wanted) -> PruningPlan:
    with every_head(source.network):
        follow = followers(source.meta.arguments["settings"])
        example = torch.zeros(1, 1, *source.meta.preprocessing["size"])
        return rank(source.network, example, criterion="bn-scale", follow=follow, source=source.meta.digest, **wanted)


def stored(source: Checkpoint, path: Path) -> Checkpoint:
    save(path, source.network, source.meta)
    return load(path)


@pytest.mark.parametrize("kind", ["plain", "residual", "old"])
@pytest.mark.parametrize(
    "wanted",
    [
        {"ratio": 0.5, "align": "none"},
        {"ratio": 0.5, "align": 8},
        {"ratio": 0.4, "scope": "global", "align": "none"},
        {"ratio": 0.25, "ratios": {"decoder.stages.1": 0.75}, "align": "none"},
    ],
)
def test_what_was_pruned_goes_back_and_comes_in_again(kind: str, wanted: dict, tmp_path: Path):
    dense = import_nnunet(write_results(tmp_path / "dense", KINDS[kind])).checkpoint
    plan = with_one_width_per_stage(ranked(dense, **wanted), dense.meta)
    pruned = stored(rebuild_checkpoint(dense, plan), tmp_path / "it.safetensors")
    count = sum(p.numel() for p in pruned.network.parameters())
    assert count < sum(p.numel() for p in dense.network.parameters()) or wanted["align"] == 8
    folder = export_nnunet(pruned, tmp_path / "back")
    again = import_nnunet(folder).checkpoint
    assert sum(p.numel() for p in again.network.parameters()) == count
    image = torch.randn(2, 1, *dense.meta.preprocessing["size"])
    assert torch.equal(again.network(image), pruned.network(image))
    state = torch.load(next(folder.rglob("*.pth")), weights_only=True)["network_weights"]
    assert any(".all_modules." in name for name in state) and any(name.startswith("decoder.encoder.") for name in state)


def test_heads_of_deep_supervision_are_pruned_with_the_rest(tmp_path: Path):
    dense = import_nnunet(write_results(tmp_path, KINDS["plain"])).checkpoint
    pruned = rebuild_checkpoint(dense, ranked(dense, ratio=0.5, align="none")).network
    heads = [
        (before.in_channels, after.in_channels)
        for before, after in zip(*(n.decoder.seg_layers for n in (dense.network, pruned)), strict=True)
    ]  # pyright: ignore
    assert heads == [(12, 6), (8, 4)]


def test_uneven_widths_do_not_go_back(tmp_path: Path):
    dense = import_nnunet(write_results(tmp_path / "dense", KINDS["plain"])).checkpoint
    plan = ranked(dense, ratio=0.0, ratios={"decoder.stages.1": 0.5}, align="none")
    with pytest.raises(PlanError, match="Stage 0 has convolutions of 4, 8 filters") as told:
        export_nnunet(rebuild_checkpoint(dense, plan), tmp_path / "back")
    assert "--keep-nnunet-compatible" in str(told.value) and not (tmp_path / "back").exists()


def test_a_residual_network_keeps_its_projections(tmp_path: Path):
    """8, 16 and 16 filters at align 8 would become 8, 8 and 8: nnU-Net's class has no projection then."""
    dense = import_nnunet(write_results(tmp_path, KINDS["residual"])).checkpoint
    even = with_one_width_per_stage(ranked(dense, ratio=0.5, align=8), dense.meta)
    widths = {name: len(group.kept) for name, group in even.groups.items()}
    assert widths["encoder.stages.1.blocks.0.conv1.conv"] == widths["encoder.stages.2.blocks.0.conv1.conv"] == 16
    assert widths["encoder.stages.0.blocks.0.conv1.conv"] == 8


def test_plans_say_the_new_widths_and_nothing_old(tmp_path: Path):
    dense = import_nnunet(write_results(tmp_path / "dense", KINDS["old"])).checkpoint
    pruned = rebuild_checkpoint(dense, ranked(dense, ratio=0.5, align="none"))
    told = json.loads((export_nnunet(pruned, tmp_path / "back") / "plans.json").read_text())["configurations"]["2d"]
    assert told["architecture"]["arch_kwargs"]["features_per_stage"] == [4, 8, 12]
    assert "UNet_base_num_features" not in told


def test_networks_of_our_own_do_not_go_to_nnunet(tmp_path: Path):
    from compress.models.checkpoint import Meta
    from compress.models.unet import UNet, dense_widths

    arguments = {"in_channels": 1, "out_channels": 4, "widths": dense_widths([4])}
    own = Checkpoint(UNet(**arguments), Meta("unet", arguments, {"RV": 1}, {}))
    with pytest.raises(CheckpointError, match="not imported from nnU-Net"):
        export_nnunet(own, tmp_path)
    plan = rank(own.network, torch.zeros(1, 1, 16, 16), ratio=0.0)
    with pytest.raises(ConfigError, match="imported from nnU-Net"):
        with_one_width_per_stage(plan, own.meta)
