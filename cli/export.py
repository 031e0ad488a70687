"""`cardiocompress export`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import ConfigOption, SetOption

if TYPE_CHECKING:
    from compress.rundir import Stage
    from compress.steps.exporting.parity import ParityDocument

_HEADS = (
    "network",
    "provider",
    "MiB",
    "max |logit difference|",
    "bound",
    "flipped voxels",
    "of",
    "min Dice torch-ONNX",
    "max volume delta ml",
    "max EF delta points",
)


PostprocessOption = Annotated[
    str | None,
    typer.Option(
        "--postprocess",
        metavar="auto|none|small-pieces|largest|LV=0.5,...",
        help="What the file drops from its masks. small-pieces: pieces of a structure below half of its largest one. "
        "auto: those, or below a fifth or a tenth, where that helps the validation patients and hurts none.",
    ),
]

HolesOption = Annotated[
    str | None,
    typer.Option(
        "--fill-holes",
        metavar="auto|none|all|LV,RV,...",
        help="Holes of a structure that the file fills: background within a slice that meets nothing else. auto: where "
        "that helps the validation patients and hurts none; what --postprocess auto does too.",
    ),
]


BareOption = Annotated[
    str | None,
    typer.Option(
        "--drop-bare",
        metavar="auto|none|all",
        help="The LV goes in slices where less than a tenth of its outline lies on myocardium and it is larger than in "
        "all others: above the base networks take the atrium for it. auto: where that helps, as for --fill-holes.",
    ),
]


TtaOption = Annotated[
    bool | None,
    typer.Option(
        "--tta/--no-tta",
        help="Whether the file's masks are means over mirrored images: nnU-Net's default, at four times the cost.",
    ),
]


def export(
    config: ConfigOption = None,
    overrides: SetOption = None,
    postprocess: PostprocessOption = None,
    fill_holes: HolesOption = None,
    drop_bare: BareOption = None,
    tta: TtaOption = None,
) -> None:
    """Write the dense and every pruned network of the run as ONNX, checked against torch.

    One self-contained file each (dynamic batch, height and width), the same bytes every time, and what differs
    between torch and every provider on validation volumes: logits, voxels, Dice, volumes and ejection fractions.
    """
    from cli.console import say, table
    from cli.options import open_workspace
    from cli.pages import show_pages

    ws = open_workspace(config, overrides, **tidying(postprocess, fill_holes, drop_bare), export__tta=tta)
    from compress.errors import CheckpointError
    from compress.steps.exporting.export import export_stage
    from compress.steps.networks import stages_of

    stages = stages_of(ws)
    if not stages:
        raise CheckpointError(f"{ws.run.root} holds no trained network.", cure="Run `cardiocompress train` first.")
    found = {name: export_stage(ws, stage) for name, stage in stages.items()}
    rows = [row for name, stage in stages.items() for row in parity_rows(name, stage, found[name])]
    mark = " (phantom)" if any(document.phantom for document in found.values()) else ""
    table(f"ONNX files and their parity with torch{mark}", _HEADS, rows, left=2)
    for name, stage in stages.items():
        say(f"{name}: {stage.onnx}")
        say(f"  {tidied_as(stage)}")
    for line in unmeasured_lines(found):
        say(line)
    ws.describe("export")
    show_pages(ws)


def tidying(postprocess: str | None, fill_holes: str | None, drop_bare: str | None) -> dict[str, Any]:
    """The values of --postprocess, --fill-holes and --drop-bare as the configuration has them."""
    words = (None, "auto", "none", "all")
    holes = fill_holes if fill_holes in words else [name.strip() for name in str(fill_holes).split(",")]
    return {"export__postprocess": _rule(postprocess), "export__fill_holes": holes, "export__drop_bare": drop_bare}


def _rule(text: str | None) -> str | dict[str, float] | None:
    """The value of --postprocess as the configuration has it."""
    if text is None or "=" not in text:
        return text
    try:
        return {name.strip(): float(share) for name, share in (part.split("=") for part in text.split(","))}
    except ValueError:
        from compress.errors import ConfigError

        raise ConfigError(f"--postprocess is {text}; a word or a list such as LV=0.5,RV=0.5 is needed.") from None


def tidied_as(stage: Stage) -> str:
    """What the stage's exported file does to masks, in words."""
    from compress.runtime.card import read_card
    from compress.runtime.modelfile import read_model_file

    return str(read_card(read_model_file(stage.onnx).metadata, stage.onnx).tidying)


def parity_rows(name: str, stage: Stage, document: ParityDocument) -> list[list[str]]:
    """One row of the table per measured provider."""
    size = f"{stage.onnx.stat().st_size / 2**20:.2f}"
    rows = []
    for found in document.measured:
        logits, masks = found.logits, found.masks
        ef = masks.largest_ef_delta
        row = [name, found.provider, size, f"{logits.max_abs_difference:.1e}", f"{logits.bound:g}"]
        row += [f"{masks.differing_voxels:,}", f"{masks.voxels:,}", f"{masks.smallest_dice:.6f}"]
        rows.append([*row, f"{masks.largest_ml_delta:.3f}", "-" if ef is None else f"{ef:.3f}"])
    return rows


def unmeasured_lines(found: Mapping[str, ParityDocument]) -> list[str]:
    """One line per provider and reason that it was not measured for, with the networks concerned."""
    networks: dict[tuple[str, str], list[str]] = {}
    for name, document in found.items():
        for row in document.unmeasured:
            networks.setdefault((row.provider, row.reason), []).append(name)
    return [
        f"Parity on '{provider}' was not measured for {', '.join(names)}: {reason}"
        for (provider, reason), names in networks.items()
    ]
