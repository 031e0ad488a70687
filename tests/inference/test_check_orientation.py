"""`predict --check-orientation`: the volume with rows and columns exchanged, too, and what is said of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from heart_kit import make_heart
from nifti_kit import raw_file

from compress.evaluate.plausibility import ORDERS_AGREE, orientation_flags
from compress.inference.predict import PredictRequest, predict
from compress.runtime import Segmenter
from compress.runtime.orders import ORDER


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One heart whose pixels are not square."""
    image = make_heart(slices=5, side=100)[0][:, :90]
    raw_file(tmp_path / "in" / "a.nii.gz", image, pixdim=[1.0, 1.5, 1.8, 8.0, 1, 1, 1, 1], xyzt_units=2)
    return tmp_path / "in"


def test_it_compares_with_the_exchanged_volume(sealed_path: Path) -> None:
    image = make_heart(slices=5, side=100)[0][:, :90]
    found = Segmenter(sealed_path, check_orientation=True).segment(image, spacing_mm=(8.0, 1.8, 1.5))
    plain = Segmenter(sealed_path)
    turned = plain.segment(image.transpose(0, 2, 1), spacing_mm=(8.0, 1.5, 1.8)).mask.transpose(0, 2, 1)
    own = plain.segment(image, spacing_mm=(8.0, 1.8, 1.5))
    assert np.array_equal(found.mask, own.mask) and own.agreement is None
    assert found.agreement is not None and len(found.agreement) > 1
    for name, value in found.agreement.items():
        one, other = own.mask == own.labels[name], turned == own.labels[name]
        assert value == pytest.approx(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_report_table_and_resume(sealed_path: Path, source: Path, tmp_path: Path) -> None:
    request = {"model": sealed_path, "source": source, "out": tmp_path / "out", "threads": 1, "earlier": "resume"}
    (plain,) = predict(PredictRequest(**request)).studies
    assert "orientation" not in plain["images"][0]
    report = predict(PredictRequest(**request, check_orientation=True))
    (study,) = report.studies
    assert report.kept == 0 and plain["images"][0]["mask_sha256"] == study["images"][0]["mask_sha256"]
    told = study["images"][0]["orientation"]
    assert told["order"] == ORDER and told["at_least"] == ORDERS_AGREE and len(told["dice"]) == 1
    poor = [name for name, value in told["dice"][0].items() if value < ORDERS_AGREE]
    (flag,) = [flag for flag in study["images"][0]["flags"] if flag["kind"] == "orientation"]
    assert poor and all(name in flag["message"] for name in poor) and ORDER in flag["message"]
    row = next(csv.DictReader((tmp_path / "out" / "summary.csv").read_text().splitlines()))
    assert flag["message"] in row["flags"]
    assert predict(PredictRequest(**request, check_orientation=True)).kept == 1
    assert json.loads((tmp_path / "out" / "a.json").read_text())["images"][0]["orientation"] == told


def test_the_flag_names_what_disagrees() -> None:
    assert orientation_flags(None, ORDER) == orientation_flags({"RV": ORDERS_AGREE, "LV": 1.0}, ORDER) == []
    (flag,) = orientation_flags({"RV": 0.5, "LV": 0.9}, ORDER)
    assert flag.message == f"With {ORDER}, the network finds another RV: their masks agree to a Dice of 0.50 alone."
