"""Plans: how many channels stay, which, and how a plan travels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_kit import checkpoint, plan_for
from torch import nn

from compress.errors import ConfigError, InputError, PlanError
from compress.files import write_json
from compress.models.unet import dense_widths
from compress.prune import PruningPlan, find_groups, load_plan, rank, rebuild, save_plan
from compress.prune.allocate import Grid, Share, global_shares, ratio_of, shares
from compress.prune.groups import Group, Member
from compress.prune.ranking import grid_of, top
from compress.runtime.providers import PROVIDERS, find_provider

BY_WEIGHTS = ["bn-scale", "fpgm", "l1", "l2", "random"]
SHAPES = [
    dense_widths([4, 8]),
    {**dense_widths([6]), "encoders.0": [5, 9], "bottleneck": [7, 4]},
    {**dense_widths([5, 4, 4]), "decoders.2": [9], "decoders.5": [8, 4]},
]
"""Few, because following a network costs more than all the rest; weights are drawn."""


def group_of(width: int, *, per_unit: int = 1, name: str = "encoders.0.conv1") -> Group:
    index = np.arange(width * per_unit).reshape(width, per_unit)
    return Group(name, width, (Member(f"{name}.weight", 0, "filter", index, index.size),))


def kept_of(width: int, ratio: float, *, align: int = 1, per_unit: int = 1) -> Share:
    (share,) = shares([group_of(width, per_unit=per_unit)], default=ratio, ratios={}, grid=Grid(align, align)).values()
    return share


@settings(max_examples=40)
@given(
    st.sampled_from(SHAPES),
    st.sampled_from(BY_WEIGHTS),
    st.sampled_from(["local", "global"]),
    st.sampled_from(["none", 2, 4]),
    st.floats(0, 0.85),
    st.floats(0, 0.85),
    st.integers(0, 9),
)
def test_plans_nest(sizes: Any, criterion: str, scope: str, align: Any, one: float, other: float, seed: int):
    """Raising a ratio only ever removes more: every channel kept at the higher is kept at the lower."""
    source = checkpoint(sizes, seed=seed)
    more = {"criterion": criterion, "scope": scope, "align": align}
    low, high = (plan_for(source, ratio=ratio, **more) for ratio in sorted((one, other)))
    assert all(set(high.kept[name]) <= set(low.kept[name]) for name in low.kept)


@given(st.integers(1, 300), st.floats(0, 0.9999))
def test_counts_follow_the_ratio(width: int, ratio: float):
    try:
        share = kept_of(width, ratio)
    except PlanError:
        assert ratio * width >= width - 0.5
    else:
        assert 1 <= share.kept <= width
        assert abs(width - share.kept - ratio * width) <= 0.5 + 1e-9
        assert (share.asked, share.reason) == (ratio, "")


@given(st.integers(1, 300))
def test_the_largest_ratio_that_the_error_names_is_allowed(width: int):
    with pytest.raises(PlanError) as caught:
        kept_of(width, 0.99999)
    limit = float(str(caught.value).split("at most ")[1].split(")")[0])
    assert kept_of(width, limit).kept == 1
    assert limit + 0.002 > (width - 0.5) / width, "the limit is not needlessly low"


@given(st.integers(1, 300), st.floats(0, 0.9999), st.sampled_from([2, 8, 16]), st.integers(1, 6))
def test_aligned_counts_are_the_nearest_multiples(width: int, ratio: float, align: int, per_unit: int):
    kept = kept_of(width, ratio, align=align, per_unit=per_unit).kept
    multiples = [n for n in range(1, width + 1) if n * per_unit % align == 0]
    assert kept in {*multiples, width}
    wanted = (1 - ratio) * width
    nearest = min(abs(n - wanted) for n in [*multiples, width])
    assert abs(kept - wanted) <= nearest + 1e-9


@pytest.mark.parametrize(
    ("width", "ratio", "kept", "reason"),
    [
        (64, 0.5, 32, ""),
        (64, 0.4, 32, "multiple of 16"),
        (64, 0.99, 16, "at least 16"),
        (16, 0.5, 16, "no narrower multiple of 16"),
        (64, 0.0, 64, ""),
        (60, 0.1, 48, "multiple of 16"),
        (60, 0.01, 60, "no nearer multiple of 16"),
    ],
)
def test_the_share_tells_why_it_is_not_what_was_asked(width: int, ratio: float, kept: int, reason: str):
    share = kept_of(width, ratio, align=16)
    assert share == Share(kept, ratio, reason)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=5), st.floats(0, 0.95), st.floats(0, 0.9), st.integers(0, 99))
def test_a_global_ranking_removes_the_lowest_scores_of_all(widths: list[int], ratio: float, floor: float, seed: int):
    rng = np.random.default_rng(seed)
    groups = [group_of(width, name=f"layer{i}") for i, width in enumerate(widths)]
    scores = {g.name: rng.random(g.width) for g in groups}
    found = global_shares(groups, scores, default=ratio, ratios={}, floor=floor)
    least = {g.name: max(1, int(np.ceil(floor * g.width))) for g in groups}
    assert all(least[name] <= share.kept for name, share in found.items())
    gone = sum(widths) - sum(share.kept for share in found.values())
    assert gone <= ratio * sum(widths) + 0.5
    lowest = {name: np.sort(values)[: -found[name].kept] for name, values in scores.items()}
    highest = max((float(values.max()) for values in lowest.values() if len(values)), default=0.0)
    free = [np.sort(scores[n])[-found[n].kept] for n in scores if found[n].kept > least[n]]
    assert all(highest <= score for score in free), "nothing above a removed score could have left instead"
    if free:
        assert gone >= ratio * sum(widths) - 0.5


def test_listed_groups_keep_to_their_own_ratio_in_a_global_ranking():
    groups = [group_of(10, name="a"), group_of(10, name="b")]
    scores = {"a": np.arange(10.0), "b": np.arange(10.0) + 100}
    found = global_shares(groups, scores, default=0.5, ratios={"b": 0.3}, floor=0.1)
    assert {name: (share.kept, share.asked, share.reason) for name, share in found.items()} == {
        "a": (5, 0.5, "global ranking"),
        "b": (7, 0.3, ""),
    }


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.data())
def test_top_keeps_the_highest(scores: list[float], data: st.DataObject):
    count = data.draw(st.integers(0, len(scores)))
    kept = top(np.array(scores), count)
    assert len(kept) == count
    assert list(kept) == sorted(set(kept))
    lost = set(range(len(scores))) - set(kept)
    assert all(scores[i] >= scores[j] for i in kept for j in lost)
    assert all(i < j for i in kept for j in lost if scores[i] == scores[j])


def test_every_emptied_block_is_named():
    with pytest.raises(PlanError) as caught:
        plan_for(checkpoint(dense_widths([2, 4])), ratio=0.0, ratios={"encoders.0": 0.9, "bottleneck": 0.99})
    text = str(caught.value)
    assert "encoders.0.conv1 (2 filters, ratio 0.9; at most 0.749)" in text
    assert "bottleneck.conv2 (8 filters, ratio 0.99; at most 0.937)" in text
    assert text.endswith("Lower them.")
    assert "encoders.1" not in text


def test_transposed_convolutions_follow_what_they_feed():
    source = checkpoint(dense_widths([8, 8]))
    plan = plan_for(source, ratio=0.0, ratios={"decoders.1": 0.5, "decoders.2": 0.25, "decoders.3": 0.75})
    lengths = {name: len(kept) for name, kept in plan.kept.items() if name.startswith("decoders")}
    assert lengths == {
        "decoders.0": 4,
        "decoders.1.conv1": 4,
        "decoders.1.conv2": 4,
        "decoders.2": 6,
        "decoders.3.conv1": 2,
        "decoders.3.conv2": 2,
    }
    assert plan.groups["decoders.0"].asked == 0.5
    assert plan.groups["decoders.2"].achieved == 0.25


@pytest.mark.parametrize(
    ("name", "ratios", "expected"),
    [
        ("decoders.1", {"decoders.0": 0.9}, 0.1),
        ("decoders.2", {"decoders.3": 0.9}, 0.1),
        ("decoders.0", {}, 0.1),
        ("decoders.0", {"decoders": 0.3, "decoders.1": 0.9}, 0.3),
        ("encoders.0.conv1", {"encoders.1": 0.9}, 0.1),
        ("encoders.0.conv1", {"encoders.0": 0.5, "encoders": 0.3}, 0.5),
        ("encoders.0.conv1", {"encoders.0.conv1": 0.7, "encoders.0": 0.5}, 0.7),
        ("encoders.0.conv2", {"encoders.0.conv1": 0.7, "encoders": 0.3}, 0.3),
        ("encoders.10", {"encoders.1": 0.9}, 0.1),
        ("decoders.0", {"decoders.1": 0.4}, 0.4),
        ("decoders.0", {"decoders.1": 0.4, "decoders.0": 0.2}, 0.2),
    ],
)
def test_the_most_specific_name_wins(name: str, ratios: dict[str, float], expected: float):
    follow = {"decoders.0": "decoders.1"}
    assert ratio_of(group_of(4, name=name), default=0.1, ratios=ratios, follow=follow) == expected


class _Decoders(nn.Module):
    """A network of another family whose list happens to have a name of the U-Net's."""

    def __init__(self) -> None:
        super().__init__()
        self.decoders = nn.ModuleList([nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 2, 1)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.decoders:
            x = torch.relu(layer(x))
        return x


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize(("follow", "kept"), [({}, 8), ({"decoders.0": "decoders.1"}, 4)])
def test_a_block_follows_another_only_where_the_caller_says_so(scope: Any, follow: dict[str, str], kept: int):
    ratios = {"decoders.1": 0.5}
    image = torch.zeros(1, 1, 8, 8)
    plan = rank(_Decoders(), image, ratio=0.0, ratios=ratios, scope=scope, follow=follow, align="none")
    assert {name: len(units) for name, units in plan.kept.items()} == {"decoders.0": kept, "decoders.1": 4}


def test_masks_tell_every_channel_of_every_block():
    source = checkpoint({**dense_widths([4]), "encoders.0": [6, 4]})
    plan = plan_for(source)
    masks = plan.masks()
    assert {name: len(mask) for name, mask in masks.items()} == {
        "encoders.0.conv1": 6,
        "encoders.0": 4,
        "bottleneck.conv1": 8,
        "bottleneck": 8,
        "decoders.0": 4,
        "decoders.1.conv1": 4,
        "decoders.1": 4,
    }
    assert tuple(i for i, stays in enumerate(masks["encoders.0"]) if stays) == plan.kept["encoders.0.conv2"]


@settings(max_examples=20)
@given(st.sampled_from(SHAPES), st.sampled_from(BY_WEIGHTS), st.integers(0, 9))
def test_plans_survive_json(tmp_path_factory, sizes: Any, criterion: str, seed: int):
    plan = plan_for(checkpoint(sizes, seed=seed), ratio=0.4, ratios={"bottleneck": 0.3}, criterion=criterion)
    path = save_plan(plan, tmp_path_factory.mktemp("plan") / "plan.json")
    back = load_plan(path)
    assert back.to_json() == plan.to_json()
    assert (back.kept, back.digest, back.masks(), back.whole) == (plan.kept, plan.digest, plan.masks(), plan.whole)
    assert back.to_json() == PruningPlan.from_json(back.to_json()).to_json()


def test_places_that_are_no_runs_survive_json():
    """Chunks and grouped filters own entries that do not lie side by side."""

    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 6, 1), nn.Conv2d(6, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(torch.cat(self.one(x).chunk(2, 1)[::-1], 1))

    network = Crossed()
    plan = rank(network, torch.zeros(1, 1, 4, 4), ratio=0.5, align="none")
    document = plan.to_json()
    assert document["groups"]["one"]["members"][0]["index"] == [[0, 3], [1, 4], [2, 5]]
    back = PruningPlan.from_json(document)
    images = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(rebuild(network, back)(images), rebuild(network, plan)(images))


def test_the_digest_tells_plans_apart():
    plan = plan_for(checkpoint(dense_widths([4])))
    assert plan.digest == plan_for(checkpoint(dense_widths([4]))).digest
    assert replace(plan, source="another").digest != plan.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 1}, "schema is not 2"),
        ({"groups": None}, "damaged"),
        ({"groups": {"encoders.0.conv1": {"block": "encoders.0"}}}, "damaged"),
        ({"inputs": 3}, "damaged"),
        ({"colour": "red"}, "damaged"),
    ],
)
def test_damaged_plans_are_refused(tmp_path: Path, change: dict[str, object], message: str):
    document = {**plan_for(checkpoint(dense_widths([4]))).to_json(), **change}
    with pytest.raises(PlanError, match=message):
        load_plan(write_json(tmp_path / "plan.json", document))


def test_files_that_are_no_plan_are_refused(tmp_path: Path):
    with pytest.raises(PlanError, match="schema is not 2"):
        load_plan(write_json(tmp_path / "plan.json", [1, 2]))
    with pytest.raises(InputError, match="No such file"):
        load_plan(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"criterion": "l3"}, r"Unknown pruning\.method 'l3'\. Known: .*l1.*random"),
        ({"scope": "everywhere"}, r"Unknown scope 'everywhere'\. Known: local, global\."),
        ({"ratio": 1.0}, r"ratio is 1\.0; a fraction from 0 to below 1"),
        ({"ratio": -0.1}, r"ratio is -0\.1"),
        ({"floor": 1.5}, r"floor is 1\.5"),
        ({"ratios": {"encoders.0": 2.0}}, r"encoders\.0 is 2\.0"),
        ({"align": 0}, "align is 0; a positive number, a provider's name or none"),
        ({"align": "abacus"}, "abacus"),
    ],
)
def test_what_cannot_be_meant_is_refused(more: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        plan_for(checkpoint(dense_widths([4])), **more)


def test_ratios_of_names_that_lead_nowhere_are_refused():
    with pytest.raises(PlanError, match=r"No channel group lies under 'encoders\.1'\. Known: encoders\.0\.conv1, "):
        plan_for(checkpoint(dense_widths([4])), ratios={"encoders.1": 0.5})


def test_alignment_is_a_number_or_a_providers_own():
    assert [grid_of(each) for each in ("none", None, 8, "8")] == [Grid(), Grid(), Grid(8, 8), Grid(8, 8)]
    assert grid_of("cpu") == Grid(find_provider("cpu").alignment, 4) and grid_of("cuda") == Grid(8, 8)


@pytest.mark.parametrize(
    ("ratio", "kept", "reason"),
    [(0.02, 56, "no nearer multiple of 16"), (0.1, 48, "multiple of 16"), (0.5, 32, "multiple of 16"),
     (0.7, 16, "multiple of 16"), (0.77, 12, "multiple of 4"), (0.88, 8, "multiple of 4"), (0.99, 4, "at least 4")],
)  # fmt: skip
def test_below_one_block_the_cpu_takes_fours(ratio: float, kept: int, reason: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(PROVIDERS, "cpu", replace(PROVIDERS["cpu"], find_alignment=lambda: 16))
    network = nn.Sequential(nn.Conv2d(1, 56, 1), nn.ReLU(), nn.Conv2d(56, 2, 1))
    group = rank(network, torch.zeros(1, 1, 4, 4), ratio=ratio).groups["0"]
    assert (len(group.kept), group.reason) == (kept, reason)


def test_the_cpus_alignment_is_the_default():
    network = nn.Sequential(nn.Conv2d(1, 64, 1), nn.ReLU(), nn.Conv2d(64, 2, 1))
    plan = rank(network, torch.zeros(1, 1, 4, 4), ratio=0.3)
    assert plan.align == find_provider("cpu").alignment
    assert len(plan.kept["0"]) % plan.align == 0


def test_units_of_several_channels_are_aligned_as_channels():
    network = nn.Sequential(nn.Conv2d(1, 24, 1), nn.GroupNorm(8, 24), nn.Conv2d(24, 2, 1))
    plan = rank(network, torch.zeros(1, 1, 4, 4), ratio=0.4, align=4)
    assert len(plan.kept["0"]) * 3 == 12
    assert (plan.groups["0"].width, plan.groups["0"].achieved, plan.groups["0"].reason) == (8, 0.5, "multiple of 4")


def test_groups_of_an_earlier_trace_give_the_same_plan():
    network = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    image = torch.zeros(1, 1, 4, 4)
    found = find_groups(network, image)
    first, second = rank(network, image, align="none"), rank(network, image, align="none", groups=found)
    assert first.to_json() == second.to_json()


def test_ranking_leaves_the_network_alone():
    network = nn.Sequential(nn.Conv2d(1, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images, targets = torch.randn(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64)
    for criterion in [*BY_WEIGHTS, "taylor"]:
        rank(network, images, align="none", criterion=criterion, data=[(images, targets)])
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(tensor.grad is None for tensor in network.parameters())
