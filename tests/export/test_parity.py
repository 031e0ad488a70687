from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_unet import build

from compress.errors import DataError, InputError, ProviderError
from compress.export.parity import check_parity
from compress.runtime.proof import prove


def _batches(count: int = 2) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((2, 1, 8, 6 + 2 * i)).astype(np.float32) for i in range(count))


def test_the_export_computes_what_the_network_computes(exported: Path) -> None:
    network = build()
    report = check_parity(network, exported, _batches(), threads=1)
    assert report.ok
    assert 0 < report.mean_abs_difference <= report.max_abs_difference < 1e-5
    assert (report.differing_voxels, report.voxels) == (0, 2 * 8 * (6 + 8))
    assert (report.images, report.batches, report.provider, report.bound) == (4, 2, "cpu", 1e-3)
    assert network.training


def test_another_network_is_found_out_by_the_stated_amount(exported: Path) -> None:
    network = build()
    with torch.no_grad():
        network.head.bias[2] += 5.0
    report = check_parity(network, exported, _batches(), threads=1)
    assert not report.ok
    assert report.max_abs_difference == pytest.approx(5.0, abs=1e-4)
    assert report.mean_abs_difference == pytest.approx(5.0 / 4, abs=1e-4)
    assert report.differing_voxels > 0
    assert check_parity(network, exported, _batches(), threads=1, tolerance=5.1).ok


def test_the_report_is_json(exported: Path) -> None:
    value = json.loads(json.dumps(check_parity(build(), exported, _batches(1), threads=1).to_json(), allow_nan=False))
    assert value["ok"] is True
    assert value["bound"] == 1e-3


def test_no_batch_is_no_parity(exported: Path) -> None:
    with pytest.raises(InputError, match="at least one batch"):
        check_parity(build(), exported, [])


def test_images_of_a_wrong_size_are_refused_before_torch_sees_them(exported: Path) -> None:
    with pytest.raises(DataError, match="Pad to 8x8"):
        check_parity(build(), exported, [np.zeros((1, 1, 7, 8), np.float32)])


def test_non_finite_logits_are_never_equal(exported: Path) -> None:
    network = build()
    with torch.no_grad():
        network.head.bias[0] = float("nan")
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
