"""What can be followed exactly though its code is unusual: in double precision the pruned network is the masked one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pruning_kit import largest_difference, shake, unheard
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from compress.prune import rank, rebuild

WIDTH = 16
IMAGE = torch.zeros(2, 1, 8, 8)


class Net(nn.Module):
    """first (16 channels), what lies between, second (16), head."""

    def __init__(self, between: Callable[..., torch.Tensor], *, arrive: int = WIDTH, **more: Any) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, WIDTH, 3, padding=1), nn.Conv2d(arrive, WIDTH, 1)
        self.head, self.between = nn.Conv2d(WIDTH, 3, 1), between
        for name, value in more.items():
            setattr(self, name, value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(self.between(self, self.first(x).relu())).relu())


def vector(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.linspace(-1, 2, WIDTH).reshape(shape or (WIDTH,)))


def one(inputs: int = WIDTH, outputs: int = WIDTH, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, **more)


def _autocast(n: Any, h: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return n.side(h) * 2


def _nested(n: Any, h: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", enabled=False):
        inner = _autocast(n, h)
    return inner + h


def _unpooled(n: Any, h: torch.Tensor) -> torch.Tensor:
    small, places = F.max_pool2d(h, 2, return_indices=True)
    return F.max_unpool2d(small, places, 2)


def _c2f(n: Any, h: torch.Tensor) -> torch.Tensor:
    parts = list(h.split((n.c, n.c), 1))
    parts.append(n.side(parts[-1]))
    return torch.cat(parts, 1)


def _by_attributes(n: Any, h: torch.Tensor) -> torch.Tensor:
    few, many = h.split([n.few, n.many], 1)
    return torch.cat([n.side(few), many], 1)


def _shuffled(n: Any, h: torch.Tensor) -> torch.Tensor:
    b, c, height, width = h.shape
    return h.view(b, 2, c // 2, height, width).transpose(1, 2).reshape(b, c, height, width)


def _coordinates(n: Any, h: torch.Tensor) -> torch.Tensor:
    row = torch.linspace(-1, 1, h.shape[-1]).to(h)
    return torch.cat([h, row.view(1, 1, 1, -1).expand(h.shape[0], 1, h.shape[2], -1)], 1)


def _standardised(n: Any, h: torch.Tensor) -> torch.Tensor:
    w = n.raw
    return F.conv2d(h, w * 2) if n.plain else F.conv2d(h, w - w.mean((1, 2, 3), keepdim=True))


def _spatial_norm(n: Any, h: torch.Tensor) -> torch.Tensor:
    return (h - h.mean((2, 3), keepdim=True)) / (h.var((2, 3), keepdim=True) + 1e-5).sqrt()


def _token(n: Any, h: torch.Tensor) -> torch.Tensor:
    rows = h.flatten(2).transpose(1, 2)
    rows = torch.cat([n.token.expand(h.shape[0], -1, -1), rows], 1) + n.place
    return rows[:, 1:].transpose(1, 2).reshape(h.shape)


FOLLOWED: dict[str, tuple[Callable[[], Net], dict[str, int]]] = {
    "a scale through a view": (lambda: Net(lambda n, h: h * n.g.view(1, -1, 1, 1), g=vector()), {"first": 16}),
    "a scale through indexing": (lambda: Net(lambda n, h: h * n.g[None, :, None, None], g=vector()), {"first": 16}),
    "a computed scale": (lambda: Net(lambda n, h: h * n.g.exp().view(-1, 1, 1), g=vector()), {"first": 16}),
    "scale and shift": (
        lambda: Net(lambda n, h: h * (1 + n.g).view(-1, 1, 1) + n.b.view(1, -1, 1, 1), g=vector(), b=vector()),
        {"first": 16},
    ),
    "layer scale, channels last": (
        lambda: Net(lambda n, h: h + (n.side(h).permute(0, 2, 3, 1) * n.g).permute(0, 3, 1, 2), side=one(), g=vector()),
        {"first": 16},
    ),
    "mean of a stack": (lambda: Net(lambda n, h: torch.stack([h, n.side(h)]).mean(0), side=one()), {"first": 16}),
    "larger of a stack": (
        lambda: Net(lambda n, h: torch.stack([h, n.side(h)], -1).amax(-1), side=one()),
        {"first": 16},
    ),
    "one of a stack": (lambda: Net(lambda n, h: torch.stack([h, n.side(h)])[1] + h, side=one()), {"first": 16}),
    "max_unpool2d": (lambda: Net(_unpooled), {"first": 16}),
    "split by an attribute": (lambda: Net(_c2f, c=8, side=one(8, 8), arrive=24), {"first": 8, "side": 8}),
    "split by shares": (lambda: Net(lambda n, h: torch.cat(h.split(h.shape[1] // 4, 1)[::-1], 1)), {"first": 4}),
    "two attributes": (
        lambda: Net(_by_attributes, few=4, many=12, side=one(4, 5), arrive=17),
        {"first[0:4]": 4, "first[4:16]": 12, "side": 5},
    ),
    "halves by slicing": (
        lambda: Net(lambda n, h: torch.cat([h[:, h.shape[1] // 2 :], h[:, : h.shape[1] // 2]], 1)),
        {"first": 8},
    ),
    "shuffle by view": (lambda: Net(_shuffled), {"first": 8}),
    "gated linear unit": (lambda: Net(lambda n, h: F.glu(h, 1), arrive=8), {"first": 8}),
    "normalised over pixels": (lambda: Net(lambda n, h: F.normalize(h, dim=(2, 3))), {"first": 16}),
    "standardised over pixels": (lambda: Net(_spatial_norm), {"first": 16}),
    "LayerNorm over pixels": (lambda: Net(lambda n, h: n.norm(h), norm=nn.LayerNorm([8, 8])), {"first": 16}),
    "an element-wise mask": (lambda: Net(lambda n, h: h * (n.side(h) > 0), side=one()), {"first": 16}),
    "masked_fill": (lambda: Net(lambda n, h: n.side(h).masked_fill(h < 0.1, -2), side=one()), {"first": 16}),
    "where it is larger": (
        lambda: Net(lambda n, h: torch.where((h > 0.2) & (h < 1), h, torch.zeros_like(h))),
        {"first": 16},
    ),
    "repeat_interleave": (lambda: Net(lambda n, h: h.repeat_interleave(2, 1), arrive=32), {"first": 16}),
    "with coordinates": (lambda: Net(_coordinates, arrive=17), {"first": 16}),
    "with a stored map": (
        lambda: Net(lambda n, h: torch.cat([h, n.m.expand(h.shape[0], -1, -1, -1)], 1), arrive=18,
                    m=nn.Parameter(torch.randn(1, 2, 8, 8))),
        {"first": 16},
    ),
    "a token and places": (
        lambda: Net(_token, token=vector(1, 1, WIDTH), place=nn.Parameter(torch.randn(1, 65, WIDTH))),
        {"first": 16},
    ),
    "autocast": (lambda: Net(_autocast, side=one()), {"first": 16, "side": 16}),
    "autocast within": (lambda: Net(_nested, side=one()), {"first": 16}),
    "a weight times two": (
        lambda: Net(_standardised, plain=True, raw=nn.Parameter(torch.randn(WIDTH, WIDTH, 1, 1))),
        {"first": 16, "raw": 16},
    ),
    "weight standardisation": (
        lambda: Net(_standardised, plain=False, raw=nn.Parameter(torch.randn(WIDTH, WIDTH, 1, 1))),
        {"raw": 16},
    ),
    "weight_norm": (lambda: Net(lambda n, h: n.side(h), side=parametrizations.weight_norm(one())), {"side": 16}),
    "a product with a parameter": (
        lambda: Net(lambda n, h: (h.permute(0, 2, 3, 1) @ n.w).permute(0, 3, 1, 2),
                    w=nn.Parameter(torch.randn(WIDTH, WIDTH))),
        {"first": 16, "w": 16},
    ),
    "a running sum over rows": (lambda: Net(lambda n, h: h.cumsum(2)), {"first": 16}),
}  # fmt: skip


def assert_exact(network: nn.Module, example: torch.Tensor, groups: dict[str, int], *, seed: int = 0) -> None:
    """`groups` beside "second", whatever is kept; in evaluation and training mode."""
    shake(network, seed=seed)
    network = network.double().eval()
    plan = rank(network, example.double(), align="none", criterion="random", seed=seed)
    assert {name: group.width for name, group in plan.groups.items() if name != "second"} == groups, plan.whole
    small, quiet = rebuild(network, plan), unheard(network, plan)
    noise = torch.randn(example.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert largest_difference(small, quiet, noise) < 1e-12
    assert largest_difference(small.train(), quiet.train(), noise) < 1e-12
    assert largest_difference(small.eval(), network.eval(), noise) > 1e-4


@pytest.mark.filterwarnings("ignore:max_unpooling2d:UserWarning")  # where another test asked for determinism
@pytest.mark.parametrize("name", FOLLOWED)
def test_it_is_followed_exactly(name: str):
    make, groups = FOLLOWED[name]
    assert_exact(make(), IMAGE, groups)


class Attention(nn.Module):
    """Self-attention of 4 heads of 6 channels; `way` is how it is written."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.num_heads, self.head_dim, self.inner_dim = way, 4, 6, 24
        self.scale = self.head_dim**-0.5
        self.qkv, self.out = nn.Linear(20, 3 * self.inner_dim), nn.Linear(self.inner_dim, 20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        if self.way == "chunks":
            parts = self.qkv(x).chunk(3, -1)
            q, k, v = (p.view(n, t, -1, self.head_dim).transpose(1, 2) for p in parts)
        elif self.way == "one view":
            q, k, v = self.qkv(x).view(n, t, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            q, k, v = self.qkv(x).view(n, t, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        if self.way == "by hand":
            mixed = (q @ k.transpose(-2, -1) * self.scale).softmax(-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v)
        size = self.inner_dim if self.way == "one view" else -1
        return self.out(mixed.transpose(1, 2).reshape(n, t, size))


class Transformer(nn.Module):
    """Two blocks with LayerNorm, which keeps the stream whole, and an MLP."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(8, 20), nn.Linear(20, 3)
        self.attend = nn.ModuleList([Attention(way) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(20) for _ in range(4)])
        self.wide = nn.ModuleList([nn.Sequential(nn.Linear(20, 40), nn.GELU(), nn.Linear(40, 20)) for _ in range(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x)
        for i in range(2):
            x = x + self.attend[i](self.norms[2 * i](x))
            x = x + self.wide[i](self.norms[2 * i + 1](x))
        return self.head(x.mean(1))


@pytest.mark.parametrize("way", ["chunks", "one view", "by hand"])
def test_heads_of_attention_leave_whole(way: str):
    torch.manual_seed(0)
    network, example = Transformer(way).double().eval(), torch.zeros(2, 5, 8).double()
    plan = rank(network, example, align="none")
    groups = {f"attend.{i}.qkv": 4 for i in range(2)} | {f"wide.{i}.0": 40 for i in range(2)}
    assert {name: group.width for name, group in plan.groups.items()} == groups, plan.whole
    small, noise = rebuild(network, plan), torch.randn(2, 5, 8).double()
    assert largest_difference(small, unheard(network, plan), noise) < 1e-12
    assert small.attend[0].qkv.out_features == 36 and small.attend[0].out.in_features == 12
    assert small.attend[0].head_dim == 6


WHOLE: dict[str, tuple[Callable[[], Net], str, str]] = {
    "spectral norm": (
        lambda: Net(lambda n, h: n.side(h), side=parametrizations.spectral_norm(one())),
        "side",
        "mv cannot be followed",
    ),
    "weight_norm's inputs": (
        lambda: Net(lambda n, h: n.side(h), side=parametrizations.weight_norm(one())),
        "first",
        "computed from all of them",
    ),
    "half of a literal": (lambda: Net(lambda n, h: h[:, :8], arrive=8), "first", "the network does not run"),
    "LayerNorm over channels": (
        lambda: Net(lambda n, h: n.norm(h.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), norm=nn.LayerNorm(WIDTH)),
        "first",
        "layer_norm runs over the channels (in norm)",
    ),
    "a stack and a constant": (
        lambda: Net(lambda n, h: torch.stack([h, torch.ones(2, WIDTH, 8, 8).to(h)]).mean(0)),
        "first",
        "stack joins them with a constant (in the network)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_it_is_left_whole_with_a_true_reason(name: str):
    make, layer, reason = WHOLE[name]
    plan = rank(make().eval(), IMAGE, align="none")
    assert reason in plan.whole[layer] and layer not in plan.groups and "second" in plan.groups
