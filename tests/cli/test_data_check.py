"""`data check` says what the window would cut, and what was assumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from heart_kit import SPACING, make_heart
from hostile_kit import write_image


def test_what_the_window_would_cut_is_told(tmp_path: Path, command) -> None:
    image, mask = make_heart(side=192)
    place = {"imagesTr/far_0000": np.roll(image, 90, 2), "imagesTr/near_0000": image}
    masks = {"labelsTr/far": np.roll(mask, 90, 2), "labelsTr/near": mask}
    for name, array in {**place, **masks}.items():
        write_image(tmp_path / f"{name}.nii.gz", array, spacing=SPACING)
    told = command("data", "check", tmp_path)
    assert told.code == 0 and "no problems" in told.out
    lines = [line for line in told.out.splitlines() if line.startswith("the window of 240 mm cuts ")]
    assert len(lines) == 2 and all("in 1 volume(s)" in line and "far_0000.nii.gz" in line for line in lines)
    assert "note: Label values are assumed to be ACDC's" in told.out
