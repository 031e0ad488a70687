from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_unet import build

from compress.errors import DataError, InputError, ProviderError
from compress.export.parity import ParityReport, check_parity, compare_logits, join_logits
from compress.runtime.proof import prove


def _batches(count: int = 2) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((2, 1, 8, 6 + 2 * i)).astype(np.float32) for i in range(count))


def _pixels(*scores: tuple[float, ...]) -> np.ndarray:
    """Logits (1, C, 1, pixels)."""
    return np.array(scores, np.float32).T[None, :, None]


def test_the_export_computes_what_the_network_computes(exported: Path) -> None:
    network = build()
    report = check_parity(network, exported, _batches(), threads=1)
    assert report.ok
    assert 0 < report.mean_abs_difference <= report.max_abs_difference < 1e-5
    assert (report.differing_voxels, report.unexplained_voxels, report.voxels) == (0, 0, 2 * 8 * (6 + 8))
    assert (report.images, report.batches, report.provider, report.bound) == (4, 2, "cpu", 1e-3)
    assert network.training


def test_another_network_is_found_out_by_the_stated_amount(exported: Path) -> None:
    network = build()
    with torch.no_grad():
        network.head.bias[2] += 5.0  # pyright: ignore[reportOptionalSubscript]
    report = check_parity(network, exported, _batches(), threads=1)
    assert not report.ok
    assert report.max_abs_difference == pytest.approx(5.0, abs=1e-4)
    assert report.mean_abs_difference == pytest.approx(5.0 / 4, abs=1e-4)
    assert report.differing_voxels > 0
    assert 0 < report.unexplained_voxels <= report.differing_voxels
    assert check_parity(network, exported, _batches(), threads=1, tolerance=5.1).ok


def test_a_flip_is_explained_only_by_a_near_tie() -> None:
    #               equal, near-tie flipped, near-tie kept, clear flip
    ours = _pixels((5, 0), (1.0, 1.001), (1.0, 1.001), (1.0, 1.5))
    theirs = _pixels((5, 0), (1.001, 1.0), (1.0, 1.001), (1.5, 1.0))
    found = compare_logits(ours, theirs, bound=1e-3)
    assert (found.flips, found.unexplained, found.near_ties, found.voxels) == (2, 1, 2, 4)
    assert found.worst == 0.5
    assert found.total == pytest.approx(2 * 0.001 + 2 * 0.5, rel=1e-4)


def test_a_near_tie_with_the_second_class_does_not_excuse_a_flip_to_the_third() -> None:
    found = compare_logits(_pixels((2.0, 2.0, 0.0)), _pixels((2.0, 2.0, 3.0)), bound=1e-3)
    assert (found.flips, found.unexplained, found.near_ties) == (1, 1, 1)


@given(st.integers(0, 2**16), st.sampled_from([1e-3, 1e-2, 0.5]))
def test_logits_under_the_bound_leave_no_flip_unexplained(seed: int, bound: float) -> None:
    rng = np.random.default_rng(seed)
    ours = rng.standard_normal((2, 4, 5, 5)).astype(np.float32)
    theirs = (ours + rng.uniform(-0.999 * bound, 0.999 * bound, ours.shape)).astype(np.float32)
    found = compare_logits(ours, theirs, bound=bound)
    assert found.unexplained == 0
    assert found.flips <= found.near_ties


def test_an_unexplained_flip_refuses_whatever_the_largest_difference(exported: Path) -> None:
    stored = check_parity(build(), exported, _batches(1), threads=1).to_json()
    assert ParityReport.from_json(stored).ok
    assert not ParityReport.from_json({**stored, "unexplained_voxels": 1}).ok
    assert not ParityReport.from_json({**stored, "max_abs_difference": 2e-3}).ok


def test_batches_are_weighed_by_their_size() -> None:
    class FakeSession:
        provider_proven = "cpu"
        details = {"onnxruntime": "1"}  # noqa: RUF012

    small = compare_logits(_pixels((1, 0)), _pixels((2, 0)), bound=1)
    large = compare_logits(_pixels((1, 0), (1, 0), (1, 0)), _pixels((1, 0), (1, 0), (1, 0)), bound=1)
    report = join_logits([small, large], FakeSession(), bound=1)  # pyright: ignore[reportArgumentType]
    assert (report.mean_abs_difference, report.max_abs_difference, report.voxels) == (1 / 8, 1.0, 4)


def test_the_report_is_json_and_comes_back_equal(exported: Path) -> None:
    report = check_parity(build(), exported, _batches(1), threads=1)
    value = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert value["ok"] is True
    assert value["bound"] == 1e-3
    assert ParityReport.from_json(value) == report
    with pytest.raises(DataError, match=r"Not a parity report.*Export again"):
        ParityReport.from_json({"ok": True})


def test_no_batch_is_no_parity(exported: Path) -> None:
    with pytest.raises(InputError, match="at least one batch"):
        check_parity(build(), exported, [])


def test_images_of_a_wrong_size_are_refused_before_torch_sees_them(exported: Path) -> None:
    with pytest.raises(DataError, match="Pad to 8x8"):
        check_parity(build(), exported, [np.zeros((1, 1, 7, 8), np.float32)])


def test_non_finite_logits_are_never_equal(exported: Path) -> None:
    network = build()
    with torch.no_grad():
        network.head.bias[0] = float("nan")  # pyright: ignore[reportOptionalSubscript]
    with pytest.raises(InputError, match="The network gives non-finite logits"):
        check_parity(network, exported, _batches(), threads=1)


def test_parity_on_cuda_is_never_measured_on_the_cpu(exported: Path) -> None:
    try:
        prove("cuda")
    except ProviderError:
        with pytest.raises(ProviderError):
            check_parity(build(), exported, _batches(), provider="cuda")
    else:
        assert check_parity(build(), exported, _batches(), provider="cuda").provider == "cuda"
