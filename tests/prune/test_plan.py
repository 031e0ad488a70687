"""Plans: how many channels stay, which, and how a plan travels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_kit import checkpoint, plan_for, widths

from compress.errors import ConfigError, InputError, PlanError
from compress.files import write_json
from compress.models.unet import dense_widths
from compress.prune.allocate import block_ratio, keep_counts
from compress.prune.criteria import CRITERIA
from compress.prune.groups import Group
from compress.prune.plan import PruningPlan, load_plan, save_plan


@settings(max_examples=40, deadline=None)
@given(widths(least=4), st.sampled_from(sorted(CRITERIA)), st.floats(0, 0.85), st.floats(0, 0.85), st.integers(0, 9))
def test_plans_nest(sizes: dict[str, list[int]], criterion: str, one: float, other: float, seed: int):
    """Raising a ratio only ever removes more: every channel kept at the higher is kept at the lower."""
    source = checkpoint(sizes, seed=seed)
    low, high = (plan_for(source, default=ratio, criterion=criterion) for ratio in sorted((one, other)))
    assert all(set(high.kept[name]) <= set(low.kept[name]) for name in low.kept)


@given(st.integers(1, 300), st.floats(0, 0.9999))
def test_counts_follow_the_ratio(width: int, ratio: float):
    group = Group("encoders.0.conv1", width, ())
    try:
        (kept,) = keep_counts([group], default=ratio, ratios={}).values()
    except PlanError:
        assert ratio * width >= width - 0.5
    else:
        assert 1 <= kept <= width
        assert abs(width - kept - ratio * width) <= 0.5 + 1e-9


@given(st.integers(1, 300))
def test_the_largest_ratio_that_the_error_names_is_allowed(width: int):
    group = Group("bottleneck.conv2", width, ())
    with pytest.raises(PlanError) as caught:
        keep_counts([group], default=0.99999, ratios={})
    limit = float(str(caught.value).split("at most ")[1].split(")")[0])
    assert keep_counts([group], default=limit, ratios={}) == {"bottleneck.conv2": 1}
    assert limit + 0.002 > (width - 0.5) / width, "the limit is not needlessly low"


def test_every_emptied_block_is_named():
    with pytest.raises(PlanError) as caught:
        plan_for(checkpoint(dense_widths([2, 4])), default=0.0, ratios={"encoders.0": 0.9, "bottleneck": 0.99})
    text = str(caught.value)
    assert "encoders.0.conv1 (2 filters, ratio 0.9; at most 0.749)" in text
    assert "bottleneck.conv2 (8 filters, ratio 0.99; at most 0.937)" in text
    assert text.endswith("Lower them.")
    assert "encoders.1" not in text


def test_transposed_convolutions_follow_what_they_feed():
    source = checkpoint(dense_widths([8, 8]))
    plan = plan_for(source, default=0.0, ratios={"decoders.1": 0.5, "decoders.2": 0.25, "decoders.3": 0.75})
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


def test_block_ratio_of_other_names_is_the_default():
    assert block_ratio("decoders.1", default=0.1, ratios={"decoders.0": 0.9}) == 0.1
    assert block_ratio("decoders.up.0", default=0.1, ratios={}) == 0.1
    assert block_ratio("encoders.0", default=0.1, ratios={"encoders.1": 0.9}) == 0.1


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


@settings(max_examples=20, deadline=None)
@given(widths(), st.sampled_from(sorted(CRITERIA)), st.integers(0, 9))
def test_plans_survive_json(tmp_path_factory, sizes: dict[str, list[int]], criterion: str, seed: int):
    plan = plan_for(checkpoint(sizes, seed=seed), default=0.4, ratios={"bottleneck": 0.3}, criterion=criterion)
    path = save_plan(plan, tmp_path_factory.mktemp("plan") / "plan.json")
    back = load_plan(path)
    assert back.to_json() == plan.to_json()
    assert (back.kept, back.digest, back.masks()) == (plan.kept, plan.digest, plan.masks())
    assert back == PruningPlan.from_json(back.to_json())


def test_the_digest_tells_plans_apart():
    plan = plan_for(checkpoint(dense_widths([4])))
    assert plan.digest == plan_for(checkpoint(dense_widths([4]))).digest
    assert replace(plan, source="another").digest != plan.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema is not 1"),
        ({"groups": None}, "damaged"),
        ({"groups": {"encoders.0.conv1": {"block": "encoders.0"}}}, "damaged"),
        ({"colour": "red"}, "damaged"),
    ],
)
def test_damaged_plans_are_refused(tmp_path: Path, change: dict[str, object], message: str):
    document = {**plan_for(checkpoint(dense_widths([4]))).to_json(), **change}
    with pytest.raises(PlanError, match=message):
        load_plan(write_json(tmp_path / "plan.json", document))


def test_files_that_are_no_plan_are_refused(tmp_path: Path):
    with pytest.raises(PlanError, match="schema is not 1"):
        load_plan(write_json(tmp_path / "plan.json", [1, 2]))
    with pytest.raises(InputError, match="No such file"):
        load_plan(tmp_path / "absent.json")


def test_unknown_criteria_are_named():
    with pytest.raises(ConfigError, match=r"Unknown pruning\.method 'l1'\. Known: l1_norm, random\."):
        plan_for(checkpoint(dense_widths([4])), criterion="l1")
