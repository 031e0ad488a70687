"""Less depth computes what is said of it: a fit in the place of a convolution, squares of pixels in that of a level."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, relu

from compress.errors import ConfigError, InputError
from compress.models.build import build
from compress.models.checkpoint import Checkpoint, Meta, load, save, weights_digest
from compress.models.cost import count_macs
from compress.models.unet import DoubleConv, UNet, dense_widths, initialise, restructured_widths
from compress.prune.patches import patches_at
from compress.prune.restructure import Depth, restructure


def checkpoint(features: list[int], *, seed: int = 0) -> Checkpoint:
    """A network with random weights and norms that have seen something."""
    arguments = {"in_channels": 1, "out_channels": 4, "widths": dense_widths(features)}
    network = build("unet", arguments)
    initialise(network, seed=seed)
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.normal_(0, 0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    meta = Meta("unet", arguments, {}, {})
    return Checkpoint(network.eval(), Meta("unet", arguments, {}, {}, digest=weights_digest(network, meta)))


def part(of: Checkpoint, name: str) -> Any:
    return of.network.get_submodule(name)


def images(count: int = 6, size: int = 16) -> torch.Tensor:
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(1))


def arrivals(network: nn.Module, names: list[str], x: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Name -> what arrives at a module and what leaves it."""
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def record(name: str, _module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen[name] = (inputs[0].clone(), output.clone())

    hooks = [network.get_submodule(name).register_forward_hook(partial(record, name)) for name in names]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return seen


@settings(max_examples=5)
@given(st.sets(st.sampled_from(["encoders.0", "encoders.1", "bottleneck", "decoders.1", "decoders.3"])), st.booleans())
def test_everything_else_stays_and_the_file_comes_back(tmp_path_factory, single: set[str], folded: bool):
    single = single - {"encoders.0", "decoders.3"} if folded else single
    dense, x = checkpoint([4, 6]), images()
    small, repairs = restructure(dense, Depth(tuple(single), folded), (x,))
    new = {repair.layer for repair in repairs}
    assert new >= {f"{block}.conv2" for block in single} and ("head" in new) == folded
    before, after = dense.network.state_dict(), small.network.state_dict()
    fitted = {name for layer in new for name in (f"{layer}.weight", f"{layer}.bias")}
    moved = {f"{layer.replace('conv', 'norm')}.running_mean" for layer in new}
    assert after.keys() <= before.keys(), "the same class, and no bias is left where there was none"
    assert all(torch.equal(after[name], before[name]) for name in after.keys() - fitted - moved)
    assert (small.meta.parent == dense.meta.digest and small.meta.arguments != dense.meta.arguments) or not new
    path = tmp_path_factory.mktemp("depth") / "a.safetensors"
    save(path, small.network, small.meta)
    with torch.no_grad():
        assert torch.equal(load(path).network(x), small.network(x))
    assert small.network(x[:1]).shape == (1, 4, 16, 16)


@pytest.mark.parametrize("block", ["encoders.0", "encoders.1", "bottleneck", "decoders.1"])
def test_a_single_convolution_is_the_least_squares_fit_of_its_block(block: str):
    """Every position is looked at; an independent solver with a constant finds no better weights."""
    dense, x = checkpoint([4, 6]), images(24)
    small, (repair,) = restructure(dense, Depth((block,)), (x,))
    seen = arrivals(dense.network, [block, f"{block}.conv2"], x)
    arriving, wanted = seen[block][0], seen[f"{block}.conv2"][1]
    conv, norm = part(small, f"{block}.conv2"), part(small, f"{block}.norm2")
    places = torch.stack(torch.meshgrid(*(torch.arange(n) for n in (24, *wanted.shape[2:])), indexing="ij")).flatten(1)
    patches = patches_at(conv, arriving, places).double()
    columns = torch.cat([patches, torch.ones(len(patches), 1, dtype=torch.float64)], dim=1)
    target = wanted.permute(0, 2, 3, 1).reshape(len(patches), -1).double()
    best = torch.linalg.lstsq(columns, target).solution
    shift = norm.running_mean - part(dense, f"{block}.norm2").running_mean
    ours = (patches @ conv.weight.flatten(1).T.double() - shift).detach()
    errors = [float((made - target).square().sum()) for made in (ours, columns @ best)]
    assert errors[0] <= 1.3 * errors[1], "a fifth of the positions is kept from the fit"
    assert errors[0] < 0.9 * float((target - target.mean(0)).square().sum())
    assert 0 <= repair.after < repair.before
    with torch.no_grad():  # and the block is that convolution, the old norm and a ReLU
        assert torch.equal(small.network.get_submodule(block)(arriving), relu(norm(conv(arriving))))
        expected = dense.network
        expected.get_submodule(block).forward = lambda image: relu(norm(conv(image)))
        assert torch.allclose(small.network(x), expected(x), atol=1e-6)


def test_a_linear_block_loses_nothing():
    """Where the block is a 3x3 convolution already, the fit is exact."""
    dense, x = checkpoint([4]), images().abs() + 1
    block = dense.network.get_submodule("encoders.0")
    assert isinstance(block, DoubleConv)
    with torch.no_grad():  # the first convolution passes its positive image on
        block.conv1.weight.zero_()[:, :, 1, 1] = 1.0
        block.norm1.reset_parameters()
    small, (repair,) = restructure(dense, Depth(("encoders.0",)), (x,))
    assert repair.after < 1e-6
    with torch.no_grad():
        assert torch.allclose(small.network(x), dense.network(x), atol=1e-2)


def test_squares_of_pixels_come_in_as_channels_and_leave_as_pixels():
    dense = checkpoint([4, 6, 8])
    small, repairs = restructure(dense, Depth(space_to_depth=True), (images(4, 32),))
    assert [repair.layer for repair in repairs] == ["encoders.1.conv1", "head"]
    network, x = small.network, images(2, 24)
    assert isinstance(network, UNet) and network.divisor == dense.network.divisor == 8
    shrunken = UNet(4, 16, dense_widths([6, 8])).eval()  # what the description says, as a network of its own
    renamed = {"encoders.1": "encoders.0", "encoders.2": "encoders.1"}
    tensors = {}
    for name, value in network.state_dict().items():
        block = ".".join(name.split(".")[:2])
        tensors[name.replace(block, renamed.get(block, block), 1)] = value
    shrunken.load_state_dict(tensors)
    with torch.no_grad():
        assert torch.allclose(network(x), pixel_shuffle(shrunken(pixel_unshuffle(x, 2)), 2), atol=1e-6)
    assert all(repair.after <= repair.before for repair in repairs)
    assert count_macs(network, size=(16, 16)) == count_macs(shrunken, size=(8, 8)), "images still have one channel"


@pytest.mark.parametrize("size", [(15, 16), (16, 12), (8, 7), (1, 1)])
@pytest.mark.parametrize("folded", [False, True])
def test_sides_that_cannot_be_halved_are_refused(size: tuple[int, int], folded: bool):
    widths = restructured_widths(dense_widths([4, 6, 8]), space_to_depth=folded).widths
    with pytest.raises(InputError, match=rf"{size[0]} x {size[1]} pixels does not fit.*multiples of 8"):
        UNet(1, 4, widths)(torch.zeros(1, 1, *size))


@pytest.mark.parametrize(
    ("single", "folded", "word"),
    [
        (("decoders.0",), False, "decoders.0 cannot become a single convolution. Double convolutions here: encoders.0"),
        (("encoders.7",), False, "encoders.7 cannot"),
        (("encoders.0",), True, "encoders.0 cannot"),
        (("decoders.3", "decoders.9"), True, "decoders.3, decoders.9 cannot"),
    ],
)
def test_what_cannot_go_is_named(single: tuple[str, ...], folded: bool, word: str):
    with pytest.raises(ConfigError, match=word):
        restructure(checkpoint([4, 6]), Depth(single, folded), (images(),))


def test_what_went_cannot_go_again():
    once, _ = restructure(checkpoint([4, 6]), Depth(("bottleneck",), True), (images(),))
    for again in (Depth(("bottleneck",)), Depth(space_to_depth=True)):
        with pytest.raises(ConfigError, match=r"cannot become|gone already"):
            restructure(once, again, (images(),))


@pytest.mark.parametrize("widths", [[0, 0], [4, 0]])
def test_no_other_part_can_be_missing(widths: list[int]):
    with pytest.raises(ConfigError, match=r"encoders\.1 are"):
        UNet(1, 4, {**dense_widths([4, 6]), "encoders.1": widths})
    with pytest.raises(ConfigError, match=r"decoders\.2 are"):
        UNet(1, 4, {**dense_widths([4, 6]), "encoders.0": [0, 0]})
