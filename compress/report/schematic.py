"""A drawing of a U-Net with the widths of every block before and after pruning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle

from compress.errors import PlanError
from compress.report.style import INK, MUTED, SERIES_COLOURS, picture

Widths = Mapping[str, Sequence[int]]

_COLOURS = {
    "encoder": SERIES_COLOURS[0],
    "bottleneck": SERIES_COLOURS[4],
    "up-convolution": SERIES_COLOURS[2],
    "decoder": SERIES_COLOURS[3],
}
_PITCH = 1.0  # inches from one encoder to the next
_PAIR = 1.8  # inches from one decoder to the next, with the up-convolution between them
_UP = 0.86  # inches from an up-convolution to its decoder: room for "512, 512" below both
_TEXT = 0.6  # inches below a box for its name and widths
_GAP = 0.42  # inches between a row's text and the next row's box: room for a skip connection
_TALLEST, _SHRINK, _SHORTEST = 1.5, 0.72, 0.34  # box heights in inches: the level's resolution, on a softened scale


@dataclass(frozen=True)
class _Box:
    """One block in the drawing; positions and sizes in inches, the origin at the bottom left."""

    name: str
    kind: str
    x: float
    """Centre."""
    y: float
    """Bottom."""
    width: float
    height: float

    @property
    def top(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


def unet_schematic(
    path: Path, before: Widths, after: Widths | None, *, title: str | None = None, phantom: bool = False
) -> Path:
    """Draw a U-Net: a box per block, as tall as its resolution is high, filled by the share of channels that is left.

    `before` and `after` map block names to the output widths of their convolutions: `encoders.0..n-1` and
    `bottleneck` two each, `decoders.0..2n-1` one where even (transposed convolution) and two where odd (double
    convolution), `decoders.1` at the level of the last encoder. A width of 0 is a convolution that is gone. With
    `after` None only `before` is shown. Two to six encoder levels look good. Returns `path`; raises `PlanError` for
    blocks that are missing or do not match.
    """
    levels = _levels(before)
    if after is not None:
        _check_match(before, after)
    boxes = {box.name: box for box in _layout(levels)}
    width = _PITCH * (levels + 1) + _PAIR * levels
    size = (width + 0.5, max(box.top for box in boxes.values()) + 1.05)
    heading = title or ("U-Net widths" if after is None else "U-Net widths, before → after")
    with picture(path, heading, size=size, phantom=phantom) as figure:
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set(xlim=(0, width), ylim=(0, size[1] - 0.75), aspect="equal")
        for box in boxes.values():
            _draw_box(axes, box, before[box.name], after[box.name] if after is not None else None)
        _draw_arrows(axes, boxes, levels)
        handles = [Patch(facecolor=colour, label=kind) for kind, colour in _COLOURS.items()]
        if after is not None:
            handles.append(Patch(facecolor="white", edgecolor=MUTED, label="removed"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return Path(path)


def _levels(widths: Widths) -> int:
    """The number of encoder levels, once the names and the number of widths per block are as they must be."""
    levels = sum(name.startswith("encoders.") for name in widths)
    wanted = {f"encoders.{index}": 2 for index in range(levels)} | {"bottleneck": 2}
    wanted |= {f"decoders.{index}": 1 + index % 2 for index in range(2 * levels)}
    wrong = sorted(set(wanted) ^ set(widths)) + [
        f"{name} ({len(widths[name])} widths, not {size})"
        for name, size in wanted.items()
        if name in widths and len(widths[name]) != size
    ]
    if not levels or wrong:
        raise PlanError(
            f"Not the blocks of a U-Net: {', '.join(wrong) or 'no encoders'}.",
            cure="Give encoders.0.., bottleneck and two decoders per encoder, with 2, 2 and 1 then 2 widths.",
        )
    return levels


def _check_match(before: Widths, after: Widths) -> None:
    wrong = [name for name in before if len(after.get(name, ())) != len(before[name])]
    wrong += [name for name in after if name not in before]
    wrong += [name for name in before if name not in wrong and not _narrower(after[name], before[name])]
    if wrong:
        raise PlanError(
            f"Blocks do not match before and after: {', '.join(wrong)}.",
            cure="Compare one architecture, pruned and unpruned: the same blocks, widths from 0 to those before.",
        )


def _narrower(after: Sequence[int], before: Sequence[int]) -> bool:
    return all(0 <= new <= old for new, old in zip(after, before, strict=True))


def _layout(levels: int) -> Iterator[_Box]:
    """Encoders go down to the right, the bottleneck is lowest, decoders go up to the right, two columns a level."""
    heights = [max(_SHORTEST, _TALLEST * _SHRINK**level) for level in range(levels + 1)]
    bottoms = [_TEXT + sum(height + _TEXT + _GAP for height in heights[level + 1 :]) for level in range(levels + 1)]

    def box(name: str, kind: str, level: int, x: float) -> _Box:
        width = 0.32 if kind == "up-convolution" else 0.6
        return _Box(name, kind, x, bottoms[level], width, heights[level])

    for level in range(levels):
        yield box(f"encoders.{level}", "encoder", level, _PITCH * (level + 0.5))
    yield box("bottleneck", "bottleneck", levels, _PITCH * (levels + 0.5))
    for pair in range(levels):
        x, level = _PITCH * (levels + 0.5) + _PAIR * (pair + 1), levels - 1 - pair
        yield box(f"decoders.{2 * pair}", "up-convolution", level, x - _UP)
        yield box(f"decoders.{2 * pair + 1}", "decoder", level, x)


def _draw_box(axes: Axes, box: _Box, before: Sequence[int], after: Sequence[int] | None) -> None:
    """One bar per convolution, each filled from the left by the share of its channels that is left."""
    colour, bar = _COLOURS[box.kind], box.width / len(before)
    left = box.x - box.width / 2
    for index, full in enumerate(before):
        corner = (left + index * bar, box.y)
        share = _share(full, full if after is None else after[index])
        axes.add_patch(Rectangle(corner, bar, box.height, facecolor="white", edgecolor="none", zorder=3))
        axes.add_patch(Rectangle(corner, bar * share, box.height, facecolor=colour, edgecolor="none", zorder=3))
        axes.add_patch(Rectangle(corner, bar, box.height, fill=False, edgecolor=INK, linewidth=0.8, zorder=4))
    lines = [(box.name, MUTED, 8), (_join(before), INK, 9)]
    lines += [] if after is None else [(f"→ {_join(after)}", INK, 9)]
    for row, (text, ink, size) in enumerate(lines):
        weight = "bold" if row == 2 else "normal"
        axes.text(box.x, box.y - 0.05 - 0.175 * row, text, ha="center", va="top", color=ink, size=size, weight=weight)


def _share(full: int, left: int) -> float:
    """Of a bar that is filled. A sliver stays visible of the narrowest layers; the number below the box is exact."""
    return max(left / full, 0.08) if left else 0.0


def _join(widths: Sequence[int]) -> str:
    return ", ".join(str(width) for width in widths)


def _draw_arrows(axes: Axes, boxes: Mapping[str, _Box], levels: int) -> None:
    path = [boxes[f"encoders.{level}"] for level in range(levels)] + [boxes["bottleneck"]]
    for upper, lower in pairwise(path):  # pooling: right, then down into the next block
        bend = lower.x - lower.width / 4
        _line(axes, [(upper.x + upper.width / 2, upper.middle), (bend, upper.middle), (bend, lower.top)])
    deeper = boxes["bottleneck"]
    for pair in range(levels):  # up, then right into the up-convolution and on to the double convolution
        rise, double = boxes[f"decoders.{2 * pair}"], boxes[f"decoders.{2 * pair + 1}"]
        bend = deeper.x + deeper.width / 4
        _line(axes, [(bend, deeper.top), (bend, rise.middle), (rise.x - rise.width / 2, rise.middle)])
        _line(axes, [(rise.x + rise.width / 2, rise.middle), (double.x - double.width / 2, double.middle)])
        _skip(axes, boxes[f"encoders.{levels - 1 - pair}"], double)
        deeper = double


def _skip(axes: Axes, encoder: _Box, decoder: _Box) -> None:
    """A dashed line over the row, from the encoder's output to the double convolution that it is joined to."""
    start, end, height = encoder.x + encoder.width / 4, decoder.x - decoder.width / 4, encoder.top + 0.16
    _line(axes, [(start, encoder.top), (start, height), (end, height), (end, decoder.top)], dashed=True)


def _line(axes: Axes, points: Sequence[tuple[float, float]], *, dashed: bool = False) -> None:
    """A line through `points` with an arrow head at the last one."""
    colour, style = (MUTED, (0, (3, 2))) if dashed else (INK, "-")
    axes.plot(*zip(*points[:-1], strict=True), color=colour, linestyle=style, linewidth=1.1, zorder=2)
    head = FancyArrowPatch(
        points[-2], points[-1], arrowstyle="-|>", mutation_scale=9, color=colour, linewidth=1.1, shrinkA=0, shrinkB=0
    )
    axes.add_patch(head)
