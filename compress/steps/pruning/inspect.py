"""Look into a network: filter norms, activations, cost per layer and what ratios would keep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.config import Ratios
from compress.files import write_json
from compress.models.build import widths_of
from compress.models.checkpoint import Checkpoint
from compress.models.cost import LayerCost, count_parameters, layer_costs
from compress.prune.plan import PruningPlan
from compress.prune.statistics import FilterStatistics, activation_statistics, filter_statistics
from compress.report.plots import activation_distributions, filter_histograms, layer_summary
from compress.report.schematic import unet_schematic
from compress.steps.pruning.depth import described
from compress.steps.pruning.ranking import rank
from compress.steps.workspace import Workspace

_VOLUMES = 4


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found; the pictures lie in `folder`."""

    folder: Path
    filters: list[FilterStatistics]
    costs: list[LayerCost]
    plan: PruningPlan
    parameters: int
    macs: int
    """For one image of the configured size."""


def inspect_network(ws: Workspace, checkpoint: Checkpoint, *, ratios: Ratios, name: str) -> Inspection:
    """Measure a network and write statistics.json, masks.json and pictures under inspect/<name>."""
    files = ws.run.inspect(name)
    network, phantom = checkpoint.network, checkpoint.meta.phantom
    if ratios.depth:
        ws.progress.note(f"Shown is the network as it is, with {described(ratios)}, which `prune` removes.")
    plan = rank(ws, checkpoint, ws.config.pruning.but(ratios=ratios))
    filters, costs = filter_statistics(network), layer_costs(network, size=ws.rules.size)
    volumes = ws.prepared(ws.cases_of(ws.split.val)[:_VOLUMES])
    activations = activation_statistics(network, np.concatenate([volume.images for volume in volumes]))
    kept = {group: np.isin(np.arange(g.width), g.kept) for group, g in plan.groups.items()}
    filter_histograms(
        files.filters,
        {f.layer: f.norms for f in filters},
        kept=kept,
        title=f"{name}: L1 norm of every filter, kept and removed by the ratios",
        phantom=phantom,
    )
    activation_distributions(files.activations, activations, title=f"{name}: activations", phantom=phantom)
    rows = [{"name": c.name, "width": c.width, "parameters": c.parameters, "macs": c.macs} for c in costs]
    layer_summary(files.layers, rows, title=f"{name}: cost per layer", phantom=phantom)
    if "widths" in checkpoint.meta.arguments:  # the picture is of our own U-Net
        unet_schematic(files.schematic, checkpoint.meta.arguments["widths"], None, title=name)
    result = Inspection(files.root, filters, costs, plan, count_parameters(network), sum(c.macs for c in costs))
    write_json(files.masks, plan.masks())
    write_json(files.statistics, _document(ws, checkpoint, result, activations))
    return result


def _document(ws: Workspace, checkpoint: Checkpoint, found: Inspection, activations: dict) -> dict[str, object]:
    filters = [
        {key: value for key, value in vars(f).items() if key != "norms"} | {"norms": f.norms.tolist()}
        for f in found.filters
    ]
    return {
        "network": checkpoint.meta.digest,
        "phantom": checkpoint.meta.phantom,
        "image_size": list(ws.rules.size),
        "parameters": found.parameters,
        "macs": found.macs,
        "widths": widths_of(checkpoint.network, checkpoint.meta.arguments),
        "layers": [vars(c) for c in found.costs],
        "filters": filters,
        "activations": activations,
    }
