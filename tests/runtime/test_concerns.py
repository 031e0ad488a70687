"""Concerns before a prediction: what is refused, what a person may overrule, and that real scans pass."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.data.layouts import find_cases, read_volume
from compress.errors import DataError
from compress.runtime.card import TrainingRange
from compress.runtime.concerns import MAX_LABELS, check_image, find_concerns, holds_ventricle

ACDC = TrainingRange(pixel_mm=(0.70, 1.92), slice_mm=(5.0, 10.0), slices=(6, 18), width_mm=(224.0, 480.0))
STACK, SPACING = (10, 216, 256), (10.0, 1.5, 1.5)

FAULTS = {
    "swapped-axes": (
        (216, 256, 10),
        (1.5, 1.5, 10.0),
        r"the slice axis looks like X \(10 samples, 10 mm apart\), expected Z",
    ),
    "spacing": ((40, 200, 200), (1.0, 1.0, 1.0), r"slices are 1 mm apart, expected about 5 to 10 mm"),
    "field-of-view": ((10, 60, 256), SPACING, r"slices are 256 x 60 pixels, 384 x 90 mm, expected .* 100 to 600 mm"),
    "slices": ((70, 216, 256), (2.5, 1.5, 1.5), r"it has 70 slices, expected .* at most 60"),
    "flat-stack": ((1, 216, 256), SPACING, r"it has 1 slice, 10 mm tall, like a long-axis or single-slice cine; a v"),
    "time-as-slices": ((30, 216, 256), SPACING, r"it has 30 slices, 300 mm tall, like time in the place of slices; a "),
}


def image_of(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def kinds(image: np.ndarray, spacing: tuple[float, ...], expected: TrainingRange | None = ACDC) -> set[str]:
    return {concern.kind for concern in find_concerns(image, spacing, expected=expected)}


@given(pixel=st.floats(0.68, 1.9), slice_mm=st.floats(5, 13), slices=st.integers(6, 15), width=st.integers(224, 420))
def test_short_axis_scans_of_other_hospitals_pass(pixel, slice_mm, slices, width):
    side = round(width / pixel)
    scan = np.broadcast_to(image_of((slices, side, 1)), (slices, side, side))  # shapes matter here, not voxels
    assert kinds(scan, (slice_mm, pixel, pixel)) == set()


@pytest.mark.parametrize("kind", FAULTS)
def test_each_concern_is_raised_alone_and_can_be_forced(kind):
    shape, spacing, message = FAULTS[kind]
    image = image_of(shape)
    with pytest.raises(DataError, match=f"^p1: {message}") as fault:
        check_image(image, spacing, name="p1", expected=ACDC, force=False)
    assert "\n" not in str(fault.value) and "pass --force (force=True in Python)" in str(fault.value)
    assert [c.kind for c in check_image(image, spacing, name="p1", expected=ACDC, force=True)] == [kind]


@pytest.mark.parametrize("affine, cure", [(None, "an array of nibabel's as array.T"), (np.eye(4), "(X, Y, slice)")])
def test_an_array_gets_the_cure_for_arrays_and_a_file_that_for_files(affine, cure):
    turned = np.moveaxis(image_of(STACK), 0, 2)
    with pytest.raises(DataError) as fault:
        check_image(turned, (1.5, 1.5, 10.0), name="p1", expected=ACDC, force=False, affine=affine)
    assert cure in str(fault.value)


def test_all_concerns_come_in_one_line():
    with pytest.raises(DataError) as fault:
        check_image(image_of((70, 36, 256)), (1.0, 1.5, 1.5), name="p1", expected=ACDC, force=False)
    text = str(fault.value)
    assert all(part in text for part in ("1 mm apart", "256 x 36 pixels", "70 slices", "; give one short-axis stack;"))


@given(
    pixel=st.floats(0.7, 1.9),
    gap=st.floats(5, 13),
    slices=st.integers(6, 15),
    to=st.sampled_from([1, 2]),
    moved=st.sampled_from(["both", "voxels", "header"]),
)
def test_a_slice_axis_elsewhere_is_the_only_concern(pixel, gap, slices, to, moved):
    side = round(300 / pixel)
    image = np.broadcast_to(image_of((slices, side, 1)), (slices, side, side))
    spacing = [gap, pixel, pixel]
    if moved != "header":
        image = np.moveaxis(image, 0, to)
    if moved != "voxels":
        spacing.insert(to, spacing.pop(0))
    for expected in (ACDC, None):
        (concern,) = find_concerns(image, tuple(spacing), expected=expected)
        assert concern.kind == "swapped-axes"
        assert ("both Z" in concern.message) == (moved != "both")
        assert f"{' YX'[to]} (" in concern.message


def test_oblong_pixels_are_a_swap_without_a_clear_axis():
    assert "swapped-axes" in kinds(image_of((10, 200, 200)), (3.0, 3.0, 1.5), None)
    assert kinds(image_of((10, 200, 200)), (8.0, 1.6, 1.2), None) == set()


@pytest.mark.parametrize("expected", [ACDC, None])
def test_a_reordered_stack_is_still_measured(expected):
    """One fault gives one concern, but a second fault is not hidden by it."""
    found = kinds(np.moveaxis(image_of((10, 50, 50)), 0, 2), (1.5, 1.5, 10.0), expected)
    assert found == {"swapped-axes", "field-of-view"}


def test_spacing_needs_a_range():
    image = image_of((40, 200, 200))
    assert kinds(image, (1.0, 1.0, 1.0), None) == set()
    (concern,) = find_concerns(image_of((10, 70, 70)), (10.0, 5.0, 5.0), expected=ACDC)
    assert concern.message == "pixels are 5 x 5 mm, expected about 0.7 to 1.92 mm as in training"


def test_limits_include_rounded_headers():
    only_ten = TrainingRange((1.8, 1.8), (10.0, 10.0), (8, 13), (300.0, 380.0))
    assert kinds(image_of((10, 160, 160)), (4.9999, 1.8, 1.8), only_ten) == set()
    (concern,) = find_concerns(image_of((10, 160, 160)), (4.8, 1.8, 1.8), expected=only_ten)
    assert concern.message == "slices are 4.8 mm apart, expected about 10 mm as in training"


def test_tall_stacks_pass_for_a_network_trained_on_tall_stacks():
    tall = TrainingRange((1.0, 2.0), (2.0, 4.0), (30, 40), (224.0, 480.0))
    assert kinds(image_of((120, 200, 200)), (1.6, 1.5, 1.5), tall) == set()
    assert kinds(image_of((121, 200, 200)), (1.6, 1.5, 1.5), tall) == {"slices"}


@pytest.mark.parametrize(
    "slices, gap, kind",
    [
        (3, 20.0, {"flat-stack"}),
        (4, 7.4, {"flat-stack"}),
        (4, 7.5, set()),
        (4, 7.4999, set()),
        (6, 5.0, set()),
        (5, 5.0, {"flat-stack"}),
        (20, 10.0, set()),
        (21, 10.0, {"time-as-slices"}),
    ],
)
def test_a_stack_must_be_able_to_hold_a_ventricle(slices, gap, kind):
    assert kinds(image_of((slices, 200, 200)), (gap, 1.5, 1.5)) == kind


def test_slices_that_all_look_alike_are_frames():
    """A beating slice: the frames differ by less than any two slices of a stack do."""
    place, noise = image_of((1, 200, 200)), image_of((14, 200, 200), seed=1)
    assert kinds(place + 0.5 * noise, (8.0, 1.5, 1.5)) == {"time-as-slices"}
    assert kinds(place + 2.0 * noise, (8.0, 1.5, 1.5)) == set()
    turned = np.moveaxis(place + 0.5 * noise, 0, 2)
    assert kinds(turned, (1.5, 1.5, 8.0)) == {"swapped-axes", "time-as-slices"}
    assert kinds((place + 0.5 * noise)[:9], (8.0, 1.5, 1.5)) == set(), "as few frames no cine has"


@pytest.mark.parametrize("kind", FAULTS)
def test_only_of_slices_that_hold_a_ventricle_are_volumes_stated(kind):
    shape, spacing, _ = FAULTS[kind]
    stated = holds_ventricle(find_concerns(image_of(shape), spacing, expected=ACDC))
    assert stated == (kind not in ("flat-stack", "time-as-slices"))


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_a_mask_is_no_image(scale):
    mask = np.zeros(STACK, np.float32)
    mask[:, 50:120, 50:120] = 1
    mask[:, 70:100, 70:100] = 2
    (concern,) = find_concerns(mask * scale, SPACING, expected=ACDC)
    assert concern.kind == "label-map"
    assert f"the values {', '.join(f'{value * scale:g}' for value in range(3))} like" in concern.message


def test_a_mostly_empty_image_is_no_mask():
    """The sample of pixels holds nothing but zeros; the whole volume decides."""
    image = np.zeros((12, 300, 300), np.float32)
    image[3, 151, 1 : 1 + 4 * MAX_LABELS : 4] = np.arange(1, 1 + MAX_LABELS)
    assert len(np.unique(image)) > MAX_LABELS
    assert kinds(image, SPACING) == set()
    assert kinds(np.minimum(image, 3), SPACING) == {"label-map"}


@pytest.mark.parametrize(
    "sizes, doubted",
    [
        ((1.5, 1.5, 10.0), False),
        ((-1.5, -1.5, 10.1), False),
        ((-1.0, -1.0, 1.0), False),
        ((1.5, 1.5, 5.0), True),
        ((1.0, 1.0, 10.0), True),
    ],
    ids=["equal", "rounded", "ACDC's unit sform", "slices", "pixels"],
)
def test_two_voxel_sizes_in_one_header(sizes, doubted):
    turn = np.array([[0.8, -0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    asked = {"name": "p1", "expected": ACDC, "affine": turn @ np.diag([*sizes, 1.0])}
    found = check_image(image_of(STACK), SPACING, force=True, **asked)
    assert [concern.kind for concern in found] == ["two-voxel-sizes"] * doubted
    if doubted:
        with pytest.raises(DataError, match=r"p1: its header contradicts itself: pixdim says voxels of 1.5 x 1.5 x 10"):
            check_image(image_of(STACK), SPACING, force=False, **asked)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "image, spacing, message",
    [
        (np.full(STACK, np.nan, np.float32), SPACING, "552960 NaN or infinite voxels"),
        (np.where(np.arange(256) == 3, np.inf, image_of(STACK)), SPACING, "2160 NaN or infinite"),
        (np.where(np.arange(256) == 3, -np.inf, image_of(STACK)), SPACING, "2160 NaN or infinite"),
        (np.full(STACK, 7.5, np.float32), SPACING, "is constant: every voxel is 7.5"),
        (image_of(STACK[1:]), SPACING, r"shape \(216, 256\)"),
        (image_of((2, *STACK)), SPACING, r"shape \(2, 10, 216, 256\)"),
        (image_of((0, 216, 256)), SPACING, r"shape \(0, 216, 256\)"),
        (image_of(STACK).astype(complex), SPACING, "dtype complex128"),
        (image_of(STACK), (10.0, 0.0, 1.5), r"spacing \(10.0, 0.0, 1.5\); expected three positive"),
        (image_of(STACK), (10.0, float("nan"), 1.5), "expected three positive"),
        (image_of(STACK), (1.5, 1.5), "expected three positive"),
        (image_of(STACK), 1.5, "has spacing 1.5; expected three positive"),
        (image_of(STACK), "mm", "has spacing 'mm'; expected three positive"),
    ],
)
def test_what_no_network_can_use_is_refused_even_when_forced(image, spacing, message, force):
    with pytest.raises(DataError, match=f"^p1 .*{message}"):
        check_image(image, spacing, name="p1", expected=ACDC, force=force)


def test_the_phantom_passes(tiny_phantom: Path):
    for study in find_cases(tiny_phantom):
        volume = read_volume(study)
        assert check_image(volume.image, volume.spacing, name=study.name, expected=ACDC, force=False) == []


def test_real_scans_pass_and_their_masks_do_not(acdc_dir: Path):
    for study in find_cases(acdc_dir)[:40]:
        volume = read_volume(study)
        assert kinds(volume.image, volume.spacing) == set(), study.name
        assert volume.mask is not None
        assert kinds(volume.mask.astype(np.float32), volume.spacing) == {"label-map"}
        x_first = (volume.spacing[1], volume.spacing[2], volume.spacing[0])
        assert kinds(np.moveaxis(volume.image, 0, 2), x_first) == {"swapped-axes"}
