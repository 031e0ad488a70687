"""Where the window cuts a heart, and where it is moved to."""

from __future__ import annotations

import numpy as np
import pytest

from compress.data.preprocess import Geometry
from compress.data.window import cut_slices, onto

WINDOW = (20, 30)


def found_at(*boxes: tuple[slice, slice], slices: int = 4) -> np.ndarray:
    found = np.zeros((slices, *WINDOW), np.uint8)
    for box in boxes:
        found[(slice(1, 3), *box)] = 2
    return found


def geometry(rows: int, columns: int, moved: tuple[int, int] = (0, 0)) -> Geometry:
    return Geometry((rows, columns), (rows, columns), WINDOW, moved)


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((slice(0, 5), slice(4, 9)), True),
        ((slice(15, 20), slice(4, 9)), True),
        ((slice(5, 9), slice(0, 4)), True),
        ((slice(5, 9), slice(26, 30)), True),
        ((slice(1, 19), slice(1, 29)), False),
    ],
)
def test_a_heart_is_cut_where_it_reaches_an_edge_that_the_slice_goes_on_behind(
    box: tuple[slice, slice], cut: bool
) -> None:
    assert cut_slices(found_at(box), geometry(60, 60)) == ((1, 2) if cut else ())
    assert cut_slices(found_at(box), geometry(20, 30)) == (), "the window holds the whole slice"
    assert cut_slices(found_at(box), geometry(12, 18)) == ()


def test_a_moved_window_that_ends_with_the_slice_cuts_nothing_there() -> None:
    top, bottom = found_at((slice(0, 5), slice(4, 9))), found_at((slice(15, 20), slice(4, 9)))
    assert cut_slices(top, geometry(60, 60, (-20, 0))) == ()
    assert cut_slices(bottom, geometry(60, 60, (-20, 0))) == (1, 2)
    assert cut_slices(bottom, geometry(60, 60, (20, 0))) == ()
    assert cut_slices(top, geometry(61, 60, (21, 0))) == (1, 2)
    assert cut_slices(bottom, geometry(61, 60, (21, 0))) == (), "an odd row is beyond the centred window's far edge"


def test_islands_at_the_edge_cut_no_heart() -> None:
    heart, island = (slice(6, 14), slice(8, 20)), (slice(0, 2), slice(0, 3))
    assert cut_slices(found_at(heart, island), geometry(60, 60)) == ()
    assert onto(found_at(heart, island), geometry(60, 60)) == onto(found_at(heart), geometry(60, 60))


@pytest.mark.parametrize("now", [(0, 0), (3, -4)])
def test_the_heart_comes_into_the_middle_of_the_moved_window(now: tuple[int, int]) -> None:
    box = (slice(0, 6), slice(22, 30))  # centre (3, 26), of the window (10, 15)
    assert onto(found_at(box), geometry(100, 100, now)) == (now[0] - 7, now[1] + 11)


def test_a_window_never_leaves_the_slices() -> None:
    corner = found_at((slice(0, 2), slice(28, 30)))
    assert onto(corner, geometry(25, 34)) == (-2, 2)
    assert onto(corner, geometry(20, 30)) == (0, 0)
    assert onto(corner, geometry(10, 300)) == (0, 14)
    far = found_at((slice(18, 20), slice(0, 2)))
    moved = onto(far, geometry(25, 33))
    assert moved == (3, -1)
    source = geometry(25, 33, moved).slices()[0]
    assert (source[0].start, source[0].stop, source[1].start, source[1].stop) == (5, 25, 0, 30)
