"""`cardiocompress inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import ConfigOption, SetOption

if TYPE_CHECKING:
    from compress.prune.plan import GroupPlan
    from compress.steps.pruning.inspect import Inspection


def inspect(
    config: ConfigOption = None,
    overrides: SetOption = None,
    network: Annotated[str, typer.Option("--network", "-n", help="dense, or a pruned network's folder.")] = "dense",
    ratios: Annotated[Path | None, typer.Option("--ratios", "-r", help="Show what these would keep.")] = None,
    layer: Annotated[str | None, typer.Option("--layer", "-l", help="List every filter of this layer as well.")] = None,
) -> None:
    """Show a network's filters, activations and cost per layer, and which filters the ratios would keep.

    A table of L1 statistics per layer (per filter with --layer), histograms, activation distributions and a layer
    summary as pictures, masks and figures as JSON.
    """
    from cli.console import say, table
    from cli.options import check_name, open_workspace

    ws = open_workspace(config, overrides)
    from compress.config.read import load_ratios
    from compress.models.checkpoint import load
    from compress.steps.pruning.inspect import inspect_network

    stage = ws.run.baseline if network == "dense" else ws.run.pruned(check_name(network))
    levels = len(ws.config.train.model.features)
    chosen = load_ratios(ratios, levels=levels) if ratios else ws.config.pruning.ratios
    found = inspect_network(ws, load(stage.final), ratios=chosen, name=network)
    costs = {c.name: c for c in found.costs}
    kept = {name: len(g.kept) for name, g in found.plan.groups.items()}
    rows = [
        [f.layer, str(f.filters), str(kept.get(f.layer, f.filters))]
        + [f"{v:.3f}" for v in (f.mean, f.std, f.minimum, f.median, f.maximum)]
        + [f"{costs[f.layer].parameters:,}", f"{costs[f.layer].macs / 1e6:.1f}"]
        for f in found.filters
    ]
    heads = ["layer", "filters", "kept", "L1 mean", "SD", "min", "median", "max", "parameters", "MMACs"]
    table(f"{network}: L1 norm of filters", heads, rows)
    if layer is not None:
        _show_filters(found, layer)
    say(f"Parameters {found.parameters:,}; {found.macs / 1e9:.3f} GMACs for one {ws.rules.size} image.")
    say(f"Pictures, masks and figures: {found.folder}")


def _show_filters(found: Inspection, layer: str) -> None:
    from cli.console import table
    from compress.registry import pick

    norms = pick("layer", {f.layer: f for f in found.filters}, layer).norms
    group = found.plan.groups.get(layer)
    rows = [
        [str(i), f"{norm:.4f}", "-" if group is None else f"{group.scores[i]:.4f}", _fate(group, i)]
        for i, norm in enumerate(norms)
    ]
    table(f"{layer}: every filter", ["filter", "L1 norm", "score", "with these ratios"], rows)


def _fate(group: GroupPlan | None, index: int) -> str:
    return "always kept" if group is None else "kept" if index in group.kept else "removed"
