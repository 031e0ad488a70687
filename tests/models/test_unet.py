"""The U-Net: size, widths and initialisation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import ConfigError
from compress.models.build import build
from compress.models.cost import count_parameters
from compress.models.unet import UNet, check_widths, dense_widths, depth_of, followers, initialise, narrowed_widths

WIDTH = st.integers(1, 9)


@st.composite
def any_widths(draw: st.DrawFn) -> dict[str, list[int]]:
    template = dense_widths([1] * draw(st.integers(1, 3)))
    return {block: [draw(WIDTH) for _ in sizes] for block, sizes in template.items()}


def test_the_thesis_network_has_its_published_size():
    with torch.device("meta"):
        network = UNet(1, 4, dense_widths([64, 128, 256, 512, 512]))
    assert count_parameters(network) == 43_886_340


@settings(max_examples=25, deadline=None)
@given(any_widths(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_any_widths_give_logits_of_the_input_size(widths: dict[str, list[int]], batch: int, rows: int, columns: int):
    network = UNet(1, 4, widths).eval()
    size = (rows * network.divisor, columns * network.divisor)
    with torch.inference_mode():
        assert network(torch.zeros(batch, 1, *size)).shape == (batch, 4, *size)
    assert network.widths == widths
    assert network.divisor == 2 ** depth_of(widths)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d) and name != "head":
            block, _, conv = name.rpartition(".")
            expected = widths[block][int(conv[-1]) - 1] if conv.startswith("conv") else widths[name][0]
            assert module.out_channels == expected


def test_dense_widths_mirror_the_features():
    assert dense_widths([4, 8]) == {
        "encoders.0": [4, 4],
        "encoders.1": [8, 8],
        "bottleneck": [16, 16],
        "decoders.0": [8],
        "decoders.1": [8, 8],
        "decoders.2": [4],
        "decoders.3": [4, 4],
    }


def test_what_a_transposed_convolution_follows_is_what_it_feeds():
    network = UNet(1, 4, dense_widths([3, 4, 5]))
    for follower, leader in followers(network.widths).items():
        upsampling, fed = network.get_submodule(follower), network.get_submodule(leader)
        assert isinstance(upsampling, torch.nn.ConvTranspose2d)
        assert fed.conv1.in_channels - upsampling.out_channels in (3, 4, 5)  # the rest comes over the skip
    assert len(followers(network.widths)) == 3


def test_narrowed_widths_change_the_convolutions_that_are_named():
    before = dense_widths([4])
    after = narrowed_widths(before, {"encoders.0.conv1": 1, "bottleneck.conv2": 3, "decoders.0": 2})
    assert after == {"encoders.0": [1, 4], "bottleneck": [8, 3], "decoders.0": [2], "decoders.1": [4, 4]}
    assert before == dense_widths([4])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoders.0": [4]}, r"encoders\.0 are \[4\]; 2 positive whole"),
        ({"decoders.0": [4, 4]}, r"decoders\.0 are \[4, 4\]; 1 positive whole"),
        ({"bottleneck": [4, 0]}, r"bottleneck are \[4, 0\]"),
        ({"bottleneck": [4, 2.5]}, r"bottleneck are \[4, 2\.5\]"),
        ({"decoders.9": [4]}, r"Widths name the blocks .*a U-Net needs"),
        ({"encoders.1": [4, 4]}, r"Widths name the blocks .*'decoders\.3'"),
    ],
)
def test_impossible_widths_are_refused(change: dict[str, list[int]], message: str):
    with pytest.raises(ConfigError, match=message):
        check_widths({**dense_widths([4]), **change})
    with pytest.raises(ConfigError):
        UNet(1, 4, {**dense_widths([4]), **change})


def test_no_encoder_is_no_unet():
    with pytest.raises(ConfigError, match="Widths name the blocks"):
        check_widths({"bottleneck": [4, 4]})


def test_unknown_architectures_are_named():
    with pytest.raises(
        ConfigError, match=r"Unknown architecture 'unett'\. Known: factory, nnunet, unet\. Did you mean 'unet'\?"
    ):
        build("unett", {})


def test_initialisation_is_a_function_of_the_seed():
    first, second, other = (UNet(1, 4, dense_widths([4, 8])) for _ in range(3))
    with torch.no_grad():
        second.encoders[0].norm1.running_mean.fill_(3.0)
        second.encoders[0].norm1.weight.fill_(0.5)
    for network, seed in ((first, 7), (second, 7), (other, 8)):
        initialise(network, seed=seed)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    assert not torch.equal(first.head.weight, other.head.weight)
    assert torch.count_nonzero(first.head.bias) == 0


def test_initialisation_leaves_the_global_randomness_alone():
    before = torch.get_rng_state()
    network = UNet(1, 4, dense_widths([2]))
    torch.set_rng_state(before)
    initialise(network, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
