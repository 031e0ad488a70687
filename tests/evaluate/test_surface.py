"""HD95 in millimetres on shapes whose distance is known."""

import numpy as np
import pytest

from compress.errors import DataError
from compress.evaluate.surface import hd95

SPACING = (10.0, 1.5, 0.75)


def cube(z: int, y: int, x: int, size: int = 3, shape: tuple[int, int, int] = (12, 20, 20)) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[z : z + size, y : y + size, x : x + size] = 1
    return mask


@pytest.mark.parametrize(
    ("shift", "expected"), [((0, 0, 0), 0.0), ((2, 0, 0), 20.0), ((0, 4, 0), 6.0), ((0, 0, 4), 3.0), ((0, 8, 0), 12.0)]
)
def test_shifted_cubes_in_anisotropic_spacing(shift, expected):
    moved = cube(2 + shift[0], 3 + shift[1], 3 + shift[2])
    assert hd95(moved, cube(2, 3, 3), SPACING) == pytest.approx(expected, abs=1e-4)


def test_single_voxels_are_a_diagonal_apart():
    first, second = cube(0, 0, 0, size=1), cube(1, 2, 4, size=1)
    assert hd95(first, second, SPACING) == pytest.approx(np.sqrt(10**2 + 3**2 + 3**2), abs=1e-4)


def test_symmetric_and_independent_of_the_frame():
    small, large = cube(2, 3, 3), cube(1, 2, 5, size=6)
    padded = [np.pad(mask, ((3, 0), (5, 2), (0, 7))) for mask in (small, large)]
    assert hd95(small, large, SPACING) == hd95(large, small, SPACING) == hd95(padded[0], padded[1], SPACING)


def test_one_outlier_among_many_does_not_decide():
    clean = cube(2, 3, 3, size=8)
    noisy = clean.copy()
    noisy[0, 19, 19] = 1
    assert hd95(noisy, clean, SPACING) == 0.0


@pytest.mark.parametrize("which", ["prediction", "reference", "both"])
def test_undefined_when_a_mask_is_empty(which):
    empty, full = np.zeros((12, 20, 20), np.uint8), cube(2, 3, 3)
    prediction = full if which == "reference" else empty
    reference = full if which == "prediction" else empty
    assert hd95(prediction, reference, SPACING) is None


def test_shapes_must_agree():
    with pytest.raises(DataError, match="shape"):
        hd95(cube(0, 0, 0), cube(0, 0, 0, shape=(12, 20, 21)), SPACING)
