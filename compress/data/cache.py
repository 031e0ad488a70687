"""Prepared volumes on disk, so that resampling is paid for once.

A file's name is the digest of everything that its content depends on: change an image, a mask or a
rule and another file is written. Nothing is ever updated in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from compress.data.images import digests_of
from compress.data.layouts import read_volume
from compress.data.prepared import Prepared
from compress.data.rules import Rules, recentred
from compress.data.volume import ACDC_LABELS, Case
from compress.data.work import check_pixels
from compress.files import atomic_path, digest_json
from compress.progress import SILENT, Progress
from compress.vouch import read_sealed, write_sealed

_VERSION = 1
"""Raise when `Preprocessing.forward` changes what it computes."""


def prepare(case: Case, rules: Rules, *, cache: Path) -> Prepared:
    """The case's prepared volume, read from `cache` when an identical one was computed before."""
    return _prepare_at(_stored(case, rules, cache), case, rules)


def _prepare_at(stored: Path, case: Case, rules: Rules) -> Prepared:
    found = _load(stored, rules) if stored.is_file() else None
    if found is not None:
        return found
    volume = read_volume(case)
    check_pixels(volume.image, volume.spacing, name=str(case.image_path), rules=rules)
    prepared = rules.forward(volume)
    mask = cast(np.ndarray, prepared.mask)  # a case has one
    with atomic_path(stored) as temporary:
        sizes = prepared.geometry.numbers()
        write_sealed(temporary, stored.name, images=prepared.images, mask=mask, sizes=sizes)
    return prepared


def prepare_all(cases: Sequence[Case], rules: Rules, *, cache: Path, progress: Progress = SILENT) -> list[Prepared]:
    """`prepare` for every case, in order."""
    places = [(_stored(case, rules, cache), case) for case in cases]  # hashes every file: once is enough
    missing = [(stored, case) for stored, case in places if not stored.is_file()]
    if missing:
        with progress.task("Preparing volumes", len(missing)) as task:
            for stored, case in missing:
                _prepare_at(stored, case, rules)
                task.advance(info=case.name)
    return [_prepare_at(stored, case, rules) for stored, case in places]


def _stored(case: Case, rules: Rules, cache: Path) -> Path:
    first = recentred(rules, 0)  # what is stored
    key = digest_json(
        [_VERSION, first.to_json(), {**case.labels, **case.others}, [digest for _, digest in digests_of(case)]]
        + ([] if case.values == ACDC_LABELS else [case.values])
    )
    return cache / f"{case.name}-{key[:24]}.npz"


def _load(stored: Path, rules: Rules) -> Prepared | None:
    """None for a file that is damaged, or that this user did not write: it is computed again and replaced."""
    found = read_sealed(stored, stored.name)
    if found is None:
        return None
    return Prepared(found["images"], found["mask"], rules.geometry_of_numbers(found["sizes"]))
