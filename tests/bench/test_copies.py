"""The bound run, for real with the host as the device; on the CPU there is no run without copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compress.bench.copies import bound_run, without_copies
from compress.runtime.session import open_session


def test_a_bound_run_gives_the_same_logits(tiny_path: Path) -> None:
    session = open_session(tiny_path, threads=1)
    images = np.random.default_rng(0).standard_normal((2, 1, 8, 12)).astype(np.float32)
    run, logits = bound_run(session, images, "cpu")
    assert logits.shape() == [2, 4, 8, 12]
    run()
    np.testing.assert_allclose(logits.numpy(), session.run(images), atol=1e-6)


def test_on_the_cpu_nothing_is_copied_so_there_is_no_second_figure(tiny_path: Path) -> None:
    session = open_session(tiny_path, threads=1)
    assert without_copies(session, np.zeros((1, 1, 8, 8), np.float32)) is None
