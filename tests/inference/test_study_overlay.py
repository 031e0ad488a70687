"""What an overlay of predicted masks says: odd names, frames of a cine, phantoms, flags."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from compress.data.volume import ACDC_LABELS
from compress.inference.study_overlay import draw_overlay, spread_slices

FLAG = {"kind": "gap", "message": "There is no LV in slice 4."}


def test_slices_are_spread_over_the_heart() -> None:
    mask = np.zeros((12, 4, 4), np.uint8)
    assert spread_slices(mask, 3) == [0, 6, 11]
    mask[2:5] = 1
    assert spread_slices(mask, 6) == [2, 3, 4]


def told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, frames: int = 1, output: str = "p1.nii.gz", **changes: Any
) -> tuple[list[str], str]:
    """(every text of the picture, its title) of one study with one image."""
    voxels = np.zeros((2, 16, 16), np.float32)
    labels = np.zeros((frames, *voxels.shape), np.uint8)
    labels[:, :, 4:9, 4:9] = 3
    file = SimpleNamespace(
        frames=frames, is_cine=frames > 1, spacing=(8.0, 1.5, 1.5), volumes=lambda: iter([voxels] * frames)
    )
    image: Any = SimpleNamespace(source=SimpleNamespace(output=output), file=file, labels=labels)
    own = {"mask": output, "flags": [], "concerns": [], **changes.pop("image", {})}
    document = {
        "study": "p1",
        "labels": ACDC_LABELS,
        "clinical": {"LV EF": {"value": 55.4, "unit": "%"}, "RV EF": {"value": None, "unit": "%"}},
        "phantom": {"images": False, "model": False},
        "phases": {},
        "flags": [],
        "images": [own],
        **changes,
    }
    found: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **more: (found.append(self), save(self, *args, **more)))
    assert draw_overlay(tmp_path / "p1.png", [image], document).is_file()
    (figure,) = found
    texts = [text.get_text() for text in figure.texts] + [axes.get_ylabel() for axes in figure.axes]
    return [text for text in texts if text], figure.get_suptitle()


@pytest.mark.parametrize("name", [r"p$\frac$q", "a$b$c", "心臓_1", "a\tb"])
def test_any_name_can_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    texts, title = told(tmp_path, monkeypatch, study=name, output=f"{name}.nii.gz")
    assert name in texts and title.endswith(", LV EF 55%")


def test_a_still_image_names_no_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, title = told(tmp_path, monkeypatch)
    assert title == "p1, LV EF 55%"
    assert "p1" in texts and not any("frame" in text or "phantom" in text for text in texts)


def test_a_cine_names_the_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phases = {"ED": {"mask": "p1.nii.gz", "frame": 3}, "ES": {"mask": "p1.nii.gz", "frame": 12}}
    texts, _ = told(tmp_path, monkeypatch, frames=30, phases=phases)
    assert "ED\nframe 3 of 30" in texts and "ES\nframe 12 of 30" in texts


def test_a_cine_without_phases_shows_its_first_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "p1\nframe 1 of 2" in told(tmp_path, monkeypatch, frames=2)[0]


def test_the_stamp_tells_of_images_and_the_title_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, title = told(tmp_path, monkeypatch, phantom={"images": False, "model": True})
    assert "(phantom-trained model)" in title and "phantom data" not in texts
    monkeypatch.undo()
    texts, title = told(tmp_path, monkeypatch, phantom={"images": True, "model": False})
    assert "(phantom-trained model)" not in title and "phantom data" in texts


@pytest.mark.parametrize("changes", [{"flags": [FLAG]}, {"image": {"flags": [FLAG]}}, {"image": {"concerns": [FLAG]}}])
def test_flags_are_told_in_the_title(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    assert told(tmp_path, monkeypatch, **changes)[1] == "p1, LV EF 55%, flagged: see p1.json"
