"""What `predict` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compress.inference.earlier import Earlier


@dataclass(frozen=True)
class PredictRequest:
    """What to segment, with what, and where the results go."""

    model: Path
    source: Path
    out: Path
    """A folder; for a single image it may also name the mask file (.nii.gz or .nii)."""
    provider: str = "cpu"
    threads: int | None = None
    batch_size: int | None = None
    """Slices at a time; None: what suits the provider."""
    force: bool = False
    """Segment images that look unlike those of the training."""
    overlays: bool = False
    earlier: Earlier = "refuse"
    dicom_seg: bool = False
    """Also write the masks of ED and ES as DICOM Segmentations; the sources must be DICOM."""
    tta: bool | None = None
    """The mean over mirrored images, for a network of nnU-Net's; None: what the file says."""
    check_orientation: bool = False
    """Segment with rows and columns exchanged, too, and flag where both masks disagree; takes twice as long."""
    recursive: bool = False
    """Also what lies in folders further down."""
    jobs: int = 1
    """Processes that share the studies."""
    engine: str = "local"
    """Where they run: on this machine, or on a Ray cluster (RAY_ADDRESS)."""
