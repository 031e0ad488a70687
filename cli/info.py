"""`cardiocompress info`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.model_options import ModelArgument

if TYPE_CHECKING:
    from compress.data.nnunet.rules import NnunetRules
    from compress.runtime.card import ModelCard
    from compress.runtime.modelfile import ModelFile


_DIGITS = 12
"""Digits of a digest on the page: enough to tell two files apart, and the page fits 80 columns."""
_WHOLE = "in full with --json"


def info(
    model: ModelArgument,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the model card's JSON as it stands in the file.")
    ] = False,
) -> None:
    """Show what an exported model says of itself: labels, input, rules, training, pruning, provenance, licence."""
    import json

    from compress.runtime.card import read_card
    from compress.runtime.modelfile import read_model_file

    file = read_model_file(model)
    card = read_card(file.metadata, model)
    if as_json:
        typer.echo(json.dumps(card.to_json(), indent=2))
        return
    _show(file, card)


def _show(file: ModelFile, card: ModelCard) -> None:
    from cli.console import page

    sections = [(head, list(lines)) for head, lines in _sections(file, card)]
    page(file.path.name, sections)


def _sections(file: ModelFile, card: ModelCard) -> Iterator[tuple[str, Iterator[tuple[str, str]]]]:
    yield "File", _file(file)
    yield "Labels", ((f"{value}  {name}", card.colours.get(name, "")) for name, value in card.labels.items())
    yield "Input", _input(card)
    yield "Network", _network(card)
    yield "Training", _training(card)
    yield "Use", iter([("licence", card.licence), ("intended use", card.intended_use)])
    yield "Digests", iter([(f"first {_DIGITS} digits", _WHOLE)])


def _file(file: ModelFile) -> Iterator[tuple[str, str]]:
    from compress.runtime.golden import GOLDEN_KEY

    yield "size", f"{file.size / 2**20:.2f} MiB"
    yield "SHA-256", file.sha256
    yield "ONNX opset", str(file.opset)
    yield "operators", ", ".join(f"{count} {name}" for name, count in file.operators.items())
    yield "self-test", "inside (`cardiocompress verify`)" if GOLDEN_KEY in file.metadata else "none"


def _input(card: ModelCard) -> Iterator[tuple[str, str]]:
    return _own_input(card, card.preprocessing) if card.nnunet is None else _nnunet_input(card, card.nnunet)


def _nnunet_input(card: ModelCard, rules: NnunetRules) -> Iterator[tuple[str, str]]:
    rows, columns = rules.size
    yield "preprocessing", "nnU-Net's own, as version 2.8.1 computes it on the CPU"
    yield "tiles", f"{rows} x {columns} pixels of {rules.spacing_mm[0]:g} x {rules.spacing_mm[1]:g} mm (row, column)"
    yield "tiling", "half a tile apart at most, weighted by a Gaussian; sums in float16"
    yield "channels", ", ".join(f"{c.name} ({c.scheme}{', nonzero only' if c.masked else ''})" for c in rules.channels)
    yield "resampling", "cubic spline; back to the native grid linearly, on logits"
    yield "crop", "to what is not zero"
    if rules.transpose != (0, 1, 2):
        yield "axes", f"in the order {', '.join('zyx'[axis] for axis in rules.transpose)}"
    if rules.folds > 1:
        yield "folds", f"the mean of {rules.folds} networks"
    if rules.region_names:
        yield "regions", "; ".join(f"{name}: {', '.join(map(str, of))}" for name, of in rules.region_names)
    if rules.largest_of:
        yield "largest piece alone", "; ".join(" + ".join(map(str, values)) for values in rules.largest_of)
    axes = ", ".join(("rows", "columns")[axis] for axis in rules.mirror_axes) or "none"
    wanted = "yes" if card.mirrored else "no"
    yield "test-time mirroring", f"{wanted} by default (--tta, --no-tta); axes: {axes}"
    yield "postprocessing", str(card.tidying)


def _own_input(card: ModelCard, rules: Any) -> Iterator[tuple[str, str]]:
    rows, columns = rules.size
    yield "slices", f"{rows} x {columns} pixels of {rules.spacing_mm[0]:g} x {rules.spacing_mm[1]:g} mm (row, column)"
    yield "sides", f"any multiple of {card.multiple_of}"
    yield "resampling", "cubic spline per slice; back to the native grid linearly, on probabilities"
    low, high = rules.clip_percentiles
    yield "intensities", f"clipped to percentiles {low:g} and {high:g} of the window, then z-scored, per volume"
    moved = f"; moved at most {rules.recentre} times onto a heart that it cuts" if rules.recentre else ""
    yield "window", f"centred; padded with the smallest value{moved}"
    yield "test-time augmentation", "none"
    yield "postprocessing", str(card.tidying)


def _network(card: ModelCard) -> Iterator[tuple[str, str]]:
    yield "architecture", str(card.architecture.get("name", "unknown"))
    widths = card.architecture.get("widths")
    if isinstance(widths, dict):
        yield (
            "widths",
            ", ".join(
                f"{name} {'-'.join(map(str, width if isinstance(width, list) else [width]))}"
                for name, width in sorted(widths.items(), key=_along)
            ),
        )
    yield "stage", str(card.provenance.get("stage", "unknown"))
    yield "weights digest", _short(card.provenance.get("network", "unknown"))
    if card.provenance.get("parent"):
        yield "pruned or tuned from", _short(card.provenance["parent"])
    if card.pruning:
        yield from _pruning(card.pruning)
    if card.quantization:
        yield from _quantization(card.quantization)
    versions = card.provenance.get("versions")
    if isinstance(versions, dict):
        yield "made with", ", ".join(f"{name} {version}" for name, version in versions.items())


def _pruning(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "pruning", ", ".join(f"{key} {plan[key]}" for key in ("criterion", "scope", "align") if key in plan)
    own = plan.get("ratios")
    blocks = str(len(own)) if isinstance(own, dict) else "unknown"
    yield "pruning ratio", f"{plan.get('default', 'unknown')} by default; blocks with one of their own: {blocks}"
    yield "pruning plan digest", _short(plan.get("digest", "unknown"))


_QUANTIZATION = {
    "weights": "weights",
    "activations": "activations",
    "provider": "made for, Dice measured on",
    "bound_provider": "bound measured on",
}


def _quantization(about: dict[str, Any]) -> Iterator[tuple[str, str]]:
    told = [str(about[key]) for key in ("kind", "method") if key in about]
    yield "quantized", ", ".join(told)
    for key, words in _QUANTIZATION.items():
        if key in about:
            yield f"  {words}", str(about[key])
    if isinstance(kept := about.get("float_layers"), list):
        yield "  layers in float32", ", ".join(map(str, kept)) or "none"
    yield "  float graph digest", _short(about["source"])


def _training(card: ModelCard) -> Iterator[tuple[str, str]]:
    yield "data", "PHANTOM: generated images, no patient" if card.phantom else "images of patients"
    yield "data digest", _short(card.training.get("data", "unknown"))
    yield "epochs", str(card.training.get("epochs", "unknown"))
    if card.range is not None:
        named = {
            "pixel": card.range.pixel_mm,
            "slice distance": card.range.slice_mm,
            "field of view": card.range.width_mm,
        }
        for name, (low, high) in named.items():
            yield name, f"{low:g} to {high:g} mm"
        yield "slices", f"{card.range.slices[0]} to {card.range.slices[1]}"


def _along(block: tuple[str, object]) -> tuple[int, int]:
    """Blocks in the order in which an image passes them."""
    name, _, number = block[0].partition(".")
    places = ("encoders", "bottleneck", "decoders")
    return places.index(name) if name in places else len(places), int(number) if number.isdecimal() else 0


def _short(digest: object) -> str:
    return str(digest)[:_DIGITS]
