"""The sections of the run's page about pictures, widths and where everything comes from."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from compress.errors import InputError
from compress.files import digest_file, read_json
from compress.models.checkpoint import read_meta
from compress.report.html import Child, Markup, definitions, details, el, figure, heading_of, table
from compress.report.page_parts import digest, plain_facts, terms
from compress.steps.exporting.parity import ParityDocument
from compress.steps.reporting.facts import Network, RunFacts
from compress.steps.reporting.pair_pictures import pair_picture
from compress.steps.workspace import Workspace
from compress.text import MISSING, without_folders

DIFFERENCES = (
    "The slices on which the two networks differ most, of the patients that lost most Dice by pruning, and one of a "
    "patient of median loss. Outlines: the structures as each network sees them. The map is dimmed where both agree."
)


def overlays(ws: Workspace, facts: RunFacts, shown: list[Network]) -> list[Markup]:
    """Each shown network beside the dense one, where they differ."""
    if facts.dense is None:
        return [el("p", "There is no dense network to compare with.")]
    parts = []
    for network in shown:
        path = pair_picture(ws, facts.dense, network)
        if path is not None:
            alt = f"Slices of validation patients with the outlines of the expert, of dense and of {network.name}"
            heading = heading_of("h3", f"{network.name} beside dense", phantom=facts.phantom)
            parts += [heading, figure(path, alt=alt, caption=DIFFERENCES)]
    return parts or [el("p", "No pruned network has been evaluated on the validation patients.")]


def widths(facts: RunFacts, shown: list[Network]) -> list[Markup]:
    """The drawing of every shown network, and all widths as a table."""
    parts = []
    for network in shown:
        if network.stage.schematic.is_file():
            alt = f"The blocks of {network.name}, each filled by the share of its channels that is left"
            caption = f"{network.name}: output channels of every convolution before and after pruning."
            parts += [heading_of("h3", network.name), figure(network.stage.schematic, alt=alt, caption=caption)]
    columns = {network.name: read_meta(network.stage.final).arguments.get("widths") for network in facts.networks}
    known = {name: found for name, found in columns.items() if found}
    blocks = list(dict.fromkeys(block for found in known.values() for block in found))
    if blocks:
        rows = [
            [block, *(", ".join(map(str, w.get(block, ()))) or MISSING for w in known.values())] for block in blocks
        ]
        shown_table = table(["block", *known], rows, caption="Output channels of every convolution")
        parts.append(details("Widths of every block, as figures", shown_table))
    return parts or [el("p", "No network of this run has been pruned.")]


def provenance(ws: Workspace, facts: RunFacts) -> list[Markup]:
    """Digests, data, versions, machine, configuration, and the terms of the data."""
    split = facts.split
    data: list[tuple[str, Child]] = [
        ("name of the model", ws.config.experiment.model_name),
        ("data", "phantom (generated images)" if facts.phantom else "patients"),
        ("digest of the data", digest(facts.data.get("digest"))),
        ("volumes", str(facts.data.get("volumes", MISSING))),
        ("split by patient", f"{len(split.get('train', ()))} train, {len(split.get('val', ()))} validate"),
        ("identical images", "; ".join(", ".join(patients) for patients in split.get("duplicates", ())) or "none"),
        ("labels", ", ".join(f"{name} {value}" for name, value in facts.data.get("labels", {}).items())),
    ]
    configuration = without_folders(yaml.safe_dump(ws.config.without_paths(), sort_keys=False))
    return [
        definitions(data),
        _digest_table(facts),
        _parity_table(facts),
        details("Software and machine", plain_facts(facts.environment)),
        details("Configuration", el("pre", configuration)),
        *terms(phantom=facts.phantom, licence=ws.config.export.licence),
    ]


def _digest_table(facts: RunFacts) -> Markup:
    rows = []
    for network in facts.networks:
        stage, plan = network.stage, read_meta(network.stage.final).plan or {}
        rows.append([network.name, "weights", digest(network.row["digest"])])
        if plan.get("digest"):
            rows.append([network.name, "pruning plan", digest(plan["digest"])])
        rows += [[network.name, path.name, digest(digest_file(path))] for path in stage.onnx_files()]
    return table(["network", "what", "SHA-256"], rows, caption="Digests", text_columns=3)


def _parity_table(facts: RunFacts) -> Markup:
    rows = [row for network in facts.networks for row in _parity_rows(network)]
    if not rows:
        return el("p", "No network has been exported.")
    heads = ["network", "provider", "largest difference of logits", "accepted", "voxels of another label", "agrees"]
    return table(heads, rows, caption="ONNX against torch", text_columns=2, phantom=facts.phantom)


def _parity_rows(network: Network) -> Iterator[list[str]]:
    if not network.stage.parity.is_file():
        return
    try:
        found = ParityDocument.from_json(read_json(network.stage.parity)["report"])
    except (InputError, KeyError, TypeError):
        yield [network.name, MISSING, "not readable: export again", MISSING, MISSING, MISSING]
        return
    for row in found.measured:
        voxels = f"{row.masks.differing_voxels:,} of {row.masks.voxels:,}"
        numbers = [f"{row.logits.max_abs_difference:.1e}", f"{row.logits.bound:g}", voxels]
        yield [network.name, row.provider, *numbers, "yes" if row.ok else "NO"]
    for row in found.unmeasured:
        yield [network.name, row.provider, "not measured here", MISSING, MISSING, MISSING]
