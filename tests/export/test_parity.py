from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_unet import build

from compress.errors import InputError
from compress.export.parity import ParityReport, compare_logits, join_logits, reference_run
from compress.runtime.session import open_session


def _batches(count: int = 2) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((2, 1, 8, 6 + 2 * i)).astype(np.float32) for i in range(count))


def _report(network: torch.nn.Module, path: Path, *, batches: int = 2, bound: float = 1e-3) -> ParityReport:
    """The network against the file on the CPU."""
    session, reference = open_session(path, threads=1), reference_run(network)
    parts = [compare_logits(reference(b), session.run(b), file=str(path)) for b in _batches(batches)]
    return join_logits(parts, session, bound=bound)


def _pixels(*scores: tuple[float, ...]) -> np.ndarray:
    """Logits (1, C, 1, pixels)."""
    return np.array(scores, np.float32).T[None, :, None]


def test_the_export_computes_what_the_network_computes(exported: Path) -> None:
    network = build()
    report = _report(network, exported)
    assert report.ok
    assert 0 < report.max_abs_difference < 1e-5
    assert (report.differing_voxels, report.voxels) == (0, 2 * 8 * (6 + 8))
    assert (report.images, report.provider, report.bound) == (4, "cpu", 1e-3)
    assert network.training


def test_another_network_is_found_out_by_the_stated_amount(exported: Path) -> None:
    network = build()
    with torch.no_grad():
        network.head.bias[2] += 5.0  # pyright: ignore[reportOptionalSubscript]
    report = _report(network, exported)
    assert not report.ok
    assert report.max_abs_difference == pytest.approx(5.0, abs=1e-4)
    assert report.differing_voxels > 0
    assert _report(network, exported, bound=5.1).ok


def test_a_file_is_refused_by_its_largest_difference_alone() -> None:
    #               equal, near-tie flipped, near-tie kept, clear flip
    ours = _pixels((5, 0), (1.0, 1.001), (1.0, 1.001), (1.0, 1.5))
    theirs = _pixels((5, 0), (1.001, 1.0), (1.0, 1.001), (1.5, 1.0))
    found = compare_logits(ours, theirs)
    assert (found.worst, found.flips, found.voxels, found.images) == (0.5, 2, 4, 1)


def test_the_report_is_json_with_its_verdict(exported: Path) -> None:
    report = _report(build(), exported, batches=1)
    value = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert value["ok"] is True
    assert value["bound"] == 1e-3


def test_no_batch_is_no_parity(exported: Path) -> None:
    with pytest.raises(InputError, match="at least one batch"):
        _report(build(), exported, batches=0)


def test_logits_of_another_shape_are_refused() -> None:
    # (1, 2, 1, 2) against (1, 2, 1, 1) would broadcast
    with pytest.raises(InputError, match=r"gives logits \(1, 2, 1, 2\), x\.onnx gives \(1, 2, 1, 1\)"):
        compare_logits(_pixels((1, 0), (1, 0)), _pixels((1, 0)), file="x.onnx")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_non_finite_logits_are_never_equal(wrong: float) -> None:
    fine, broken = _pixels((1, 0)), _pixels((1, wrong))
    with pytest.raises(InputError, match="The network gives non-finite logits"):
        compare_logits(broken, broken)
    with pytest.raises(InputError, match=r"x\.onnx gives non-finite logits"):
        compare_logits(fine, broken, file="x.onnx")
