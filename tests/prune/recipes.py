"""Random architectures as data: a recipe says which operations follow each other, `Drawn` is its network.

Everything that masks to zero stays zero (ReLU, SiLU, padding with zeros; sigmoid only in gates), so that
silencing a channel in the dense network is the same as removing it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

CHANNELS, SIDE, CLASSES = 2, 8, 3
"""Of the image, and of what leaves the network."""
IMAGE = torch.zeros(1, CHANNELS, SIDE, SIDE)
WIDEST, MOST_STEPS = 20, 9


@dataclass(frozen=True)
class Step:
    """One operation: it makes value number 1 + its own place in the recipe."""

    kind: str
    inputs: tuple[int, ...]
    """Numbers of earlier values; 0 is the image."""
    settings: tuple[Any, ...]


@dataclass(frozen=True)
class Recipe:
    steps: tuple[Step, ...]
    head: str
    """What makes the output from the last value."""
    auxiliary: tuple[int, ...]
    """Values that have a head of their own in training mode."""


class Apply(nn.Module):
    """An operation without weights."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return self.function(*values)


class With(Apply):
    """An operation with submodules, which its function gets first."""

    def __init__(self, function: Callable[..., torch.Tensor], *parts: nn.Module) -> None:
        super().__init__(function)
        self.parts = nn.ModuleList(parts)

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return self.function(*self.parts, *values)


def _fit(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return value if value.shape[2:] == like.shape[2:] else F.interpolate(value, size=like.shape[2:])


def _project(inputs: int, outputs: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)


def _sum(c: int, other: int, in_place: bool) -> nn.Module:
    def run(project: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if not in_place:
            return x + _fit(project(y), x)
        total = x * 1.5
        total += _fit(project(y), x)
        return total

    return With(run, _project(other, c))


def _product(c: int, other: int) -> nn.Module:
    return With(lambda project, x, y: x * _fit(project(y), x), _project(other, c))


def _attend(c: int, other: int) -> nn.Module:
    """One gate for all channels, from two values as in Attention U-Net (1804.03999)."""
    return With(
        lambda own, theirs, x, y: x * torch.sigmoid(own(x) + _fit(theirs(y), x)),
        nn.Conv2d(c, 1, 1),
        nn.Conv2d(other, 1, 1),
    )


def _squeeze(c: int, middle: int, linear: bool) -> nn.Module:
    """Squeeze-and-excitation (1709.01507), with linear layers as it was written or with 1x1 convolutions."""
    if linear:
        return With(
            lambda one, two, x: x * torch.sigmoid(two(F.relu(one(x.mean((2, 3)))))).view(*x.shape[:2], 1, 1),
            nn.Linear(c, middle),
            nn.Linear(middle, c),
        )
    return With(
        lambda one, two, x: x * torch.sigmoid(two(F.relu(one(F.adaptive_avg_pool2d(x, 1))))),
        nn.Conv2d(c, middle, 1),
        nn.Conv2d(middle, c, 1),
    )


def _residual(c: int, outputs: int, norm: str) -> nn.Module:
    def run(first: nn.Module, norm: nn.Module, second: nn.Module, shortcut: nn.Module, x: torch.Tensor) -> torch.Tensor:
        out = second(F.relu(norm(first(x))))
        out += shortcut(x)
        return F.relu(out)

    inner = nn.Conv2d(c, outputs, 3, padding=1, bias=False)
    return With(run, inner, _norm(outputs, norm, True, 1), nn.Conv2d(outputs, outputs, 1), _project(c, outputs))


def _halves(c: int, outputs: int) -> nn.Module:
    """One half through a convolution, the other as it is, as in ShuffleNet V2 (1807.11164)."""

    def run(convolution: nn.Module, x: torch.Tensor) -> torch.Tensor:
        one, two = x.chunk(2, dim=1)
        return torch.cat([two, convolution(one)], dim=1)

    return With(run, nn.Conv2d(c // 2, outputs, 3, padding=1))


def _split(c: int, first: int) -> nn.Module:
    """Fixed places: the code knows the sizes, so these channels can only stay."""

    def run(convolution: nn.Module, x: torch.Tensor) -> torch.Tensor:
        one, two = torch.split(x, [first, c - first], dim=1)
        return torch.cat([two, convolution(one)], dim=1)

    return With(run, nn.Conv2d(first, 4, 1))


def _norm(c: int, kind: str, affine: bool, groups: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(c, affine=affine)
    if kind == "group":
        return nn.GroupNorm(groups, c, affine=affine)
    return nn.InstanceNorm2d(c, affine=affine, track_running_stats=kind == "tracked")


def _twice(c: int) -> nn.Module:
    return With(lambda conv, x: conv(F.relu(conv(x))), nn.Conv2d(c, c, 3, padding=1))


def _pad(c: int, mode: str, left: int, right: int) -> nn.Module:
    return Apply(lambda x: F.pad(x, (left, right, right, left), mode=mode))


def _zoom(c: int, mode: str) -> nn.Module:
    return nn.Upsample(scale_factor=2, mode=mode)


ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "relu": lambda c: nn.ReLU(),
    "leaky": lambda c: nn.LeakyReLU(0.1),
    "silu": lambda c: nn.SiLU(),
    "prelu": lambda c: nn.PReLU(c),
    "prelu one": lambda c: nn.PReLU(),
}

MAKERS: dict[str, Callable[..., nn.Module]] = {
    "conv": lambda c, out, size, stride, bias: nn.Conv2d(c, out, size, stride, size // 2, bias=bias),
    "grouped": lambda c, groups, each, bias: nn.Conv2d(c, groups * each, 3, padding=1, groups=groups, bias=bias),
    "transposed": lambda c, groups, each: nn.ConvTranspose2d(c, groups * each, 2, 2, groups=groups),
    "norm": _norm,
    "activation": lambda c, name: ACTIVATIONS[name](c),
    "residual": _residual,
    "sum": _sum,
    "product": _product,
    "cat": lambda c, other: Apply(lambda x, y: torch.cat([x, _fit(y, x)], dim=1)),
    "attend": _attend,
    "squeeze": _squeeze,
    "gate": lambda c: With(lambda conv, x: x * torch.sigmoid(conv(x)), nn.Conv2d(c, 1, 3, padding=1)),
    "part": lambda c, parts, chosen: Apply(lambda x: x.chunk(parts, dim=1)[chosen]),
    "halves": _halves,
    "split": _split,
    "twice": _twice,
    "pool": lambda c, kind: nn.MaxPool2d(3, 2, 1) if kind == "max" else nn.AvgPool2d(2),
    "zoom": _zoom,
    "pad": _pad,
    "widen": lambda c, before, after: Apply(lambda x: F.pad(x, (0, 0, 0, 0, before, after))),
    "to space": lambda c, each: nn.Sequential(nn.Conv2d(c, 4 * each, 1), nn.PixelShuffle(2)),
    "to depth": lambda c: nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.PixelUnshuffle(2)),
    "mix": lambda c, groups: nn.ChannelShuffle(groups),
    "flip": lambda c: Apply(lambda x: x.flip(1)),
}
"""Kind -> its module, from the channels of every input and the settings."""
JOINS = ("sum", "product", "cat", "attend")
"""Kinds that take two values."""


NORMS = ["batch", "instance", "tracked", "group"]
PADS = ["constant", "reflect", "replicate", "circular"]
_OFTEN = [*["conv"] * 4, *["norm", "activation", "residual"] * 2, "sum", "cat", "halves", "mix", "pool", "zoom"]


def _settings(c: int, side: int) -> dict[str, st.SearchStrategy[Any]]:
    """What every kind can be set to where `c` channels of `side` pixels arrive; what does not fit is missing."""
    pick, width, yes = st.sampled_from, st.integers(3, 9), st.booleans()
    divisors = [n for n in range(2, c) if c % n == 0]
    found: dict[str, st.SearchStrategy[Any]] = {kind: st.just(()) for kind in ("product", "cat", "attend", "gate")}
    found |= {
        "conv": st.tuples(width, pick([1, 3]), pick([1, 2] if side >= 8 else [1]), yes),
        "grouped": st.tuples(pick([*divisors, c]), st.integers(1, 2), yes),
        "norm": st.tuples(pick(NORMS), yes, pick([1, *divisors, c])),
        "activation": st.tuples(pick(sorted(ACTIVATIONS))),
        "residual": st.tuples(st.one_of(width, st.just(c)), pick(NORMS)),
        "sum": st.tuples(yes),
        "squeeze": st.tuples(st.integers(2, 4), yes),
        "twice": st.just(()),
        "flip": st.just(()),
        "widen": st.tuples(st.integers(0, 2), st.integers(1, 2)),
    }
    if divisors:
        found["part"] = pick(divisors).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1)))
        found["mix"] = st.tuples(pick(divisors))
    if c % 2 == 0:
        found["halves"] = st.tuples(width)
    if c > 3:
        found["split"] = st.tuples(st.integers(1, c - 2))
    if side >= 8:
        found["pool"] = st.tuples(pick(["max", "average"]))
        found["to depth"] = st.just(())
    if side <= 8:
        found["transposed"] = st.tuples(pick([1, *divisors]), st.integers(2, 4))
        found["zoom"] = st.tuples(pick(["nearest", "bilinear"]))
        found["to space"] = st.tuples(st.integers(2, 5))
    if side <= 12:
        found["pad"] = st.tuples(pick(PADS), st.integers(0, 1), st.integers(1, 2))
    return found


def _make(step: Step, shapes: Sequence[torch.Size]) -> nn.Module:
    return MAKERS[step.kind](*(shapes[i][1] for i in step.inputs), *step.settings)


def _shape_after(step: Step, shapes: Sequence[torch.Size]) -> torch.Size:
    with torch.device("meta"):
        return _make(step, shapes).eval()(*(torch.empty(shapes[i]) for i in step.inputs)).shape


@st.composite
def recipes(draw: st.DrawFn, *, least: int = 3) -> Recipe:
    """A stem and `least` to 9 further steps, mostly one after the other, sometimes from an earlier value."""
    steps = [Step("conv", (0,), (draw(st.integers(4, 9)), 3, 1, draw(st.booleans())))]
    shapes = [IMAGE.shape, _shape_after(steps[0], [IMAGE.shape])]
    for _ in range(draw(st.integers(least, MOST_STEPS))):
        step = _draw_step(draw, shapes)
        after = _shape_after(step, shapes)
        if after[1] <= WIDEST:
            steps.append(step)
            shapes.append(after)
    auxiliary = draw(st.sets(st.integers(1, len(steps) - 1), max_size=2)) if len(steps) > 1 else set()
    return Recipe(tuple(steps), draw(st.sampled_from(sorted(HEADS))), tuple(sorted(auxiliary)))


def _draw_step(draw: st.DrawFn, shapes: Sequence[torch.Size]) -> Step:
    latest = len(shapes) - 1
    source = draw(st.one_of(st.just(latest), st.just(latest), st.integers(1, latest)))
    _, channels, *sides = shapes[source]
    possible = _settings(channels, min(sides))
    kind = draw(st.sampled_from([k for k in [*MAKERS, *_OFTEN] if k in possible]))
    inputs = (source, draw(st.integers(0, latest))) if kind in JOINS else (source,)
    return Step(kind, inputs, draw(possible[kind]))


def _pooled(shape: torch.Size) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape[1], CLASSES))


HEADS: dict[str, Callable[[torch.Size], nn.Module]] = {
    "conv": lambda shape: nn.Conv2d(shape[1], CLASSES, 1),
    "flat": lambda shape: nn.Sequential(nn.Flatten(), nn.Linear(shape[1:].numel(), CLASSES)),
    "pooled": _pooled,
}


class Drawn(nn.Module):
    """(N, 2, 8, 8) -> the head's output; in training mode a list with those of the auxiliary heads."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.steps = nn.ModuleList()
        shapes = [IMAGE.shape]
        for step in recipe.steps:
            self.steps.append(_make(step, shapes))
            shapes.append(_shape_after(step, shapes))
        self.head = HEADS[recipe.head](shapes[-1])
        self.auxiliary = nn.ModuleList([HEADS["conv"](shapes[i]) for i in recipe.auxiliary])

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        values = [x]
        for step, module in zip(self.recipe.steps, self.steps, strict=True):
            values.append(module(*(values[i] for i in step.inputs)))
        out = self.head(values[-1])
        if not self.training:
            return out
        return [out, *(head(values[i]) for i, head in zip(self.recipe.auxiliary, self.auxiliary, strict=True))]
